"""Final-state ioctls: the whole filter of a group put into force and read back; interfaces that are not there."""

import contextlib
import socket
from collections.abc import Callable
from functools import partial

import pytest
from tests.stack.flows import start
from tests.stack.network import Pair, isolated
from tests.stack.people import LEAF, ROOT

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.group_layouts import GROUP_FILTER, GROUP_REQ, GROUP_SOURCE_REQ, IP_MREQ, IP_MSFILTER, IPV6_MREQ
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6
from multipoint.values import Ref, sockaddr

GROUP, GROUP6, PORT = "239.1.1.1", "ff15::7", 5000
NOWHERE = 999


def a_socket(family: int = c.AF_INET) -> int:
    s = ws.WSASocket(family, c.SOCK_DGRAM, c.IPPROTO_UDP, None, 0, LEAF)
    assert s != c.INVALID_SOCKET
    assert ws.bind(s, sockaddr("::" if family == c.AF_INET6 else "0.0.0.0", PORT), 28) == 0
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(1)) == 0
    return s


def ask(s: int, code: int, given: bytes, room: int = 2000) -> bytes | int:
    """Return the ioctl's output, or the code with which it fails."""
    out, length = bytearray(room), Ref(-1)
    if ws.WSAIoctl(s, code, given, len(given), out, room, length, None, None):
        return ws.WSAGetLastError()
    return bytes(out[: length.value])


def says(pair: Pair, group: str, text: bytes) -> None:
    """Let both ends of the link say something to the group."""
    for place in (pair.right, pair.left):
        with place:
            family = socket.AF_INET6 if ":" in group else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as program:
                program.bind((place.address6 if ":" in group else place.address, 0))
                while True:
                    # The kernel adds the route for IPv6 groups a moment after the link is up.
                    with contextlib.suppress(OSError):
                        program.sendto(text, (group, PORT))
                        break


def heard(pair: Pair, s: int, group: str) -> set[str]:
    """Return the hosts that the socket hears: on a link, what was sent first is there when what follows it is."""
    says(pair, group, b"x")
    barrier = a_barrier(s, group)
    hosts: set[str] = set()
    sender, length, buffer = bytearray(28), Ref(28), bytearray(10)
    while True:
        length.value = 28
        if ws.recvfrom(s, buffer, 10, 0, sender, length) < 0:
            assert ws.WSAGetLastError() == c.WSAEWOULDBLOCK
            continue
        host = ws.address(sender)[0]
        if buffer[:1] == b"!":
            return hosts
        assert host in barrier
        hosts.add(host)


def a_barrier(s: int, group: str) -> set[str]:
    """Send the socket a word that is no group's; return who may be heard before it."""
    six = ":" in group
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as program:
        program.sendto(b"!", ("::1" if six else "127.0.0.1", PORT))
    return {"fd09::1", "fd09::2", "10.9.0.1", "10.9.0.2"}


@pytest.mark.requirement("IO-24", "DP-10")
@isolated
def test_ip_filter_is_replaced_and_read() -> None:
    pair = Pair()
    with pair.left:
        start()
        s = a_socket()
        here, there = pair.left.address, pair.right.address

        def put(mode: int, *sources: str) -> None:
            wanted = IP_MSFILTER(GROUP, here, mode, list(sources)).pack()
            assert ask(s, c.SIO_SET_MULTICAST_FILTER, wanted) == b""

        def read(room: int = 5) -> bytes | int:
            question = IP_MSFILTER(GROUP, here).pack()[:12] + room.to_bytes(4, "little")
            return ask(s, c.SIO_GET_MULTICAST_FILTER, question)

        assert read() == c.WSAEADDRNOTAVAIL
        put(c.MCAST_INCLUDE, there)
        assert heard(pair, s, GROUP) == {there}
        assert read() == IP_MSFILTER(GROUP, here, c.MCAST_INCLUDE, [there]).pack()
        put(c.MCAST_EXCLUDE, there)
        assert heard(pair, s, GROUP) == {here}
        put(c.MCAST_INCLUDE, here, there)
        assert heard(pair, s, GROUP) == {here, there}
        # Room for one: one comes, and how many there are.
        full = IP_MSFILTER(GROUP, here, c.MCAST_INCLUDE, [here, there]).pack()
        assert read() == full
        assert read(room=1) == full[:20]
        # Change-based programming goes on from there: one more unblocked, one dropped.
        put(c.MCAST_EXCLUDE)
        request = IP_MREQ(GROUP, here).pack()
        assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, request, 8) == c.SOCKET_ERROR
        assert ws.WSAGetLastError() == c.WSAEADDRNOTAVAIL
        assert heard(pair, s, GROUP) == {here, there}
        put(c.MCAST_INCLUDE)
        assert read() == c.WSAEADDRNOTAVAIL
        assert heard(pair, s, GROUP) == set()
        assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, request, 8) == 0
        assert read() == IP_MSFILTER(GROUP, here, c.MCAST_EXCLUDE).pack()


