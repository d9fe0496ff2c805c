"""Winsock-shaped: options and ioctls. May not know: which there are (``sockopts``, ``ioctls``)."""

import contextlib

from multipoint import changeioctls, constants, ioctls, pointers, sockopts
from multipoint.calling import call, process
from multipoint.calls_overlapped import begin
from multipoint.constants import SOCKET_ERROR
from multipoint.errors import error
from multipoint.overlapped import WSAOVERLAPPED, CompletionRoutine
from multipoint.sockets import MultipointSocket
from multipoint.values import Readable, Ref


@call(SOCKET_ERROR)
def setsockopt(s: int, level: int, optname: int, optval: Readable, optlen: int) -> int:
    """Set an option; Windows' numbers and layouts."""
    sockopts.set_option(process.sockets.get(s), level, optname, bytes(pointers.read_memory(optval, optlen)))
    return 0


@call(SOCKET_ERROR)
def getsockopt(s: int, level: int, optname: int, optval: bytearray, optlen: Ref[int]) -> int:
    """Store an option's value."""
    value = sockopts.get_option(process.sockets.get(s), level, optname)
    room = pointers.reference(optlen, "optlen").value
    if not isinstance(optval, bytearray) or min(room, len(optval)) < len(value):
        raise pointers.bad_pointer("optval or optlen")
    optval[: len(value)] = value
    optlen.value = len(value)
    return 0


@call(SOCKET_ERROR)
def ioctlsocket(s: int, cmd: int, argp: Ref[int]) -> int:
    """FIONBIO, FIONREAD, SIOCATMARK."""
    sock = process.sockets.get(s)
    given = pointers.reference(argp, "argp").value & 0xFFFFFFFF
    answer = ioctls.control(sock, cmd, given.to_bytes(ioctls.LONG, "little"))
    if len(answer) > ioctls.LONG:
        raise pointers.bad_pointer("argp")
    if answer:
        argp.value = int.from_bytes(answer, "little")
    return 0


@call(SOCKET_ERROR)
def WSAIoctl(
    s: int,
    dwIoControlCode: int,
    lpvInBuffer: Readable | None,
    cbInBuffer: int,
    lpvOutBuffer: bytearray | None,
    cbOutBuffer: int,
    lpcbBytesReturned: Ref[int] | None,
    lpOverlapped: WSAOVERLAPPED | None,
    lpCompletionRoutine: CompletionRoutine | None,
) -> int:
    """Carry out an ioctl; overlapped, its outcome is told as that of any operation (IO-06)."""
    sock = process.sockets.get(s)
    count = pointers.reference(lpcbBytesReturned, "lpcbBytesReturned")
    given = bytes(pointers.read_memory(lpvInBuffer, cbInBuffer))
    operation = begin(sock, lpOverlapped, lpCompletionRoutine)
    with operation.failing() if operation else contextlib.nullcontext():
        if operation and dwIoControlCode in changeioctls.CODES:
            changeioctls.begin(dwIoControlCode, sock, given, operation.finish)
        _control(sock, dwIoControlCode, given, lpvOutBuffer, cbOutBuffer, count)
    if operation:
        operation.finish(0, count.value)
    return 0


def _control(
    sock: MultipointSocket, code: int, given: bytes, out: bytearray | None, size: int, count: Ref[int]
) -> None:
    answer = ioctls.control(sock, code, given)
    room = pointers.write_memory(out, size) if answer else memoryview(b"")
    count.value = len(answer)
    if len(room) < len(answer):
        raise error(constants.WSAEFAULT, "the output buffer is too small", needed=len(answer))
    if answer:
        room[: len(answer)] = answer
