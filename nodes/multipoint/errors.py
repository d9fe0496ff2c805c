"""The errors of the stack: one tree, whose classes say whose fault it was.

====================  ==========================================================================
MultipointError       base of all; ``code`` is the WSA code, ``facts`` what is known about it
├─ CallerError        the program asked for something that its socket can't do now, or at all
│  └─ WouldBlock      nothing is wrong: a nonblocking call would have had to wait
├─ PeerError          the other side refused, left, broke off or fell silent
└─ NetworkError       the network or the system has no way, no room or no more of something
DecodingError         bytes from the network are not what they should be (never reaches a program)
====================  ==========================================================================

``error(code, ...)`` makes the right one. May not know: sockets; kernel errors come in as their numbers.
"""

import errno as kernel
import logging
from collections.abc import Mapping

from multipoint import constants

log = logging.getLogger(__name__)

CODE_NAMES: Mapping[int, str] = {
    number: name
    for name, number in vars(constants).items()
    if name.startswith("WSA") and not name.startswith(("WSA_FLAG", "WSA_WAIT", "WSAPROTOCOL", "WSADESC", "WSASYS_"))
    if name not in {"WSABASEERR", "WSA_INVALID_EVENT", "WSA_MAXIMUM_WAIT_EVENTS", "WSA_INFINITE"}
}


class MultipointError(OSError):
    """A call failed. ``code`` is what WSAGetLastError gives; ``str()`` names it and the facts."""

    def __init__(self, code: int, why: str = "", **facts: object) -> None:
        self.code = code
        self.facts = facts
        known = ", ".join(f"{name} {value}" for name, value in facts.items())
        super().__init__(code, ": ".join(part for part in (code_name(code), why, known) if part))

    def __str__(self) -> str:
        return str(self.strerror)


class CallerError(MultipointError):
    """The program asked for something that its socket can't do now, or at all."""


class WouldBlock(CallerError, BlockingIOError):
    """A nonblocking call would have had to wait; the matching network event says when to try again."""


class PeerError(MultipointError):
    """The other side refused, left, broke off or fell silent."""


class NetworkError(MultipointError):
    """The network or the system has no way, no room or no more of something."""


class DecodingError(ValueError):
    """Bytes from the network are no message. The connection they came on is of no use any more."""


_PEER = frozenset(
    {
        constants.WSAECONNABORTED,
        constants.WSAECONNREFUSED,
        constants.WSAECONNRESET,
        constants.WSAEDISCON,
        constants.WSAETIMEDOUT,
    }
)
_NETWORK = frozenset(
    {
        constants.WSAEADDRINUSE,
        constants.WSAEHOSTDOWN,
        constants.WSAEHOSTUNREACH,
        constants.WSAEMFILE,
        constants.WSAENETDOWN,
        constants.WSAENETRESET,
        constants.WSAENETUNREACH,
        constants.WSAENOBUFS,
        constants.WSAEPROCLIM,
        constants.WSASYSCALLFAILURE,
        constants.WSASYSNOTREADY,
        constants.WSA_NOT_ENOUGH_MEMORY,
    }
)


def error(code: int, why: str = "", **facts: object) -> MultipointError:
    """Return the error for a WSA code: the class says whose fault it is, the text is made of ``why`` and the facts."""
    if code == constants.WSAEWOULDBLOCK:
        return WouldBlock(code, why, **facts)
    if code in _PEER:
        return PeerError(code, why, **facts)
    if code in _NETWORK:
        return NetworkError(code, why, **facts)
    return CallerError(code, why, **facts)


def code_name(code: int) -> str:
    """Return the documentation's name of a WSA code, or its number as text."""
    return CODE_NAMES.get(code, f"error {code}")


