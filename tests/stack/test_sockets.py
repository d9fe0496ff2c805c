"""Making sockets: which one comes, its flags, groups, limits; what is not offered."""

import fcntl
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.stack.calls import ANYWHERE, GROUP, a_socket, failure, name_of, number, start, switch
from tests.stack.network import isolated
from tests.stack.people import CONFERENCE_ROOT, LEAF, ROOT, Meanwhile

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.catalogue import CATALOGUE, Entry
from multipoint.layouts import WSADATA, WSAPROTOCOL_INFO
from multipoint.values import Ref, sockaddr

DESCRIPTORS = Path("/proc/self/fd")
ENTRIES = pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.info().szProtocol)


def descriptors() -> set[int]:
    """Return the descriptors of this process that are open."""
    return {int(path.name) for path in DESCRIPTORS.iterdir() if path.exists()}


# Which socket comes


@pytest.mark.requirement("SK-01", "SK-18", "SK-03", "SK-37", "SK-21")
@ENTRIES
@isolated
def test_new_socket_is_blocking_unbound_and_not_joined(entry: Entry) -> None:
    start()
    info = entry.info()
    anything = c.FROM_PROTOCOL_INFO
    flags = ROOT if info.dwServiceFlags1 & c.XP1_MULTIPOINT_CONTROL_PLANE else LEAF
    if info.iProtocol == 303:
        flags = CONFERENCE_ROOT
    s, other = (ws.WSASocket(anything, anything, anything, info, 0, flags) for _ in range(2))
    assert 0 <= s < c.INVALID_SOCKET
    assert s != other
    name, length = bytearray(28), Ref(28)
    assert failure(ws.getsockname(s, name, length)) == c.WSAEINVAL
    assert failure(ws.getpeername(s, name, length)) == c.WSAENOTCONN
    assert number(s, c.SO_TYPE) == info.iSocketType
    assert number(s, c.SO_ACCEPTCONN) == number(s, c.SO_ERROR) == number(s, c.SO_GROUP_ID) == 0
    packed, length = bytearray(WSAPROTOCOL_INFO.size), Ref(WSAPROTOCOL_INFO.size)
    assert ws.getsockopt(s, c.SOL_SOCKET, c.SO_PROTOCOL_INFOA, packed, length) == 0
    assert WSAPROTOCOL_INFO.unpack(packed) == info
    packed, length = bytearray(WSAPROTOCOL_INFO.wide_size), Ref(WSAPROTOCOL_INFO.wide_size)
    assert ws.getsockopt(s, c.SOL_SOCKET, c.SO_PROTOCOL_INFOW, packed, length) == 0
    assert WSAPROTOCOL_INFO.unpack(packed, wide=True) == info
    assert process.sockets.get(s).is_blocking
    # Without a registration FIONBIO 0 is no contradiction (SK-41).
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(0)) == 0
    assert ws.closesocket(s) == 0
    assert failure(ws.closesocket(s)) == c.WSAENOTSOCK
    assert ws.closesocket(other) == 0


@pytest.mark.requirement("SU-20", "SK-37", "AC-04", "AC-15", "SK-34")
@ENTRIES
@isolated
def test_what_an_entry_says_of_itself_its_sockets_do(entry: Entry) -> None:
    start()
    info, anything = entry.info(), c.FROM_PROTOCOL_INFO
    s = ws.WSASocket(anything, anything, anything, info, 0, LEAF)
    assert number(s, c.SO_MAX_MSG_SIZE) == info.dwMessageSize
    here = sockaddr("127.0.0.1" if info.iAddressFamily == c.AF_INET else "::1", 0)
    assert ws.bind(s, here, info.iMinSockAddr) == 0
    if info.iSocketType == c.SOCK_SEQPACKET:
        assert ws.listen(s, 5) == 0
        assert ws.ioctlsocket(s, c.FIONBIO, Ref(1)) == 0
        assert failure(ws.accept(s, None, None)) == c.WSAEWOULDBLOCK
        return
    assert failure(ws.listen(s, 5)) == failure(ws.accept(s, None, None)) == c.WSAEOPNOTSUPP
    name, length, room = bytearray(28), Ref(28), bytearray(info.dwMessageSize + 1)
    assert ws.getsockname(s, name, length) == 0
    assert failure(ws.getpeername(s, bytearray(28), Ref(28))) == c.WSAENOTCONN
    whole = info.dwMessageSize
    assert failure(ws.sendto(s, room, whole + 1, 0, bytes(name), length.value)) == c.WSAEMSGSIZE
    if info.iProtocol == c.IPPROTO_UDP:
        assert ws.sendto(s, room, whole, 0, bytes(name), length.value) == whole
        assert ws.recv(s, room, whole, 0) == whole


