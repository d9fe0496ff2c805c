"""The Winsock-shaped functions: names, numbers, order of parameters and results as the documentation has them.

A thin layer. Handles are integers; a failure is INVALID_SOCKET, SOCKET_ERROR, False or WSA_INVALID_EVENT and a code in
WSAGetLastError, kept for each thread; nothing raises. A structure is an object of ``layouts`` or its packed bytes. An
out-parameter is something that can be written to: a ``bytearray`` for memory, a ``Ref`` for a number, a ``WSABUF``.
What C calls NULL is None, and a value of a wrong type is a bad pointer: WSAEFAULT (SK-23).

May not know: how anything works; the sockets of ``sockets`` are the real thing.
"""

from multipoint import pointers
from multipoint.calls_blocking import WSACancelBlockingCall, WSAIsBlocking
from multipoint.calls_data import recv, recvfrom, send, sendto
from multipoint.calls_ending import WSARecvDisconnect, WSASendDisconnect
from multipoint.calls_events import (
    WSACloseEvent,
    WSACreateEvent,
    WSAEnumNetworkEvents,
    WSAEventSelect,
    WSAResetEvent,
    WSASetEvent,
    WSAWaitForMultipleEvents,
)
from multipoint.calls_messages import (
    WSAGETSELECTERROR,
    WSAGETSELECTEVENT,
    WSAAsyncSelect,
    create_queue,
    get_message,
)
from multipoint.calls_options import WSAIoctl, getsockopt, ioctlsocket, setsockopt
from multipoint.calls_overlapped import WSAGetOverlappedResult, WSARecv, WSARecvFrom, WSASend, WSASendTo
from multipoint.calls_quality import WSAGetQOSByName
from multipoint.calls_select import FD_CLR, FD_ISSET, FD_SET, FD_ZERO, TIMEVAL, fd_set, select
from multipoint.calls_sockets import (
    ConditionFunction,
    WSAAccept,
    WSAConnect,
    WSADuplicateSocket,
    WSAJoinLeaf,
    WSASocket,
    accept,
    bind,
    closesocket,
    connect,
    getpeername,
    getsockname,
    listen,
    shutdown,
    socket,
)
from multipoint.calls_start import WSACleanup, WSAEnumProtocols, WSAGetLastError, WSASetLastError, WSAStartup
from multipoint.errors import DecodingError
from multipoint.messages import MSG
from multipoint.overlapped import WSAOVERLAPPED
from multipoint.values import Readable, sockaddr
from multipoint.values import endpoint as _endpoint
from multipoint.wire import Endpoint

__all__ = [
    "FD_CLR",
    "FD_ISSET",
    "FD_SET",
    "FD_ZERO",
    "MSG",
    "TIMEVAL",
    "WSAGETSELECTERROR",
    "WSAGETSELECTEVENT",
    "WSAOVERLAPPED",
    "ConditionFunction",
    "WSAAccept",
    "WSAAsyncSelect",
    "WSACancelBlockingCall",
    "WSACleanup",
    "WSACloseEvent",
    "WSAConnect",
    "WSACreateEvent",
    "WSADuplicateSocket",
    "WSAEnumNetworkEvents",
    "WSAEnumProtocols",
    "WSAEventSelect",
    "WSAGetLastError",
    "WSAGetOverlappedResult",
    "WSAGetQOSByName",
    "WSAIoctl",
    "WSAIsBlocking",
    "WSAJoinLeaf",
    "WSARecv",
    "WSARecvDisconnect",
    "WSARecvFrom",
    "WSAResetEvent",
    "WSASend",
    "WSASendDisconnect",
    "WSASendTo",
    "WSASetEvent",
    "WSASetLastError",
    "WSASocket",
    "WSAStartup",
    "WSAWaitForMultipleEvents",
    "accept",
    "address",
    "bind",
    "closesocket",
    "connect",
    "create_queue",
    "fd_set",
    "get_message",
    "getpeername",
    "getsockname",
    "getsockopt",
    "ioctlsocket",
    "listen",
    "recv",
    "recvfrom",
    "select",
    "send",
    "sendto",
    "setsockopt",
    "shutdown",
    "sockaddr",
    "socket",
]


def address(name: Readable) -> Endpoint:
    """Return host and port from the memory of a sockaddr. Raises DecodingError: it is a tool of ours, not Winsock's."""
    family = int.from_bytes(name[:2], "little")
    if family not in pointers.LAYOUTS:
        raise DecodingError(f"family {family} has no addresses")
    return _endpoint(pointers.LAYOUTS[family].unpack(name))
