"""The session as its c_root keeps it: who is asked, who waits, who is a member.

A session begins when the root listens or first invites (DP-27), takes leaves in both ways side by side (JL-52), and
ends with its root (CL-10). May not know: sockets, threads, clocks, random numbers; the states of control (``link``).
"""

from collections.abc import Callable
from dataclasses import dataclass

from multipoint import constants, wire
from multipoint.counters import Cause
from multipoint.door import Door
from multipoint.errors import error
from multipoint.flow import QOS
from multipoint.flow_rules import is_valid
from multipoint.kinds import JoinRole, Kind, Plane
from multipoint.link import Link, Patience
from multipoint.link_states import State
from multipoint.wire import Endpoint

# The number of the FlowRequest that offers the session's flows before a join; those of changes count from 1.
OFFER = 0


@dataclass(frozen=True)
class Session:
    """What all members of a session share."""

    number: int
    group: Endpoint
    root: Endpoint
    group_key: bytes
    has_side_chats: bool = True
    # Gives the sequence number from which on a new member hears the root.
    mark: Callable[[], int] = lambda: 0


@dataclass(frozen=True)
class Member:
    """One leaf of the session, as the root knows it."""

    number: int
    # DP-16: the leaf's control address, the same as its leg's peer.
    peer: Endpoint
    key: bytes
    # JL-55: what the root is towards this leaf.
    role: JoinRole
    is_data_root: bool


