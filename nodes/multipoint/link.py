"""One control connection as a pure object: calls, bytes and the time go in; events, bytes and "wake me at" come out.

A link is dialled by who asks (a leaf that joins, a root that invites) and taken by who listens. The dialler asks, the
taker's program decides, the root confirms; then both are joined until one goes. Who goes says so first: the leaf's
leave lets the connection stand until the root has closed the leg (CL-32), a close is final. The root hangs up first.
What ends without a word is a crash (CL-20), or silence (CL-21).

    DIALLING ─ opened → ASKING ── accept ──┐                         ┌─ leave heard → PARTED ──┐
                                           ├→ AGREED ─ confirm → JOINED                        ├→ CLOSING → ENDED
    GREETING ─ request → QUEUED ─ admit ───┘                         └─ leave said → PARTING ──┘

The moves are a table (``moves``), tried whole by a test. May not know: sockets, threads, clocks, random numbers;
sessions (``root``, ``leaf``); what is in a request or an answer.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from multipoint import wire
from multipoint.counters import Cause
from multipoint.errors import DecodingError
from multipoint.flow import QOS
from multipoint.handshake import Handshake, Untrusted
from multipoint.link_events import Event, Request
from multipoint.link_states import INPUTS, LIVE, OWN, Input, State
from multipoint.moves import MOVES, VIOLATED, break_off

log = logging.getLogger(__name__)

NEVER = float("inf")


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
        self.asks = request is not None
        # A request waits that is not complete before the peer has answered to the flows we told.
        self.owes_answer = False
        self._handshake = Handshake(is_caller=self.asks)
        self._has_greeted = False
        # What may not be said before the peer has proved that he knows the key.
        self._held = bytearray()
        self.answer: wire.Accept | None = None
        self._decoder = wire.Decoder()
        self._events: list[Event] = []
        self._spoke_at = self.heard_at = now
        self._deadline = now + (patience.join_s if request else patience.greeting_s)

    def introduce(self, key: bytes | None, nonce: bytes) -> None:
        """Greet with this nonce; with a key, go on only with a peer who knows it. Call it before anything happens."""
        self._handshake.introduce(key, nonce)

    # What happens

    def opened(self, now: float) -> None:
        """The connection stands."""
        self._move(Input.OPENED, now)

    def receive(self, data: bytes, now: float) -> None:
        """Bytes have come."""
        self.heard_at = now
        self._decoder.feed(data)
        try:
            for message in self._decoder.messages():
                if self._handshake.is_over:
                    self._move(self._input_of(message), now, message)
                else:
                    self._greet(message)
        except DecodingError as error:
            log.info("control connection: %s", error)
            is_untrusted = isinstance(error, Untrusted)
            if is_untrusted and self.state is State.CLOSING:
                # What we have to say to him as the last thing is kept back for ever, and he would wait for it.
                self._move(Input.ABORT, now)
            else:
                self._move(Input.GARBAGE, now, Cause.UNTRUSTED if is_untrusted else Cause.GARBAGE)

    def still_there(self, now: float) -> None:
        """What the peer says is not listened to, so its silence is none."""
        self.heard_at = now

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
        elif self.state in LIVE and now >= self._spoke_at + self.patience.heartbeat_s:
            self.say(wire.Heartbeat(), now)

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
        """Tell the peer what flows we want from now on; who waits to be let in has as long to answer as for asking."""
        self.owes_answer = self.state is State.QUEUED
        self._deadline = now + self.patience.greeting_s
        self._move(Input.SAY_FLOWS, now, wire.FlowRequest(number, qos))

    def answer_flows(self, number: int, code: int, qos: QOS, now: float) -> None:
        """Agree to flows of the peer, or don't."""
        self._move(Input.SAY_FLOWS, now, wire.FlowAnswer(number, code, qos))

    def leave(self, now: float, data: bytes = b"") -> None:
        """Say that this leaf leaves, and go on hearing the root; nothing more to say if that is so already."""
        self._move(Input.DO_LEAVE, now, wire.Leave(data))

    def close(self, now: float, data: bytes = b"") -> None:
        """End the link in order, whatever its state: cancel, refuse, send the leaf away, leave for good."""
        self._move(Input.DO_CLOSE, now, wire.Leave(data) if self.is_root else wire.Close(data))

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
        if self.state in LIVE:
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
        if self.state in LIVE:
            return self.heard_at + self.patience.silence_s
        if self.state is State.AGREED and not self.asks:
            return self.heard_at + self.patience.silence_s
        waits_for_us = self.state is State.QUEUED and not self.owes_answer
        return NEVER if waits_for_us or self.state is State.ENDED else self._deadline

    def _input_of(self, message: wire.Message) -> Input:
        if isinstance(message, wire.Leave) and not self.is_root:
            return Input.CLOSE
        if isinstance(message, wire.Confirm) and self.is_root:
            return Input.GARBAGE
        return INPUTS.get(type(message), Input.GARBAGE)

    def _move(self, given: Input, now: float, about: object = None) -> None:
        action, state = MOVES.get((self.state, given), (None, self.state))
        if action is None:
            if given in OWN:
                raise WrongMove(self.state, given)
            self._accuse(given, about)
            action, state = VIOLATED.get(self.state, break_off), State.ENDED
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
        if state is not self.state and log.isEnabledFor(logging.DEBUG):
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

    def say(self, message: wire.Message, now: float) -> None:
        self._say_hello()
        (self.outgoing if self._handshake.may_speak else self._held).extend(wire.encode(message))
        self._spoke_at = now

    def tell(self, event: Event) -> None:
        self._events.append(event)
