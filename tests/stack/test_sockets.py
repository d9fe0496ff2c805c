"""Making sockets: which one comes, its flags, groups, limits; binding and sharing addresses; names; options."""

import fcntl
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.stack.network import isolated
from tests.stack.people import CONFERENCE_ROOT, LEAF, ROOT, Meanwhile

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.catalogue import CATALOGUE, Entry
from multipoint.flow import QOS
from multipoint.layouts import LINGER, SOCKADDR_IN6, WSABUF, WSADATA, WSAPROTOCOL_INFO
from multipoint.values import Ref, Settings, sockaddr

GROUP = sockaddr("239.1.2.3", 6000)
ANYWHERE = sockaddr("127.0.0.1", 0)
DESCRIPTORS = Path("/proc/self/fd")
ENTRIES = pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.info().szProtocol)


def start(**settings: object) -> None:
    assert ws.WSAStartup(0x0202, WSADATA(), settings=Settings(**settings)) == 0  # type: ignore[arg-type]


def a_socket(flags: int = LEAF, protocol: int = 302, g: int = 0) -> int:
    s = ws.WSASocket(c.AF_INET, 0, protocol, None, g, flags)
    assert s != c.INVALID_SOCKET
    return s


def name_of(s: int) -> tuple[str, int]:
    name = bytearray(16)
    assert ws.getsockname(s, name, Ref(16)) == 0
    return ws.address(name)


def number(s: int, option: int, level: int = c.SOL_SOCKET) -> int:
    value, length = bytearray(4), Ref(4)
    assert ws.getsockopt(s, level, option, value, length) == 0
    return int.from_bytes(value, "little")


def switch(s: int, option: int, value: int = 1) -> None:
    assert ws.setsockopt(s, c.SOL_SOCKET, option, value.to_bytes(4, "little"), 4) == 0


def descriptors() -> set[int]:
    """Return the descriptors of this process that are open."""
    return {int(path.name) for path in DESCRIPTORS.iterdir() if path.exists()}


def failure(result: int) -> int:
    """Return the code of a call that has failed."""
    assert result in (c.INVALID_SOCKET, c.SOCKET_ERROR)
    return ws.WSAGetLastError()


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
    # Blocking, and without a registration: FIONBIO 0 is no contradiction, and no event is recorded.
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(0)) == 0
    assert ws.closesocket(s) == 0
    assert failure(ws.closesocket(s)) == c.WSAENOTSOCK
    assert ws.closesocket(other) == 0


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
    s = ws.socket(c.AF_INET, 0, protocol)
    assert s != c.INVALID_SOCKET
    name = GROUP if protocol < 302 else sockaddr("127.0.0.1", 5)
    assert failure(ws.WSAJoinLeaf(s, name, 16, None, None, None, None, c.JL_BOTH)) == c.WSAEINVAL
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
    holding = []
    try:
        while True:
            holding.append(os.dup(0))
    except OSError:
        pass
    assert ws.WSAStartup(0x0202, WSADATA()) == c.WSAEPROCLIM
    for descriptor in holding:
        os.close(descriptor)
    start()


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


@pytest.mark.requirement("AC-28", "AC-19", "AC-21", "AC-23")
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


# Binding


@pytest.mark.requirement("SK-26", "SK-28")
@pytest.mark.parametrize("protocol", [17, 302])
@isolated
def test_names_that_can_not_be_bound(protocol: int) -> None:
    start()
    s = a_socket(LEAF, protocol)
    bind: Callable[..., int] = ws.bind
    for name, length, code in (
        (None, 16, c.WSAEFAULT),
        (ANYWHERE, 15, c.WSAEFAULT),
        (ANYWHERE.pack()[:8], 16, c.WSAEFAULT),
        (SOCKADDR_IN6(0, "::1"), 28, c.WSAEFAULT),
        (GROUP, 16, c.WSAEADDRNOTAVAIL),
        (sockaddr("192.0.2.1", 0), 16, c.WSAEADDRNOTAVAIL),
        (sockaddr("255.255.255.255", 5), 16, c.WSAEACCES),
    ):
        assert failure(bind(s, name, length)) == code
    assert ws.bind(s, ANYWHERE, 16) == 0
    assert failure(ws.bind(s, ANYWHERE, 16)) == c.WSAEINVAL
    assert failure(ws.bind(a_socket(LEAF, protocol), sockaddr(*name_of(s)), 16)) == c.WSAEADDRINUSE


