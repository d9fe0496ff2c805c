"""Winsock-shaped: what version 1.1 has for blocking calls (DI-07, DI-08). May not know: how calls block."""

from multipoint import constants, threads
from multipoint.calling import call, process
from multipoint.constants import SOCKET_ERROR
from multipoint.dialects import cancel_code
from multipoint.errors import error


@call(SOCKET_ERROR, may_nest=True)
def WSACancelBlockingCall() -> int:
    """Have the blocking call that this thread is in fail with WSAEINTR; if it is in none, those of all threads."""
    _check_offered()
    if not threads.cancel():
        raise error(constants.WSAEINVAL, "nobody is in a blocking call")
    return 0


@call(False, may_nest=True)
def WSAIsBlocking() -> bool:
    """Tell whether this thread is in a blocking call: asked by a callback."""
    _check_offered()
    return threads.current().is_blocking


def _check_offered() -> None:
    code = cancel_code(process.stack.dialect, process.version)
    if code:
        raise error(code, "was removed after version 1.1")
