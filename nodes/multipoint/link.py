"""One control connection as a pure object: calls, bytes and the time go in; events, bytes and "wake me at" come out.

A link is dialled by who asks (a leaf that joins, a root that invites) and taken by who listens. The dialler asks, the
taker's program decides, the root confirms; then both are joined until one goes. Who goes says so first: the leaf's
leave lets the connection stand until the root has closed the leg (CL-32), the root's word is final. What ends without a
word is a crash (CL-20), or silence (CL-21).

    DIALLING ─ opened → ASKING ── accept ──┐                         ┌─ leave heard → PARTED ──┐
                                           ├→ AGREED ─ confirm → JOINED                        ├→ CLOSING → ENDED
    GREETING ─ request → QUEUED ─ admit ───┘                         └─ leave said → PARTING ──┘

The moves are a table, tried whole by a test. May not know: sockets, threads, clocks, random numbers; sessions
(``root``, ``leaf``); what is in a request or an answer.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from multipoint import constants, wire
from multipoint.counters import Cause
from multipoint.errors import DecodingError
from multipoint.flow import QOS
from multipoint.handshake import Handshake, Untrusted

log = logging.getLogger(__name__)

Request = wire.Join | wire.Invite
NEVER = float("inf")


class State(Enum):
    """Where a link stands."""

    DIALLING = auto()
    ASKING = auto()
    GREETING = auto()
    QUEUED = auto()
    AGREED = auto()  # both want it; the root's Confirm is missing
    JOINED = auto()
    PARTING = auto()  # we have said that we leave, and still hear the other side
    PARTED = auto()  # the other side has said that it leaves; this side is still open
    CLOSING = auto()  # all is said; waiting for the other side to hang up, lest a reset destroys what it has not read
    ENDED = auto()


class Input(Enum):
    """What can happen to a link: from the network, from the clock, from the program."""

    OPENED = auto()
    REQUEST = auto()
    ACCEPT = auto()
    REJECT = auto()
    CONFIRM = auto()
    CANCEL = auto()
    LEAVE = auto()
    CLOSE = auto()
    CHAT = auto()
    HEARTBEAT = auto()
    FLOWS = auto()
    GARBAGE = auto()
    HUNG_UP = auto()
    BROKEN = auto()
    LATE = auto()
    ADMIT = auto()
    REFUSE = auto()
    DO_CONFIRM = auto()
    SAY_CHAT = auto()
    SAY_FLOWS = auto()
    DO_LEAVE = auto()
    DO_CLOSE = auto()
    ABORT = auto()


@dataclass(frozen=True)
class Requested:
    """A peer asks to be let in, or invites us; decide with ``admit`` or ``refuse``."""

    request: Request


@dataclass(frozen=True)
class Withdrawn:
    """The peer gave up before it was answered; ``code`` is 0, or WSAECONNRESET if its connection broke."""

    code: int


@dataclass(frozen=True)
class Agreed:
    """The leaf has accepted our invitation; confirm it."""

    answer: wire.Accept


@dataclass(frozen=True)
class Joined:
    """The root has confirmed us; ``answer`` is what it answered, if it was we who asked."""

    membership: wire.Membership
    answer: wire.Accept | None


@dataclass(frozen=True)
class Refused:
    """The join failed; ``code`` says how."""

    code: int


@dataclass(frozen=True)
class Parted:
    """The membership has ended: 0 in order, WSAECONNRESET by a crash, WSAECONNABORTED by silence (D-41)."""

    code: int
    data: bytes = b""


@dataclass(frozen=True)
class Chatted:
    """A message of the side chat has come."""

    data: bytes


@dataclass(frozen=True)
class FlowsAsked:
    """The peer wants other flows; answer with ``answer_flows``."""

    number: int
    qos: QOS


@dataclass(frozen=True)
class FlowsAnswered:
    """The peer agrees (``code`` 0) or not to the flows of this number."""

    number: int
    code: int
    qos: QOS


Event = Requested | Withdrawn | Agreed | Joined | Refused | Parted | Chatted | FlowsAsked | FlowsAnswered


class WrongMove(Exception):
    """The program's side asked for a move that its state doesn't have: a fault of the stack itself."""

    def __init__(self, state: State, given: Input) -> None:
        super().__init__(f"a link that is {state.name} can't take {given.name}")


@dataclass(frozen=True)
class Patience:
    """How long a link waits, in seconds."""

    join_s: float = 30.0
    silence_s: float = 10.0
    greeting_s: float = 5.0

    @property
    def heartbeat_s(self) -> float:
        """Two may be late before silence is believed; with hundreds of leaves each one counts."""
        return self.silence_s / 3


class Link:
    """One control connection; ``is_root`` says on which end of the session it is."""

    def __init__(
        self, *, is_root: bool, peer: wire.Endpoint, patience: Patience, now: float, request: Request | None = None
    ) -> None:
        """Dial with ``request``, or take a connection and wait for one."""
        self.is_root = is_root
        self.peer = peer
        self.patience = patience
        self.request = request
        self.state = State.DIALLING if request else State.GREETING
        self.outgoing = bytearray()
        # The shell obeys: hang up once all is sent, or break off at once.
        self.hangs_up = False
        self.breaks_off = False
        # Told of what the peer does that is not in order.
        self.blame: Callable[[Cause], None] = lambda _: None
        self._asks = request is not None
        self._handshake = Handshake(is_caller=self._asks)
        self._has_greeted = False
        # What may not be said before the peer has proved that he knows the key.
        self._held = bytearray()
        self._answer: wire.Accept | None = None
        self._decoder = wire.Decoder()
        self._events: list[Event] = []
        self._spoke_at = self._heard_at = now
        self._deadline = now + (patience.join_s if request else patience.greeting_s)

    def introduce(self, key: bytes | None, nonce: bytes) -> None:
        """Greet with this nonce; with a key, go on only with a peer who knows it. Call it before anything happens."""
        self._handshake = Handshake(is_caller=self._asks, key=key, nonce=nonce)

    # What happens

    def opened(self, now: float) -> None:
        """The connection stands."""
        self._move(Input.OPENED, now)

    def receive(self, data: bytes, now: float) -> None:
        """Bytes have come."""
        self._heard_at = now
        self._decoder.feed(data)
        try:
            for message in self._decoder.messages():
                if self._handshake.is_over:
                    self._move(self._input_of(message), now, message)
                else:
                    self._greet(message)
        except DecodingError as error:
            log.info("control connection: %s", error)
            self._move(Input.GARBAGE, now, Cause.UNTRUSTED if isinstance(error, Untrusted) else Cause.GARBAGE)

    def still_there(self, now: float) -> None:
        """What the peer says is not listened to, so its silence is none."""
        self._heard_at = now

    def hung_up(self, now: float) -> None:
        """The other side has closed the connection."""
        self._move(Input.HUNG_UP, now)

    def broken(self, code: int, now: float) -> None:
        """The connection broke, or could not be made; ``code`` says how, for a join."""
        self._move(Input.BROKEN, now, code)

    def wake(self, now: float) -> None:
        """The time asked for by ``wake_at`` has come."""
        if now >= self._late_at():
            self._move(Input.LATE, now)
        elif self.state in _LIVE and now >= self._spoke_at + self.patience.heartbeat_s:
            self._say(wire.Heartbeat(), now)

    # What the program wants

    def admit(self, answer: wire.Accept, now: float) -> None:
        """Let the peer in; a root confirms it next."""
        self._move(Input.ADMIT, now, answer)

    def confirm(self, membership: wire.Membership, now: float) -> None:
        """Make the leaf a member, which both sides want by now."""
        self._move(Input.DO_CONFIRM, now, membership)

    def refuse(self, code: int, now: float) -> None:
        """Don't let the peer in."""
        self._move(Input.REFUSE, now, code)

    def chat(self, data: bytes, now: float) -> None:
        """Send a message to this peer only."""
        self._move(Input.SAY_CHAT, now, data)

    def ask_flows(self, number: int, qos: QOS, now: float) -> None:
        """Tell the peer what flows we want from now on."""
        self._move(Input.SAY_FLOWS, now, wire.FlowRequest(number, qos))

    def answer_flows(self, number: int, code: int, qos: QOS, now: float) -> None:
        """Agree to flows of the peer, or don't."""
        self._move(Input.SAY_FLOWS, now, wire.FlowAnswer(number, code, qos))

    def leave(self, now: float, data: bytes = b"") -> None:
        """Say that this leaf leaves, and go on hearing the root; nothing more to say if that is so already."""
        self._move(Input.DO_LEAVE, now, wire.Leave(data))

    def close(self, now: float, data: bytes = b"") -> None:
        """End the link in order, whatever its state: cancel, refuse, leave."""
        self._move(Input.DO_CLOSE, now, wire.Leave(data))

    def dismantle(self, now: float, data: bytes = b"") -> None:
        """End the link in order because its session ends."""
        self._move(Input.DO_CLOSE, now, wire.Close(data))

    def abort(self, now: float) -> None:
        """End the link without a word; the other side sees a reset."""
        self._move(Input.ABORT, now)

    # What comes out

    def events(self) -> list[Event]:
        """Return what has happened since the last call."""
        events, self._events = self._events, []
        return events

    def wake_at(self) -> float:
        """Return the time at which ``wake`` is to be called."""
        if self.state in _LIVE:
            return min(self._late_at(), self._spoke_at + self.patience.heartbeat_s)
        return self._late_at()

    @property
    def is_joined(self) -> bool:
        """Tell whether the membership stands."""
        return self.state in (State.JOINED, State.PARTING)

    @property
    def has_ended(self) -> bool:
        """Tell whether the connection is of no use any more."""
        return self.state is State.ENDED

    # How

    def _late_at(self) -> float:
        if self.state in _LIVE:
            return self._heard_at + self.patience.silence_s
        if self.state is State.AGREED and not self._asks:
            return self._heard_at + self.patience.silence_s
        return NEVER if self.state in (State.QUEUED, State.ENDED) else self._deadline

    def _input_of(self, message: wire.Message) -> Input:
        if isinstance(message, wire.Leave) and not self.is_root:
            return Input.CLOSE
        if isinstance(message, _ROOT_SAYS) and self.is_root:
            return Input.GARBAGE
        return _INPUTS.get(type(message), Input.GARBAGE)

    def _move(self, given: Input, now: float, about: object = None) -> None:
        action, state = _MOVES.get((self.state, given), (None, self.state))
        if action is None:
            if given in _OWN:
                raise WrongMove(self.state, given)
            self._accuse(given, about)
            action, state = _VIOLATED.get(self.state, _break_off), State.ENDED
        self._set_state(state, now)
        action(self, now, about)

    def _accuse(self, given: Input, about: object) -> None:
        if isinstance(about, Cause):
            self.blame(about)
        elif given not in (Input.HUNG_UP, Input.BROKEN):
            self.blame(Cause.MISPLACED)
        elif self.state is State.GREETING:
            self.blame(Cause.UNASKED)

    def _set_state(self, state: State, now: float) -> None:
        if state is not self.state:
            log.debug("link %x: %s -> %s", id(self), self.state.name, state.name)
        if state is State.CLOSING and self.state is not State.CLOSING:
            self._deadline = now + self.patience.silence_s
        self.state = state

    def _greet(self, message: wire.Message) -> None:
        answer = self._handshake.hear(message)
        if not self._handshake.may_speak:
            self._say_hello()
        if answer:
            self.outgoing += wire.encode(answer)
        if self._handshake.is_over:
            self.outgoing += self._held
            self._held.clear()

    def _say_hello(self) -> None:
        if not self._has_greeted:
            self.outgoing += wire.encode(self._handshake.hello)
            self._has_greeted = True

    def _say(self, message: wire.Message, now: float) -> None:
        self._say_hello()
        (self.outgoing if self._handshake.may_speak else self._held).extend(wire.encode(message))
        self._spoke_at = now

    def _tell(self, event: Event) -> None:
        self._events.append(event)