# What the kernel says, in Winsock's words, where no call has a rule of its own.
KERNEL_CODES: Mapping[int, int] = {
    kernel.EACCES: constants.WSAEACCES,
    kernel.EADDRINUSE: constants.WSAEADDRINUSE,
    kernel.EADDRNOTAVAIL: constants.WSAEADDRNOTAVAIL,
    kernel.EAFNOSUPPORT: constants.WSAEAFNOSUPPORT,
    kernel.EAGAIN: constants.WSAEWOULDBLOCK,
    kernel.EALREADY: constants.WSAEALREADY,
    kernel.EBADF: constants.WSAENOTSOCK,
    kernel.ECONNABORTED: constants.WSAECONNABORTED,
    kernel.ECONNREFUSED: constants.WSAECONNREFUSED,
    kernel.ECONNRESET: constants.WSAECONNRESET,
    kernel.EDESTADDRREQ: constants.WSAEDESTADDRREQ,
    kernel.EFAULT: constants.WSAEFAULT,
    kernel.EHOSTDOWN: constants.WSAEHOSTDOWN,
    kernel.EHOSTUNREACH: constants.WSAEHOSTUNREACH,
    kernel.EINPROGRESS: constants.WSAEWOULDBLOCK,
    kernel.EINTR: constants.WSAEINTR,
    kernel.EINVAL: constants.WSAEINVAL,
    kernel.EISCONN: constants.WSAEISCONN,
    kernel.EMFILE: constants.WSAEMFILE,
    kernel.EMSGSIZE: constants.WSAEMSGSIZE,
    kernel.ENETDOWN: constants.WSAENETDOWN,
    kernel.ENETRESET: constants.WSAENETRESET,
    kernel.ENETUNREACH: constants.WSAENETUNREACH,
    kernel.ENFILE: constants.WSAEMFILE,
    kernel.ENOBUFS: constants.WSAENOBUFS,
    kernel.ENODEV: constants.WSAENETUNREACH,
    kernel.ENOMEM: constants.WSAENOBUFS,
    kernel.ENOPROTOOPT: constants.WSAENOPROTOOPT,
    kernel.ENOTCONN: constants.WSAENOTCONN,
    kernel.ENOTSOCK: constants.WSAENOTSOCK,
    kernel.EOPNOTSUPP: constants.WSAEOPNOTSUPP,
    kernel.EPERM: constants.WSAEACCES,
    kernel.EPIPE: constants.WSAECONNRESET,
    kernel.EPROTONOSUPPORT: constants.WSAEPROTONOSUPPORT,
    kernel.EPROTOTYPE: constants.WSAEPROTOTYPE,
    kernel.ESHUTDOWN: constants.WSAESHUTDOWN,
    kernel.ETIMEDOUT: constants.WSAETIMEDOUT,
}

# JL-67, JL-71: the same at the connection or the membership call of a join, whose list of codes is closed.
JOIN_KERNEL_CODES: Mapping[int, int] = {
    kernel.EADDRINUSE: constants.WSAEISCONN,
    kernel.ECONNABORTED: constants.WSAECONNREFUSED,
    kernel.ECONNREFUSED: constants.WSAECONNREFUSED,
    kernel.ECONNRESET: constants.WSAECONNREFUSED,
    kernel.EHOSTDOWN: constants.WSAENETUNREACH,
    kernel.EHOSTUNREACH: constants.WSAENETUNREACH,
    kernel.EINVAL: constants.WSAEADDRNOTAVAIL,
    kernel.EMFILE: constants.WSAENOBUFS,
    kernel.ENETDOWN: constants.WSAENETDOWN,
    kernel.ENETUNREACH: constants.WSAENETUNREACH,
    kernel.ENFILE: constants.WSAENOBUFS,
    kernel.ENOBUFS: constants.WSAENOBUFS,
    kernel.ENODEV: constants.WSAENETUNREACH,
    kernel.ENOMEM: constants.WSAENOBUFS,
    # A scope id that no interface has
    kernel.ENXIO: constants.WSAENETUNREACH,
    kernel.EPIPE: constants.WSAECONNREFUSED,
    kernel.ETIMEDOUT: constants.WSAETIMEDOUT,
}


def from_kernel(number: int | None) -> int:
    """Return the WSA code for a kernel error number; WSASYSCALLFAILURE for one that was not foreseen."""
    return KERNEL_CODES.get(number or 0, constants.WSASYSCALLFAILURE)


def from_kernel_at_join(number: int | None) -> int:
    """Return the WSA code for a kernel error in the network step of a join (JL-76: unforeseen ones are WSAENETDOWN)."""
    code = JOIN_KERNEL_CODES.get(number or 0)
    if code is None:
        log.warning("no code of a join was made for %s", kernel.errorcode.get(number or 0, number))
        return constants.WSAENETDOWN
    return code


def from_binding_at_join(code: int) -> int:
    """Return the code of a join that finds no local address: why makes no difference in its list (JL-16, JL-23)."""
    is_taken = code in (constants.WSAEADDRINUSE, constants.WSAEACCES)
    return constants.WSAEADDRINUSE if is_taken else constants.WSAENOBUFS
