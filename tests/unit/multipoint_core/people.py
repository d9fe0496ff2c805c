"""A root and its leaves over a pretend network, for tests: the cores, driven as the sockets drive them.

Each end of a connection keeps what its program can know, from what it was told and from what it did itself (``Stage``),
apart from the core. What the core tells must fit that, and must have a reason at the other end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count

from tests.unit.multipoint_core.pretend import HERE, PATIENCE

from multipoint import constants, wire
from multipoint.flow import QOS
from multipoint.kinds import JoinRole, Kind, Plane, ProviderClass
from multipoint.leaf import Leaf, LeafState
from multipoint.link import Link
from multipoint.link_events import (
    Agreed,
    Chatted,
    Event,
    FlowsAnswered,
    FlowsAsked,
    Joined,
    Parted,
    Refused,
    Requested,
    Withdrawn,
)
from multipoint.root import Root, Session

ROOT = Kind(ProviderClass.P2MP, Plane.ROOT, Plane.ROOT)
LEAF = Kind(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF)
BACKLOG = 2


class Stage(Enum):
    """Where a program stands with a peer."""

    CALLED = auto()  # somebody has connected, nothing is known of him
    ASKING = auto()
    WAITING = auto()  # somebody asks
    ADMITTED = auto()  # both want it
    MEMBER = auto()
    LEAVING = auto()  # has said that it leaves, and still hears
    OVER = auto()


# What a program may be told, and where it stands then.
TOLD: Mapping[tuple[Stage, type[Event]], Stage] = {
    (Stage.CALLED, Requested): Stage.WAITING,
    (Stage.WAITING, Withdrawn): Stage.OVER,
    (Stage.ASKING, Refused): Stage.OVER,
    (Stage.ASKING, Agreed): Stage.ADMITTED,
    (Stage.ASKING, Joined): Stage.MEMBER,
    (Stage.ADMITTED, Joined): Stage.MEMBER,
    (Stage.ADMITTED, Parted): Stage.OVER,
    **{(stage, Parted): Stage.OVER for stage in (Stage.MEMBER, Stage.LEAVING)},
    **{
        (stage, event): stage
        for stage in (Stage.MEMBER, Stage.LEAVING)
        for event in (Chatted, FlowsAsked, FlowsAnswered)
    },
}


@dataclass(eq=False)
class End:
    """One end of a connection: its link, what is on its way to it, and what its program knows."""

    link: Link
    stage: Stage
    key: bytes | None
    asked_at: float
    heard_at: float
    arriving: bytearray = field(default_factory=bytearray)
    # The network has told it that the other end has gone.
    is_told: bool = False
    # Its process has died: the kernel hangs up.
    has_crashed: bool = False
    has_said_goodbye: bool = False
    chats_said: list[bytes] = field(default_factory=list)
    chats_heard: list[bytes] = field(default_factory=list)
    flows_asked: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Connection:
    """Two ends, and the leaf's core."""

    root: End
    leaf: End
    # The leaf's core, and the one that listened if an invitation has made another member.
    core: Leaf
    listener: Leaf
    # The number of the member, as the root knows it.
    number: int = 0
    is_broken: bool = False

    def end(self, is_root: bool) -> End:
        """Return one of the two."""
        return self.root if is_root else self.leaf

    @property
    def is_quiet(self) -> bool:
        """Tell whether the network has nothing more to do."""
        return not any(self.has_news(is_root) for is_root in (True, False))

    def has_news(self, is_root: bool) -> bool:
        """Tell whether bytes, or the end, are on the way to an end that still listens."""
        here, there = self.end(is_root), self.end(not is_root)
        has_gone = there.link.hangs_up or there.link.has_ended
        return not here.link.has_ended and (bool(here.arriving) or (has_gone and not here.is_told))


