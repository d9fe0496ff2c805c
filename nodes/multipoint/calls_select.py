"""Winsock-shaped: select and its sets. May not know: when a socket is ready."""

from dataclasses import dataclass, field

from multipoint import constants, pointers
from multipoint.calling import call, process
from multipoint.constants import SOCKET_ERROR
from multipoint.errors import error
from multipoint.selecting import select as select_sockets
from multipoint.sockets import MultipointSocket


@dataclass
class fd_set:
    """Descriptors, at most FD_SETSIZE; what C does with macros is done by the functions of the same names."""

    fd_array: list[int] = field(default_factory=list)


@dataclass
class TIMEVAL:
    """A time."""

    tv_sec: int = 0
    tv_usec: int = 0


def FD_ZERO(set: fd_set) -> None:
    """Take all out."""
    set.fd_array.clear()


def FD_SET(fd: int, set: fd_set) -> None:
    """Put one in, if it isn't there and there is room."""
    if fd not in set.fd_array and len(set.fd_array) < constants.FD_SETSIZE:
        set.fd_array.append(fd)


def FD_CLR(fd: int, set: fd_set) -> None:
    """Take one out."""
    if fd in set.fd_array:
        set.fd_array.remove(fd)


def FD_ISSET(fd: int, set: fd_set) -> bool:
    """Tell whether one is in."""
    return fd in set.fd_array


@call(SOCKET_ERROR)
def select(
    nfds: int,
    readfds: fd_set | None,
    writefds: fd_set | None,
    exceptfds: fd_set | None,
    timeout: TIMEVAL | None,
) -> int:
    """Leave those that are ready in the sets; return how many, 0 when the time is over. Nothing is exceptional."""
    reads, writes, exceptions = (_sockets(set) for set in (readfds, writefds, exceptfds))
    if not (reads or writes or exceptions):
        raise error(constants.WSAEINVAL, "no sockets")
    ready = select_sockets(process.stack, reads, writes, exceptions, _seconds(timeout))
    for set, places in zip((readfds, writefds, exceptfds), (*ready, []), strict=True):
        if set is not None:
            set.fd_array[:] = [set.fd_array[at] for at in places]
    return sum(map(len, ready))


def _sockets(set: object) -> list[MultipointSocket]:
    if set is None:
        return []
    if not isinstance(set, fd_set):
        raise pointers.bad_pointer("fd_set")
    if not isinstance(set.fd_array, list):
        raise pointers.bad_pointer("fd_array")
    return [process.sockets.get(s) for s in set.fd_array]


def _seconds(timeout: object) -> float | None:
    if timeout is None:
        return None
    if not (isinstance(timeout, TIMEVAL) and isinstance(timeout.tv_sec, int) and isinstance(timeout.tv_usec, int)):
        raise pointers.bad_pointer("timeout")
    if timeout.tv_sec < 0 or not 0 <= timeout.tv_usec < 1_000_000:
        raise error(constants.WSAEINVAL, "no such time", timeout=timeout)
    return timeout.tv_sec + timeout.tv_usec / 1_000_000
