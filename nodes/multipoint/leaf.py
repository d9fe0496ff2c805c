"""The session as a rooted c_leaf keeps it: it asks, or listens for invitations, and is a member once at most.

May not know: sockets, threads, clocks, random numbers; the control protocol's states (``link``).
"""

from enum import Enum, auto

from multipoint import constants, wire
from multipoint.counters import Cause
from multipoint.door import Door
from multipoint.errors import error
from multipoint.flow import QOS
from multipoint.flow_rules import is_valid
from multipoint.kinds import JoinRole, Kind, Plane
from multipoint.link import Link, Patience
from multipoint.wire import Endpoint


class LeafState(Enum):
    """Where a c_leaf stands; a spent one is to be thrown away (JL-38)."""

    IDLE = auto()
    LISTENING = auto()
    ASKING = auto()
    MEMBER = auto()
    SPENT = auto()


class Leaf:
    """The leaf's side of a session."""

    def __init__(self, kind: Kind, patience: Patience) -> None:
        self.kind = kind
        self.state = LeafState.IDLE
        self.door = Door()
        self.role = JoinRole.BOTH
        self.link: Link | None = None
        self.membership: wire.Membership | None = None
        self._patience = patience

    # Asking

    def check_join(self) -> None:
        """Raise what keeps the leaf from asking now: steps 9 and 10 of JL-16, and JL-77."""
        if self.state is LeafState.LISTENING:
            raise error(constants.WSAEINVAL, "a listening c_leaf can't ask")
        if self.state is LeafState.ASKING:
            raise error(constants.WSAEALREADY, "a join is outstanding on this c_leaf")
        if self.state is not LeafState.IDLE:
            raise error(constants.WSAEISCONN, "this c_leaf has joined already")

    def ask(
        self,
        root: Endpoint,
        data_address: Endpoint,
        role: JoinRole,
        caller_data: bytes,
        capacity: int,
        qos: QOS | None,
        now: float,
    ) -> Link:
        """Return a link that will ask this root."""
        self.check_join()
        request = wire.Join(
            self.kind.provider, self.kind.control, self.kind.data, role, data_address, capacity, caller_data, qos
        )
        self.link = Link(is_root=False, peer=root, patience=self._patience, now=now, request=request)
        self.state, self.role = LeafState.ASKING, role
        return self.link

    def failed(self) -> None:
        """The join did not come to be; the leaf may ask again (JL-37, JL-38)."""
        self.state, self.link = LeafState.IDLE, None

    def joined(self, membership: wire.Membership) -> None:
        """The root has confirmed us."""
        self.state, self.membership = LeafState.MEMBER, membership

    def parted(self) -> None:
        """The membership has ended."""
        self.state = LeafState.SPENT

    # Listening for invitations

    def check_listen(self) -> None:
        """Raise WSAEISCONN on a member (AC-03)."""
        if self.state not in (LeafState.IDLE, LeafState.LISTENING):
            raise error(constants.WSAEISCONN, "this c_leaf has joined already")

    def listen(self, backlog: int) -> None:
        """Wait for invitations."""
        self.check_listen()
        self.state = LeafState.LISTENING
        self.door.open(backlog)

    def enter(self, peer: Endpoint, now: float) -> Link:
        """Return a link for a connection that the listener has taken."""
        return Link(is_root=False, peer=peer, patience=self._patience, now=now)

    def requested(self, link: Link, now: float) -> bool:
        """A root invites: let it wait for the program, or refuse it; tells whether it waits."""
        if self._fits(link.request) and self.door.enqueue(link):
            return True
        link.blame(Cause.REFUSED)
        link.refuse(constants.WSAECONNREFUSED, now)
        return False

    def admit(self, link: Link, data_address: Endpoint, callee_data: bytes, qos: QOS | None, now: float) -> "Leaf":
        """Accept an invitation; return the member it makes, which is joined once the root confirms."""
        assert isinstance(link.request, wire.Invite)
        self.door.take(link)
        member = Leaf(self.kind, self._patience)
        member.state, member.link, member.role = LeafState.MEMBER, link, link.request.role.mirrored
        link.admit(wire.Accept(self.kind.control, self.kind.data, data_address, callee_data, qos), now)
        return member

    def refuse(self, link: Link, now: float, code: int = constants.WSAECONNREFUSED) -> None:
        """Turn an invitation down (AC-24)."""
        self.door.take(link)
        link.refuse(code, now)

    def _fits(self, request: object) -> bool:
        """JL-53: an invitation of another class, or from a leaf, is none for us; nor to be a second d_root (SK-13)."""
        return (
            isinstance(request, wire.Invite)
            and request.provider is self.kind.provider
            and request.control is Plane.ROOT
            and not (request.data is Plane.ROOT and self.kind.data is Plane.ROOT)
            and is_valid(request.qos)
        )
