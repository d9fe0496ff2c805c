"""SIO_ROUTING_INTERFACE_CHANGE and SIO_ADDRESS_LIST_CHANGE (IO-22): told later, by waiting, by an event or overlapped.

May not know: pointers; how changes are found (``changes``).
"""

from collections.abc import Callable
from functools import partial

from multipoint import changes, constants, pointers
from multipoint.changes import Look
from multipoint.errors import WouldBlock, error
from multipoint.events import NetworkEvent
from multipoint.sockets import MultipointSocket

CODES = frozenset({constants.SIO_ROUTING_INTERFACE_CHANGE, constants.SIO_ADDRESS_LIST_CHANGE})


def wait(code: int, sock: MultipointSocket, given: bytes) -> bytes:
    """Return after the next change. Nonblocking: raises WSAEWOULDBLOCK now, and the event comes later."""
    with sock.stack.lock:
        sock.check_idle()
        event, look = _subject(code, sock, given)
        if not sock.is_blocking:
            sock.stack.changes.arm(sock, event, look)
            raise WouldBlock(constants.WSAEWOULDBLOCK, "nothing has changed yet")
        outcome: list[int] = []
        wish = sock.stack.changes.ask(sock, event, look, outcome.append)
        try:
            reason = sock.wait_until(lambda: outcome[0] if outcome else None)
        finally:
            # The call may have been cancelled.
            sock.stack.changes.take_back(sock, wish)
        if reason:
            raise error(reason, "the network has changed")
        return b""


def begin(code: int, sock: MultipointSocket, given: bytes, end: Callable[[int], None]) -> None:
    """Have ``end`` called with the outcome (IO-06). Always raises WSA_IO_PENDING, or what is wrong."""
    with sock.stack.lock:
        sock.check_idle()
        event, look = _subject(code, sock, given)
        sock.stack.changes.ask(sock, event, look, end)
        raise WouldBlock(constants.WSA_IO_PENDING, "nothing has changed yet")


def _subject(code: int, sock: MultipointSocket, given: bytes) -> tuple[NetworkEvent, Look]:
    if code == constants.SIO_ADDRESS_LIST_CHANGE:
        return NetworkEvent.ADDRESS_LIST_CHANGE, partial(changes.addresses, sock.family)
    to = pointers.read_name(given, len(given), sock.entry.family)
    return NetworkEvent.ROUTING_INTERFACE_CHANGE, partial(changes.way, sock.family, to.host, to.port)