@pytest.mark.requirement("IO-24", "DP-10", "DP-40")
@pytest.mark.parametrize("group", [GROUP, GROUP6])
@isolated
def test_group_filter_of_either_family(group: str) -> None:
    pair = Pair()
    with pair.left:
        start()
        six = group == GROUP6
        s = a_socket(c.AF_INET6 if six else c.AF_INET)
        there = pair.right.address6 if six else pair.right.address
        here = pair.left.address6 if six else pair.left.address
        index = socket.if_nametoindex("eth0")
        layout = SOCKADDR_IN6 if six else SOCKADDR_IN

        def filter_of(mode: int, *sources: str) -> bytes:
            return GROUP_FILTER(index, layout(0, group), mode, [layout(0, source) for source in sources]).pack()

        assert ask(s, c.SIOCSMSFILTER, filter_of(c.MCAST_EXCLUDE, here)) == b""
        assert heard(pair, s, group) == {there}
        # An option changes the same filter, and the ioctl tells.
        request = GROUP_SOURCE_REQ(index, layout(0, group), layout(0, here)).pack()
        level = c.IPPROTO_IPV6 if six else c.IPPROTO_IP
        assert ws.setsockopt(s, level, c.MCAST_UNBLOCK_SOURCE, request, len(request)) == 0
        assert ask(s, c.SIOCGMSFILTER, filter_of(c.MCAST_EXCLUDE)) == filter_of(c.MCAST_EXCLUDE)
        assert ask(s, c.SIOCSMSFILTER, filter_of(c.MCAST_INCLUDE, here)) == b""
        question = filter_of(c.MCAST_INCLUDE, there, there)
        assert ask(s, c.SIOCGMSFILTER, question) == filter_of(c.MCAST_INCLUDE, here)
        assert ask(s, c.SIOCGMSFILTER, question, room=200) == c.WSAEFAULT
        assert heard(pair, s, group) == {here}


