"""Winsock-shaped: several buffers, overlapped operations and their results. May not know: when they are carried out."""

from collections.abc import Callable, Sequence
from typing import cast

from multipoint import constants, pointers
from multipoint.calling import call, name_of, process
from multipoint.calls_data import check_send_flags
from multipoint.constants import SOCKET_ERROR
from multipoint.data import DataSocket, cut
from multipoint.errors import MultipointError, WouldBlock, error
from multipoint.layouts import WSABUF
from multipoint.overlapped import WSAOVERLAPPED, CompletionRoutine, Operation, wait_for_end
from multipoint.pending import Message
from multipoint.sockets import MultipointSocket
from multipoint.values import Name, Ref
from multipoint.wire import Endpoint


@call(SOCKET_ERROR)
def WSASend(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesSent: Ref[int] | None,
    dwFlags: int,
    lpOverlapped: WSAOVERLAPPED | None,
    lpCompletionRoutine: CompletionRoutine | None,
) -> int:
    """Send several buffers as one message (DP-38); overlapped, it may be pending (DP-36)."""
    sock = process.sockets.get(s)
    message = _gather(lpBuffers, dwBufferCount)
    return _send(sock, message, None, dwFlags, lpNumberOfBytesSent, (lpOverlapped, lpCompletionRoutine))


@call(SOCKET_ERROR)
def WSASendTo(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesSent: Ref[int] | None,
    dwFlags: int,
    lpTo: Name | None,
    iTolen: int,
    lpOverlapped: WSAOVERLAPPED | None,
    lpCompletionRoutine: CompletionRoutine | None,
) -> int:
    """As WSASend, with an address: DP-02, DP-22, DP-32."""
    sock = process.sockets.get(s)
    to = None if lpTo is None else name_of(sock, lpTo, iTolen)
    message = _gather(lpBuffers, dwBufferCount)
    return _send(sock, message, to, dwFlags, lpNumberOfBytesSent, (lpOverlapped, lpCompletionRoutine))


@call(SOCKET_ERROR)
def WSARecv(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesRecvd: Ref[int] | None,
    lpFlags: Ref[int],
    lpOverlapped: WSAOVERLAPPED | None,
    lpCompletionRoutine: CompletionRoutine | None,
) -> int:
    """Scatter one message over several buffers; WSAEDISCON after the orderly end of a session (CL-12)."""
    memory, overlapped = (lpBuffers, dwBufferCount), (lpOverlapped, lpCompletionRoutine)
    return _receive(process.sockets.get(s), memory, lpNumberOfBytesRecvd, lpFlags, (None, None), overlapped)


@call(SOCKET_ERROR)
def WSARecvFrom(
    s: int,
    lpBuffers: Sequence[WSABUF],
    dwBufferCount: int,
    lpNumberOfBytesRecvd: Ref[int] | None,
    lpFlags: Ref[int],
    lpFrom: bytearray | None,
    lpFromlen: Ref[int] | None,
    lpOverlapped: WSAOVERLAPPED | None,
    lpCompletionRoutine: CompletionRoutine | None,
) -> int:
    """As WSARecv, with the sender; overlapped, his address is stored at the end."""
    memory, overlapped = (lpBuffers, dwBufferCount), (lpOverlapped, lpCompletionRoutine)
    return _receive(process.sockets.get(s), memory, lpNumberOfBytesRecvd, lpFlags, (lpFrom, lpFromlen), overlapped)


@call(False)
def WSAGetOverlappedResult(
    s: int, lpOverlapped: WSAOVERLAPPED, lpcbTransfer: Ref[int], fWait: bool, lpdwFlags: Ref[int]
) -> bool:
    """Store the outcome of an overlapped operation; WSA_IO_INCOMPLETE while it is pending, unless ``fWait``."""
    process.sockets.get(s)
    if not isinstance(lpOverlapped, WSAOVERLAPPED):
        raise pointers.bad_pointer("lpOverlapped")
    pointers.reference(lpcbTransfer, "lpcbTransfer")
    pointers.reference(lpdwFlags, "lpdwFlags")
    if lpOverlapped.is_pending and not fWait:
        raise error(constants.WSA_IO_INCOMPLETE, "it is still pending")
    wait_for_end(lpOverlapped)
    lpcbTransfer.value, lpdwFlags.value = lpOverlapped.InternalHigh, lpOverlapped.Flags
    if lpOverlapped.Internal:
        raise error(lpOverlapped.Internal, "the overlapped operation has failed")
    return True


def begin(sock: MultipointSocket, overlapped: object, routine: object) -> Operation | None:
    """Return the operation of a call; None if it is to be synchronous (IO-02)."""
    if overlapped is None or not sock.is_overlapped:
        return None
    if not isinstance(overlapped, WSAOVERLAPPED) or not (routine is None or callable(routine)):
        raise pointers.bad_pointer("lpOverlapped or lpCompletionRoutine")
    signal = process.events.get(overlapped.hEvent) if overlapped.hEvent and routine is None else None
    # SU-09: the last WSACleanup aborts it without a word.
    return Operation(overlapped, signal, routine, lambda: not sock.stack.is_closed)


