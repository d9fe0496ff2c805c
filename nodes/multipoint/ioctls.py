"""WSAIoctl and ioctlsocket: a table from code to what it does (B.8).

May not know: pointers; how sockets do it.
"""

from collections.abc import Callable, Mapping
from functools import partial

from multipoint import changeioctls, constants, finalfilters, routes
from multipoint.errors import DecodingError, error
from multipoint.flow import QOS
from multipoint.sockets import MultipointSocket

LONG = 4


def control(sock: MultipointSocket, code: int, given: bytes) -> bytes:
    """Carry out an ioctl; return its output. Raises WSAEINVAL for a code that is not there (IO-04, IO-25)."""
    sock.check_open()
    if code in _REFUSED:
        raise error(constants.WSAEOPNOTSUPP, "is not offered", ioctl=hex(code))
    if code not in _CONTROLS:
        raise error(constants.WSAEINVAL, "no such ioctl", ioctl=hex(code))
    return _CONTROLS[code](sock, given)


def _number(given: bytes) -> int:
    if len(given) < LONG:
        raise error(constants.WSAEFAULT, "the input has 4 bytes", length=len(given))
    return int.from_bytes(given[:LONG], "little", signed=True)


def _set_blocking(sock: MultipointSocket, given: bytes) -> bytes:
    sock.set_blocking(_number(given) == 0)
    return b""


def _set_loopback(sock: MultipointSocket, given: bytes) -> bytes:
    sock.set_loopback(_number(given) != 0)
    return b""


def _set_scope(sock: MultipointSocket, given: bytes) -> bytes:
    sock.set_scope(_number(given))
    return b""


def _bytes_queued(sock: MultipointSocket, given: bytes) -> bytes:
    return sock.bytes_queued().to_bytes(LONG, "little")


def _at_mark(sock: MultipointSocket, given: bytes) -> bytes:
    return (1).to_bytes(LONG, "little")


def _set_qos(sock: MultipointSocket, given: bytes) -> bytes:
    try:
        sock.set_qos(QOS.unpack(given))
    except DecodingError as reason:
        raise error(constants.WSAEFAULT, str(reason)) from reason
    return b""


def _get_qos(sock: MultipointSocket, given: bytes) -> bytes:
    return sock.get_qos().pack()


def _flush(sock: MultipointSocket, given: bytes) -> bytes:
    sock.flush()
    return b""


_CONTROLS: Mapping[int, Callable[[MultipointSocket, bytes], bytes]] = {
    constants.FIONBIO: _set_blocking,
    constants.FIONREAD: _bytes_queued,
    constants.SIOCATMARK: _at_mark,
    constants.SIO_MULTIPOINT_LOOPBACK: _set_loopback,
    constants.SIO_MULTICAST_SCOPE: _set_scope,
    constants.SIO_SET_QOS: _set_qos,
    constants.SIO_GET_QOS: _get_qos,
    constants.SIO_FLUSH: _flush,
    **{code: partial(changeioctls.wait, code) for code in changeioctls.CODES},
    constants.SIOCSMSFILTER: finalfilters.set_group_filter,
    constants.SIOCGMSFILTER: finalfilters.get_group_filter,
    constants.SIO_SET_MULTICAST_FILTER: finalfilters.set_ip_filter,
    constants.SIO_GET_MULTICAST_FILTER: finalfilters.get_ip_filter,
    constants.SIO_GET_BROADCAST_ADDRESS: routes.broadcast_address,
    constants.SIO_ROUTING_INTERFACE_QUERY: routes.interface_towards,
    constants.SIO_ADDRESS_LIST_QUERY: routes.addresses,
}
# QS-13, IO-19
_REFUSED = frozenset({constants.SIO_SET_GROUP_QOS, constants.SIO_GET_GROUP_QOS, constants.SIO_ENABLE_CIRCULAR_QUEUEING})