# Actions: what a move does besides changing the state.


def _nothing(link: Link, now: float, about: object) -> None:
    pass


def _ask(link: Link, now: float, about: object) -> None:
    assert link.request
    link._say(link.request, now)


def _queue(link: Link, now: float, about: object) -> None:
    assert isinstance(about, wire.Join | wire.Invite)
    # A leaf asks and a root invites; the same words from the same end of a session are no request.
    if isinstance(about, wire.Join) is not link.is_root:
        link.state = State.ENDED
        link.breaks_off = True
        return
    link.request = about
    link._tell(Requested(about))


def _accepted(link: Link, now: float, about: object) -> None:
    assert isinstance(about, wire.Accept)
    link._answer = about
    if link.is_root:
        link._tell(Agreed(about))


def _confirm(link: Link, now: float, about: object) -> None:
    assert isinstance(about, wire.Membership)
    link._heard_at = now
    link._say(wire.Confirm(about), now)


def _confirmed(link: Link, now: float, about: object) -> None:
    assert isinstance(about, wire.Confirm)
    # The root says how long silence may last; zero would end every session at once.
    link.patience = replace(link.patience, silence_s=max(about.membership.silence_ms, 1) / 1000)
    link._tell(Joined(about.membership, link._answer))


def _refused(link: Link, now: float, about: object) -> None:
    if isinstance(about, wire.Reject):
        link._tell(Refused(about.code if about.code in _REASONS else constants.WSAECONNREFUSED))
    else:
        link._tell(Refused(about if isinstance(about, int) else constants.WSAECONNREFUSED))