@pytest.mark.requirement("SK-03", "SK-05", "SU-21")
@isolated
def test_entry_is_taken_as_the_catalogue_has_written_it() -> None:
    start()
    memory, length = bytearray(9999), Ref(9999)
    assert ws.WSAEnumProtocols([302], memory, length) == 2
    make: Callable[..., int] = ws.WSASocket
    anything = c.FROM_PROTOCOL_INFO
    for at in range(0, 2 * WSAPROTOCOL_INFO.size, WSAPROTOCOL_INFO.size):
        s = make(anything, anything, anything, memory[at:], 0, ROOT)
        packed = bytearray(WSAPROTOCOL_INFO.size)
        assert ws.getsockopt(s, c.SOL_SOCKET, c.SO_PROTOCOL_INFOA, packed, Ref(len(packed))) == 0
        assert packed == memory[at : at + len(packed)]
    short = memory[: WSAPROTOCOL_INFO.size - 1]
    assert failure(make(anything, anything, anything, short, 0, ROOT)) == c.WSAEFAULT
    assert failure(make(anything, anything, anything, bytes(WSAPROTOCOL_INFO.size), 0, ROOT)) == c.WSAEINVAL
    read_only = memoryview(bytes(9999))
    assert failure(ws.WSAEnumProtocols(None, read_only, Ref(9999))) == c.WSAEFAULT  # type: ignore[arg-type]


@pytest.mark.requirement("SK-04", "SK-05", "SK-06", "SK-12", "SK-14", "SK-19")
@isolated
def test_sockets_that_are_not_to_be_had() -> None:
    start()
    without = CATALOGUE[0].info()
    without.dwServiceFlags1 &= ~c.XP1_SUPPORT_MULTIPOINT
    any_ = c.FROM_PROTOCOL_INFO
    cases: list[tuple[tuple[object, ...], int]] = [
        ((99, c.SOCK_DGRAM, 0, None, 0, LEAF), c.WSAEAFNOSUPPORT),
        ((c.AF_INET, c.SOCK_RAW, 0, None, 0, LEAF), c.WSAESOCKTNOSUPPORT),
        ((c.AF_INET, c.SOCK_DGRAM, 99, None, 0, LEAF), c.WSAEPROTONOSUPPORT),
        ((c.AF_INET, c.SOCK_DGRAM, 302, None, 0, LEAF), c.WSAEPROTOTYPE),
        ((any_, any_, any_, b"no entry", 0, LEAF), c.WSAEFAULT),
        ((any_, any_, any_, WSAPROTOCOL_INFO(), 0, LEAF), c.WSAEINVAL),
        ((any_, any_, any_, without, 0, LEAF), c.WSAEINVAL),
        ((c.AF_INET, c.SOCK_DGRAM, 0, None, 0, c.WSA_FLAG_MULTIPOINT_C_LEAF), c.WSAEINVAL),
        ((c.AF_INET, c.SOCK_DGRAM, 0, None, 0, LEAF | c.WSA_FLAG_ACCESS_SYSTEM_SECURITY), c.WSAEINVAL),
        ((c.AF_INET, c.SOCK_DGRAM, 0, None, 0, LEAF | c.WSA_FLAG_REGISTERED_IO), c.WSAEINVAL),
        ((c.AF_INET, c.SOCK_DGRAM, 0, None, 0, LEAF | 0x400), c.WSAEINVAL),
        ((c.AF_INET, c.SOCK_DGRAM, 0, None, "none", LEAF), c.WSAEFAULT),
    ]
    make: Callable[..., int] = ws.WSASocket
    for arguments, code in cases:
        assert failure(make(*arguments)) == code


