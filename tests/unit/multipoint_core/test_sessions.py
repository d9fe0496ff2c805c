"""A root and its leaves over a pretend network that delays, cuts and breaks connections, each at its own pace."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.multipoint_core.pretend import HERE, PATIENCE

from multipoint import constants, wire
from multipoint.kinds import JoinRole, Kind, Plane, ProviderClass
from multipoint.leaf import Leaf, LeafState
from multipoint.link import Link
from multipoint.link_events import Agreed, Event, Joined, Parted, Refused, Requested, Withdrawn
from multipoint.link_states import State
from multipoint.root import Root, Session

ROOT = Kind(ProviderClass.P2MP, Plane.ROOT, Plane.ROOT)
LEAF = Kind(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF)
KEYS = (None, b"the key")


@dataclass
class Connection:
    """Two links, and the bytes on their way to each; which side has already heard that the other one hung up."""

    root: Link
    leaf: Link
    member: Leaf
    on_way: dict[bool, bytearray] = field(default_factory=lambda: {True: bytearray(), False: bytearray()})
    told_end: set[bool] = field(default_factory=set)

    def link(self, is_root: bool) -> Link:
        return self.root if is_root else self.leaf


class Sessions(RuleBasedStateMachine):
    """The cores, driven as the sockets drive them."""

    connections = Bundle("connections")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.numbers = 0
        self.root = Root(ROOT, PATIENCE, 7, lambda: bytes(32))
        self.root.session = Session(7, wire.Endpoint("239.255.0.1", 7000), HERE, bytes(32))
        self.root.door.open(2)
        self.all: list[Connection] = []

    # The program

    @rule(target=connections, key=st.sampled_from(KEYS))
    def leaf_asks(self, key: bytes | None) -> Connection:
        leaf, place = Leaf(LEAF, PATIENCE), self._place()
        link = leaf.ask(HERE, place, JoinRole.BOTH, b"", 0, None, self.now)
        return self._connect(Connection(self.root.enter(place, self.now), link, leaf), key)

    @precondition(lambda self: not self.root.inviting)
    @rule(target=connections, key=st.sampled_from(KEYS))
    def root_invites(self, key: bytes | None) -> Connection:
        leaf, place = Leaf(LEAF, PATIENCE), self._place()
        leaf.listen(1)
        link = self.root.invite(place, JoinRole.BOTH, b"", 0, None, self.now)
        return self._connect(Connection(link, leaf.enter(HERE, self.now), leaf), key)

    @precondition(lambda self: self.root.door.first())
    @rule(lets_in=st.booleans())
    def root_decides(self, lets_in: bool) -> None:
        link = self.root.door.first()
        assert link
        if lets_in:
            self.root.admit(link, b"", None, self.now)
        else:
            self.root.refuse(link, self.now)
        self._settle()

    @rule(connection=connections, lets_in=st.booleans())
    def leaf_decides(self, connection: Connection, lets_in: bool) -> None:
        link = connection.member.door.first()
        if link and lets_in:
            connection.member = connection.member.admit(link, self._place(), b"", None, self.now)
        elif link:
            connection.member.refuse(link, self.now)
        self._settle()

    @rule(connection=connections, is_root=st.booleans(), how=st.sampled_from(["close", "leave", "abort"]))
    def goes(self, connection: Connection, is_root: bool, how: str) -> None:
        link = connection.link(is_root)
        if is_root:
            # The socket takes a request out of the queue before it closes its connection.
            self.root.door.withdraw(link)
            self.root.parted(link)
            if link is self.root.inviting:
                self.root.failed(link)
        else:
            connection.member.door.withdraw(link)
        if how == "abort":
            link.abort(self.now)
        elif how == "close" or is_root or not link.is_joined:
            link.close(self.now)
        else:
            link.leave(self.now)
        self._settle()

    # The network

    @rule()
    def all_that_is_said_arrives(self) -> None:
        for _ in range(6):
            for connection in self.all:
                for to_root in (True, False):
                    if connection.on_way[to_root]:
                        self.bytes_arrive(connection, to_root, 10_000)

    @rule(asks=st.booleans(), key=st.sampled_from(KEYS))
    def one_joins(self, asks: bool, key: bytes | None) -> None:
        if not asks and self.root.inviting:
            return
        connection = self.leaf_asks(key) if asks else self.root_invites(key)
        self.all_that_is_said_arrives()
        if asks and self.root.door.first():
            self.root_decides(lets_in=True)
        elif not asks:
            self.leaf_decides(connection, lets_in=True)

    @rule(connection=connections, to_root=st.booleans(), count=st.sampled_from([1, 25, 100, 10_000]))
    def bytes_arrive(self, connection: Connection, to_root: bool, count: int) -> None:
        arriving = connection.on_way[to_root]
        hearer, speaker = connection.link(to_root), connection.link(not to_root)
        if arriving:
            piece = bytes(arriving[:count])
            del arriving[:count]
            if not hearer.has_ended:
                hearer.receive(piece, self.now)
        elif (speaker.hangs_up or speaker.has_ended) and to_root not in connection.told_end and not hearer.has_ended:
            connection.told_end.add(to_root)
            if speaker.breaks_off:
                hearer.broken(constants.WSAECONNRESET, self.now)
            else:
                hearer.hung_up(self.now)
        self._settle()

    @rule(connection=connections)
    def connection_breaks(self, connection: Connection) -> None:
        for is_root in (True, False):
            connection.on_way[is_root].clear()
            connection.link(is_root).broken(constants.WSAECONNRESET, self.now)
        self._settle()

    @rule(seconds=st.sampled_from([0.1, 2.0, 4.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for connection in self.all:
            for link in (connection.root, connection.leaf):
                if link.wake_at() <= self.now:
                    link.wake(self.now)
        self._settle()

    # What must hold

    @invariant()
    def only_those_wait_who_ask(self) -> None:
        for connection in self.all:
            is_waiting = connection.root in self.root.door._waiting
            assert is_waiting == (connection.root.state is State.QUEUED)

    @invariant()
    def members_are_those_whose_links_stand(self) -> None:
        assert {link for link in self.root.members if link.state is not State.JOINED} == set()
        for connection in self.all:
            if connection.root.state is State.JOINED:
                assert connection.root in self.root.members

    @invariant()
    def who_has_joined_knows_what_the_root_knows(self) -> None:
        for connection in self.all:
            known = self.root.members.get(connection.root)
            if known and connection.member.membership:
                assert connection.member.membership.member == known.number
        numbers = [member.number for member in self.root.members.values()]
        assert len(set(numbers)) == len(numbers)

    @invariant()
    def everything_that_is_undecided_has_an_end(self) -> None:
        for connection in self.all:
            for link in (connection.root, connection.leaf):
                may_wait = link.state in (State.QUEUED, State.ENDED)
                assert may_wait or link.wake_at() <= self.now + PATIENCE.join_s

    # How

    def _place(self) -> wire.Endpoint:
        self.numbers += 1
        return wire.Endpoint("10.0.0.2", 10_000 + self.numbers)

    def _connect(self, connection: Connection, key: bytes | None) -> Connection:
        for link in (connection.root, connection.leaf):
            link.introduce(key, bytes([link.is_root]) * wire.NONCE_SIZE)
        self.all.append(connection)
        (connection.root if connection.root.request else connection.leaf).opened(self.now)
        self._settle()
        return connection

    def _settle(self) -> None:
        """Do what the sockets do after each call: send, and act on what the links tell."""
        for connection in self.all:
            for is_root in (True, False):
                link = connection.link(is_root)
                for event in link.events():
                    (self._root_hears if is_root else self._leaf_hears)(connection, link, event)
                if not link.has_ended:
                    connection.on_way[not is_root] += link.outgoing
                link.outgoing.clear()

    def _root_hears(self, connection: Connection, link: Link, event: Event) -> None:
        match event:
            case Requested():
                self.root.requested(link, self.now)
            case Withdrawn():
                self.root.door.withdraw(link)
            case Agreed(answer):
                self.root.agreed(link, answer, self.now)
            case Refused():
                self.root.failed(link)
            case Parted():
                self.root.parted(link)

    def _leaf_hears(self, connection: Connection, link: Link, event: Event) -> None:
        member = connection.member
        match event:
            case Requested():
                member.requested(link, self.now)
            case Withdrawn():
                member.door.withdraw(link)
            case Joined(membership):
                member.joined(membership)
            case Refused():
                member.failed()
            case Parted():
                member.parted()
                assert member.state is LeafState.SPENT


Sessions.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestSessions = Sessions.TestCase
