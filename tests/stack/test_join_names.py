"""Whom a join names, in which role: names of both families and every class, the row of sources of a channel."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.stack.calls import failure, start
from tests.stack.network import Pair, isolated
from tests.stack.people import CONFERENCE_ROOT, LEAF, ROOT

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.layouts import WSABUF
from multipoint.values import Ref, sockaddr

C_LEAF_D_ROOT = c.WSA_FLAG_MULTIPOINT_C_LEAF | c.WSA_FLAG_MULTIPOINT_D_ROOT
SIZES = {c.AF_INET: 16, c.AF_INET6: 28}
FAMILIES = pytest.mark.parametrize("family", SIZES, ids=["IPv4", "IPv6"])
WILDCARDS = {c.AF_INET: "0.0.0.0", c.AF_INET6: "::"}
HOSTS = {c.AF_INET: "127.0.0.1", c.AF_INET6: "::1"}
GROUPS = {c.AF_INET: "239.1.2.3", c.AF_INET6: "ff15::3"}
CHANNELS = {c.AF_INET: "232.1.2.3", c.AF_INET6: "ff35::3"}
OTHER = {c.AF_INET: c.AF_INET6, c.AF_INET6: c.AF_INET}
NOT_AVAILABLE = c.WSAEADDRNOTAVAIL
KINDS = [
    pytest.param(17, LEAF, id="MCAST"),
    pytest.param(301, C_LEAF_D_ROOT, id="source"),
    pytest.param(302, LEAF, id="leaf"),
    pytest.param(302, ROOT, id="root"),
    pytest.param(303, LEAF, id="participant"),
    pytest.param(303, CONFERENCE_ROOT, id="conference root"),
]


def a_socket(family: int, protocol: int, flags: int) -> int:
    s = ws.WSASocket(family, 0, protocol, None, 0, flags)
    assert s != c.INVALID_SOCKET
    return s


def join(s: int, name: bytes, namelen: int | None = None, flags: int = c.JL_BOTH, data: WSABUF | None = None) -> int:
    function: Callable[..., int] = ws.WSAJoinLeaf
    return function(s, name, len(name) if namelen is None else namelen, data, None, None, None, flags)


def refuses(result: int) -> int:
    assert result == c.INVALID_SOCKET
    return failure(result)


@pytest.mark.requirement("JL-07", "JL-08", "JL-09", "JL-10", "JL-11", "JL-18")
@FAMILIES
@pytest.mark.parametrize(("protocol", "flags"), KINDS)
@isolated
def test_what_a_name_may_be(protocol: int, flags: int, family: int) -> None:
    start()
    s, size = a_socket(family, protocol, flags), SIZES[family]
    role = c.JL_SENDER_ONLY if protocol == 301 else c.JL_BOTH
    host, group = sockaddr(HOSTS[family], 9).pack(), sockaddr(GROUPS[family], 9).pack()
    right, wrong = (host, group) if protocol >= 302 else (group, host)
    for name, namelen, code in (
        (right, size - 1, c.WSAEFAULT),
        (right, 0, c.WSAEFAULT),
        (right, -size, c.WSAEFAULT),
        (right[:-1], size, c.WSAEFAULT),
        (OTHER[family].to_bytes(2, "little") + right[2:], size, c.WSAEAFNOSUPPORT),
        (sockaddr(WILDCARDS[family], 9).pack(), size, NOT_AVAILABLE),
        (right[:2] + bytes(2) + right[4:], size, NOT_AVAILABLE),
        (wrong, size, NOT_AVAILABLE),
        *([(sockaddr("255.255.255.255", 9).pack(), size, NOT_AVAILABLE)] if family == c.AF_INET else []),
    ):
        assert refuses(join(s, name, namelen, role)) == code, (name, namelen)
        assert failure(ws.getsockname(s, bytearray(28), Ref(28))) == c.WSAEINVAL
    # What follows an address is nobody's business; now it is the network that decides.
    result = join(s, right + b"tail", size + 4, role)
    assert result == s or refuses(result) in (c.WSAECONNREFUSED, c.WSAENETUNREACH)


@pytest.mark.requirement("JL-05", "JL-18")
@pytest.mark.parametrize(("protocol", "flags"), KINDS)
@isolated
def test_flags_are_one_of_three_numbers(protocol: int, flags: int) -> None:
    start()
    s = a_socket(c.AF_INET, protocol, flags)
    name = sockaddr(HOSTS[c.AF_INET] if protocol >= 302 else GROUPS[c.AF_INET], 9).pack()
    for wrong in (0, 3, 5, 6, 7, 8, 9, 0x10, 0x100 | c.JL_BOTH, 1 << 31, -1):
        assert refuses(join(s, name, flags=wrong)) == c.WSAEINVAL, wrong
    roles = (c.JL_SENDER_ONLY,) if protocol == 301 else (c.JL_SENDER_ONLY, c.JL_RECEIVER_ONLY, c.JL_BOTH)
    for role in roles:
        s = a_socket(c.AF_INET, protocol, flags)
        result = join(s, name, flags=role)
        assert result != c.INVALID_SOCKET or refuses(result) in (c.WSAECONNREFUSED, c.WSAENETUNREACH)
        # Its port is free for the next.
        assert ws.closesocket(s) == 0


@pytest.mark.requirement("JL-14")
@pytest.mark.parametrize(("protocol", "flags"), [(17, LEAF), (301, C_LEAF_D_ROOT)])
@isolated
def test_classes_without_connect_data_take_none(protocol: int, flags: int) -> None:
    start()
    s, name = a_socket(c.AF_INET, protocol, flags), sockaddr(GROUPS[c.AF_INET], 9).pack()
    for length in (1, 1024, 1025):
        data = WSABUF(length, bytes(length))
        assert refuses(join(s, name, flags=c.JL_SENDER_ONLY, data=data)) == c.WSAEPROTONOSUPPORT
    assert join(s, name, flags=c.JL_SENDER_ONLY, data=WSABUF(0, None)) == s


@pytest.mark.requirement("JL-13")
@pytest.mark.parametrize("protocol", [302, 303])
@isolated
def test_classes_with_connect_data_take_so_much(protocol: int) -> None:
    start()
    s, name = a_socket(c.AF_INET, protocol, LEAF), sockaddr(HOSTS[c.AF_INET], 9).pack()
    for length, code in ((1025, c.WSAEFAULT), (1024, c.WSAECONNREFUSED)):
        assert refuses(join(s, name, data=WSABUF(length, bytes(length)))) == code


def row(family: int, *sources: str, group: str | None = None) -> bytes:
    """Return the name with which a receiver asks for a channel: the group, then the sources."""
    return b"".join(sockaddr(host, 5000).pack() for host in (group or CHANNELS[family], *sources))


@pytest.mark.requirement("JL-17", "JL-20", "SK-34")
@FAMILIES
@isolated
def test_receiver_names_a_channel_and_up_to_ten_sources(family: int) -> None:
    pair = Pair()
    there = pair.right.address6 if family == c.AF_INET6 else pair.right.address
    others = [f"fd09::{number}" if family == c.AF_INET6 else f"10.9.0.{number}" for number in range(10, 20)]
    with pair.left:
        start()
        s, size = a_socket(family, 301, LEAF), SIZES[family]

        def hears(name: bytes, namelen: int | None = None) -> int:
            return join(s, name, namelen, c.JL_RECEIVER_ONLY)

        full, once = row(family, there, *others[:9]), row(family, there)
        other_family = sockaddr(HOSTS[OTHER[family]], 9).pack().ljust(size, b"\0")[:size]
        for name, namelen, code in (
            (row(family), None, c.WSAEFAULT),
            (once, 2 * size - 1, c.WSAEFAULT),
            (once + b"tail", None, c.WSAEFAULT),
            (once, 3 * size, c.WSAEFAULT),
            (row(family, there, *others), None, c.WSAEFAULT),
            (row(family, there, *others, group=HOSTS[family]), None, c.WSAEFAULT),
            (row(family) + other_family, None, c.WSAEAFNOSUPPORT),
            (row(family, there, GROUPS[family]), None, NOT_AVAILABLE),
            (row(family, WILDCARDS[family]), None, NOT_AVAILABLE),
            (row(family, there, group=HOSTS[family]), None, NOT_AVAILABLE),
            *([(row(family, there, "255.255.255.255"), None, NOT_AVAILABLE)] if family == c.AF_INET else []),
        ):
            assert refuses(hears(name, namelen)) == code, (name, namelen)
            assert failure(ws.getsockname(s, bytearray(28), Ref(28))) == c.WSAEINVAL
        assert hears(full) == s
        peer: Any = bytearray(28)
        assert ws.getpeername(s, peer, Ref(28)) == 0
        assert ws.address(peer) == (CHANNELS[family], 5000)
        assert ws.getsockname(s, peer, Ref(28)) == 0
        assert ws.address(peer) == (WILDCARDS[family], 5000)
        # Connected is said only to who asks rightly.
        assert refuses(hears(row(family, there, *others))) == c.WSAEFAULT
        assert refuses(hears(once)) == c.WSAEISCONN