@pytest.mark.requirement("SK-15", "JL-04", "SK-16")
@pytest.mark.parametrize("protocol", [17, 301, 302, 303])
@isolated
def test_socket_without_flags_is_an_ordinary_one(protocol: int) -> None:
    start()
    s, same = ws.socket(c.AF_INET, 0, protocol), a_socket(0, protocol)
    assert s != c.INVALID_SOCKET
    name = GROUP if protocol < 302 else sockaddr("127.0.0.1", 5)
    for ordinary in (s, same):
        for role in (c.JL_SENDER_ONLY, c.JL_RECEIVER_ONLY, c.JL_BOTH):
            assert failure(ws.WSAJoinLeaf(ordinary, name, 16, None, None, None, None, role)) == c.WSAEINVAL
    assert failure(ws.listen(s, 5)) == c.WSAEOPNOTSUPP
    if protocol >= 302:
        assert failure(ws.send(s, b"x", 1, 0)) == c.WSAEOPNOTSUPP
        return
    other = ws.socket(c.AF_INET, 0, protocol)
    assert ws.bind(s, ANYWHERE, 16) == 0
    assert ws.sendto(other, b"hello", 5, 0, sockaddr(*name_of(s)), 16) == 5
    buffer = bytearray(9)
    assert ws.recv(s, buffer, 9, 0) == 5
    assert ws.shutdown(s, c.SD_BOTH) == ws.closesocket(s) == ws.closesocket(other) == 0


@pytest.mark.requirement("SK-16", "SK-17")
@isolated
def test_time_limits_count_on_overlapped_sockets_only() -> None:
    start()
    plain, overlapped = a_socket(LEAF, 17), a_socket(LEAF | c.WSA_FLAG_OVERLAPPED, 17)
    of_socket = ws.socket(c.AF_INET, c.SOCK_DGRAM, 17)
    for s in (plain, overlapped, of_socket):
        assert ws.bind(s, ANYWHERE, 16) == 0
        switch(s, c.SO_RCVTIMEO, 20)
        assert number(s, c.SO_RCVTIMEO) == 20
    # Both began to wait before the others' time was over, and the one without flag still waits then.
    waiting = Meanwhile(lambda: ws.recv(plain, bytearray(4), 4, 0))
    for s in (overlapped, of_socket):
        assert failure(ws.recv(s, bytearray(4), 4, 0)) == c.WSAETIMEDOUT
    assert ws.sendto(of_socket, b"ends", 4, 0, sockaddr(*name_of(plain)), 16) == 4
    assert waiting.result() == 4


@pytest.mark.requirement("SK-19")
@isolated
def test_no_descriptor_is_inherited_by_programs() -> None:
    before = descriptors()
    start()
    s = a_socket(LEAF | c.WSA_FLAG_NO_HANDLE_INHERIT)
    root = a_socket(ROOT)
    assert ws.bind(root, ANYWHERE, 16) == ws.listen(root, 5) == 0
    assert ws.WSAEventSelect(s, ws.WSACreateEvent(), c.FD_ALL_EVENTS) == 0
    new = descriptors() - before
    assert len(new) >= 3
    assert all(fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for descriptor in new)


@pytest.mark.requirement("SK-20", "AC-08", "SU-05")
@isolated
def test_limits_of_descriptors() -> None:
    start()
    bound = a_socket(ROOT)
    assert ws.bind(bound, ANYWHERE, 16) == 0
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(descriptors())
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, limits[1]))
    while (s := ws.WSASocket(c.AF_INET, 0, 17, None, 0, LEAF)) != c.INVALID_SOCKET:
        taken.append(s)
    assert ws.WSAGetLastError() == c.WSAEMFILE
    # A c_root needs no descriptor before it is bound.
    root = a_socket(ROOT)
    assert failure(ws.bind(root, ANYWHERE, 16)) == c.WSAEMFILE
    assert ws.closesocket(taken.pop()) == 0
    assert ws.bind(root, ANYWHERE, 16) == 0
    ws.WSACleanup()
    holding, free = all_that_are_left(), 0
    while (code := ws.WSAStartup(0x0202, WSADATA())) == c.WSAEPROCLIM:
        # Of what was begun nothing is left.
        left = all_that_are_left()
        assert len(left) == free
        holding += left
        free += 1
        for _ in range(free):
            os.close(holding.pop())
    assert code == 0
    assert free > 1


def all_that_are_left() -> list[int]:
    """Take all descriptors that the process can have."""
    taken: list[int] = []
    while True:
        try:
            taken.append(os.dup(0))
        except OSError:
            return taken


@pytest.mark.requirement("SU-05")
@isolated
def test_start_without_a_way_to_watch_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory() -> None:
        raise OSError(12, "Out of memory")

    monkeypatch.setattr("select.epoll", no_memory)
    assert ws.WSAStartup(0x0202, WSADATA()) == c.WSASYSNOTREADY
    assert failure(ws.WSACleanup()) == c.WSANOTINITIALISED


# Socket groups