class Root:
    """The root's side of a session."""

    def __init__(self, kind: Kind, patience: Patience, number: int, new_key: Callable[[], bytes]) -> None:
        self.kind = kind
        self.number = number
        # Made by the shell before the first leaf is let in.
        self.session: Session | None = None
        self.members: dict[Link, Member] = {}
        self.door = Door()
        self.inviting: Link | None = None
        self.is_spent = False
        self._patience = patience
        self._new_key = new_key
        self._roles: dict[Link, JoinRole] = {}
        self._numbers = 0
        # Who was asked whether it can carry the session's flows, and has not answered.
        self._offered: set[Link] = set()

    # The ways in

    def check_invitation(self) -> None:
        """Raise what keeps the root from inviting now, whomever: steps 9 and 10 of JL-16."""
        if self.inviting:
            raise error(constants.WSAEALREADY, "a join is outstanding on this c_root")
        if self.is_spent:
            raise error(constants.WSAEISCONN, "the session has ended; the c_root is to be closed")

    def check_leaf(self, leaf: Endpoint) -> None:
        """Raise WSAEISCONN if this address is a live leg already (JL-36)."""
        if any(link.peer == leaf for link in self.members):
            raise error(constants.WSAEISCONN, "is a leaf of this session", leaf=leaf)

    def invite(
        self, leaf: Endpoint, role: JoinRole, caller_data: bytes, capacity: int, qos: QOS | None, now: float
    ) -> Link:
        """Return a link that will ask this leaf; it is outstanding until it has joined or failed."""
        self.check_invitation()
        request = wire.Invite(
            self.kind.provider, self.kind.control, self.kind.data, role, self.number, capacity, caller_data, qos
        )
        self.inviting = Link(is_root=True, peer=leaf, patience=self._patience, now=now, request=request)
        self._roles[self.inviting] = role
        return self.inviting

    def enter(self, peer: Endpoint, now: float) -> Link:
        """Return a link for a connection that a listener has taken."""
        return Link(is_root=True, peer=peer, patience=self._patience, now=now)

    # What the links tell

    def requested(self, link: Link, now: float, offer: QOS | None = None) -> bool:
        """A leaf asks: let it wait for the program, or refuse it; tells whether it waits.

        With an ``offer``, the session's flows, it has to say first that it can carry them (QS-36).
        """
        if offer and self._fits(link.request):
            self._offered.add(link)
            link.ask_flows(OFFER, offer, now)
            return True
        if self._fits(link.request) and self.door.enqueue(link):
            return True
        link.blame(Cause.REFUSED)
        link.refuse(constants.WSAECONNREFUSED, now)
        return False

    def answered(self, link: Link, code: int, now: float) -> bool:
        """A leaf says whether it can carry the session's flows; tells whether it waits."""
        if link not in self._offered:
            return True
        self._offered.discard(link)
        if code == 0:
            return self.requested(link, now)
        link.refuse(constants.WSAEOPNOTSUPP, now)
        return False

    def withdrawn(self, link: Link) -> None:
        """A request is gone, perhaps before it came to the door."""
        self._offered.discard(link)

    def agreed(self, link: Link, answer: wire.Accept, now: float) -> Member | None:
        """A leaf has accepted our invitation: make it a member, unless it has gone or doesn't fit (SK-13)."""
        self._settle(link)
        if link.state is not State.AGREED:
            return None
        if answer.data is Plane.ROOT and self._has_data_root:
            link.close(now)
            return None
        return self._confirm(link, answer.data, now)

    def failed(self, link: Link) -> None:
        """A join did not come to be: the next may be started."""
        self._settle(link)
        self._roles.pop(link, None)

    def parted(self, link: Link) -> Member | None:
        """A membership has ended; return who it was."""
        self._roles.pop(link, None)
        return self.members.pop(link, None)

    # What the program decides

    def admit(self, link: Link, callee_data: bytes, qos: QOS | None, now: float) -> Member:
        """Let one in who waits. Raises WSAECONNREFUSED if it would be a second d_root."""
        assert isinstance(link.request, wire.Join)
        assert self.session
        self.door.take(link)
        if link.request.data is Plane.ROOT and self._has_data_root:
            link.refuse(constants.WSAECONNREFUSED, now)
            raise error(constants.WSAECONNREFUSED, "the session has its d_root")
        answer = wire.Accept(self.kind.control, self.kind.data, self.session.root, callee_data, qos)
        link.admit(answer, now)
        self._roles[link] = link.request.role.mirrored
        return self._confirm(link, link.request.data, now)

    def refuse(self, link: Link, now: float, code: int = constants.WSAECONNREFUSED) -> None:
        """Turn one away who waits (AC-24)."""
        self.door.take(link)
        link.refuse(code, now)

    def dismantle(self, now: float, data: bytes = b"") -> list[Link]:
        """End the session: refuse who waits, take back an invitation, part from all members; return their links."""
        self.is_spent = True
        for link in (*self.door.close(), *self._offered):
            link.refuse(constants.WSAECONNREFUSED, now)
        if self.inviting:
            self.inviting.close(now)
            self.failed(self.inviting)
        legs = list(self.members)
        self.members.clear()
        self._roles.clear()
        for link in legs:
            link.dismantle(now, data)
        return legs

    # How

    @property
    def _has_data_root(self) -> bool:
        return self.kind.data is Plane.ROOT or any(member.is_data_root for member in self.members.values())

    def _fits(self, request: object) -> bool:
        """JL-53: a leaf of another class, or another root, is no leaf of ours."""
        return (
            isinstance(request, wire.Join)
            and request.provider is self.kind.provider
            and request.control is Plane.LEAF
            and not self.is_spent
            and is_valid(request.qos)
        )

    def _settle(self, link: Link) -> None:
        if link is self.inviting:
            self.inviting = None

    def _confirm(self, link: Link, data: Plane, now: float) -> Member:
        assert self.session
        self._numbers += 1
        member = Member(self._numbers, link.peer, self._new_key(), self._roles[link], data is Plane.ROOT)
        self.members[link] = member
        link.confirm(_membership(self.session, member, self._patience), now)
        return member


def _membership(session: Session, member: Member, patience: Patience) -> wire.Membership:
    return wire.Membership(
        session=session.number,
        member=member.number,
        group=session.group,
        root=session.root,
        group_key=session.group_key,
        member_key=member.key,
        heartbeat_ms=round(patience.heartbeat_s * 1000),
        silence_ms=round(patience.silence_s * 1000),
        has_side_chats=session.has_side_chats,
        sequence=session.mark(),
    )