def _timed_out(link: Link, now: float, about: object) -> None:
    link._tell(Refused(constants.WSAETIMEDOUT))
    _cancel(link, now, about)


def _cancel(link: Link, now: float, about: object) -> None:
    # The other side hangs up first: so its well-known port keeps the memory of the connection (TIME_WAIT), and the
    # same two ports can connect again at once.
    link._say(wire.Cancel(), now)


def _withdrawn(link: Link, now: float, about: object) -> None:
    link.hangs_up = True
    link._tell(Withdrawn(0))


def _torn(link: Link, now: float, about: object) -> None:
    link.breaks_off = True
    link._tell(Withdrawn(constants.WSAECONNRESET))


def _accept(link: Link, now: float, about: object) -> None:
    assert isinstance(about, wire.Accept)
    link._heard_at = now
    link._say(about, now)


def _reject(link: Link, now: float, about: object) -> None:
    link._say(wire.Reject(about if isinstance(about, int) else constants.WSAECONNREFUSED), now)
    link.hangs_up = True


def _refuse_all(link: Link, now: float, about: object) -> None:
    _reject(link, now, constants.WSAECONNREFUSED)


def _chatted(link: Link, now: float, about: object) -> None:
    assert isinstance(about, wire.Chat)
    link._tell(Chatted(about.data))


