"""A root and its leaves over a pretend network that delays, cuts and breaks connections, each at its own pace.

Nothing is asserted in the rules but what must come of them in peace; what must hold at any time is an invariant, and
what may be told to whom, and why, stands in ``people``.
"""

from enum import Enum, auto

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.multipoint_core.people import Connection, End, People, Stage
from tests.unit.multipoint_core.pretend import PATIENCE

from multipoint import constants
from multipoint.errors import MultipointError
from multipoint.leaf import LeafState
from multipoint.link_states import State

# The root's key and the leaf's; they are the same more often than not.
KEYS = st.sampled_from(
    [(None, None), (b"key", b"key"), (None, None), (b"key", b"key"), (None, b"key"), (b"other", b"key")]
)
# One of the connections that stand, counted from the newest.
WHICH = st.integers(0, 5)
# What the two programs may believe once the network has nothing more to do: the root's and the leaf's.
AGREEING = {
    (Stage.MEMBER, Stage.MEMBER),
    (Stage.WAITING, Stage.ASKING),
    (Stage.ASKING, Stage.WAITING),
    (Stage.OVER, Stage.LEAVING),
    (Stage.OVER, Stage.OVER),
    # Who was gone before he was known
    (Stage.CALLED, Stage.OVER),
    (Stage.OVER, Stage.CALLED),
}
LEAF_STATES = {
    Stage.CALLED: LeafState.LISTENING,
    Stage.ASKING: LeafState.ASKING,
    Stage.WAITING: LeafState.LISTENING,
    Stage.ADMITTED: LeafState.MEMBER,
    Stage.MEMBER: LeafState.MEMBER,
    Stage.LEAVING: LeafState.MEMBER,
}


class Deed(Enum):
    """What a program may do with a peer."""

    ADMIT = auto()
    REFUSE = auto()
    SPEAK = auto()
    LEAVE = auto()
    CLOSE = auto()
    ABORT = auto()
    CRASH = auto()


ENDS = (Deed.CLOSE, Deed.ABORT, Deed.CRASH)
DEEDS = {
    Stage.CALLED: ENDS,
    Stage.ASKING: ENDS,
    Stage.WAITING: (Deed.ADMIT, Deed.ADMIT, Deed.REFUSE, Deed.CLOSE),
    Stage.ADMITTED: (Deed.LEAVE, *ENDS),
    Stage.MEMBER: (Deed.SPEAK, Deed.SPEAK, Deed.LEAVE, *ENDS),
    Stage.LEAVING: ENDS,
    Stage.OVER: ENDS,
}
# Who acts, and whether the other side hears of it before the next one acts.
TURNS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=3)


