"""The BSD options of multicast beside WSAJoinLeaf: each one, on both classes that have groups, in both families."""

import socket
from typing import NamedTuple

import pytest
from tests.stack.calls import failure, number, start
from tests.stack.network import Pair, Place, isolated
from tests.stack.people import LEAF
from tests.stack.sniffer import UDP, Sniffer
from tests.stack.test_final_filters import PORT, heard

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.group_layouts import GROUP_REQ, GROUP_SOURCE_REQ, IP_MREQ, IP_MREQ_SOURCE, IPV6_MREQ
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6
from multipoint.values import Ref, sockaddr

SOURCE = c.WSA_FLAG_MULTIPOINT_C_LEAF | c.WSA_FLAG_MULTIPOINT_D_ROOT
LEVELS = {c.AF_INET: c.IPPROTO_IP, c.AF_INET6: c.IPPROTO_IPV6}
GROUPS = {c.AF_INET: "232.1.1.1", c.AF_INET6: "ff35::7"}
WILDCARDS = {c.AF_INET: "0.0.0.0", c.AF_INET6: "::"}
FAMILIES = pytest.mark.parametrize("family", GROUPS, ids=["IPv4", "IPv6"])
CLASSES = pytest.mark.parametrize("protocol", [17, 301], ids=["MCAST", "SSM"])
ANY = {
    "IP_ADD_MEMBERSHIP": (c.AF_INET, c.IP_ADD_MEMBERSHIP, c.IP_DROP_MEMBERSHIP),
    "IPV6_ADD_MEMBERSHIP": (c.AF_INET6, c.IPV6_ADD_MEMBERSHIP, c.IPV6_DROP_MEMBERSHIP),
    "MCAST_JOIN_GROUP, IPv4": (c.AF_INET, c.MCAST_JOIN_GROUP, c.MCAST_LEAVE_GROUP),
    "MCAST_JOIN_GROUP, IPv6": (c.AF_INET6, c.MCAST_JOIN_GROUP, c.MCAST_LEAVE_GROUP),
}
ONE = {
    "IP_ADD_SOURCE_MEMBERSHIP": (c.AF_INET, c.IP_ADD_SOURCE_MEMBERSHIP, c.IP_DROP_SOURCE_MEMBERSHIP),
    "MCAST_JOIN_SOURCE_GROUP, IPv4": (c.AF_INET, c.MCAST_JOIN_SOURCE_GROUP, c.MCAST_LEAVE_SOURCE_GROUP),
    "MCAST_JOIN_SOURCE_GROUP, IPv6": (c.AF_INET6, c.MCAST_JOIN_SOURCE_GROUP, c.MCAST_LEAVE_SOURCE_GROUP),
}
BLOCKING = {
    "IP_BLOCK_SOURCE": (c.AF_INET, c.IP_BLOCK_SOURCE, c.IP_UNBLOCK_SOURCE),
    "MCAST_BLOCK_SOURCE, IPv4": (c.AF_INET, c.MCAST_BLOCK_SOURCE, c.MCAST_UNBLOCK_SOURCE),
    "MCAST_BLOCK_SOURCE, IPv6": (c.AF_INET6, c.MCAST_BLOCK_SOURCE, c.MCAST_UNBLOCK_SOURCE),
}
GENERIC = range(c.MCAST_JOIN_GROUP, c.MCAST_LEAVE_SOURCE_GROUP + 1)


class Hearer(NamedTuple):
    """A socket at eth0 that options let hear a group."""

    s: int
    family: int
    here: Place

    def set(self, option: int, source: str = "") -> None:
        value = self._value(option, source)
        assert ws.setsockopt(self.s, LEVELS[self.family], option, value, len(value)) == 0

    def _value(self, option: int, source: str) -> bytes:
        group, index = GROUPS[self.family], socket.if_nametoindex("eth0")
        if option in GENERIC:
            layout = SOCKADDR_IN6 if self.family == c.AF_INET6 else SOCKADDR_IN
            named = layout(0, group)
            return (GROUP_SOURCE_REQ(index, named, layout(0, source)) if source else GROUP_REQ(index, named)).pack()
        if self.family == c.AF_INET6:
            return IPV6_MREQ(group, index).pack()
        return (
            IP_MREQ_SOURCE(group, source, self.here.address) if source else IP_MREQ(group, self.here.address)
        ).pack()


def a_hearer(pair: Pair, family: int, protocol: int) -> Hearer:
    s = ws.WSASocket(family, c.SOCK_DGRAM, protocol, None, 0, LEAF)
    assert ws.bind(s, sockaddr(WILDCARDS[family], PORT), 28) == 0
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(1)) == 0
    return Hearer(s, family, pair.left)


def host(place: Place, family: int) -> str:
    return place.address6 if family == c.AF_INET6 else place.address


