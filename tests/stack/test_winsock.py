"""The Winsock-shaped functions: results, codes, last error, out-parameters, events."""

import threading
from collections.abc import Callable
from typing import cast

import pytest
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.flow import QOS
from multipoint.layouts import SOCKADDR_IN6, WSABUF, WSADATA, WSANETWORKEVENTS, WSAPROTOCOL_INFO
from multipoint.values import Ref, Settings, sockaddr

P2MP = 302
ANYWHERE = sockaddr("127.0.0.1", 0)
NOBODY = sockaddr("127.0.0.1", 9)


def start() -> None:
    assert ws.WSAStartup(0x0202, WSADATA(), settings=Settings(join_timeout_s=3)) == 0


def a_socket(flags: int) -> int:
    s = ws.WSASocket(c.AF_INET, c.SOCK_SEQPACKET, P2MP, None, 0, flags)
    assert s != c.INVALID_SOCKET
    return s


def a_listening(flags: int) -> tuple[int, bytes]:
    s = a_socket(flags)
    assert ws.bind(s, ANYWHERE, 16) == ws.listen(s, 5) == 0
    name = bytearray(16)
    assert ws.getsockname(s, name, Ref(16)) == 0
    return s, bytes(name)


def join(s: int, name: object, namelen: int = 16, flags: int = c.JL_BOTH, **others: object) -> int:
    data, answer, sqos, gqos = (
        others.get(parameter) for parameter in ("lpCallerData", "lpCalleeData", "lpSQOS", "lpGQOS")
    )
    # What C would not stop either is tested too: pointers to anything.
    function = cast("Callable[..., int]", ws.WSAJoinLeaf)
    return function(s, name, namelen, data, answer, sqos, gqos, flags)


def events_of(s: int, event: int, wanted: int) -> dict[int, int]:
    """Wait until ``wanted`` has been recorded; return all events on the way with their codes."""
    seen: dict[int, int] = {}
    while wanted not in seen:
        assert ws.WSAWaitForMultipleEvents(1, [event], False, 5000, False) == c.WSA_WAIT_EVENT_0
        found = WSANETWORKEVENTS()
        assert ws.WSAEnumNetworkEvents(s, event, found) == 0
        seen |= {1 << bit: found.iErrorCode[bit] for bit in range(c.FD_MAX_EVENTS) if found.lNetworkEvents & 1 << bit}
    return seen


@pytest.mark.requirement("SU-01", "SU-02", "SU-03", "SU-04", "SU-06", "SU-07", "SU-08", "SU-12")
@isolated
def test_start_and_clean_up_count() -> None:
    assert ws.WSACleanup() == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSANOTINITIALISED
    assert ws.WSASocket(c.AF_INET, 0, 0, None, 0, 0) == c.INVALID_SOCKET
    ws.WSASetLastError(7)
    assert ws.WSAStartup(0x0000, WSADATA()) == c.WSAVERNOTSUPPORTED
    assert ws.WSAStartup(0x0202, None) == c.WSAEFAULT
    assert ws.WSAGetLastError() == 7
    for asked, given in ((0x0101, 0x0101), (0x0202, 0x0202), (0x0303, 0x0202), (0x0501, 0x0101)):
        data = WSADATA()
        assert ws.WSAStartup(asked, data) == 0
        assert (data.wVersion, data.wHighVersion) == (given, 0x0202)
    s = a_socket(LEAF)
    for _ in range(3):
        assert ws.WSACleanup() == 0
        assert ws.getsockopt(s, c.SOL_SOCKET, c.SO_TYPE, bytearray(4), Ref(4)) == 0
    assert ws.WSACleanup() == 0
    assert ws.WSACleanup() == c.SOCKET_ERROR
    start()
    assert ws.listen(s, 1) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAENOTSOCK


