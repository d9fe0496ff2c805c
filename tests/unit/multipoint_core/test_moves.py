"""Each move of a control connection by what comes of it: what is told and said, where it stands, how it ends.

The rows stand beside ``moves`` and know nothing of it, so a move that is lost, or does something else, is seen.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest
from tests.unit.multipoint_core.pretend import HERE, INVITE, JOIN, MEMBERSHIP, PATIENCE, ROOT_ACCEPTS, a_link

from multipoint import constants as c
from multipoint import wire
from multipoint.counters import Cause
from multipoint.flow import QOS
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
from multipoint.link_states import LIVE, OWN, Input, State
from multipoint.moves import MOVES

S, I = State, Input  # noqa: E741
BYE = b"bye"
LEAVE, CLOSE, CHAT = wire.Leave(BYE), wire.Close(BYE), wire.Chat(b"psst")
ASK, ANSWER = wire.FlowRequest(1, QOS()), wire.FlowAnswer(1, 2, QOS())
CONFIRM = wire.Confirm(MEMBERSHIP)
REFUSED, TIMED_OUT = Refused(c.WSAECONNREFUSED), Refused(c.WSAETIMEDOUT)
UNREACHABLE = c.WSAENETUNREACH
CRASHED = Parted(c.WSAECONNRESET)

# How a link ends its connection: not at all; once all is said, and the root first; at once.
STAYS, IN_ORDER, BREAKS_OFF = "stays", "in order", "breaks off"


class Row(NamedTuple):
    """In this state, this happens; and what comes of it. ``asks``, ``is_root``: at whose end, None: at any."""

    state: State
    given: Input
    about: object
    then: State
    told: Event | None = None
    said: wire.Message | None = None
    ends: str = STAYS
    blames: Cause | None = None
    asks: bool | None = None
    is_root: bool | None = None


ROWS = [
    Row(S.DIALLING, I.OPENED, None, S.ASKING, said=JOIN, is_root=False),
    Row(S.DIALLING, I.OPENED, None, S.ASKING, said=INVITE, is_root=True),
    Row(S.DIALLING, I.HUNG_UP, None, S.ENDED, REFUSED),
    Row(S.DIALLING, I.BROKEN, UNREACHABLE, S.ENDED, Refused(UNREACHABLE)),
    Row(S.DIALLING, I.LATE, None, S.ENDED, TIMED_OUT, wire.Cancel(), IN_ORDER),
    Row(S.DIALLING, I.DO_CLOSE, LEAVE, S.ENDED, ends=BREAKS_OFF),
    Row(S.ASKING, I.ACCEPT, ROOT_ACCEPTS, S.AGREED, Agreed(ROOT_ACCEPTS), is_root=True),
    Row(S.ASKING, I.ACCEPT, ROOT_ACCEPTS, S.AGREED, is_root=False),
    Row(S.ASKING, I.REJECT, wire.Reject(c.WSAENOBUFS), S.CLOSING, Refused(c.WSAENOBUFS), ends=IN_ORDER),
    Row(S.ASKING, I.HEARTBEAT, wire.Heartbeat(), S.ASKING),
    Row(S.ASKING, I.FLOWS, ASK, S.ASKING, FlowsAsked(1, QOS())),
    Row(S.ASKING, I.FLOWS, ANSWER, S.ASKING, FlowsAnswered(1, 2, QOS())),
    Row(S.ASKING, I.SAY_FLOWS, ASK, S.ASKING, said=ASK),
    Row(S.ASKING, I.HUNG_UP, None, S.ENDED, REFUSED),
    Row(S.ASKING, I.BROKEN, UNREACHABLE, S.ENDED, Refused(UNREACHABLE)),
    Row(S.ASKING, I.LATE, None, S.CLOSING, TIMED_OUT, wire.Cancel(), IN_ORDER),
    Row(S.ASKING, I.DO_CLOSE, LEAVE, S.CLOSING, said=wire.Cancel(), ends=IN_ORDER),
    Row(S.ASKING, I.CHAT, CHAT, S.ENDED, REFUSED, blames=Cause.MISPLACED),
    Row(S.ASKING, I.GARBAGE, Cause.GARBAGE, S.ENDED, REFUSED, blames=Cause.GARBAGE),
    Row(S.GREETING, I.REQUEST, JOIN, S.QUEUED, Requested(JOIN), is_root=True),
    Row(S.GREETING, I.REQUEST, INVITE, S.QUEUED, Requested(INVITE), is_root=False),
    Row(S.GREETING, I.REQUEST, INVITE, S.ENDED, ends=BREAKS_OFF, is_root=True),
    Row(S.GREETING, I.REQUEST, JOIN, S.ENDED, ends=BREAKS_OFF, is_root=False),
    Row(S.GREETING, I.LATE, None, S.ENDED, ends=BREAKS_OFF, blames=Cause.UNASKED),
    Row(S.GREETING, I.HUNG_UP, None, S.ENDED, ends=BREAKS_OFF, blames=Cause.UNASKED),
    Row(S.GREETING, I.BROKEN, c.WSAECONNRESET, S.ENDED, ends=BREAKS_OFF, blames=Cause.UNASKED),
    Row(S.GREETING, I.GARBAGE, Cause.UNTRUSTED, S.ENDED, ends=BREAKS_OFF, blames=Cause.UNTRUSTED),
    Row(S.GREETING, I.DO_CLOSE, LEAVE, S.CLOSING, said=wire.Reject(c.WSAECONNREFUSED), ends=IN_ORDER),
    Row(S.QUEUED, I.ADMIT, ROOT_ACCEPTS, S.AGREED, said=ROOT_ACCEPTS),
    Row(S.QUEUED, I.REFUSE, c.WSAENOBUFS, S.CLOSING, said=wire.Reject(c.WSAENOBUFS), ends=IN_ORDER),
    Row(S.QUEUED, I.DO_CLOSE, LEAVE, S.CLOSING, said=wire.Reject(c.WSAECONNREFUSED), ends=IN_ORDER),
    Row(S.QUEUED, I.CANCEL, wire.Cancel(), S.CLOSING, Withdrawn(0), ends=IN_ORDER),
    Row(S.QUEUED, I.HUNG_UP, None, S.ENDED, Withdrawn(0), ends=IN_ORDER),
    Row(S.QUEUED, I.BROKEN, UNREACHABLE, S.ENDED, Withdrawn(c.WSAECONNRESET), ends=BREAKS_OFF),
    Row(S.QUEUED, I.LATE, None, S.ENDED, Withdrawn(0), ends=BREAKS_OFF, blames=Cause.SILENT),
    Row(S.QUEUED, I.HEARTBEAT, wire.Heartbeat(), S.QUEUED),
    Row(S.QUEUED, I.FLOWS, ANSWER, S.QUEUED, FlowsAnswered(1, 2, QOS())),
    Row(S.QUEUED, I.SAY_FLOWS, ASK, S.QUEUED, said=ASK),
    Row(S.QUEUED, I.CHAT, CHAT, S.ENDED, Withdrawn(0), ends=BREAKS_OFF, blames=Cause.MISPLACED),
    Row(S.AGREED, I.DO_CONFIRM, MEMBERSHIP, S.JOINED, said=CONFIRM),
    Row(S.AGREED, I.CONFIRM, CONFIRM, S.JOINED, Joined(MEMBERSHIP, None)),
    Row(S.AGREED, I.HEARTBEAT, wire.Heartbeat(), S.AGREED),
    Row(S.AGREED, I.SAY_FLOWS, ASK, S.AGREED, said=ASK),
    Row(S.AGREED, I.DO_LEAVE, LEAVE, S.PARTING, said=LEAVE),
    Row(S.AGREED, I.DO_CLOSE, LEAVE, S.CLOSING, said=LEAVE, ends=IN_ORDER),
    # Who asked has not begun yet; who let him in has.
    *(
        row
        for given, about, data in (
            (I.CANCEL, wire.Cancel(), b""),
            (I.CLOSE, CLOSE, BYE),
            (I.LEAVE, LEAVE, BYE),
        )
        for row in (
            Row(S.AGREED, given, about, S.CLOSING, REFUSED, wire.Leave(), IN_ORDER, asks=True),
            Row(S.AGREED, given, about, S.CLOSING, Parted(0, data), ends=IN_ORDER, asks=False),
        )
    ),
    Row(S.AGREED, I.HUNG_UP, None, S.ENDED, REFUSED, asks=True),
    Row(S.AGREED, I.HUNG_UP, None, S.ENDED, CRASHED, ends=BREAKS_OFF, asks=False),
    Row(S.AGREED, I.BROKEN, UNREACHABLE, S.ENDED, REFUSED, asks=True),
    Row(S.AGREED, I.BROKEN, UNREACHABLE, S.ENDED, CRASHED, ends=BREAKS_OFF, asks=False),
    Row(S.AGREED, I.CHAT, CHAT, S.ENDED, REFUSED, blames=Cause.MISPLACED, asks=True),
    Row(S.AGREED, I.CHAT, CHAT, S.ENDED, CRASHED, ends=BREAKS_OFF, blames=Cause.MISPLACED, asks=False),
    Row(S.AGREED, I.LATE, None, S.CLOSING, TIMED_OUT, wire.Cancel(), IN_ORDER, asks=True),
    Row(S.AGREED, I.LATE, None, S.ENDED, Parted(c.WSAECONNABORTED), None, BREAKS_OFF, Cause.SILENT, asks=False),
    Row(S.JOINED, I.DO_LEAVE, LEAVE, S.PARTING, said=LEAVE),
    Row(S.JOINED, I.LEAVE, LEAVE, S.PARTED, Parted(0, BYE)),
    # We have accepted and left before we hear that the invitation is taken back, or that it is confirmed.
    Row(S.PARTING, I.CONFIRM, CONFIRM, S.PARTING),
    Row(S.PARTING, I.DO_LEAVE, LEAVE, S.PARTING),
    *(
        row
        for state in (S.JOINED, S.PARTING)
        for row in (
            Row(state, I.SAY_CHAT, b"psst", state, said=CHAT),
            Row(state, I.CHAT, CHAT, state, Chatted(b"psst")),
            Row(state, I.SAY_FLOWS, ANSWER, state, said=ANSWER),
            Row(state, I.FLOWS, ASK, state, FlowsAsked(1, QOS())),
            Row(state, I.HEARTBEAT, wire.Heartbeat(), state),
            Row(state, I.CANCEL, wire.Cancel(), S.CLOSING, Parted(0), ends=IN_ORDER),
            Row(state, I.CLOSE, CLOSE, S.CLOSING, Parted(0, BYE), ends=IN_ORDER),
            Row(state, I.DO_CLOSE, LEAVE, S.CLOSING, said=LEAVE, ends=IN_ORDER),
            Row(state, I.HUNG_UP, None, S.ENDED, CRASHED, ends=BREAKS_OFF),
            Row(state, I.BROKEN, UNREACHABLE, S.ENDED, CRASHED, ends=BREAKS_OFF),
            Row(state, I.LATE, None, S.ENDED, Parted(c.WSAECONNABORTED), ends=BREAKS_OFF, blames=Cause.SILENT),
            Row(state, I.ACCEPT, ROOT_ACCEPTS, S.ENDED, CRASHED, ends=BREAKS_OFF, blames=Cause.MISPLACED),
        )
    ),
    Row(S.PARTED, I.DO_CLOSE, LEAVE, S.CLOSING, said=LEAVE, ends=IN_ORDER),
    Row(S.PARTED, I.CLOSE, CLOSE, S.CLOSING, ends=IN_ORDER),
    Row(S.PARTED, I.HEARTBEAT, wire.Heartbeat(), S.PARTED),
    Row(S.PARTED, I.FLOWS, ASK, S.PARTED),
    Row(S.PARTED, I.SAY_FLOWS, ASK, S.PARTED),
    Row(S.PARTED, I.CHAT, CHAT, S.ENDED, ends=BREAKS_OFF, blames=Cause.MISPLACED),
    Row(S.CLOSING, I.GARBAGE, Cause.GARBAGE, S.CLOSING),
    # Nobody waits for any of it any more.
    *(Row(S.CLOSING, given, None, S.CLOSING) for given in (I.OPENED, I.REFUSE, I.DO_CLOSE, I.SAY_FLOWS)),
    *(Row(S.CLOSING, given, None, S.CLOSING) for given in (I.REQUEST, I.ACCEPT, I.REJECT, I.CONFIRM, I.CANCEL)),
    *(Row(S.CLOSING, given, None, S.CLOSING) for given in (I.LEAVE, I.CLOSE, I.CHAT, I.HEARTBEAT, I.FLOWS)),
    *(
        row
        for state in (S.PARTED, S.CLOSING)
        for row in (
            Row(state, I.HUNG_UP, None, S.ENDED),
            Row(state, I.BROKEN, UNREACHABLE, S.ENDED, ends=BREAKS_OFF),
            Row(state, I.LATE, None, S.ENDED, ends=BREAKS_OFF),
        )
    ),
    *(Row(S.ENDED, given, None, S.ENDED) for given in Input if given is not I.ABORT),
    *(Row(state, I.ABORT, None, S.ENDED, ends=BREAKS_OFF) for state in State),
]
ASKING_STATES, ASKED_STATES = (S.DIALLING, S.ASKING), (S.GREETING, S.QUEUED)


def cases() -> Iterator[object]:
    """Yield each row at each end at which it holds."""
    for row in ROWS:
        for asks in (True, False) if row.asks is None else (row.asks,):
            for is_root in (True, False) if row.is_root is None else (row.is_root,):
                if row.state not in (ASKED_STATES if asks else ASKING_STATES):
                    end = f"{'asking' if asks else 'asked'} {'root' if is_root else 'leaf'}"
                    yield pytest.param(row, asks, is_root, id=f"{row.state.name} {row.given.name} {end}")


def said_by(link: Link) -> list[wire.Message]:
    decoder = wire.Decoder()
    decoder.feed(wire.encode(wire.Hello()) + bytes(link.outgoing))
    return list(decoder.messages())[1:]


@pytest.mark.parametrize(("row", "asks", "is_root"), list(cases()))
def test_what_comes_of_it(row: Row, asks: bool, is_root: bool) -> None:
    link, blamed = a_link(is_root=is_root, request=(INVITE if is_root else JOIN) if asks else None), list[Cause]()
    link.blame = blamed.append
    link._say_hello()
    link.outgoing.clear()
    link.state = row.state
    link._move(row.given, 1.0, row.about)
    assert link.state is row.then
    assert link.events() == ([row.told] if row.told else [])
    assert said_by(link) == ([row.said] if row.said else [])
    assert (link.hangs_up, link.breaks_off) == (row.ends == IN_ORDER and is_root, row.ends == BREAKS_OFF)
    assert blamed == ([row.blames] if row.blames else [])


def test_rows_are_all_the_moves_that_there_are() -> None:
    rows = {(row.state, row.given) for row in ROWS}
    # What is misplaced ends a link in one way for each state; one row of each will do.
    assert MOVES.keys() <= rows
    assert not {(state, given) for state, given in rows - MOVES.keys() if given in OWN}


def test_farewell_that_is_not_sent_yet_is_not_said_by_who_breaks_off() -> None:
    link = a_link(is_root=True)
    link.state = State.JOINED
    link.close(1.0)
    assert link.outgoing
    link.broken(c.WSAECONNRESET, 1.0)
    assert not link.outgoing


@pytest.mark.requirement("CL-21")
@pytest.mark.parametrize(("silence_ms", "silence_s"), [(10_000, 10.0), (4_000, 4.0), (0, 0.001)])
def test_root_says_how_long_a_leaf_bears_silence(silence_ms: int, silence_s: float) -> None:
    link = Link(is_root=False, peer=HERE, patience=a_link(is_root=False).patience, now=0.0, request=JOIN)
    link.state = State.AGREED
    link.heard_at = 1.0
    link._move(Input.CONFIRM, 1.0, wire.Confirm(replace(MEMBERSHIP, silence_ms=silence_ms)))
    link.say(wire.Heartbeat(), 100.0)
    assert link.wake_at() == 1.0 + silence_s


def test_who_is_confirmed_or_let_in_is_not_late_for_what_he_did_not_say_before() -> None:
    for given, about, is_root in ((Input.DO_CONFIRM, MEMBERSHIP, True), (Input.ADMIT, ROOT_ACCEPTS, False)):
        link = a_link(is_root=is_root)
        link.state = State.AGREED if given is Input.DO_CONFIRM else State.QUEUED
        link._move(given, 7.0, about)
        assert link.heard_at == 7.0


@pytest.mark.parametrize("is_root", [True, False])
def test_who_has_said_all_waits_once_for_the_other_side_to_hang_up(is_root: bool) -> None:
    link = a_link(is_root=is_root)
    link.state = State.JOINED
    link.close(100.0)
    link.close(105.0)
    assert link.wake_at() == 100.0 + link.patience.silence_s
    link.wake(link.wake_at())
    assert (link.has_ended, link.breaks_off) == (True, True)


def test_root_is_not_confirmed_by_a_leaf() -> None:
    link, blamed = a_link(is_root=True), list[Cause]()
    link.blame = blamed.append
    link.receive(wire.encode(wire.Hello()) + wire.encode(JOIN), 0.0)
    link.admit(ROOT_ACCEPTS, 0.0)
    link.receive(wire.encode(CONFIRM), 0.0)
    assert link.events() == [Requested(JOIN), CRASHED]
    assert (link.has_ended, blamed) == (True, [Cause.MISPLACED])


@pytest.mark.requirement("CL-21")
def test_who_is_not_listened_to_is_not_silent() -> None:
    link = a_link(is_root=True)
    link.state = State.JOINED
    link.still_there(50.0)
    link.say(wire.Heartbeat(), 59.0)
    assert link.wake_at() == 50.0 + link.patience.silence_s


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_who_is_woken_too_early_says_nothing(state: State) -> None:
    link = a_link(is_root=True)
    link.state = state
    # Only a membership is kept alive by heartbeats.
    link.wake(link.patience.heartbeat_s + (-0.1 if state in LIVE else 0.1))
    assert not link.outgoing
    assert link.state is state


@pytest.mark.requirement("JL-43")
def test_who_asked_and_was_accepted_waits_as_long_as_for_any_join() -> None:
    link = a_link(is_root=False, request=JOIN)
    link.state, link.heard_at = State.AGREED, 1.0
    assert link.wake_at() == link.patience.join_s


@pytest.mark.requirement("AC-09", "JL-43")
def test_who_is_called_is_less_patient_than_who_asks() -> None:
    assert a_link(is_root=True).wake_at() == PATIENCE.greeting_s
    assert a_link(is_root=True, request=INVITE).wake_at() == PATIENCE.join_s


def test_what_comes_after_the_last_word_is_not_looked_at() -> None:
    link = a_link(is_root=False)
    link.receive(wire.encode(wire.Hello()), 0.0)
    link.close(0.0)
    link.receive(b"garbage", 1.0)
    assert (link.state, link.breaks_off) == (State.CLOSING, False)


@pytest.mark.requirement("CL-01", "CL-08")
def test_root_tells_the_end_of_one_leg_from_the_end_of_the_session() -> None:
    for end, said in ((Link.close, LEAVE), (Link.dismantle, CLOSE)):
        link = a_link(is_root=True)
        link._say_hello()
        link.outgoing.clear()
        link.state = State.JOINED
        end(link, 1.0, BYE)
        assert said_by(link) == [said]