@pytest.mark.requirement("SK-40")
@CLASSES
@pytest.mark.parametrize(("family", "join", "leave"), ANY.values(), ids=ANY)
@isolated
def test_option_joins_a_group_and_another_leaves_it(family: int, join: int, leave: int, protocol: int) -> None:
    pair = Pair()
    with pair.left:
        start()
        hearer, everybody = a_hearer(pair, family, protocol), {host(pair.left, family), host(pair.right, family)}
        hearer.set(join)
        assert pair.left.has_joined(GROUPS[family])
        assert heard(pair, hearer.s, GROUPS[family]) == everybody
        hearer.set(leave)
        assert not pair.left.has_joined(GROUPS[family])
        assert heard(pair, hearer.s, GROUPS[family]) == set()


@pytest.mark.requirement("SK-40")
@CLASSES
@pytest.mark.parametrize(("family", "join", "leave"), ONE.values(), ids=ONE)
@isolated
def test_option_joins_one_source_and_another_drops_it(family: int, join: int, leave: int, protocol: int) -> None:
    pair = Pair()
    with pair.left:
        start()
        hearer, here, there = a_hearer(pair, family, protocol), host(pair.left, family), host(pair.right, family)
        for sources in ([there], [there, here]):
            hearer.set(join, sources[-1])
            assert heard(pair, hearer.s, GROUPS[family]) == set(sources)
        hearer.set(leave, there)
        assert heard(pair, hearer.s, GROUPS[family]) == {here}
        hearer.set(leave, here)
        assert not pair.left.has_joined(GROUPS[family])


@pytest.mark.requirement("SK-40")
@pytest.mark.parametrize(("family", "block", "unblock"), BLOCKING.values(), ids=BLOCKING)
@isolated
def test_option_blocks_a_source_and_another_unblocks_it(family: int, block: int, unblock: int) -> None:
    pair = Pair()
    with pair.left:
        start()
        hearer, here, there = a_hearer(pair, family, 17), host(pair.left, family), host(pair.right, family)
        hearer.set(c.MCAST_JOIN_GROUP)
        hearer.set(block, there)
        assert heard(pair, hearer.s, GROUPS[family]) == {here}
        hearer.set(unblock, there)
        assert heard(pair, hearer.s, GROUPS[family]) == {here, there}


@pytest.mark.requirement("SK-40", "IO-14", "IO-15")
@CLASSES
@FAMILIES
@isolated
def test_interface_and_scope_of_a_sender_are_those_of_the_options(family: int, protocol: int) -> None:
    pair = Pair()
    with pair.left:
        start()
        sniffer, level, index = Sniffer(), LEVELS[family], socket.if_nametoindex("eth0")
        s = ws.WSASocket(family, c.SOCK_DGRAM, protocol, None, 0, SOURCE if protocol == 301 else LEAF)
        order = "big" if family == c.AF_INET else "little"
        assert ws.setsockopt(s, level, c.IP_MULTICAST_IF, index.to_bytes(4, order), 4) == 0  # type: ignore[arg-type]
        # Before the join, and between.
        assert ws.setsockopt(s, level, c.IP_MULTICAST_TTL, (9).to_bytes(4, "little"), 4) == 0
        group, size = sockaddr(GROUPS[family], PORT), 28 if family == c.AF_INET6 else 16
        assert ws.WSAJoinLeaf(s, group, size, None, None, None, None, c.JL_SENDER_ONLY) == s
        while ws.send(s, b"nine", 4, 0) != 4:
            # The route for IPv6 groups comes a moment after the link.
            assert ws.WSAGetLastError() == c.WSAENETUNREACH
        value = (4).to_bytes(4, "little")
        assert ws.WSAIoctl(s, c.SIO_MULTICAST_SCOPE, value, 4, None, 0, Ref(0), None, None) == 0
        assert number(s, c.IP_MULTICAST_TTL, level) == 4
        assert ws.send(s, b"four", 4, 0) == 4
        frames = [frame for frame in sniffer.until(b"four") if frame.protocol == UDP and frame.to == GROUPS[family]]
        assert [(frame.scope, frame.data[8:]) for frame in frames] == [(9, b"nine"), (4, b"four")]


@pytest.mark.requirement("IO-14")
@pytest.mark.parametrize(("protocol", "flags"), [(17, LEAF), (301, SOURCE), (302, LEAF), (303, LEAF)])
@FAMILIES
@isolated
def test_scope_is_one_byte_in_either_way_of_setting_it(family: int, protocol: int, flags: int) -> None:
    start()
    s, level = ws.WSASocket(family, 0, protocol, None, 0, flags), LEVELS[family]

    def both_ways(scope: int) -> list[int]:
        value = scope.to_bytes(4, "little", signed=True)
        return [
            ws.WSAIoctl(s, c.SIO_MULTICAST_SCOPE, value, 4, None, 0, Ref(0), None, None),
            ws.setsockopt(s, level, c.IP_MULTICAST_TTL, value, 4),
        ]

    assert number(s, c.IP_MULTICAST_TTL, level) == 1
    for right in (0, 255, 1, 128):
        assert both_ways(right) == [0, 0]
        assert number(s, c.IP_MULTICAST_TTL, level) == right
    for wrong in (-1, 256, 1 << 30):
        for result in both_ways(wrong):
            assert failure(result) == c.WSAEINVAL
        assert number(s, c.IP_MULTICAST_TTL, level) == 128