@pytest.mark.requirement("SU-13")
@isolated
def test_last_error_belongs_to_the_thread() -> None:
    start()
    assert ws.listen(12345, 1) == c.SOCKET_ERROR
    others: list[int] = []
    thread = threading.Thread(target=lambda: others.append(ws.WSAGetLastError()))
    thread.start()
    thread.join()
    assert others == [0]
    a_socket(LEAF)
    assert ws.WSAGetLastError() == c.WSAENOTSOCK
    ws.WSASetLastError(7)
    assert ws.WSAGetLastError() == 7


@pytest.mark.requirement("SU-14", "SU-15")
@isolated
def test_catalogue() -> None:
    start()
    length = Ref(0)
    assert ws.WSAEnumProtocols(None, None, length) == c.SOCKET_ERROR
    assert (ws.WSAGetLastError(), length.value) == (c.WSAENOBUFS, 8 * WSAPROTOCOL_INFO.size)
    buffer = bytearray(length.value)
    for room, told in ((buffer, length.value - 1), (bytearray(length.value - 1), length.value), (None, length.value)):
        needed = Ref(told)
        assert ws.WSAEnumProtocols(None, room, needed) == c.SOCKET_ERROR
        assert (ws.WSAGetLastError(), needed.value) == (c.WSAENOBUFS, length.value)
    assert not any(buffer)
    assert ws.WSAEnumProtocols(None, buffer, length) == 8
    entry = WSAPROTOCOL_INFO.unpack(buffer[2 * WSAPROTOCOL_INFO.size :])
    s = ws.WSASocket(-1, -1, -1, entry, 0, ROOT)
    assert s != c.INVALID_SOCKET
    assert ws.WSAEnumProtocols([P2MP, 0, 17], buffer, length) == 2


@pytest.mark.requirement("JL-16", "JL-18", "JL-02")
@isolated
def test_checks_of_a_join_come_in_their_order() -> None:
    # Each call has one mistake more than the next one, so it must fail with the code of the earliest.
    s = 12345
    assert join(s, None, 0, 0) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == c.WSANOTINITIALISED
    start()
    plain = ws.socket(c.AF_INET, c.SOCK_DGRAM, 0)
    leaf = a_socket(LEAF)
    group = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, 0, None, 0, LEAF)
    wrong_family = SOCKADDR_IN6(0, "::")
    data = WSABUF(1, b"x")
    cases: list[tuple[Callable[[], int], int]] = [
        (lambda: join(12345, None, 0, 0), c.WSAENOTSOCK),
        (lambda: join(plain, None, 0, c.JL_BOTH), c.WSAEINVAL),
        (lambda: join(leaf, None, 0, 3), c.WSAEINVAL),
        (lambda: join(leaf, None, 0), c.WSAEFAULT),
        (lambda: join(leaf, wrong_family, 12), c.WSAEFAULT),
        (lambda: join(leaf, wrong_family, 28, lpCallerData=WSABUF(5, None)), c.WSAEFAULT),
        (lambda: join(leaf, wrong_family, 28, lpCallerData=WSABUF(1025, bytes(1025))), c.WSAEFAULT),
        (lambda: join(leaf, wrong_family, 28, lpSQOS=b"short"), c.WSAEFAULT),
        (lambda: join(leaf, wrong_family, 28, lpGQOS=QOS(ProviderSpecific=WSABUF(9, None))), c.WSAEFAULT),
        (lambda: join(group, wrong_family, 28, lpCallerData=data), c.WSAEAFNOSUPPORT),
        (lambda: join(group, sockaddr("10.0.0.1", 0), lpCallerData=data), c.WSAEPROTONOSUPPORT),
        (lambda: join(group, sockaddr("10.0.0.1", 5)), c.WSAEADDRNOTAVAIL),
        (lambda: join(leaf, sockaddr("0.0.0.0", 5)), c.WSAEADDRNOTAVAIL),
    ]
    for call, code in cases:
        assert call() == c.INVALID_SOCKET
        assert ws.WSAGetLastError() == code
    # Nothing was changed by any of them.
    for s in (leaf, group):
        assert ws.getsockname(s, bytearray(16), Ref(16)) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSAEINVAL


