"""Winsock-shaped: sending and receiving. May not know: how anything works."""

from collections.abc import Sequence
from typing import cast

from multipoint import constants, pointers
from multipoint.calling import call, name_of, process
from multipoint.constants import SOCKET_ERROR
from multipoint.errors import MultipointError, error
from multipoint.layouts import WSABUF
from multipoint.values import Name, Readable, Ref, Writable
from multipoint.wire import Endpoint


@call(SOCKET_ERROR)
def send(s: int, buf: Readable, len: int, flags: int) -> int:
    """Send one message to whom this kind of socket reaches."""
    return _send(s, buf, len, flags, None)


@call(SOCKET_ERROR)
def sendto(s: int, buf: Readable, len: int, flags: int, to: Name | None, tolen: int) -> int:
    """Send one message; where ``to`` counts and where not: DP-02, DP-22, DP-32."""
    sock = process.sockets.get(s)
    return _send(s, buf, len, flags, None if to is None else name_of(sock, to, tolen))


@call(SOCKET_ERROR)
def recv(s: int, buf: Writable, len: int, flags: int) -> int:
    """Receive one message; 0 after the orderly end of a session (CL-12)."""
    try:
        return _receive(s, buf, len, flags)[0]
    except MultipointError as reason:
        if reason.code == constants.WSAEDISCON:
            return 0
        raise


@call(SOCKET_ERROR)
def recvfrom(s: int, buf: Writable, len: int, flags: int, from_: bytearray | None, fromlen: Ref[int] | None) -> int:
    """Receive one message and its sender; 0 after the orderly end of a session (CL-12)."""
    sock = process.sockets.get(s)
    pointers.check_room(from_, fromlen, sock.entry.family)
    try:
        size, sender = _receive(s, buf, len, flags)
    except MultipointError as reason:
        if reason.code == constants.WSAEDISCON:
            return 0
        raise
    if from_ is not None:
        pointers.store_name(sender, from_, fromlen)
    return size


def _send(s: int, buf: object, length: int, flags: int, to: Endpoint | None) -> int:
    sock = process.sockets.get(s)
    data = pointers.read_memory(buf, length)
    if flags & constants.MSG_OOB:
        raise error(constants.WSAEOPNOTSUPP, "no class has urgent data")
    if flags & ~constants.MSG_DONTROUTE:
        raise error(constants.WSAEINVAL, "unknown flags", flags=flags)
    return sock.send(data, to)


def _receive(s: int, buf: object, length: int, flags: int) -> tuple[int, Endpoint]:
    sock = process.sockets.get(s)
    room = pointers.write_memory(buf, length)
    try:
        data, sender = sock.receive(length, flags)
    except MultipointError as reason:
        if reason.code == constants.WSAEMSGSIZE:
            # DP-15: what fits is there all the same.
            room[:] = cast("bytes", reason.facts["data"])
        raise
    room[: len(data)] = data
    return len(data), sender


@call(SOCKET_ERROR)
def WSASend(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesSent: Ref[int] | None,
    dwFlags: int,
    lpOverlapped: None,
    lpCompletionRoutine: None,
) -> int:
    """Send several buffers as one message (DP-38). Overlapped sends are not there yet."""
    return _gather(s, lpBuffers, dwBufferCount, lpNumberOfBytesSent, dwFlags, None)


@call(SOCKET_ERROR)
def WSASendTo(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesSent: Ref[int] | None,
    dwFlags: int,
    lpTo: Name | None,
    iTolen: int,
    lpOverlapped: None,
    lpCompletionRoutine: None,
) -> int:
    """As WSASend, with an address: DP-02, DP-22, DP-32."""
    to = None if lpTo is None else name_of(process.sockets.get(s), lpTo, iTolen)
    return _gather(s, lpBuffers, dwBufferCount, lpNumberOfBytesSent, dwFlags, to)


@call(SOCKET_ERROR)
def WSARecv(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesRecvd: Ref[int] | None,
    lpFlags: Ref[int],
    lpOverlapped: None,
    lpCompletionRoutine: None,
) -> int:
    """Scatter one message over several buffers; WSAEDISCON after the orderly end of a session (CL-12)."""
    _scatter(s, lpBuffers, dwBufferCount, lpNumberOfBytesRecvd, lpFlags)
    return 0


@call(SOCKET_ERROR)
def WSARecvFrom(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesRecvd: Ref[int] | None,
    lpFlags: Ref[int],
    lpFrom: bytearray | None,
    lpFromlen: Ref[int] | None,
    lpOverlapped: None,
    lpCompletionRoutine: None,
) -> int:
    """As WSARecv, with the sender."""
    pointers.check_room(lpFrom, lpFromlen, process.sockets.get(s).entry.family)
    sender = _scatter(s, lpBuffers, dwBufferCount, lpNumberOfBytesRecvd, lpFlags)
    if lpFrom is not None:
        pointers.store_name(sender, lpFrom, lpFromlen)
    return 0


def _buffers(buffers: object, count: object) -> list[WSABUF]:
    if not isinstance(buffers, Sequence) or not isinstance(count, int) or not 0 < count <= len(buffers):
        raise pointers.bad_pointer("lpBuffers")
    if not all(isinstance(buffer, WSABUF) for buffer in buffers[:count]):
        raise pointers.bad_pointer("lpBuffers")
    return list(buffers[:count])


def _gather(s: int, buffers: object, count: object, sent: Ref[int] | None, flags: int, to: Endpoint | None) -> int:
    message = b"".join(pointers.read_buffer(buffer) for buffer in _buffers(buffers, count))
    length = _send(s, message, len(message), flags, to)
    if sent is not None:
        sent.value = length
    return 0


def _scatter(s: int, buffers: object, count: object, received: Ref[int] | None, flags: object) -> Endpoint:
    rooms = [pointers.write_memory(buffer.buf, buffer.len) for buffer in _buffers(buffers, count)]
    if not isinstance(flags, Ref):
        raise pointers.bad_pointer("lpFlags")
    whole = bytearray(sum(len(room) for room in rooms))
    try:
        size, sender = _receive(s, whole, len(whole), flags.value)
    except MultipointError as reason:
        if reason.code == constants.WSAEMSGSIZE:
            _spread(whole, rooms)
        raise
    _spread(whole[:size], rooms)
    if received is not None:
        received.value = size
    return sender


def _spread(message: bytearray, rooms: list[memoryview]) -> None:
    at = 0
    for room in rooms:
        piece = message[at : at + len(room)]
        room[: len(piece)] = piece
        at += len(piece)
