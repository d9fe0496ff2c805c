"""Winsock-shaped: making sockets, binding, listening, accepting, joining, closing. May not know: how anything works."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from multipoint import constants, pointers
from multipoint.calling import call, name_of, process
from multipoint.constants import INVALID_SOCKET, SOCKET_ERROR
from multipoint.errors import MultipointError, error
from multipoint.flow import QOS
from multipoint.kinds import JoinRole, ProviderClass
from multipoint.layouts import WSABUF, WSAPROTOCOL_INFO
from multipoint.sockets import MultipointSocket
from multipoint.values import Caller, Condition, JoinRequest, Name, Ref, Verdict, sockaddr

# lpfnCondition(lpCallerId, lpCallerData, lpSQOS, lpGQOS, lpCalleeId, lpCalleeData, g, dwCallbackData) -> CF_...
ConditionFunction: TypeAlias = Callable[
    [WSABUF, WSABUF | None, QOS | None, None, WSABUF, WSABUF, Ref[int], object],
    int,
]


@call(INVALID_SOCKET)
def WSASocket(af: int, type: int, protocol: int, lpProtocolInfo: WSAPROTOCOL_INFO | None, g: int, dwFlags: int) -> int:
    """Return a new socket of the catalogue entry that fits."""
    info = pointers.read_protocol_info(lpProtocolInfo)
    return process.sockets.add(process.stack.socket(af, type, protocol, info, dwFlags, g))


@call(INVALID_SOCKET)
def socket(af: int, type: int, protocol: int) -> int:
    """Return a new ordinary socket, none for multipoint (SK-15)."""
    return process.sockets.add(process.stack.socket(af, type, protocol, None, constants.WSA_FLAG_OVERLAPPED))


@call(SOCKET_ERROR)
def bind(s: int, name: Name | None, namelen: int) -> int:
    """Bind to a local address."""
    sock = process.sockets.get(s)
    sock.bind(name_of(sock, name, namelen))
    return 0


@call(SOCKET_ERROR)
def listen(s: int, backlog: int) -> int:
    """Wait for requests: of leaves on a c_root, of roots on a rooted c_leaf."""
    process.sockets.get(s).listen(backlog)
    return 0


@call(INVALID_SOCKET)
def accept(s: int, addr: bytearray | None, addrlen: Ref[int] | None) -> int:
    """Let the first request in; return its socket."""
    return _accept(s, addr, addrlen)


@call(INVALID_SOCKET)
def WSAAccept(
    s: int,
    addr: bytearray | None,
    addrlen: Ref[int] | None,
    lpfnCondition: ConditionFunction | None,
    dwCallbackData: object,
) -> int:
    """Let the first request in, if the condition function says so; return its socket."""
    return _accept(s, addr, addrlen, lpfnCondition, dwCallbackData)


@call(INVALID_SOCKET)
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
    sock = process.sockets.get(s)
    role = sock.check_join(dwFlags)
    request = _join_request(sock, name, namelen, lpCallerData, lpCalleeData, lpSQOS, lpGQOS, role)
    if sock.kind and sock.kind.provider is ProviderClass.SSM and role.receives:
        request = replace(request, sources=pointers.read_sources(name, namelen, sock.entry.family))
    return process.sockets.add(sock.join(pointers.read_name(name, namelen, sock.entry.family), request))


@call(SOCKET_ERROR)
def connect(s: int, name: Name | None, namelen: int) -> int:
    """Choose whom plain sockets send to and hear; WSAEOPNOTSUPP on rooted ones (SK-24)."""
    sock = process.sockets.get(s)
    sock.connect(name_of(sock, name, namelen))
    return 0


@call(SOCKET_ERROR)
def WSAConnect(
    s: int,
    name: Name | None,
    namelen: int,
    lpCallerData: WSABUF | None,
    lpCalleeData: WSABUF | None,
    lpSQOS: QOS | None,
    lpGQOS: QOS | None,
) -> int:
    """As connect; connect data is ignored on connectionless sockets, lpGQOS has to be NULL."""
    sock = process.sockets.get(s)
    if lpGQOS is not None:
        raise error(constants.WSAEINVAL, "lpGQOS is reserved")
    to = name_of(sock, name, namelen)
    pointers.check_result_buffer(lpCalleeData)
    sock.connect(to)
    pointers.store_result(lpCalleeData, b"")
    return 0


@call(SOCKET_ERROR)
def WSADuplicateSocket(s: int, dwProcessId: int, lpProtocolInfo: WSAPROTOCOL_INFO) -> int:
    """Fail: sockets stay in the process that made them (SK-25)."""
    process.sockets.get(s)
    if not isinstance(lpProtocolInfo, WSAPROTOCOL_INFO):
        raise pointers.bad_pointer("lpProtocolInfo")
    raise error(constants.WSAEOPNOTSUPP, "a socket has one process")


@call(SOCKET_ERROR)
def shutdown(s: int, how: int) -> int:
    """End one direction, or both; on a c_root that ends the session."""
    process.sockets.get(s).shutdown(how)
    return 0


@call(SOCKET_ERROR)
def closesocket(s: int) -> int:
    """Close the socket."""
    sock = process.sockets.get(s)
    try:
        sock.close()
    finally:
        # A cancelled wait has closed it too.
        if sock.is_closed:
            process.sockets.remove(s)
    return 0


@call(SOCKET_ERROR)
def getsockname(s: int, name: bytearray, namelen: Ref[int]) -> int:
    """Store where the socket is bound."""
    pointers.store_name(process.sockets.get(s).local_address, name, namelen)
    return 0


@call(SOCKET_ERROR)
def getpeername(s: int, name: bytearray, namelen: Ref[int]) -> int:
    """Store whom the socket is joined to."""
    pointers.store_name(process.sockets.get(s).peer_address, name, namelen)
    return 0


def _accept(
    s: int,
    addr: bytearray | None,
    addrlen: Ref[int] | None,
    function: ConditionFunction | None = None,
    callback_data: object = None,
) -> int:
    sock = process.sockets.get(s)
    # AC-16: with one of the two NULL, no address is stored.
    wants_address = addr is not None and addrlen is not None
    try:
        if wants_address:
            pointers.check_room(addr, addrlen, sock.entry.family)
        if not (function is None or callable(function)):
            raise pointers.bad_pointer("lpfnCondition")
    except MultipointError:
        # EV-25: a call that fails re-enables too.
        sock.reenable_accept()
        raise
    accepted = sock.accept(_condition(function, callback_data) if function else None)
    if wants_address:
        pointers.store_name(accepted.peer_address, addr, addrlen)
    return process.sockets.add(accepted)


def _condition(function: ConditionFunction, callback_data: object) -> Condition:
    """Return our kind of condition function around one of Winsock's shape (AC-20 to AC-28)."""

    def decide(caller: Caller) -> Verdict:
        caller_id, callee_id = (_buffer(sockaddr(*at).pack()) for at in (caller.address, caller.local))
        data = _buffer(caller.data) if caller.data else None
        answer = WSABUF(caller.capacity, bytearray(caller.capacity))
        group = Ref(0)
        action = function(caller_id, data, caller.qos, None, callee_id, answer, group, callback_data)
        pointers.read_qos(caller.qos)
        return Verdict(
            action, _given(answer, caller.capacity), caller.qos, group.value if isinstance(group.value, int) else 0
        )

    return decide


def _given(answer: WSABUF, capacity: int) -> bytes:
    """AC-22: whatever length the function leaves; more than there is room for, or no length, the socket refuses."""
    length = answer.len if isinstance(answer.len, int) and 0 <= answer.len <= capacity else capacity + 1
    pointers.read_memory(answer.buf, 0)
    return bytes(answer.buf or b"")[:length].ljust(length, b"\0")


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
    group_qos = pointers.read_qos(gqos)
    sock.check_caller_data(data)
    return JoinRequest(
        *(role, data, capacity, qos),
        deliver=lambda answer: pointers.store_result(callee_data, answer),
        group_qos=group_qos,
    )