def _say_chat(link: Link, now: float, about: object) -> None:
    assert isinstance(about, bytes)
    link._say(wire.Chat(about), now)


def _say_flows(link: Link, now: float, about: object) -> None:
    assert isinstance(about, wire.FlowRequest | wire.FlowAnswer)
    link._say(about, now)


def _flows(link: Link, now: float, about: object) -> None:
    match about:
        case wire.FlowRequest(number, qos):
            link._tell(FlowsAsked(number, qos))
        case wire.FlowAnswer(number, code, qos):
            link._tell(FlowsAnswered(number, code, qos))


def _say_leave(link: Link, now: float, about: object) -> None:
    assert isinstance(about, wire.Leave)
    link._say(about, now)


def _say_goodbye(link: Link, now: float, about: object) -> None:
    assert isinstance(about, wire.Leave | wire.Close)
    link._say(about, now)
    link.hangs_up = True


def _hang_up(link: Link, now: float, about: object) -> None:
    link.hangs_up = True


def _break_off(link: Link, now: float, about: object) -> None:
    link.breaks_off = True


def _unasked(link: Link, now: float, about: object) -> None:
    link.blame(Cause.UNASKED)
    link.breaks_off = True


def _parted(link: Link, now: float, about: object) -> None:
    link._tell(Parted(0, getattr(about, "disconnect_data", b"")))


def _called_off(link: Link, now: float, about: object) -> None:
    """It ends between Accept and Confirm: for the side that asked nothing has begun, the other one has let it in."""
    if link._asks:
        _refused(link, now, about)
    else:
        _closed(link, now, about)