@pytest.mark.requirement(
    "JL-25", "JL-27", "JL-28", "JL-51", "JL-61", "JL-39", "EV-39", "EV-37", "EV-41", "JL-45", "EV-15"
)
@isolated
def test_nonblocking_join_tells_by_event() -> None:
    start()
    root, leaf = a_socket(ROOT), a_listening(LEAF)
    event, at_leaf = ws.WSACreateEvent(), ws.WSACreateEvent()
    assert ws.WSAEventSelect(root, event, c.FD_CONNECT | c.FD_CLOSE | c.FD_WRITE) == 0
    assert ws.WSAEventSelect(leaf[0], at_leaf, c.FD_ACCEPT) == 0
    callee = WSABUF(100, bytearray(100))
    leg = join(root, leaf[1], lpCalleeData=callee)
    assert leg not in (c.INVALID_SOCKET, root)
    assert ws.send(leg, b"x", 1, 0) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAENOTCONN
    # JL-61: untouched before completion
    assert (callee.len, callee.buf) == (100, bytes(100))
    assert join(root, leaf[1]) == c.INVALID_SOCKET
    assert ws.WSAGetLastError() == c.WSAEALREADY
    assert events_of(leaf[0], at_leaf, c.FD_ACCEPT) == {c.FD_ACCEPT: 0}
    seen: list[object] = []

    def condition(*args: object) -> int:
        seen.extend(args)
        answer = args[5]
        assert isinstance(answer, WSABUF)
        assert isinstance(answer.buf, bytearray)
        answer.buf[:2], answer.len = b"ok", 2
        return c.CF_ACCEPT

    member = ws.WSAAccept(leaf[0], bytearray(16), Ref(16), condition, "data")
    assert member != c.INVALID_SOCKET
    assert seen[7] == "data"
    assert events_of(root, event, c.FD_CONNECT)[c.FD_CONNECT] == 0
    assert (callee.len, callee.buf and bytes(callee.buf[:2])) == (2, b"ok")
    assert ws.closesocket(member) == 0
    assert events_of(leg, event, c.FD_CLOSE)[c.FD_CLOSE] == 0


@pytest.mark.requirement("JL-80", "JL-61", "SK-36", "JL-42", "EV-30")
@isolated
def test_nonblocking_join_that_fails() -> None:
    start()
    root = a_socket(ROOT)
    event = ws.WSACreateEvent()
    ws.WSAEventSelect(root, event, c.FD_CONNECT)
    callee = WSABUF(100, bytearray(100))
    leg = join(root, NOBODY, lpCalleeData=callee)
    assert events_of(root, event, c.FD_CONNECT) == {c.FD_CONNECT: c.WSAECONNREFUSED}
    assert callee.len == 0
    value = bytearray(4)
    assert ws.getsockopt(root, c.SOL_SOCKET, c.SO_ERROR, value, Ref(4)) == 0
    assert int.from_bytes(value, "little") == c.WSAECONNREFUSED
    assert ws.getsockopt(root, c.SOL_SOCKET, c.SO_ERROR, value, Ref(4)) == 0
    assert value == bytes(4)
    assert ws.recv(leg, bytearray(4), 4, 0) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAENOTCONN
    assert ws.closesocket(leg) == 0
    assert join(root, NOBODY) != c.INVALID_SOCKET


