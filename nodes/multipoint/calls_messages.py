"""Winsock-shaped: network events as messages. There are no windows here, so hWnd is a queue of ``create_queue``."""

from multipoint import constants
from multipoint.calling import call, process, seconds
from multipoint.constants import SOCKET_ERROR, WSA_INFINITE
from multipoint.errors import MultipointError, error
from multipoint.events import NetworkEvent
from multipoint.eventsocket import EventSocket
from multipoint.messages import MSG, MessageQueue
from multipoint.sockets import MultipointSocket

NOTHING: MSG | None = None


@call(SOCKET_ERROR)
def WSAAsyncSelect(s: int, hWnd: int | None, wMsg: int, lEvent: int) -> int:
    """Have a message posted for each of these events of the socket, which becomes nonblocking (EV-23)."""
    sock = process.sockets.get(s)
    if not process.stack.dialect.has_async_select:
        # DI-09
        raise error(constants.WSAEOPNOTSUPP, "the dialect knows WSAEventSelect only")
    try:
        queue = process.queues.get(hWnd) if lEvent else None
    except MultipointError as reason:
        raise error(constants.WSAEINVAL, "no such queue", handle=hWnd) from reason

    def post(which: EventSocket, event: NetworkEvent, code: int) -> None:
        # A socket that was accepted but not given to the program yet gets its descriptor now.
        if queue and hWnd is not None:
            assert isinstance(which, MultipointSocket)
            queue.post(MSG(hWnd, wMsg, process.sockets.add(which), code << 16 | event))

    sock.post_events(post if queue else None, lEvent)
    return 0


def WSAGETSELECTEVENT(lParam: int) -> int:
    """Return the event of a message."""
    return lParam & 0xFFFF


def WSAGETSELECTERROR(lParam: int) -> int:
    """Return the error code of a message."""
    return lParam >> 16 & 0xFFFF


@call(0)
def create_queue() -> int:
    """Return a new message queue; what a program does on Windows by making a window."""
    return process.queues.add(MessageQueue())


@call(NOTHING)
def get_message(hWnd: int, timeout_ms: int = WSA_INFINITE) -> MSG | None:
    """Return the next message, None when the time is over; what GetMessage and PeekMessage do on Windows."""
    return process.queues.get(hWnd).get(seconds(timeout_ms))
