"""The Winsock-shaped functions: names, numbers, order of parameters and results as the documentation has them.

A thin layer. Handles are integers; a failure is INVALID_SOCKET, SOCKET_ERROR, False or WSA_INVALID_EVENT and a code in
WSAGetLastError, kept for each thread; nothing raises. A structure is an object of ``layouts`` or its packed bytes. An
out-parameter is something that can be written to: a ``bytearray`` for memory, a ``Ref`` for a number, a ``WSABUF``.
What C calls NULL is None, and a value of a wrong type is a bad pointer: WSAEFAULT (SK-23).

May not know: how anything works; the sockets of ``sockets`` are the real thing.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ParamSpec, TypeAlias, TypeVar, cast

from multipoint import catalogue, constants, ioctls, pointers, sockopts
from multipoint.constants import (
    INVALID_SOCKET,
    SOCKET_ERROR,
    WSA_INFINITE,
    WSA_INVALID_EVENT,
    WSA_MAXIMUM_WAIT_EVENTS,
    WSA_WAIT_EVENT_0,
    WSA_WAIT_FAILED,
    WSA_WAIT_TIMEOUT,
)
from multipoint.dialects import negotiate
from multipoint.errors import MultipointError, error
from multipoint.flow import QOS
from multipoint.handles import Process
from multipoint.kinds import JoinRole, ProviderClass
from multipoint.layouts import WSABUF, WSADATA, WSANETWORKEVENTS, WSAPROTOCOL_INFO
from multipoint.signals import Signal, wait_for_all, wait_for_any
from multipoint.sockets import MultipointSocket
from multipoint.values import Caller, Condition, JoinRequest, Name, Readable, Ref, Settings, Verdict, Writable, sockaddr
from multipoint.values import endpoint as _endpoint
from multipoint.wire import Endpoint

P = ParamSpec("P")
R = TypeVar("R")

# lpfnCondition(lpCallerId, lpCallerData, lpSQOS, lpGQOS, lpCalleeId, lpCalleeData, g, dwCallbackData) -> CF_...
ConditionFunction: TypeAlias = Callable[
    [WSABUF, WSABUF | None, QOS | None, None, WSABUF, WSABUF, Ref[int], object],
    int,
]

HIGHEST = 0x0202

_process = Process()


def _call(failure: R) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Turn an exception into ``failure`` and the thread's last error; refuse before WSAStartup (SU-06, SU-13)."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                _ = _process.stack
                return function(*args, **kwargs)
            except MultipointError as reason:
                _process.last_error = reason.code
                return failure

        return called

    return decorate


# Start and end, last error, catalogue


def WSAStartup(wVersionRequested: int, lpWSAData: WSADATA | None, *, settings: Settings | None = None) -> int:
    """Start the stack, or count one more user of it; return 0 or the error itself. ``settings`` is our addition."""
    version = negotiate(wVersionRequested)
    if version is None:
        return constants.WSAVERNOTSUPPORTED
    if not isinstance(lpWSAData, WSADATA):
        return constants.WSAEFAULT
    _process.start(settings)
    lpWSAData.wVersion, lpWSAData.wHighVersion = version, HIGHEST
    lpWSAData.szDescription, lpWSAData.szSystemStatus = "multipoint", "Running"
    return 0


@_call(SOCKET_ERROR)
def WSACleanup() -> int:
    """End one use of the stack; the last one closes all sockets without a word to their peers."""
    _process.clean_up()
    return 0


def WSAGetLastError() -> int:
    """Return the code of the calling thread's last failure."""
    return _process.last_error


def WSASetLastError(iError: int) -> None:
    """Set the calling thread's last error."""
    _process.last_error = iError


@_call(SOCKET_ERROR)
def WSAEnumProtocols(
    lpiProtocols: Sequence[int] | None, lpProtocolBuffer: bytearray | None, lpdwBufferLength: Ref[int]
) -> int:
    """Write the catalogue's entries into the buffer; return their number (SU-14, SU-15)."""
    entries = catalogue.visible(lpiProtocols)
    packed = b"".join(entry.pack() for entry in entries)
    if not isinstance(lpdwBufferLength, Ref):
        raise pointers.bad_pointer("lpdwBufferLength")
    room = 0 if lpProtocolBuffer is None else min(lpdwBufferLength.value, len(lpProtocolBuffer))
    if lpProtocolBuffer is None or room < len(packed):
        lpdwBufferLength.value = len(packed)
        raise error(constants.WSAENOBUFS, "the buffer is too small", needed=len(packed))
    lpProtocolBuffer[: len(packed)] = packed
    return len(entries)


# Sockets


