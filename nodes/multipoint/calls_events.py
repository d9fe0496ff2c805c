"""Winsock-shaped: event objects and network events. May not know: when events are recorded."""

from collections.abc import Sequence
from functools import partial

from multipoint import constants, pointers, threads
from multipoint.calling import call, process, seconds
from multipoint.constants import (
    SOCKET_ERROR,
    WSA_INVALID_EVENT,
    WSA_MAXIMUM_WAIT_EVENTS,
    WSA_WAIT_FAILED,
    WSA_WAIT_IO_COMPLETION,
    WSA_WAIT_TIMEOUT,
)
from multipoint.errors import MultipointError, error
from multipoint.layouts import WSANETWORKEVENTS
from multipoint.signals import Signal, all_set, first_set, wait_for
from multipoint.stack import Stack


@call(WSA_INVALID_EVENT)
def WSACreateEvent() -> int:
    """Return a new event object: manual reset, not signalled."""
    return process.events.add(Signal())


@call(False)
def WSASetEvent(hEvent: int) -> bool:
    """Signal an event object."""
    process.events.get(hEvent).set()
    return True


@call(False)
def WSAResetEvent(hEvent: int) -> bool:
    """Take its signal back."""
    process.events.get(hEvent).reset()
    return True


@call(False)
def WSACloseEvent(hEvent: int) -> bool:
    """Close an event object."""
    process.events.get(hEvent)
    process.events.remove(hEvent)
    return True


@call(SOCKET_ERROR)
def WSAEventSelect(s: int, hEventObject: int | None, lNetworkEvents: int) -> int:
    """Have the event object signalled for these events of the socket, which becomes nonblocking."""
    sock = process.sockets.get(s)
    sock.select_events(_signal(hEventObject) if lNetworkEvents else None, lNetworkEvents)
    return 0


def _signal(handle: int | None) -> Signal:
    """Return the event object. Raises WSAEINVAL (EV-12, EV-20)."""
    try:
        return process.events.get(handle)
    except MultipointError as reason:
        raise error(constants.WSAEINVAL, "no such event object", handle=handle) from reason


@call(SOCKET_ERROR)
def WSAEnumNetworkEvents(s: int, hEventObject: int | None, lpNetworkEvents: WSANETWORKEVENTS) -> int:
    """Store the events recorded for the socket and clear them; reset the event object, if one is given."""
    sock = process.sockets.get(s)
    if not isinstance(lpNetworkEvents, WSANETWORKEVENTS) or not _has_room(lpNetworkEvents.iErrorCode):
        raise pointers.bad_pointer("lpNetworkEvents")
    events = sock.enumerate_events(_signal(hEventObject) if hEventObject else None)
    lpNetworkEvents.lNetworkEvents = 0
    for event, code in events.items():
        lpNetworkEvents.lNetworkEvents |= event
        lpNetworkEvents.iErrorCode[event.index] = code
    return 0


@call(WSA_WAIT_FAILED)
def WSAWaitForMultipleEvents(
    cEvents: int, lphEvents: Sequence[int], fWaitAll: bool, dwTimeout: int, fAlertable: bool
) -> int:
    """Wait until one, or all, of up to 64 event objects are signalled, or, alertable, completion routines have run."""
    if not isinstance(lphEvents, Sequence):
        raise pointers.bad_pointer("lphEvents")
    if not 1 <= cEvents <= min(WSA_MAXIMUM_WAIT_EVENTS, len(lphEvents)):
        raise error(constants.WSA_INVALID_PARAMETER, "1 to 64 event objects", count=cEvents)
    signals = [process.events.get(handle) for handle in lphEvents[:cEvents]]
    if fWaitAll and len(set(signals)) < len(signals):
        raise error(constants.WSA_INVALID_PARAMETER, "an event object comes twice")
    answer = wait_for(seconds(dwTimeout), partial(_look, process.stack, signals, fWaitAll, fAlertable))
    if answer is None:
        return WSA_WAIT_TIMEOUT
    if answer == WSA_WAIT_IO_COMPLETION:
        threads.current().run_routines()
    return answer


def _has_room(codes: object) -> bool:
    return isinstance(codes, list) and len(codes) >= constants.FD_MAX_EVENTS


def _look(stack: Stack, signals: Sequence[Signal], wants_all: bool, is_alertable: bool) -> int | None:
    """Return what a wait ends with, None if it goes on. Raises WSANOTINITIALISED after the last WSACleanup (SU-09)."""
    stack.check_running()
    alert = _alert(is_alertable)
    return _signalled(signals, wants_all) if alert is None else alert


def _alert(is_alertable: bool) -> int | None:
    return WSA_WAIT_IO_COMPLETION if is_alertable and threads.current().is_alerted else None


def _signalled(signals: Sequence[Signal], wants_all: bool) -> int | None:
    """Return what a wait for these ends with, None if it goes on (EV-04)."""
    return all_set(signals) if wants_all else first_set(signals)