class Sessions(RuleBasedStateMachine):
    """What programs do, and what networks do to them."""

    def __init__(self) -> None:
        super().__init__()
        self.people = People()

    # Programs

    @rule(keys=KEYS, is_heard=st.booleans())
    def leaf_asks(self, keys: tuple[bytes | None, bytes | None], is_heard: bool) -> None:
        self.people.ask(keys)
        if is_heard:
            self.people.arrive_all()

    @precondition(lambda self: self.may_invite)
    @rule(keys=KEYS, is_heard=st.booleans())
    def root_invites(self, keys: tuple[bytes | None, bytes | None], is_heard: bool) -> None:
        self.people.invite(keys)
        if is_heard:
            self.people.arrive_all()

    @precondition(lambda self: self.standing)
    @rule(which=WHICH, turns=TURNS, data=st.data())
    def programs_act(self, which: int, turns: list[tuple[bool, bool]], data: st.DataObject) -> None:
        connection = self.one_of_the_standing(which)
        for is_root, is_heard in turns:
            deed = data.draw(st.sampled_from(DEEDS[connection.end(is_root).stage]))
            self.act(connection, is_root, deed)
            if is_heard:
                self.people.arrive(connection, not is_root, 100_000)

    def act(self, connection: Connection, is_root: bool, deed: Deed) -> None:
        people = self.people
        match deed, is_root:
            case ((Deed.ADMIT | Deed.REFUSE), True):
                # Whoever waits longest
                (people.root_admits if deed is Deed.ADMIT else people.root_refuses)()
            case ((Deed.ADMIT | Deed.REFUSE), False):
                (people.leaf_admits if deed is Deed.ADMIT else people.leaf_refuses)(connection)
            case Deed.SPEAK, _:
                people.speak(connection, is_root=is_root)
            case Deed.LEAVE, False:
                people.leave(connection)
            case ((Deed.LEAVE | Deed.CLOSE | Deed.ABORT), _):
                people.close(connection, is_root=is_root, is_abortive=deed is Deed.ABORT)
            case Deed.CRASH, _:
                people.crash(connection, is_root=is_root)

    @precondition(lambda self: len(self.people.connections) > 5)
    @rule()
    def root_ends_the_session(self) -> None:
        self.people.end_session()

    # Networks

    @precondition(lambda self: self.standing)
    @rule(which=WHICH, is_root=st.booleans(), size=st.sampled_from([1, 25, 100, 100_000]))
    def bytes_arrive(self, which: int, is_root: bool, size: int) -> None:
        self.people.arrive(self.one_of_the_standing(which), is_root, size)

    @rule()
    def all_arrives(self) -> None:
        self.people.arrive_all()

    @precondition(lambda self: self.standing)
    @rule(which=WHICH)
    def connection_breaks(self, which: int) -> None:
        self.people.break_connection(self.one_of_the_standing(which))

    @rule(seconds=st.sampled_from([0.1, 2.0, 4.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.people.wake_too_early()
        self.people.pass_time(seconds)

    # Peace

    @rule(asks=st.booleans(), key=st.sampled_from([None, b"key"]), turns=TURNS, data=st.data())
    def programs_race_for_a_request(
        self, asks: bool, key: bytes | None, turns: list[tuple[bool, bool]], data: st.DataObject
    ) -> None:
        if self.one_calls(asks, key):
            self.programs_act(0, turns, data)

    @rule(asks=st.booleans(), key=st.sampled_from([None, b"key"]), turns=TURNS, data=st.data())
    def one_joins(self, asks: bool, key: bytes | None, turns: list[tuple[bool, bool]], data: st.DataObject) -> None:
        connection = self.one_calls(asks, key)
        if connection:
            self.act(connection, asks, Deed.ADMIT)
            self.people.arrive_all()
            assert (connection.root.stage, connection.leaf.stage) == (Stage.MEMBER, Stage.MEMBER)
            self.programs_act(0, turns, data)

    def one_calls(self, asks: bool, key: bytes | None) -> Connection | None:
        """Return a request that waits for the other side's program, if there is nothing in its way."""
        self.people.arrive_all()
        if self.people.is_over or (self.people.queue if asks else not self.may_invite):
            return None
        connection = (self.people.ask if asks else self.people.invite)((key, key))
        self.people.arrive_all()
        return connection

    @rule()
    def longer_than_silence_is_borne_all_arrives(self) -> None:
        self.people.arrive_all()
        before = self.memberships()
        for _ in range(6):
            self.people.pass_time(2.0)
            self.people.arrive_all()
        assert self.memberships() == before

    # What must hold

    @invariant()
    def root_knows_who_is_what(self) -> None:
        people, root = self.people, self.people.root
        assert set(root.members) == {it.root.link for it in people.connections if it.root.stage is Stage.MEMBER}
        assert list(root.door._waiting) == [it.root.link for it in people.queue]
        inviting = [it.root.link for it in people.connections if it.root.stage is Stage.ASKING]
        assert inviting == ([root.inviting] if root.inviting else [])
        assert len(set(people.numbers)) == len(people.numbers)

    @invariant()
    def root_says_why_it_may_not_invite(self) -> None:
        root, over = self.people.root, self.people.is_over
        expected = constants.WSAEALREADY if root.inviting else constants.WSAEISCONN if over else None
        assert code_of(root.check_invitation) == expected
        for connection in self.people.connections:
            is_live = connection.root.stage is Stage.MEMBER
            code = code_of(lambda it=connection: root.check_leaf(it.root.link.peer))
            assert code == (constants.WSAEISCONN if is_live else None)

    @invariant()
    def leaf_knows_what_it_is(self) -> None:
        for connection in self.people.connections:
            end, leaf = connection.leaf, connection.core
            assert end.stage is Stage.OVER or leaf.state is LEAF_STATES[end.stage]
            assert list(connection.listener.door._waiting) == [end.link] * (end.stage is Stage.WAITING)
        for leaf in self.people.idle:
            leaf.check_join()

    @invariant()
    def both_ends_agree_once_all_has_arrived(self) -> None:
        for connection in self.people.connections:
            if connection.is_quiet:
                stages = connection.root.stage, connection.leaf.stage
                assert stages in AGREEING
                # A leg whose leaf has left stands until the root's program closes it, and the leaf hears so long.
                has_leg = connection.root.link.state is State.PARTED
                assert has_leg or connection.leaf.stage is not Stage.LEAVING
                if stages == (Stage.OVER, Stage.OVER) and not has_leg:
                    assert connection.root.link.has_ended
                    assert connection.leaf.link.has_ended
                if stages == (Stage.MEMBER, Stage.MEMBER):
                    assert has_been_heard(connection.root, connection.leaf)
                    assert has_been_heard(connection.leaf, connection.root)

    @invariant()
    def everything_has_an_end(self) -> None:
        now = self.people.now
        for connection in self.people.connections:
            for end in (connection.root, connection.leaf):
                match end.stage:
                    case Stage.ASKING:
                        assert now < end.asked_at + PATIENCE.join_s
                    case Stage.ADMITTED | Stage.MEMBER | Stage.LEAVING:
                        assert now < end.heard_at + PATIENCE.silence_s
                    case Stage.WAITING:
                        continue
                assert end.link.has_ended or end.link.wake_at() <= now + PATIENCE.join_s

    # Words

    @property
    def may_invite(self) -> bool:
        return not self.people.root.inviting and not self.people.is_over

    def memberships(self) -> list[Connection]:
        return [it for it in self.people.connections if it.leaf.stage in (Stage.MEMBER, Stage.LEAVING)]

    @property
    def standing(self) -> list[Connection]:
        return [it for it in self.people.connections if not (it.root.link.has_ended and it.leaf.link.has_ended)]

    def one_of_the_standing(self, which: int) -> Connection:
        # The newest first
        return self.standing[-1 - which % len(self.standing)]


def has_been_heard(speaker: End, hearer: End) -> bool:
    return hearer.chats_heard == speaker.chats_said and not speaker.flows_asked


def code_of(check: object) -> int | None:
    assert callable(check)
    try:
        check()
    except MultipointError as failure:
        return failure.code
    return None


Sessions.TestCase.settings = settings(
    max_examples=200, stateful_step_count=30, deadline=None, report_multiple_bugs=False
)
TestSessions = Sessions.TestCase