def _send(
    sock: MultipointSocket,
    message: bytes,
    to: Endpoint | None,
    flags: int,
    count: Ref[int] | None,
    overlapped: tuple[object, object],
) -> int:
    check_send_flags(flags)
    pointers.optional_reference(count, "lpNumberOfBytesSent")
    # Last, for from here on the operation is pending.
    operation = begin(sock, *overlapped)
    if operation is None:
        sent = sock.send(message, to)
    else:
        _begin_send(sock, message, to, operation)
        sent = len(message)
    if count is not None:
        count.value = sent
    return 0


def _begin_send(sock: MultipointSocket, message: bytes, to: Endpoint | None, operation: Operation) -> None:
    def end(sent: int, failure: MultipointError | None) -> None:
        operation.finish(failure.code if failure else 0, sent)

    with sock.stack.lock, operation.failing():
        if not _data_socket(sock).pending.send(message, to, end):
            raise WouldBlock(constants.WSA_IO_PENDING, "the message waits for room")
    operation.finish(0, len(message))


def _receive(
    sock: MultipointSocket,
    memory: tuple[object, object],
    count: Ref[int] | None,
    lpFlags: object,
    name: tuple[object, object],
    overlapped: tuple[object, object],
) -> int:
    def store(sender: Endpoint) -> None:
        if name[0] is not None:
            pointers.store_name(sender, *name)

    try:
        pointers.check_room(*name, sock.entry.family)
        rooms = _rooms(*memory)
        pointers.optional_reference(count, "lpNumberOfBytesRecvd")
        flags = pointers.reference(lpFlags, "lpFlags").value
        operation = begin(sock, *overlapped)
    except MultipointError:
        # EV-25: a call that fails re-enables too.
        sock.reenable_read()
        raise
    if operation is None:
        size = _scatter(lambda: sock.receive(sum(map(len, rooms)), flags), rooms, store)
    else:
        size = _begin_receive(sock, rooms, flags, operation, store)
    if count is not None:
        count.value = size
    return 0


def _begin_receive(
    sock: MultipointSocket,
    rooms: list[memoryview],
    flags: int,
    operation: Operation,
    store: Callable[[Endpoint], None],
) -> int:
    def deliver(message: Message) -> int:
        return _scatter(lambda: cut(message, sum(map(len, rooms))), rooms, store)

    def end(message: Message | None, failure: MultipointError | None) -> None:
        try:
            if message is None:
                raise failure or AssertionError("neither a message nor a failure")
            operation.finish(0, deliver(message))
        except MultipointError as reason:
            operation.finish(reason.code, sum(map(len, rooms)) if reason.code == constants.WSAEMSGSIZE else 0)

    with sock.stack.lock, operation.failing():
        message = _data_socket(sock).pending.receive(flags, end)
        if message is None:
            raise WouldBlock(constants.WSA_IO_PENDING, "no message is here yet")
        size = deliver(message)
    operation.finish(0, size)
    return size


def _data_socket(sock: MultipointSocket) -> DataSocket:
    sock.check_open()
    if not isinstance(sock, DataSocket):
        raise error(constants.WSAEOPNOTSUPP, "this kind of socket carries no data")
    return sock


def _scatter(receive: Callable[[], Message], rooms: list[memoryview], store: Callable[[Endpoint], None]) -> int:
    try:
        data, sender = receive()
    except MultipointError as reason:
        if reason.code == constants.WSAEMSGSIZE:
            # DP-15: what fits is there all the same, and who sent it.
            _spread(cast("bytes", reason.facts["data"]), rooms)
            store(cast("Endpoint", reason.facts["sender"]))
        raise
    _spread(data, rooms)
    store(sender)
    return len(data)


def _spread(message: bytes, rooms: list[memoryview]) -> None:
    at = 0
    for room in rooms:
        piece = message[at : at + len(room)]
        room[: len(piece)] = piece
        at += len(piece)


def _buffers(buffers: object, count: object) -> list[WSABUF]:
    if not isinstance(buffers, Sequence) or not isinstance(count, int) or not 0 < count <= len(buffers):
        raise pointers.bad_pointer("lpBuffers")
    if not all(isinstance(buffer, WSABUF) for buffer in buffers[:count]):
        raise pointers.bad_pointer("lpBuffers")
    return list(buffers[:count])


def _gather(buffers: object, count: object) -> bytes:
    return b"".join(pointers.read_buffer(buffer) for buffer in _buffers(buffers, count))


def _rooms(buffers: object, count: object) -> list[memoryview]:
    return [pointers.write_memory(buffer.buf, buffer.len) for buffer in _buffers(buffers, count)]