@_call(INVALID_SOCKET)
def WSASocket(af: int, type: int, protocol: int, lpProtocolInfo: WSAPROTOCOL_INFO | None, g: int, dwFlags: int) -> int:
    """Return a new socket of the catalogue entry that fits."""
    if g:
        raise error(constants.WSAEINVAL, "no such socket group", g=g)
    return _process.sockets.add(_process.stack.socket(af, type, protocol, lpProtocolInfo, dwFlags))


@_call(INVALID_SOCKET)
def socket(af: int, type: int, protocol: int) -> int:
    """Return a new ordinary socket, none for multipoint (SK-15)."""
    return _process.sockets.add(_process.stack.socket(af, type, protocol, None, constants.WSA_FLAG_OVERLAPPED))


@_call(SOCKET_ERROR)
def bind(s: int, name: Name | None, namelen: int) -> int:
    """Bind to a local address."""
    sock = _process.sockets.get(s)
    sock.bind(_name(sock, name, namelen))
    return 0


@_call(SOCKET_ERROR)
def listen(s: int, backlog: int) -> int:
    """Wait for requests: of leaves on a c_root, of roots on a rooted c_leaf."""
    _process.sockets.get(s).listen(backlog)
    return 0


@_call(INVALID_SOCKET)
def accept(s: int, addr: bytearray | None, addrlen: Ref[int] | None) -> int:
    """Let the first request in; return its socket."""
    return _accept(s, addr, addrlen, None)


@_call(INVALID_SOCKET)
def WSAAccept(
    s: int,
    addr: bytearray | None,
    addrlen: Ref[int] | None,
    lpfnCondition: ConditionFunction | None,
    dwCallbackData: object,
) -> int:
    """Let the first request in, if the condition function says so; return its socket."""
    if lpfnCondition is not None and not callable(lpfnCondition):
        raise pointers.bad_pointer("lpfnCondition")
    return _accept(s, addr, addrlen, _condition(lpfnCondition, dwCallbackData) if lpfnCondition else None)


@_call(INVALID_SOCKET)
def WSAJoinLeaf(
    s: int,
    name: Name | None,
    namelen: int,
    lpCallerData: WSABUF | None,
    lpCalleeData: WSABUF | None,
    lpSQOS: QOS | None,
    lpGQOS: QOS | None,
    dwFlags: int,
) -> int:
    """Join a leaf to a session; return the new leg (c_root) or ``s`` (c_leaf). Checked in the order of JL-16."""
    sock = _process.sockets.get(s)
    role = sock.check_join(dwFlags)
    request = _join_request(sock, name, namelen, lpCallerData, lpCalleeData, lpSQOS, lpGQOS, role)
    if sock.kind and sock.kind.provider is ProviderClass.SSM and role.receives:
        request = replace(request, sources=pointers.read_sources(name, namelen, sock.entry.family))
    return _process.sockets.add(sock.join(pointers.read_name(name, namelen, sock.entry.family), request))


@_call(SOCKET_ERROR)
def shutdown(s: int, how: int) -> int:
    """End one direction, or both; on a c_root that ends the session."""
    _process.sockets.get(s).shutdown(how)
    return 0


@_call(SOCKET_ERROR)
def closesocket(s: int) -> int:
    """Close the socket."""
    _process.sockets.get(s).close()
    _process.sockets.remove(s)
    return 0


@_call(SOCKET_ERROR)
def getsockname(s: int, name: bytearray, namelen: Ref[int]) -> int:
    """Store where the socket is bound."""
    pointers.store_name(_process.sockets.get(s).local_address, name, namelen)
    return 0


@_call(SOCKET_ERROR)
def getpeername(s: int, name: bytearray, namelen: Ref[int]) -> int:
    """Store whom the socket is joined to."""
    pointers.store_name(_process.sockets.get(s).peer_address, name, namelen)
    return 0


# Data


@_call(SOCKET_ERROR)
def send(s: int, buf: Readable, len: int, flags: int) -> int:
    """Send one message to whom this kind of socket reaches."""
    return _send(s, buf, len, flags, None)


@_call(SOCKET_ERROR)
def sendto(s: int, buf: Readable, len: int, flags: int, to: Name | None, tolen: int) -> int:
    """Send one message; where ``to`` counts and where not: DP-02, DP-22, DP-32."""
    sock = _process.sockets.get(s)
    return _send(s, buf, len, flags, None if to is None else _name(sock, to, tolen))


@_call(SOCKET_ERROR)
def recv(s: int, buf: Writable, len: int, flags: int) -> int:
    """Receive one message; 0 after the orderly end of a session (CL-12)."""
    try:
        return _receive(s, buf, len, flags)[0]
    except MultipointError as reason:
        if reason.code == constants.WSAEDISCON:
            return 0
        raise