@pytest.mark.requirement("SK-07", "SK-06", "SK-37", "JL-46", "DI-14")
@pytest.mark.parametrize("dialect", ["modern", "spec1990"])
@isolated
def test_group_lives_as_long_as_a_member(dialect: str) -> None:
    start(dialect=dialect)
    first = a_socket(ROOT, g=c.SG_UNCONSTRAINED_GROUP)
    group = number(first, c.SO_GROUP_ID)
    assert group not in (0, 1, 2)
    second = a_socket(LEAF, g=group)
    assert number(second, c.SO_GROUP_ID) == group
    assert number(a_socket(g=c.SG_CONSTRAINED_GROUP), c.SO_GROUP_ID) not in (0, group)
    assert ws.bind(first, ANYWHERE, 16) == ws.listen(first, 5) == 0
    accepting = Meanwhile(lambda: ws.accept(first, None, None))
    assert ws.WSAJoinLeaf(second, sockaddr(*name_of(first)), 16, None, None, None, None, c.JL_BOTH) == second
    leg = accepting.result()
    assert number(leg, c.SO_GROUP_ID) == 0
    assert ws.closesocket(first) == 0
    third = a_socket(g=group)
    assert ws.closesocket(second) == ws.closesocket(third) == 0
    assert failure(ws.WSASocket(c.AF_INET, 0, 302, None, group, LEAF)) == c.WSAEINVAL


@pytest.mark.requirement("AC-28", "AC-19", "AC-23")
@pytest.mark.parametrize(("g", "has_group"), [(0, False), (c.SG_UNCONSTRAINED_GROUP, True), (4711, False)])
@isolated
def test_condition_function_may_name_a_group(g: int, has_group: bool) -> None:
    start()
    leaf, root = a_socket(LEAF), a_socket(ROOT)
    assert ws.bind(leaf, ANYWHERE, 16) == ws.listen(leaf, 5) == 0
    calls = []

    def condition(*arguments: object) -> int:
        assert arguments[6] == Ref(0)
        calls.append(threading.current_thread())
        arguments[6].value = g
        return c.CF_ACCEPT

    callers = []

    def accept() -> int:
        callers.append(threading.current_thread())
        return ws.WSAAccept(leaf, None, None, condition, None)

    accepting = Meanwhile(accept)
    name = sockaddr(*name_of(leaf))
    assert ws.WSAJoinLeaf(root, name, 16, None, None, None, None, c.JL_BOTH) != c.INVALID_SOCKET
    member = accepting.result()
    # Once, in the thread that called, before WSAAccept returned.
    assert calls == callers
    assert (number(member, c.SO_GROUP_ID) != 0) is has_group


# What is not offered


@pytest.mark.requirement("SK-25")
@pytest.mark.parametrize("protocol", [17, 302])
@isolated
def test_sockets_are_not_duplicated(protocol: int) -> None:
    start()
    duplicate: Callable[..., int] = ws.WSADuplicateSocket
    s = a_socket(LEAF, protocol)
    assert failure(duplicate(s, os.getpid(), WSAPROTOCOL_INFO())) == c.WSAEOPNOTSUPP
    assert failure(duplicate(s, os.getpid(), None)) == c.WSAEFAULT
    assert failure(duplicate(9, os.getpid(), None)) == c.WSAENOTSOCK


@pytest.mark.requirement("SK-23")
@isolated
def test_what_is_no_number_is_a_bad_pointer() -> None:
    start()
    s = a_socket(ROOT)
    calls: list[tuple[Callable[..., int], tuple[object, ...]]] = [
        (ws.listen, (s, "5")),
        (ws.shutdown, (s, None)),
        (ws.setsockopt, (s, [], 1, bytes(4), 4)),
        (ws.getsockopt, (s, c.SOL_SOCKET, {}, bytearray(4), Ref(4))),
        (ws.ioctlsocket, (s, None, Ref(0))),
        (ws.WSAIoctl, (s, c.SIO_MULTICAST_SCOPE, bytes(4), "4", None, 0, Ref(0), None, None)),
        (ws.send, (s, b"x", 1.0, 0)),
        (ws.WSAEnumProtocols, (7, bytearray(9), Ref(9))),
        (ws.WSAEnumProtocols, (None, "text", Ref(9999))),
        (ws.WSAEventSelect, (s, 1, "all")),
    ]
    for call, arguments in calls:
        assert failure(call(*arguments)) == c.WSAEFAULT, call
    start_up: Callable[..., int] = ws.WSAStartup
    assert start_up("2.2", WSADATA()) == c.WSAEFAULT
    assert failure(ws.ioctlsocket(s, c.FIONBIO, Ref("on"))) == c.WSAEFAULT  # type: ignore[arg-type]
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(-1)) == 0