@pytest.mark.requirement("SK-27", "SK-33")
@pytest.mark.parametrize("protocol", [17, 302])
@isolated
def test_port_0_takes_one_from_the_range(protocol: int) -> None:
    start(first_port=50000, last_port=50003)
    sockets = [a_socket(LEAF, protocol) for _ in range(4)]
    for s in sockets:
        assert ws.bind(s, sockaddr("0.0.0.0", 0), 16) == 0
    assert {name_of(s)[1] for s in sockets} == {50000, 50001, 50002, 50003}
    assert {name_of(s)[0] for s in sockets} == {"0.0.0.0"}
    assert failure(ws.bind(a_socket(LEAF, protocol), sockaddr("0.0.0.0", 0), 16)) == c.WSAEADDRINUSE
    assert failure(ws.getsockname(sockets[0], bytearray(15), Ref(16))) == c.WSAEFAULT
    assert failure(ws.getsockname(sockets[0], bytearray(16), Ref(15))) == c.WSAEFAULT
    default = Settings()
    assert (default.first_port, default.last_port) == (49152, 65535)


SHARING = [
    # options of the first, of the second, what the second bind gives
    ((), (), c.WSAEADDRINUSE),
    ((c.SO_REUSEADDR,), (), c.WSAEADDRINUSE),
    ((), (c.SO_REUSEADDR,), 0),
    ((c.SO_REUSEADDR,), (c.SO_REUSEADDR,), 0),
    ((c.SO_EXCLUSIVEADDRUSE,), (c.SO_REUSEADDR,), c.WSAEACCES),
    ((c.SO_EXCLUSIVEADDRUSE,), (), c.WSAEADDRINUSE),
    ((), (c.SO_EXCLUSIVEADDRUSE,), c.WSAEADDRINUSE),
]


@pytest.mark.requirement("SK-29", "SK-30", "JL-23", "DI-16", "DI-17")
@pytest.mark.parametrize("protocol", [17, 302])
@pytest.mark.parametrize(("first", "second", "code"), SHARING)
@isolated
def test_who_may_share_an_address(protocol: int, first: tuple[int, ...], second: tuple[int, ...], code: int) -> None:
    start()
    owner, other = a_socket(LEAF, protocol), a_socket(LEAF, protocol)
    for s, options in ((owner, first), (other, second)):
        for option in options:
            switch(s, option)
    assert ws.bind(owner, ANYWHERE, 16) == 0
    # Too late to change anything: the owner's mind is made up.
    switch(owner, c.SO_EXCLUSIVEADDRUSE, int(c.SO_EXCLUSIVEADDRUSE not in first))
    result = ws.bind(other, sockaddr(*name_of(owner)), 16)
    assert (failure(result) if code else result) == code


@pytest.mark.requirement("SK-32", "AC-08", "AC-02")
@isolated
def test_shared_address_is_committed_by_listen() -> None:
    start()
    first, second = a_socket(ROOT), a_socket(ROOT)
    switch(second, c.SO_REUSEADDR)
    assert failure(ws.listen(first, 5)) == c.WSAEINVAL
    assert ws.bind(first, sockaddr("0.0.0.0", 0), 16) == 0
    assert ws.bind(second, sockaddr("0.0.0.0", name_of(first)[1]), 16) == 0
    assert ws.listen(first, 5) == 0
    assert failure(ws.listen(second, 5)) == c.WSAEADDRINUSE
    assert number(second, c.SO_ACCEPTCONN) == 0
    assert ws.closesocket(first) == ws.listen(second, 5) == 0


@pytest.mark.requirement("SK-32", "JL-20", "JL-23", "JL-21")
@isolated
def test_taken_port_shows_in_the_join_that_binds() -> None:
    start()
    owner, joiner = a_socket(LEAF, 17), a_socket(LEAF, 17)
    switch(owner, c.SO_EXCLUSIVEADDRUSE)
    assert ws.bind(owner, sockaddr("0.0.0.0", 6000), 16) == 0
    for share in (0, 1):
        switch(joiner, c.SO_REUSEADDR, share)
        code = failure(ws.WSAJoinLeaf(joiner, GROUP, 16, None, None, None, None, c.JL_BOTH))
        assert code == c.WSAEADDRINUSE
    assert failure(ws.getsockname(joiner, bytearray(16), Ref(16))) == c.WSAEINVAL