@pytest.mark.requirement("CL-12", "DP-15", "AC-16", "AC-30", "SK-34")
@isolated
def test_data_and_end_in_c_words() -> None:
    start()
    root, name = a_listening(ROOT)
    leaf = a_socket(LEAF)
    address = bytearray(16)
    accepting = Meanwhile(lambda: ws.accept(root, address, Ref(16)))
    assert join(leaf, name, lpCallerData=WSABUF(2, b"hi")) == leaf
    leg = accepting.result()
    peer = bytearray(16)
    assert ws.getpeername(leg, peer, Ref(16)) == 0
    assert peer == address
    assert ws.getpeername(root, peer, Ref(16)) == c.SOCKET_ERROR
    assert ws.send(root, b"hello", 5, 0) == 5
    buffer, sender, length = bytearray(10), bytearray(16), Ref(16)
    assert ws.recvfrom(leaf, buffer, 10, c.MSG_PEEK, None, None) == 5
    assert ws.recvfrom(leaf, buffer, 3, 0, sender, length) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEMSGSIZE
    assert buffer[:5] == b"hello"
    assert ws.recvfrom(leaf, buffer, 10, 0, bytearray(8), Ref(8)) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEFAULT
    assert ws.shutdown(root, c.SD_BOTH) == 0
    assert ws.recv(leaf, buffer, 10, 0) == 0
    assert ws.closesocket(root) == 0
    assert ws.closesocket(root) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAENOTSOCK


@pytest.mark.requirement("SK-35", "SK-37", "SK-38", "IO-03", "IO-04", "IO-13", "IO-14", "IO-10", "IO-12", "DP-07")
@isolated
def test_options_and_ioctls() -> None:
    start()
    rooted, group = a_socket(LEAF), ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, 0, None, 0, LEAF)

    def option(s: int, level: int, name: int, size: int = 4) -> int:
        value, length = bytearray(size), Ref(size)
        assert ws.getsockopt(s, level, name, value, length) == 0
        return int.from_bytes(value[: length.value], "little")

    assert option(rooted, c.SOL_SOCKET, c.SO_TYPE) == c.SOCK_SEQPACKET
    assert option(rooted, c.SOL_SOCKET, c.SO_GROUP_ID) == 0
    assert option(group, c.IPPROTO_IP, c.IP_MULTICAST_TTL) == 1
    assert option(group, c.IPPROTO_IP, c.IP_MULTICAST_LOOP) == 1
    seven = (7).to_bytes(4, "little")
    returned = Ref(0)
    assert ws.WSAIoctl(group, c.SIO_MULTICAST_SCOPE, seven, 4, None, 0, returned, None, None) == 0
    assert option(group, c.IPPROTO_IP, c.IP_MULTICAST_TTL) == 7
    assert ws.setsockopt(group, c.IPPROTO_IP, c.IP_MULTICAST_TTL, b"\x03\0\0\0", 4) == 0
    assert option(group, c.IPPROTO_IP, c.IP_MULTICAST_TTL) == 3
    no = bytes(4)
    assert ws.WSAIoctl(group, c.SIO_MULTIPOINT_LOOPBACK, no, 4, None, 0, returned, None, None) == 0
    assert option(group, c.IPPROTO_IP, c.IP_MULTICAST_LOOP) == 0
    for s, ioctl, given, code in (
        (group, c.SIO_MULTICAST_SCOPE, b"\0\x01\0\0", c.WSAEINVAL),
        (group, c.SIO_MULTICAST_SCOPE, b"\0", c.WSAEFAULT),
        (rooted, c.SIO_MULTIPOINT_LOOPBACK, no, c.WSAEINVAL),
        (group, 0x12345678, no, c.WSAEINVAL),
        (group, c.SIO_ENABLE_CIRCULAR_QUEUEING, no, c.WSAEOPNOTSUPP),
    ):
        assert ws.WSAIoctl(s, ioctl, given, len(given), None, 0, returned, None, None) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == code
    for level, name, code in ((99, 1, c.WSAEINVAL), (c.SOL_SOCKET, 0x7777, c.WSAENOPROTOOPT)):
        assert ws.setsockopt(group, level, name, no, 4) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == code