@_call(SOCKET_ERROR)
def recvfrom(s: int, buf: Writable, len: int, flags: int, from_: bytearray | None, fromlen: Ref[int] | None) -> int:
    """Receive one message and its sender; 0 after the orderly end of a session (CL-12)."""
    sock = _process.sockets.get(s)
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


# Options


@_call(SOCKET_ERROR)
def setsockopt(s: int, level: int, optname: int, optval: Readable, optlen: int) -> int:
    """Set an option; Windows' numbers and layouts."""
    sockopts.set_option(_process.sockets.get(s), level, optname, bytes(pointers.read_memory(optval, optlen)))
    return 0


@_call(SOCKET_ERROR)
def getsockopt(s: int, level: int, optname: int, optval: bytearray, optlen: Ref[int]) -> int:
    """Store an option's value."""
    value = sockopts.get_option(_process.sockets.get(s), level, optname)
    if not isinstance(optlen, Ref) or not isinstance(optval, bytearray) or min(optlen.value, len(optval)) < len(value):
        raise pointers.bad_pointer("optval or optlen")
    optval[: len(value)] = value
    optlen.value = len(value)
    return 0


@_call(SOCKET_ERROR)
def ioctlsocket(s: int, cmd: int, argp: Ref[int]) -> int:
    """FIONBIO, FIONREAD, SIOCATMARK."""
    sock = _process.sockets.get(s)
    if not isinstance(argp, Ref):
        raise pointers.bad_pointer("argp")
    answer = ioctls.control(sock, cmd, argp.value.to_bytes(4, "little"))
    if answer:
        argp.value = int.from_bytes(answer, "little")
    return 0


@_call(SOCKET_ERROR)
def WSAIoctl(
    s: int,
    dwIoControlCode: int,
    lpvInBuffer: Readable | None,
    cbInBuffer: int,
    lpvOutBuffer: bytearray | None,
    cbOutBuffer: int,
    lpcbBytesReturned: Ref[int] | None,
    lpOverlapped: None,
    lpCompletionRoutine: None,
) -> int:
    """Carry out an ioctl; overlapped ones are not there yet, so both last parameters are None."""
    sock = _process.sockets.get(s)
    if not isinstance(lpcbBytesReturned, Ref):
        raise pointers.bad_pointer("lpcbBytesReturned")
    answer = ioctls.control(sock, dwIoControlCode, bytes(pointers.read_memory(lpvInBuffer, cbInBuffer)))
    room = pointers.write_memory(lpvOutBuffer, cbOutBuffer) if answer else memoryview(b"")
    lpcbBytesReturned.value = len(answer)
    if len(room) < len(answer):
        raise error(constants.WSAEFAULT, "the output buffer is too small", needed=len(answer))
    if answer:
        room[: len(answer)] = answer
    return 0


# Events


@_call(WSA_INVALID_EVENT)
def WSACreateEvent() -> int:
    """Return a new event object: manual reset, not signalled."""
    return _process.events.add(Signal())


@_call(False)
def WSASetEvent(hEvent: int) -> bool:
    """Signal an event object."""
    _process.events.get(hEvent).set()
    return True


@_call(False)
def WSAResetEvent(hEvent: int) -> bool:
    """Take its signal back."""
    _process.events.get(hEvent).reset()
    return True


@_call(False)
def WSACloseEvent(hEvent: int) -> bool:
    """Close an event object."""
    _process.events.get(hEvent)
    _process.events.remove(hEvent)
    return True


@_call(SOCKET_ERROR)
def WSAEventSelect(s: int, hEventObject: int, lNetworkEvents: int) -> int:
    """Have the event object signalled for these events of the socket, which becomes nonblocking."""
    sock = _process.sockets.get(s)
    try:
        signal = _process.events.get(hEventObject) if lNetworkEvents else None
    except MultipointError as reason:
        # EV-12
        raise error(constants.WSAEINVAL, "no such event object", handle=hEventObject) from reason
    sock.select_events(signal, lNetworkEvents)
    return 0


@_call(SOCKET_ERROR)
def WSAEnumNetworkEvents(s: int, hEventObject: int | None, lpNetworkEvents: WSANETWORKEVENTS) -> int:
    """Store the events recorded for the socket and clear them; reset the event object, if one is given."""
    sock = _process.sockets.get(s)
    if not isinstance(lpNetworkEvents, WSANETWORKEVENTS):
        raise pointers.bad_pointer("lpNetworkEvents")
    events = sock.enumerate_events(_process.events.get(hEventObject) if hEventObject else None)
    lpNetworkEvents.lNetworkEvents = 0
    for event, code in events.items():
        lpNetworkEvents.lNetworkEvents |= event
        lpNetworkEvents.iErrorCode[event.index] = code
    return 0