# Names, options, what is not offered


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


@pytest.mark.requirement("SK-38", "SK-39")
@isolated
def test_options_that_are_kept() -> None:
    start()
    root = a_socket(ROOT)
    linger = bytearray(4)
    assert ws.getsockopt(root, c.SOL_SOCKET, c.SO_LINGER, linger, Ref(4)) == 0
    assert LINGER.unpack(linger) == LINGER(0, 0)
    assert number(root, c.SO_DONTLINGER) == 1
    assert ws.setsockopt(root, c.SOL_SOCKET, c.SO_LINGER, LINGER(1, 7).pack(), 4) == 0
    assert number(root, c.SO_DONTLINGER) == 0
    switch(root, c.SO_DONTLINGER)
    assert ws.getsockopt(root, c.SOL_SOCKET, c.SO_LINGER, linger, Ref(4)) == 0
    assert LINGER.unpack(linger) == LINGER(0, 7)
    assert number(root, c.SO_CONDITIONAL_ACCEPT) == 0
    switch(root, c.SO_CONDITIONAL_ACCEPT)
    assert number(root, c.SO_CONDITIONAL_ACCEPT) == 1
    assert ws.bind(root, ANYWHERE, 16) == ws.listen(root, 5) == 0
    assert number(root, c.SO_ACCEPTCONN) == 1
    assert failure(ws.setsockopt(root, c.SOL_SOCKET, c.SO_CONDITIONAL_ACCEPT, bytes(4), 4)) == c.WSAEINVAL


@pytest.mark.requirement("SK-24", "SK-34", "QS-08")
@pytest.mark.parametrize("protocol", [17, 301, 302, 303])
@isolated
def test_connecting_chooses_whom_a_plain_socket_talks_to(protocol: int) -> None:
    start()
    s, peer = a_socket(LEAF, protocol), ws.socket(c.AF_INET, c.SOCK_DGRAM, 17)
    assert ws.bind(peer, ANYWHERE, 16) == 0
    name = sockaddr(*name_of(peer))
    if protocol >= 302:
        assert failure(ws.connect(s, name, 16)) == c.WSAEOPNOTSUPP
        assert failure(ws.WSAConnect(s, name, 16, None, None, None, None)) == c.WSAEOPNOTSUPP
        return
    assert failure(ws.WSAConnect(s, name, 16, None, None, None, QOS())) == c.WSAEINVAL
    assert ws.WSAConnect(s, name, 16, WSABUF(1, b"x"), None, None, None) == 0
    found = bytearray(16)
    assert ws.getpeername(s, found, Ref(16)) == 0
    assert ws.address(found) == name_of(peer)
    assert ws.send(s, b"hello", 5, 0) == 5
    assert ws.recvfrom(peer, bytearray(9), 9, 0, found, Ref(16)) == 5
    assert ws.address(found)[1] == name_of(s)[1]


@pytest.mark.requirement("SK-35", "SK-26")
@isolated
def test_options_that_the_kernel_carries_out() -> None:
    start()
    s, peer = a_socket(LEAF, 17), ws.socket(c.AF_INET, c.SOCK_DGRAM, 17)
    assert ws.bind(peer, sockaddr("0.0.0.0", 6000), 16) == 0
    everybody = sockaddr("127.255.255.255", 6000)
    assert failure(ws.sendto(s, b"all", 3, 0, everybody, 16)) == c.WSAEACCES
    switch(s, c.SO_BROADCAST)
    assert number(s, c.SO_BROADCAST) == 1
    assert ws.sendto(s, b"all", 3, 0, everybody, 16) == 3
    assert ws.recv(peer, bytearray(9), 9, 0) == 3
    for option in (c.SO_RCVBUF, c.SO_SNDBUF):
        switch(s, option, 30_000)
        assert number(s, option) == 30_000
    # So small a buffer holds few messages.
    switch(peer, c.SO_RCVBUF, 1)
    assert ws.ioctlsocket(peer, c.FIONBIO, Ref(1)) == 0
    for _ in range(100):
        assert ws.sendto(s, bytes(1000), 1000, 0, sockaddr("127.0.0.1", 6000), 16) == 1000
    received = 0
    while ws.recv(peer, bytearray(1000), 1000, 0) == 1000:
        received += 1
    assert received < 100


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