@pytest.mark.requirement("SK-23", "SK-22")
@pytest.mark.parametrize("nonsense", [None, "text", 3.5, object(), [], b""])
@isolated
def test_wrong_types_are_bad_pointers_and_never_raise(nonsense: object) -> None:
    start()
    s, _ = a_listening(ROOT)
    number: Callable[..., int]
    for number, args in (
        (ws.bind, (s, nonsense, 16)),
        (join, (s, nonsense)),
        (ws.getsockname, (s, nonsense, nonsense)),
        (ws.accept, (s, nonsense or 1, Ref(16))),
        (ws.WSAEnumProtocols, (None, nonsense, nonsense)),
        (ws.WSAEnumNetworkEvents, (s, None, nonsense)),
        (ws.ioctlsocket, (s, c.FIONBIO, nonsense)),
        (ws.setsockopt, (s, c.SOL_SOCKET, c.SO_REUSEADDR, nonsense, 4)),
        (ws.send, (s, nonsense, 4, 0)),
        (ws.recv, (s, nonsense, 4, 0)),
        (ws.closesocket, (nonsense,)),
        (ws.WSAEventSelect, (nonsense, 1, 1)),
    ):
        assert number(*args) in (c.SOCKET_ERROR, c.INVALID_SOCKET)
        assert ws.WSAGetLastError() in (c.WSAEFAULT, c.WSAENOTSOCK)


@pytest.mark.requirement("DP-38", "DP-11", "SK-24")
@isolated
def test_several_buffers_are_one_message() -> None:
    start()
    left, right = (ws.socket(c.AF_INET, c.SOCK_DGRAM, 0) for _ in range(2))
    names = bytearray(16), bytearray(16)
    for s, name in ((left, names[0]), (right, names[1])):
        assert ws.bind(s, ANYWHERE, 16) == 0
        assert ws.getsockname(s, name, Ref(16)) == 0
    assert ws.connect(left, names[1], 16) == 0
    count, flags = Ref(0), Ref(0)
    assert ws.WSASend(left, [WSABUF(2, b"ab"), WSABUF(1, b"c")], 2, count, 0, None, None) == 0
    assert count.value == 3
    room = [WSABUF(1, bytearray(1)), WSABUF(5, bytearray(5))]
    sender = bytearray(16)
    assert ws.WSARecvFrom(right, room, 2, count, flags, sender, Ref(16), None, None) == 0
    assert (count.value, [bytes(part.buf or b"") for part in room]) == (3, [b"a", b"bc\0\0\0"])
    assert sender == names[0]
    assert ws.WSASendTo(right, [WSABUF(2, b"hi")], 1, None, 0, bytes(sender), 16, None, None) == 0
    assert ws.WSARecv(left, room, 1, count, flags, None, None) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEMSGSIZE
    assert ws.connect(a_socket(LEAF), names[1], 16) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEOPNOTSUPP


@pytest.mark.requirement("CL-34", "CL-35", "CL-36")
@isolated
def test_disconnect_data() -> None:
    start()
    leaf = a_socket(LEAF)
    assert ws.WSASendDisconnect(leaf, WSABUF(3, b"bye")) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAENOTCONN
    root, name = a_listening(ROOT)
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    leg, event = accepting.result(), ws.WSACreateEvent()
    assert ws.WSAEventSelect(leg, event, c.FD_CLOSE) == 0
    assert ws.WSASendDisconnect(leaf, WSABUF(3, b"bye")) == 0
    assert events_of(leg, event, c.FD_CLOSE) == {c.FD_CLOSE: 0}
    small, large = WSABUF(2, bytearray(2)), WSABUF(10, bytearray(10))
    assert ws.WSARecvDisconnect(leg, small) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEFAULT
    assert ws.WSARecvDisconnect(leg, large) == 0
    assert (large.len, bytes(large.buf or b"")[:3]) == (3, b"bye")
    plain = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, 0, None, 0, LEAF)
    assert ws.WSASendDisconnect(plain, WSABUF(0, b"")) == ws.WSARecvDisconnect(plain, large) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAENOPROTOOPT
    assert ws.WSASendDisconnect(plain, None) == ws.WSARecvDisconnect(plain, None) == 0
