"""Winsock-shaped: ends with disconnect data. May not know: how anything works."""

from multipoint import constants, pointers
from multipoint.calling import call, process
from multipoint.constants import SOCKET_ERROR
from multipoint.layouts import WSABUF


@call(SOCKET_ERROR)
def WSASendDisconnect(s: int, lpOutboundDisconnectData: WSABUF | None) -> int:
    """End sending, and tell the other side why (CL-34)."""
    sock = process.sockets.get(s)
    data = None if lpOutboundDisconnectData is None else pointers.read_buffer(lpOutboundDisconnectData)
    sock.shutdown(constants.SD_SEND, data)
    return 0


@call(SOCKET_ERROR)
def WSARecvDisconnect(s: int, lpInboundDisconnectData: WSABUF | None) -> int:
    """End receiving; store what the other side said with its end, its length in ``len`` (CL-35)."""
    sock = process.sockets.get(s)
    room = pointers.check_result_buffer(lpInboundDisconnectData)
    data = sock.receive_disconnect(None if lpInboundDisconnectData is None else room)
    pointers.store_result(lpInboundDisconnectData, data)
    return 0