def _torn_off(link: Link, now: float, about: object) -> None:
    if link._asks:
        _refused(link, now, None)
    else:
        _lost(link, now, about)


def _unconfirmed(link: Link, now: float, about: object) -> None:
    if link._asks:
        _timed_out(link, now, about)
    else:
        _silent(link, now, about)


def _closed(link: Link, now: float, about: object) -> None:
    link.hangs_up = True
    _parted(link, now, about)


def _lost(link: Link, now: float, about: object) -> None:
    link.breaks_off = True
    link._tell(Parted(constants.WSAECONNRESET))


def _silent(link: Link, now: float, about: object) -> None:
    link.breaks_off = True
    link.blame(Cause.SILENT)
    link._tell(Parted(constants.WSAECONNABORTED))


_LIVE = frozenset({State.JOINED, State.PARTING, State.PARTED})
_OWN = frozenset(
    {
        Input.OPENED,
        Input.ADMIT,
        Input.REFUSE,
        Input.DO_CONFIRM,
        Input.SAY_CHAT,
        Input.SAY_FLOWS,
        Input.DO_LEAVE,
        Input.DO_CLOSE,
        Input.ABORT,
    }
)
_INPUTS: Mapping[type, Input] = {
    wire.Join: Input.REQUEST,
    wire.Invite: Input.REQUEST,
    wire.Accept: Input.ACCEPT,
    wire.Reject: Input.REJECT,
    wire.Confirm: Input.CONFIRM,
    wire.Cancel: Input.CANCEL,
    wire.Leave: Input.LEAVE,
    wire.Close: Input.CLOSE,
    wire.Chat: Input.CHAT,
    wire.Heartbeat: Input.HEARTBEAT,
    wire.FlowRequest: Input.FLOWS,
    wire.FlowAnswer: Input.FLOWS,
}
# JL-80: the peer decides these; another reason in a Reject is not for WSAJoinLeaf's closed list.
_REASONS = frozenset({constants.WSAECONNREFUSED, constants.WSAEOPNOTSUPP, constants.WSAENOBUFS, constants.WSAENETDOWN})
_ROOT_SAYS = (wire.Close, wire.Confirm)

Action = Callable[[Link, float, object], None]