@_call(WSA_WAIT_FAILED)
def WSAWaitForMultipleEvents(
    cEvents: int, lphEvents: Sequence[int], fWaitAll: bool, dwTimeout: int, fAlertable: bool
) -> int:
    """Wait until one, or all, of up to 64 event objects are signalled. Completion routines are not there yet."""
    handles = list(lphEvents[:cEvents])
    if not 1 <= cEvents <= WSA_MAXIMUM_WAIT_EVENTS or len(handles) < cEvents:
        raise error(constants.WSA_INVALID_PARAMETER, "1 to 64 event objects", count=cEvents)
    if fWaitAll and len(set(handles)) < len(handles):
        raise error(constants.WSA_INVALID_PARAMETER, "an event object comes twice")
    signals = [_process.events.get(handle) for handle in handles]
    timeout_s = None if dwTimeout == WSA_INFINITE else dwTimeout / 1000
    index = wait_for_all(signals, timeout_s) if fWaitAll else wait_for_any(signals, timeout_s)
    return WSA_WAIT_TIMEOUT if index is None else WSA_WAIT_EVENT_0 + index


# Helpers of our own: what C programs write as casts


def address(name: Readable) -> Endpoint:
    """Return host and port from the memory of a sockaddr."""
    family = int.from_bytes(name[:2], "little")
    return _endpoint(pointers.LAYOUTS[family].unpack(name))


def _name(sock: MultipointSocket, name: object, namelen: object) -> Endpoint:
    try:
        return pointers.read_name(name, namelen, sock.entry.family)
    except MultipointError as reason:
        # SK-26: outside joins, a wrong family is a wrong pointer.
        raise error(constants.WSAEFAULT, str(reason)) from reason


def _send(s: int, buf: object, length: int, flags: int, to: Endpoint | None) -> int:
    sock = _process.sockets.get(s)
    data = pointers.read_memory(buf, length)
    if flags & constants.MSG_OOB:
        raise error(constants.WSAEOPNOTSUPP, "no class has urgent data")
    if flags & ~constants.MSG_DONTROUTE:
        raise error(constants.WSAEINVAL, "unknown flags", flags=flags)
    return sock.send(data, to)


def _receive(s: int, buf: object, length: int, flags: int) -> tuple[int, Endpoint]:
    sock = _process.sockets.get(s)
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


def _accept(s: int, addr: bytearray | None, addrlen: Ref[int] | None, condition: Condition | None) -> int:
    sock = _process.sockets.get(s)
    pointers.check_room(addr, addrlen, sock.entry.family)
    accepted = sock.accept(condition)
    if addr is not None:
        pointers.store_name(accepted.peer_address, addr, addrlen)
    return _process.sockets.add(accepted)


def _condition(function: ConditionFunction, callback_data: object) -> Condition:
    """Return our kind of condition function around one of Winsock's shape (AC-20 to AC-28)."""

    def decide(caller: Caller) -> Verdict:
        caller_id, callee_id = (_buffer(sockaddr(*at).pack()) for at in (caller.address, caller.local))
        data = _buffer(caller.data) if caller.data else None
        answer = WSABUF(caller.capacity, bytearray(caller.capacity))
        action = function(caller_id, data, caller.qos, None, callee_id, answer, Ref(0), callback_data)
        # AC-22: whatever length the function leaves; more than there is room for is refused by the socket.
        given = bytes(answer.buf or b"")[: answer.len].ljust(answer.len, b"\0")
        return Verdict(action, given, caller.qos)

    return decide


def _buffer(data: bytes) -> WSABUF:
    return WSABUF(len(data), data)


def _join_request(
    sock: MultipointSocket,
    name: object,
    namelen: object,
    caller_data: object,
    callee_data: WSABUF | None,
    sqos: object,
    gqos: object,
    role: JoinRole,
) -> JoinRequest:
    """Step 6 of JL-16: everything that is a pointer."""
    pointers.name_bytes(name, namelen, sock.entry.family)
    data = pointers.read_buffer(caller_data)
    capacity = pointers.check_result_buffer(callee_data)
    qos = pointers.read_qos(sqos)
    pointers.read_qos(gqos)
    sock.check_caller_data(data)
    return JoinRequest(role, data, capacity, qos, deliver=lambda answer: pointers.store_result(callee_data, answer))