class People:
    """The programs of a root and of its leaves, and the network between them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.root = Root(ROOT, PATIENCE, 7, lambda: bytes(32))
        self.root.session = Session(7, wire.Endpoint("239.255.0.1", 7000), HERE, bytes(32))
        self.root.door.open(BACKLOG)
        self.is_over = False
        self.connections: list[Connection] = []
        # Who waits at the root, the members ever made, leaves whose join has failed.
        self.queue: list[Connection] = []
        self.numbers: list[int] = []
        self.idle: list[Leaf] = []
        self._count = count(1)

    # Calls

    def ask(self, keys: tuple[bytes | None, bytes | None]) -> Connection:
        """Let a leaf ask, one whose last join failed if there is one."""
        leaf, place = self.idle.pop() if self.idle else Leaf(LEAF, PATIENCE), self._place()
        link = leaf.ask(HERE, place, JoinRole.BOTH, b"", 0, None, self.now)
        return self._connect(self.root.enter(place, self.now), link, leaf, keys)

    def invite(self, keys: tuple[bytes | None, bytes | None]) -> Connection:
        """Let the root invite a new leaf."""
        leaf, place = Leaf(LEAF, PATIENCE), self._place()
        leaf.listen(1)
        link = self.root.invite(place, JoinRole.BOTH, b"", 0, None, self.now)
        return self._connect(link, leaf.enter(HERE, self.now), leaf, keys)

    def root_admits(self) -> None:
        """Let in who is first in the queue."""
        connection = self.queue.pop(0)
        end = connection.root
        end.stage, end.heard_at = Stage.MEMBER, self.now
        self._is_member(connection, self.root.admit(end.link, b"", None, self.now).number)
        self.settle(connection)

    def root_refuses(self) -> None:
        """Turn away who is first in the queue."""
        connection = self.queue.pop(0)
        connection.root.stage = Stage.OVER
        self.root.refuse(connection.root.link, self.now)
        self.settle(connection)

    def leaf_admits(self, connection: Connection) -> None:
        """Accept an invitation."""
        end = connection.leaf
        end.stage, end.heard_at = Stage.ADMITTED, self.now
        connection.core = connection.core.admit(end.link, self._place(), b"", None, self.now)
        self.settle(connection)

    def leaf_refuses(self, connection: Connection) -> None:
        """Turn an invitation down."""
        connection.leaf.stage = Stage.OVER
        connection.core.refuse(connection.leaf.link, self.now)
        self.settle(connection)

    def leave(self, connection: Connection) -> None:
        """Let the leaf say that it leaves, and go on hearing."""
        connection.leaf.stage, connection.leaf.has_said_goodbye = Stage.LEAVING, True
        connection.leaf.link.leave(self.now)
        self.settle(connection)

    def close(self, connection: Connection, *, is_root: bool, is_abortive: bool) -> None:
        """Let one side give up the connection, as closesocket does."""
        end = connection.end(is_root)
        if is_root:
            # The socket takes a request out of the queue before it closes its connection.
            self.root.door.withdraw(end.link)
            self.queue = [waiting for waiting in self.queue if waiting is not connection]
            self.root.parted(end.link)
            if end.link is self.root.inviting:
                self.root.failed(end.link)
        else:
            connection.core.door.withdraw(end.link)
        end.stage = Stage.OVER
        had_ended, end.has_said_goodbye = end.link.has_ended, end.has_said_goodbye or not is_abortive
        (end.link.abort if is_abortive else end.link.close)(self.now)
        assert end.link.breaks_off or had_ended or not is_abortive
        self.settle(connection)

    def crash(self, connection: Connection, *, is_root: bool) -> None:
        """Let the process of one side die; for the other one it is a hang-up without a word."""
        connection.end(is_root).has_crashed = True
        self.close(connection, is_root=is_root, is_abortive=True)

    def end_session(self) -> None:
        """Let the root end the session, as its socket does."""
        members = {it.root.link for it in self.connections if it.root.stage is Stage.MEMBER}
        self.is_over = True
        assert set(self.root.dismantle(self.now)) == members
        for connection in self.connections:
            if connection.root.stage is Stage.CALLED:
                connection.root.link.close(self.now)
            connection.root.stage, connection.root.has_said_goodbye = Stage.OVER, True
        self.queue.clear()
        self.settle(*self.connections)

    def speak(self, connection: Connection, *, is_root: bool) -> None:
        """Say something in the side chat, and ask for flows."""
        end, number = connection.end(is_root), next(self._count)
        end.chats_said.append(b"%d" % number)
        end.link.chat(end.chats_said[-1], self.now)
        end.flows_asked.append(number)
        end.link.ask_flows(number, QOS(), self.now)
        self.settle(connection)

    # The network

    def arrive(self, connection: Connection, is_root: bool, size: int) -> None:
        """Let bytes arrive at one end, or the news that the other one has gone."""
        here, there = connection.end(is_root), connection.end(not is_root)
        if not connection.has_news(is_root):
            return
        if here.arriving:
            piece = bytes(here.arriving[:size])
            del here.arriving[:size]
            here.heard_at = self.now
            here.link.receive(piece, self.now)
        else:
            here.is_told = True
            if there.link.breaks_off and not there.has_crashed:
                here.link.broken(constants.WSAECONNRESET, self.now)
            else:
                here.link.hung_up(self.now)
        self.settle(connection)

    def arrive_all(self) -> None:
        """Let everything arrive, and what is said to it, until all are quiet."""
        for _ in range(20):
            news = [(it, is_root) for it in self.connections for is_root in (True, False) if it.has_news(is_root)]
            if not news:
                return
            for connection, is_root in news:
                self.arrive(connection, is_root, 100_000)
        raise AssertionError("the ends never stop talking")

    def break_connection(self, connection: Connection) -> None:
        """Let both ends see a reset; what was on its way is lost."""
        connection.is_broken = True
        for end in (connection.root, connection.leaf):
            end.arriving.clear()
            end.link.broken(constants.WSAECONNRESET, self.now)
        self.settle(connection)

    def wake_too_early(self) -> None:
        """Wake the links before their time, which is harmless."""
        for link in self._links:
            link.wake(self.now)
        self.settle(*self.connections)

    def pass_time(self, seconds: float) -> None:
        """Wake the links whose time has come."""
        self.now += seconds
        for link in self._links:
            if link.wake_at() <= self.now:
                link.wake(self.now)
                assert link.wake_at() > self.now
        self.settle(*self.connections)

    # What the sockets do after each call: send, and act on what the links tell

    def settle(self, *connections: Connection) -> None:
        """Take what the links have to say and to tell."""
        for connection in connections:
            for is_root in (True, False):
                here, there = connection.end(is_root), connection.end(not is_root)
                for event in here.link.events():
                    self._check(connection, here, there, event)
                    here.stage = TOLD[here.stage, type(event)]
                    (self._root_hears if is_root else self._leaf_hears)(connection, here, event)
                    if isinstance(event, Agreed | Requested) and here.stage is Stage.OVER:
                        # Turned away at once: what comes after in the same breath matters to nobody.
                        break
                there.arriving += here.link.outgoing
                here.link.outgoing.clear()

    def _check(self, connection: Connection, here: End, there: End, event: Event) -> None:
        """An event fits what the program knows, and has its reason."""
        assert (here.stage, type(event)) in TOLD, f"{event} is told to one who is {here.stage.name}"
        has_gone = connection.is_broken or there.stage in (Stage.OVER, Stage.LEAVING)
        match event:
            case Requested():
                assert here.key == there.key
                assert there.stage in (Stage.ASKING, Stage.OVER)
            case Agreed():
                assert there.stage in (Stage.ADMITTED, Stage.LEAVING, Stage.OVER)
            case Joined(membership):
                assert membership.member == connection.number
            case Withdrawn():
                assert has_gone
            case Refused():
                is_unheard = here.key != there.key or self.now >= there.asked_at + PATIENCE.greeting_s
                is_late = self.now >= here.asked_at + PATIENCE.join_s
                assert has_gone or is_late or (there.stage is Stage.CALLED and is_unheard)
                # It takes its request back.
                here.has_said_goodbye |= is_late
            case Parted(0):
                assert there.has_said_goodbye
            case Parted():
                is_silent = self.now >= here.heard_at + PATIENCE.silence_s
                assert connection.is_broken or there.link.breaks_off or is_silent
            case Chatted(data):
                here.chats_heard.append(data)
                assert here.chats_heard == there.chats_said[: len(here.chats_heard)]
            case FlowsAsked(number):
                assert number in there.flows_asked
            case FlowsAnswered(number):
                # Once each
                here.flows_asked.remove(number)

    def _root_hears(self, connection: Connection, end: End, event: Event) -> None:
        match event:
            case Requested():
                has_room = len(self.queue) < BACKLOG and not self.is_over
                assert self.root.requested(end.link, self.now) is has_room
                if has_room:
                    self.queue.append(connection)
                else:
                    end.stage = Stage.OVER
            case Withdrawn():
                self.root.door.withdraw(end.link)
                self.queue.remove(connection)
            case Agreed(answer):
                member = self.root.agreed(end.link, answer, self.now)
                end.stage, end.heard_at = Stage.MEMBER if member else Stage.OVER, self.now
                # If it is none, its link has said so to whoever still hears.
                end.has_said_goodbye = member is None
                if member:
                    self._is_member(connection, member.number)
            case Refused():
                self.root.failed(end.link)
            case Parted():
                member = self.root.parted(end.link)
                assert member
                assert member.number == connection.number
            case FlowsAsked(number, qos):
                end.link.answer_flows(number, 0, qos, self.now)

    def _leaf_hears(self, connection: Connection, end: End, event: Event) -> None:
        leaf = connection.core
        match event:
            case Requested():
                assert leaf.requested(end.link, self.now)
            case Withdrawn():
                leaf.door.withdraw(end.link)
            case Joined(membership):
                leaf.joined(membership)
            case Refused():
                leaf.failed()
                self.idle.append(leaf)
            case Parted():
                leaf.parted()
                assert leaf.state is LeafState.SPENT
            case FlowsAsked(number, qos):
                end.link.answer_flows(number, 0, qos, self.now)

    # How

    @property
    def _links(self) -> list[Link]:
        return [end.link for it in self.connections for end in (it.root, it.leaf)]

    def _place(self) -> wire.Endpoint:
        return wire.Endpoint("10.0.0.2", 10_000 + next(self._count))

    def _connect(self, root: Link, leaf: Link, core: Leaf, keys: tuple[bytes | None, bytes | None]) -> Connection:
        connection = Connection(self._end(root, keys[0]), self._end(leaf, keys[1]), core, core)
        self.connections.append(connection)
        (root if root.asks else leaf).opened(self.now)
        self.settle(connection)
        return connection

    def _end(self, link: Link, key: bytes | None) -> End:
        link.introduce(key, next(self._count).to_bytes(wire.NONCE_SIZE, "big"))
        return End(link, Stage.ASKING if link.asks else Stage.CALLED, key, self.now, self.now)

    def _is_member(self, connection: Connection, number: int) -> None:
        connection.number = number
        self.numbers.append(number)
