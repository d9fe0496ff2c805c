"""What a link does when something happens to it: the table (state, input) -> (action, next state), and the actions.

A pair that is not in the table is a peer that breaks the protocol, or a fault of the stack; ``link`` tells which. May
not know: sockets, threads, clocks; how a link is held.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from multipoint import constants, wire
from multipoint.counters import Cause
from multipoint.link_events import (
    Agreed,
    Chatted,
    FlowsAnswered,
    FlowsAsked,
    Joined,
    Parted,
    Refused,
    Request,
    Requested,
    Withdrawn,
)
from multipoint.link_states import Input, State

if TYPE_CHECKING:
    from multipoint.link import Link

# JL-80: the peer decides these; another reason in a Reject is not for WSAJoinLeaf's closed list.
REASONS = frozenset({constants.WSAECONNREFUSED, constants.WSAEOPNOTSUPP, constants.WSAENOBUFS, constants.WSAENETDOWN})

Action = Callable[["Link", float, object], None]

# Actions


def _nothing(link: "Link", now: float, about: object) -> None:
    pass


def _ask(link: "Link", now: float, about: object) -> None:
    assert link.request
    link.say(link.request, now)


def _queue(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, Request)
    # A leaf asks and a root invites; the same words from the same end of a session are no request.
    if isinstance(about, wire.Join) is not link.is_root:
        link.state = State.ENDED
        link.breaks_off = True
        return
    link.request = about
    link.tell(Requested(about))


def _accepted(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, wire.Accept)
    link.answer = about
    if link.is_root:
        link.tell(Agreed(about))


def _confirm(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, wire.Membership)
    link.heard_at = now
    link.say(wire.Confirm(about), now)


def _confirmed(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, wire.Confirm)
    # The root says how long silence may last; zero would end every session at once.
    silence_s = max(about.membership.silence_ms, 1) / 1000
    if silence_s != link.patience.silence_s:
        link.patience = replace(link.patience, silence_s=silence_s)
    link.tell(Joined(about.membership, link.answer))


def _refused(link: "Link", now: float, about: object) -> None:
    if isinstance(about, wire.Reject):
        link.tell(Refused(about.code if about.code in REASONS else constants.WSAECONNREFUSED))
    else:
        link.tell(Refused(about if isinstance(about, int) else constants.WSAECONNREFUSED))


def _rejected(link: "Link", now: float, about: object) -> None:
    _refused(link, now, about)
    _hang_up(link, now, about)


def _timed_out(link: "Link", now: float, about: object) -> None:
    link.tell(Refused(constants.WSAETIMEDOUT))
    _cancel(link, now, about)


def _cancel(link: "Link", now: float, about: object) -> None:
    link.say(wire.Cancel(), now)
    _hang_up(link, now, about)


def _withdrawn(link: "Link", now: float, about: object) -> None:
    link.tell(Withdrawn(0))
    _hang_up(link, now, about)


def _turned_out(link: "Link", now: float, about: object) -> None:
    link.breaks_off = True
    link.tell(Withdrawn(0))


def _unanswered(link: "Link", now: float, about: object) -> None:
    link.blame(Cause.SILENT)
    _turned_out(link, now, about)


def _torn(link: "Link", now: float, about: object) -> None:
    link.breaks_off = True
    link.tell(Withdrawn(constants.WSAECONNRESET))


def _accept(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, wire.Accept)
    link.heard_at = now
    link.say(about, now)


def _reject(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, int)
    link.say(wire.Reject(about), now)
    _hang_up(link, now, about)


def _refuse_all(link: "Link", now: float, about: object) -> None:
    _reject(link, now, constants.WSAECONNREFUSED)


def _chatted(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, wire.Chat)
    link.tell(Chatted(about.data))


def _say_chat(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, bytes)
    link.say(wire.Chat(about), now)


def _say_flows(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, wire.FlowRequest | wire.FlowAnswer)
    link.say(about, now)


def _flows(link: "Link", now: float, about: object) -> None:
    match about:
        case wire.FlowRequest(number, qos):
            link.tell(FlowsAsked(number, qos))
        case wire.FlowAnswer(number, code, qos):
            link.owes_answer = False
            link.tell(FlowsAnswered(number, code, qos))


def _say_leave(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, wire.Leave)
    link.say(about, now)


def _say_goodbye(link: "Link", now: float, about: object) -> None:
    assert isinstance(about, wire.Leave | wire.Close)
    link.say(about, now)
    _hang_up(link, now, about)


def _hang_up(link: "Link", now: float, about: object) -> None:
    # The root does it first, whoever said the last word. So its end, whose port is one for all leaves, keeps the memory
    # of the connection (TIME_WAIT); a leaf's port is free, and the same two ports can connect again at once.
    link.hangs_up = link.is_root


def break_off(link: "Link", now: float, about: object) -> None:
    # What waits to be sent might be a word of farewell, and then the other side would see an end in order (CL-20).
    link.outgoing.clear()
    link.breaks_off = True


def _unasked(link: "Link", now: float, about: object) -> None:
    link.blame(Cause.UNASKED)
    link.breaks_off = True


def _parted(link: "Link", now: float, about: object) -> None:
    link.tell(Parted(0, getattr(about, "disconnect_data", b"")))


def _called_off(link: "Link", now: float, about: object) -> None:
    """It ends between Accept and Confirm: for the side that asked nothing has begun, the other one has let it in."""
    if link.asks:
        _refused(link, now, about)
        # A leaf that leaves hears its root until that closes the leg (CL-32).
        _say_goodbye(link, now, wire.Leave())
    else:
        _closed(link, now, about)


def _torn_off(link: "Link", now: float, about: object) -> None:
    if link.asks:
        _refused(link, now, None)
    else:
        _lost(link, now, about)


def _unconfirmed(link: "Link", now: float, about: object) -> None:
    if link.asks:
        _timed_out(link, now, about)
    else:
        # Nobody is there to be waited for.
        link.state = State.ENDED
        _silent(link, now, about)


def _closed(link: "Link", now: float, about: object) -> None:
    _parted(link, now, about)
    _hang_up(link, now, about)


def _lost(link: "Link", now: float, about: object) -> None:
    link.breaks_off = True
    link.tell(Parted(constants.WSAECONNRESET))


def _silent(link: "Link", now: float, about: object) -> None:
    link.breaks_off = True
    link.blame(Cause.SILENT)
    link.tell(Parted(constants.WSAECONNABORTED))


def _moves() -> dict[tuple[State, Input], tuple[Action, State]]:
    s, i = State, Input
    moves: dict[tuple[State, Input], tuple[Action, State]] = {
        (s.DIALLING, i.OPENED): (_ask, s.ASKING),
        (s.DIALLING, i.HUNG_UP): (_refused, s.ENDED),
        (s.DIALLING, i.BROKEN): (_refused, s.ENDED),
        (s.DIALLING, i.LATE): (_timed_out, s.ENDED),
        (s.DIALLING, i.DO_CLOSE): (break_off, s.ENDED),
        (s.ASKING, i.ACCEPT): (_accepted, s.AGREED),
        (s.ASKING, i.REJECT): (_rejected, s.CLOSING),
        (s.ASKING, i.HEARTBEAT): (_nothing, s.ASKING),
        (s.ASKING, i.HUNG_UP): (_refused, s.ENDED),
        (s.ASKING, i.BROKEN): (_refused, s.ENDED),
        (s.ASKING, i.LATE): (_timed_out, s.CLOSING),
        # JL-39: if the peer's program has accepted meanwhile, it sees the member leave at once
        (s.ASKING, i.DO_CLOSE): (_cancel, s.CLOSING),
        # QS-36: the root tells the session's flows first, and asks whether the leaf can carry them
        (s.ASKING, i.FLOWS): (_flows, s.ASKING),
        (s.ASKING, i.SAY_FLOWS): (_say_flows, s.ASKING),
        (s.QUEUED, i.FLOWS): (_flows, s.QUEUED),
        (s.QUEUED, i.SAY_FLOWS): (_say_flows, s.QUEUED),
        # ... and was so hasty that it has let the leaf in before it heard the answer
        (s.AGREED, i.SAY_FLOWS): (_say_flows, s.AGREED),
        (s.GREETING, i.REQUEST): (_queue, s.QUEUED),
        (s.GREETING, i.LATE): (_unasked, s.ENDED),
        (s.GREETING, i.DO_CLOSE): (_refuse_all, s.CLOSING),
        (s.QUEUED, i.ADMIT): (_accept, s.AGREED),
        (s.QUEUED, i.REFUSE): (_reject, s.CLOSING),
        (s.QUEUED, i.DO_CLOSE): (_refuse_all, s.CLOSING),
        (s.QUEUED, i.CANCEL): (_withdrawn, s.CLOSING),
        (s.QUEUED, i.HUNG_UP): (_withdrawn, s.ENDED),
        (s.QUEUED, i.LATE): (_unanswered, s.ENDED),
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
        (s.JOINED, i.CANCEL): (_closed, s.CLOSING),
        # We have accepted and left before we heard that the invitation was taken back
        (s.PARTING, i.CANCEL): (_closed, s.CLOSING),
        (s.PARTING, i.DO_CLOSE): (_say_goodbye, s.CLOSING),
        (s.PARTING, i.DO_LEAVE): (_nothing, s.PARTING),
        (s.PARTED, i.DO_CLOSE): (_say_goodbye, s.CLOSING),
        (s.PARTED, i.CLOSE): (_hang_up, s.CLOSING),
        (s.PARTED, i.HEARTBEAT): (_nothing, s.PARTED),
        (s.PARTED, i.FLOWS): (_nothing, s.PARTED),
        (s.PARTED, i.HUNG_UP): (_nothing, s.ENDED),
        (s.PARTED, i.BROKEN): (break_off, s.ENDED),
        (s.PARTED, i.LATE): (break_off, s.ENDED),
        (s.CLOSING, i.HUNG_UP): (_nothing, s.ENDED),
        (s.CLOSING, i.BROKEN): (break_off, s.ENDED),
        (s.CLOSING, i.LATE): (break_off, s.ENDED),
        (s.CLOSING, i.DO_CLOSE): (_nothing, s.CLOSING),
        # It was withdrawn in the same breath, before anybody could look at it
        (s.CLOSING, i.REFUSE): (_nothing, s.CLOSING),
        (s.CLOSING, i.OPENED): (_nothing, s.CLOSING),
        # An answer to what was asked in the same breath as the end: nobody waits for it any more
        (s.PARTED, i.SAY_FLOWS): (_nothing, s.PARTED),
        (s.CLOSING, i.SAY_FLOWS): (_nothing, s.CLOSING),
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
        moves[state, i.ABORT] = (break_off, s.ENDED)
    return moves


# What the network may say at the wrong time, or garbled, ends the link like a crash (JL-53 while asking).
VIOLATED: Mapping[State, Action] = {
    State.ASKING: _refused,
    State.QUEUED: _turned_out,
    State.AGREED: _torn_off,
    State.JOINED: _lost,
    State.PARTING: _lost,
}
MOVES: Mapping[tuple[State, Input], tuple[Action, State]] = _moves()
