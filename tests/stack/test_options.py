"""Options of SOL_SOCKET: kept by the stack, or carried out by the kernel. Those of groups are in ``test_groups``."""

from collections.abc import Callable

import pytest
from tests.stack.calls import ANYWHERE, a_socket, failure, number, start, switch
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile, wait_till_blocked

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.group_layouts import GROUP_REQ, GROUP_SOURCE_REQ, IP_MREQ, IP_MREQ_SOURCE, IPV6_MREQ
from multipoint.layouts import LINGER
from multipoint.values import Ref, sockaddr


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
        assert number(s, option) > 1000  # the system's
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


@pytest.mark.requirement("SK-17", "EV-46")
@pytest.mark.parametrize("time_ms", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF])
@isolated
def test_times_of_weeks_are_waited_for(time_ms: int) -> None:
    start()
    s, name = a_socket(LEAF | c.WSA_FLAG_OVERLAPPED, 17), bytearray(16)
    assert ws.bind(s, ANYWHERE, 16) == ws.getsockname(s, name, Ref(16)) == 0
    for option in (c.SO_RCVTIMEO, c.SO_SNDTIMEO):
        switch(s, option, time_ms)
        assert number(s, option) == time_ms
    long = ws.TIMEVAL(time_ms // 1000)
    calls = (lambda: ws.recv(s, bytearray(1), 1, 0), lambda: ws.select(0, ws.fd_set([s]), None, None, long))
    for call in calls:
        waiting = Meanwhile(call)
        wait_till_blocked(process.sockets.get(s))
        assert ws.sendto(s, b"x", 1, 0, bytes(name), 16) == 1
        assert waiting.result() == 1


@pytest.mark.requirement("SK-35")
@isolated
def test_levels_options_and_buffers_that_are_wrong() -> None:
    start()
    s, rooted = a_socket(LEAF, 17), a_socket(ROOT)
    room, number_of_4 = bytearray(8), bytes(4)
    for level, option, code in (
        (99, c.SO_TYPE, c.WSAEINVAL),
        (c.SOL_SOCKET, 0x7777, c.WSAENOPROTOOPT),
        (c.IPPROTO_IP, 0x7777, c.WSAENOPROTOOPT),
    ):
        assert failure(ws.getsockopt(s, level, option, room, Ref(8))) == code
        assert failure(ws.setsockopt(s, level, option, number_of_4, 4)) == code
    # To be read only, to be written only, not for sessions.
    assert failure(ws.setsockopt(s, c.SOL_SOCKET, c.SO_TYPE, number_of_4, 4)) == c.WSAENOPROTOOPT
    assert failure(ws.getsockopt(s, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, room, Ref(8))) == c.WSAENOPROTOOPT
    group = IP_MREQ("239.1.1.1").pack()
    assert failure(ws.setsockopt(rooted, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, group, 8)) == c.WSAENOPROTOOPT
    for option in (c.SO_TYPE, c.SO_LINGER, c.SO_RCVBUF):
        for memory, length in ((None, Ref(4)), (room, None), (room, Ref(3)), (bytearray(3), Ref(4)), (b"1234", Ref(4))):
            assert failure(ws.getsockopt(s, c.SOL_SOCKET, option, memory, length)) == c.WSAEFAULT  # type: ignore[arg-type]
    for option in (c.SO_REUSEADDR, c.SO_LINGER, c.SO_DONTLINGER, c.SO_RCVBUF, c.SO_RCVTIMEO):
        for value, size in ((None, 4), (number_of_4, 3), (number_of_4, 5), (b"", 0), (number_of_4, -1)):
            assert failure(ws.setsockopt(s, c.SOL_SOCKET, option, value, size)) == c.WSAEFAULT  # type: ignore[arg-type]


@pytest.mark.requirement("SK-41", "SK-18")
@pytest.mark.parametrize("how", ["ioctlsocket", "WSAIoctl"])
@isolated
def test_nonzero_is_nonblocking_and_zero_blocking(how: str) -> None:
    start()
    s = a_socket(LEAF | c.WSA_FLAG_OVERLAPPED, 17)
    assert ws.bind(s, ANYWHERE, 16) == 0
    switch(s, c.SO_RCVTIMEO, 10)

    def set_mode(mode: int) -> int:
        if how == "ioctlsocket":
            return ws.ioctlsocket(s, c.FIONBIO, Ref(mode))
        return ws.WSAIoctl(s, c.FIONBIO, mode.to_bytes(4, "little"), 4, None, 0, Ref(0), None, None)

    def receive() -> int:
        return failure(ws.recv(s, bytearray(9), 9, 0))

    # It blocks to begin with: a time limit ends what waits.
    assert receive() == c.WSAETIMEDOUT
    for mode in (1, 2, 0xFFFFFFFF):
        assert set_mode(mode) == 0
        assert receive() == c.WSAEWOULDBLOCK
        assert set_mode(0) == 0
        assert receive() == c.WSAETIMEDOUT
    # A registration makes it nonblocking and keeps it so, whatever its kind.
    registrations: list[Callable[[int], int]] = [
        lambda mask: ws.WSAEventSelect(s, ws.WSACreateEvent(), mask),
        lambda mask: ws.WSAAsyncSelect(s, ws.create_queue(), 7, mask),
    ]
    for register in registrations:
        assert register(c.FD_READ) == 0
        assert receive() == c.WSAEWOULDBLOCK
        assert failure(set_mode(0)) == c.WSAEINVAL
        assert set_mode(1) == 0
        assert receive() == c.WSAEWOULDBLOCK
        assert register(0) == set_mode(0) == 0
        assert receive() == c.WSAETIMEDOUT


V4, V6 = sockaddr("239.1.1.1", 0), sockaddr("ff15::1", 0)


@pytest.mark.requirement("SK-35", "SK-40")
@pytest.mark.parametrize(
    ("family", "level", "option", "value", "code"),
    [
        (c.AF_INET6, c.IPPROTO_IP, c.IP_MULTICAST_TTL, (3).to_bytes(4, "little"), c.WSAENOPROTOOPT),
        (c.AF_INET6, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, IP_MREQ("239.1.1.1").pack(), c.WSAENOPROTOOPT),
        (c.AF_INET, c.IPPROTO_IPV6, c.IPV6_MULTICAST_IF, (1).to_bytes(4, "little"), c.WSAENOPROTOOPT),
        (c.AF_INET, c.IPPROTO_IPV6, c.IPV6_ADD_MEMBERSHIP, IPV6_MREQ("ff15::1", 1).pack(), c.WSAENOPROTOOPT),
        (c.AF_INET, c.IPPROTO_IP, c.MCAST_JOIN_GROUP, GROUP_REQ(1, V6).pack(), c.WSAEINVAL),
        (c.AF_INET6, c.IPPROTO_IPV6, c.MCAST_JOIN_GROUP, GROUP_REQ(1, V4).pack(), c.WSAEINVAL),
        (c.AF_INET, c.IPPROTO_IP, c.MCAST_JOIN_SOURCE_GROUP, GROUP_SOURCE_REQ(1, V4, V6).pack(), c.WSAEINVAL),
        (c.AF_INET, c.IPPROTO_IP, c.MCAST_JOIN_SOURCE_GROUP, GROUP_SOURCE_REQ(1, V4, V4).pack(), c.WSAEINVAL),
        (c.AF_INET, c.IPPROTO_IP, c.IP_ADD_SOURCE_MEMBERSHIP, IP_MREQ_SOURCE("239.1.1.1").pack(), c.WSAEINVAL),
    ],
)
@isolated
def test_options_for_another_family_or_of_nobody(family: int, level: int, option: int, value: bytes, code: int) -> None:
    start()
    s = ws.WSASocket(family, 0, 17, None, 0, LEAF)
    assert failure(ws.setsockopt(s, level, option, value, len(value))) == code