def _moves() -> dict[tuple[State, Input], tuple[Action, State]]:
    s, i = State, Input
    moves: dict[tuple[State, Input], tuple[Action, State]] = {
        (s.DIALLING, i.OPENED): (_ask, s.ASKING),
        (s.DIALLING, i.HUNG_UP): (_refused, s.ENDED),
        (s.DIALLING, i.BROKEN): (_refused, s.ENDED),
        (s.DIALLING, i.LATE): (_timed_out, s.ENDED),
        (s.DIALLING, i.DO_CLOSE): (_break_off, s.ENDED),
        (s.ASKING, i.ACCEPT): (_accepted, s.AGREED),
        (s.ASKING, i.REJECT): (_refused, s.ENDED),
        (s.ASKING, i.HEARTBEAT): (_nothing, s.ASKING),
        (s.ASKING, i.HUNG_UP): (_refused, s.ENDED),
        (s.ASKING, i.BROKEN): (_refused, s.ENDED),
        (s.ASKING, i.LATE): (_timed_out, s.CLOSING),
        # JL-39: if the peer's program has accepted meanwhile, it sees the member leave at once
        (s.ASKING, i.DO_CLOSE): (_cancel, s.CLOSING),
        (s.GREETING, i.REQUEST): (_queue, s.QUEUED),
        (s.GREETING, i.LATE): (_unasked, s.ENDED),
        (s.GREETING, i.DO_CLOSE): (_refuse_all, s.CLOSING),
        (s.QUEUED, i.ADMIT): (_accept, s.AGREED),
        (s.QUEUED, i.REFUSE): (_reject, s.CLOSING),
        (s.QUEUED, i.DO_CLOSE): (_refuse_all, s.CLOSING),
        (s.QUEUED, i.CANCEL): (_withdrawn, s.CLOSING),
        (s.QUEUED, i.HUNG_UP): (_withdrawn, s.ENDED),
        (s.QUEUED, i.BROKEN): (_torn, s.ENDED),
        (s.QUEUED, i.HEARTBEAT): (_nothing, s.QUEUED),
        (s.PARTING, i.CONFIRM): (_nothing, s.PARTING),
        (s.AGREED, i.DO_CONFIRM): (_confirm, s.JOINED),
        (s.AGREED, i.CONFIRM): (_confirmed, s.JOINED),
        (s.AGREED, i.CANCEL): (_called_off, s.CLOSING),
        (s.AGREED, i.CLOSE): (_called_off, s.CLOSING),
        (s.AGREED, i.LEAVE): (_called_off, s.CLOSING),
        (s.AGREED, i.HUNG_UP): (_torn_off, s.ENDED),
        (s.AGREED, i.BROKEN): (_torn_off, s.ENDED),
        (s.AGREED, i.HEARTBEAT): (_nothing, s.AGREED),
        (s.AGREED, i.LATE): (_unconfirmed, s.CLOSING),
        (s.AGREED, i.DO_LEAVE): (_say_leave, s.PARTING),
        (s.AGREED, i.DO_CLOSE): (_say_goodbye, s.CLOSING),
        (s.JOINED, i.DO_CLOSE): (_say_goodbye, s.CLOSING),
        (s.JOINED, i.DO_LEAVE): (_say_leave, s.PARTING),
        (s.JOINED, i.LEAVE): (_parted, s.PARTED),
        (s.JOINED, i.CANCEL): (_parted, s.PARTED),
        (s.PARTING, i.DO_CLOSE): (_hang_up, s.CLOSING),
        (s.PARTING, i.DO_LEAVE): (_nothing, s.PARTING),
        (s.PARTED, i.DO_CLOSE): (_say_goodbye, s.CLOSING),
        (s.PARTED, i.HEARTBEAT): (_nothing, s.PARTED),
        (s.PARTED, i.FLOWS): (_nothing, s.PARTED),
        (s.PARTED, i.HUNG_UP): (_nothing, s.ENDED),
        (s.PARTED, i.BROKEN): (_break_off, s.ENDED),
        (s.PARTED, i.LATE): (_break_off, s.ENDED),
        (s.CLOSING, i.HUNG_UP): (_nothing, s.ENDED),
        (s.CLOSING, i.BROKEN): (_break_off, s.ENDED),
        (s.CLOSING, i.LATE): (_break_off, s.ENDED),
        (s.CLOSING, i.DO_CLOSE): (_nothing, s.CLOSING),
        # It was withdrawn in the same breath, before anybody could look at it
        (s.CLOSING, i.REFUSE): (_nothing, s.CLOSING),
        (s.CLOSING, i.OPENED): (_nothing, s.CLOSING),
    }
    for state in (s.JOINED, s.PARTING):
        moves |= {
            (state, i.SAY_CHAT): (_say_chat, state),
            (state, i.CHAT): (_chatted, state),
            (state, i.SAY_FLOWS): (_say_flows, state),
            (state, i.FLOWS): (_flows, state),
            (state, i.HEARTBEAT): (_nothing, state),
            (state, i.CLOSE): (_closed, s.CLOSING),
            (state, i.HUNG_UP): (_lost, s.ENDED),
            (state, i.BROKEN): (_lost, s.ENDED),
            (state, i.LATE): (_silent, s.ENDED),
        }
    heard = (i.REQUEST, i.ACCEPT, i.REJECT, i.CONFIRM, i.CANCEL, i.LEAVE, i.CLOSE, i.CHAT, i.HEARTBEAT, i.FLOWS)
    for given in (*heard, i.GARBAGE):
        moves[s.CLOSING, given] = (_nothing, s.CLOSING)
    for given in Input:
        moves[s.ENDED, given] = (_nothing, s.ENDED)
    for state in State:
        moves[state, i.ABORT] = (_break_off, s.ENDED)
    return moves


# What the network may say at the wrong time, or garbled, ends the link like a crash (JL-53 while asking).
_VIOLATED: Mapping[State, Action] = {
    State.ASKING: _refused,
    State.QUEUED: _torn,
    State.AGREED: _torn_off,
    State.JOINED: _lost,
    State.PARTING: _lost,
}
_MOVES: Mapping[tuple[State, Input], tuple[Action, State]] = _moves()
