"""A root's link and a leaf's link over a pretend wire, for tests: bytes go over when ``pass_bytes`` is called."""

from dataclasses import dataclass

from multipoint import wire
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.link import Link, Patience
from multipoint.link_events import Event

HERE = wire.Endpoint("10.0.0.1", 5000)
THERE = wire.Endpoint("10.0.0.2", 6000)
PATIENCE = Patience(join_s=30, silence_s=10, greeting_s=5)
JOIN = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, THERE, 1024, b"caller")
INVITE = wire.Invite(ProviderClass.P2MP, Plane.ROOT, Plane.ROOT, JoinRole.BOTH, 7, 1024, b"caller")
ROOT_ACCEPTS = wire.Accept(Plane.ROOT, Plane.ROOT, HERE, b"callee")
LEAF_ACCEPTS = wire.Accept(Plane.LEAF, Plane.LEAF, THERE, b"callee")
MEMBERSHIP = wire.Membership(
    session=7,
    member=1,
    group=wire.Endpoint("239.255.0.1", 7000),
    root=wire.Endpoint("10.0.0.1", 7001),
    group_key=bytes(32),
    member_key=bytes(32),
    heartbeat_ms=2500,
    silence_ms=10_000,
)


@dataclass
class Wire:
    """Two links that speak to each other; ``now`` is the time at both."""

    root: Link
    leaf: Link
    now: float = 0.0

    def pass_bytes(self) -> None:
        """Carry over what both have to say, until both are silent; one byte at a time."""
        while self.root.outgoing or self.leaf.outgoing:
            for speaker, listener in ((self.root, self.leaf), (self.leaf, self.root)):
                said, speaker.outgoing = bytes(speaker.outgoing), bytearray()
                for place in range(len(said)):
                    listener.receive(said[place : place + 1], self.now)

    def join(self) -> None:
        """Let the request be made, accepted and confirmed, whoever asks."""
        asker, decider = (self.leaf, self.root) if self.leaf.request else (self.root, self.leaf)
        asker.opened(self.now)
        self.pass_bytes()
        decider.admit(ROOT_ACCEPTS if decider is self.root else LEAF_ACCEPTS, self.now)
        self.pass_bytes()
        self.root.confirm(MEMBERSHIP, self.now)
        self.pass_bytes()
        self.take_events()

    def take_events(self) -> tuple[list[Event], list[Event]]:
        """Return what root and leaf have to tell."""
        return self.root.events(), self.leaf.events()


def leaf_asks() -> Wire:
    """A leaf has dialled a listening root."""
    return Wire(a_link(is_root=True), a_link(is_root=False, request=JOIN))


def root_invites() -> Wire:
    """A root has dialled a listening leaf."""
    return Wire(a_link(is_root=True, request=INVITE), a_link(is_root=False))


def a_link(*, is_root: bool, request: wire.Join | wire.Invite | None = None) -> Link:
    """One end alone."""
    return Link(is_root=is_root, peer=THERE if is_root else HERE, patience=PATIENCE, now=0.0, request=request)