@pytest.mark.requirement("IO-24", "IO-03", "IO-04")
@isolated
def test_filters_that_make_no_sense() -> None:
    pair = Pair()
    with pair.left:
        start()
        s, six = a_socket(), a_socket(c.AF_INET6)
        rooted = ws.WSASocket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, 0, ROOT)
        fine, here = IP_MSFILTER(GROUP, pair.left.address), pair.left.address
        group, group6 = SOCKADDR_IN(0, GROUP), SOCKADDR_IN6(0, GROUP6)
        for sock, code, given, expected in (
            (s, c.SIO_SET_MULTICAST_FILTER, fine.pack()[:15], c.WSAEFAULT),
            (s, c.SIO_GET_MULTICAST_FILTER, fine.pack()[:15], c.WSAEFAULT),
            (s, c.SIO_SET_MULTICAST_FILTER, fine.pack()[:12] + b"\1\0\0\0", c.WSAEFAULT),
            (s, c.SIO_SET_MULTICAST_FILTER, IP_MSFILTER(GROUP, here, 2).pack(), c.WSAEINVAL),
            (s, c.SIO_SET_MULTICAST_FILTER, IP_MSFILTER("10.0.0.1", here).pack(), c.WSAEINVAL),
            (s, c.SIO_SET_MULTICAST_FILTER, IP_MSFILTER(GROUP, here, 1, [GROUP]).pack(), c.WSAEINVAL),
            (s, c.SIO_GET_MULTICAST_FILTER, IP_MSFILTER("10.0.0.1", here).pack(), c.WSAEINVAL),
            (s, c.SIO_SET_MULTICAST_FILTER, IP_MSFILTER(GROUP, here, c.MCAST_EXCLUDE, ["0.0.0.0"]).pack(), c.WSAEINVAL),
            (s, c.SIO_SET_MULTICAST_FILTER, IP_MSFILTER(GROUP, "10.77.0.1").pack(), c.WSAEADDRNOTAVAIL),
            (s, c.SIOCSMSFILTER, GROUP_FILTER(NOWHERE, group).pack(), c.WSAEADDRNOTAVAIL),
            (s, c.SIOCSMSFILTER, GROUP_FILTER(0, group6).pack(), c.WSAEINVAL),
            (s, c.SIOCSMSFILTER, GROUP_FILTER(0, group).pack()[:140], c.WSAEFAULT),
            (six, c.SIO_SET_MULTICAST_FILTER, fine.pack(), c.WSAEINVAL),
            (rooted, c.SIOCSMSFILTER, GROUP_FILTER(0, group).pack(), c.WSAEINVAL),
            (rooted, c.SIO_GET_MULTICAST_FILTER, fine.pack(), c.WSAEINVAL),
        ):
            assert ask(sock, code, given) == expected
        assert ask(s, c.SIO_GET_MULTICAST_FILTER, fine.pack()) == c.WSAEADDRNOTAVAIL
        # More sources than the kernel keeps: nothing is joined.
        many = IP_MSFILTER(GROUP, here, c.MCAST_INCLUDE, [f"10.9.1.{number}" for number in range(1, 200)])
        assert ask(s, c.SIO_SET_MULTICAST_FILTER, many.pack()) == c.WSAENOBUFS
        assert ask(s, c.SIO_GET_MULTICAST_FILTER, fine.pack()) == c.WSAEADDRNOTAVAIL
        assert heard(pair, s, GROUP) == set()


@pytest.mark.requirement("DP-06")
@isolated
def test_interface_that_is_not_there() -> None:
    pair = Pair()
    with pair.left:
        start()
        s, six = a_socket(), a_socket(c.AF_INET6)
        fresh = ws.WSASocket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, 0, ROOT)
        index, group, group6 = NOWHERE.to_bytes(4, "little"), SOCKADDR_IN(0, GROUP), SOCKADDR_IN6(0, GROUP6)
        of_index = (0).to_bytes(2) + NOWHERE.to_bytes(2)
        sets: list[Callable[[], int]] = [
            partial(ws.setsockopt, sock, level, option, value, len(value))
            for sock, level, option, value in (
                (s, c.IPPROTO_IP, c.IP_MULTICAST_IF, socket.inet_aton("10.77.0.1")),
                (s, c.IPPROTO_IP, c.IP_MULTICAST_IF, of_index),
                (fresh, c.IPPROTO_IP, c.IP_MULTICAST_IF, of_index),
                (fresh, c.IPPROTO_IP, c.IP_MULTICAST_IF, socket.inet_aton("10.77.0.1")),
                (six, c.IPPROTO_IPV6, c.IPV6_MULTICAST_IF, index),
                (s, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, IP_MREQ(GROUP, "10.77.0.1").pack()),
                (s, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, IP_MREQ(GROUP, socket.inet_ntoa(of_index)).pack()),
                (six, c.IPPROTO_IPV6, c.IPV6_ADD_MEMBERSHIP, IPV6_MREQ(GROUP6, NOWHERE).pack()),
                (s, c.IPPROTO_IP, c.MCAST_JOIN_GROUP, GROUP_REQ(NOWHERE, group).pack()),
                (six, c.IPPROTO_IPV6, c.MCAST_JOIN_GROUP, GROUP_REQ(NOWHERE, group6).pack()),
            )
        ]
        for number, call in enumerate(sets):
            assert (number, call(), ws.WSAGetLastError()) == (number, c.SOCKET_ERROR, c.WSAEADDRNOTAVAIL)
        here = socket.if_nametoindex("eth0")
        assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_IF, socket.inet_aton(pair.left.address), 4) == 0
        assert ws.setsockopt(six, c.IPPROTO_IPV6, c.IPV6_MULTICAST_IF, here.to_bytes(4, "little"), 4) == 0
