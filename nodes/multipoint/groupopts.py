"""setsockopt for groups: IP_ADD_MEMBERSHIP and its relatives, in Windows' layouts, on plain sockets (SK-40).

May not know: pointers; how a change is done (``memberships``).
"""

import socket
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import IPv4Address, ip_address

from multipoint import constants, kernel
from multipoint.errors import DecodingError, error
from multipoint.group_layouts import GROUP_REQ, GROUP_SOURCE_REQ, IP_MREQ, IP_MREQ_SOURCE, IPV6_MREQ
from multipoint.layouts import SOCKADDR_IN
from multipoint.memberships import Change, Place
from multipoint.plain import PlainSocket
from multipoint.sockets import MultipointSocket
from multipoint.values import SockAddr, endpoint

# What a value means: the place and, where one is named, the source.
Reader = Callable[[MultipointSocket, bytes], tuple[Place, str | None]]


def change_group(change: Change, reader: Reader, sock: MultipointSocket, value: bytes) -> None:
    """Change a filter. Raises WSAENOPROTOOPT on a socket that has no groups."""
    if not isinstance(sock, PlainSocket):
        raise error(constants.WSAENOPROTOOPT, "only plain multicast sockets have groups")
    try:
        place, source = reader(sock, value)
    except DecodingError as reason:
        raise error(constants.WSAEFAULT, str(reason)) from reason
    if not ip_address(place.group).is_multicast:
        raise error(constants.WSAEINVAL, "is no group", group=place.group)
    if source is not None:
        check_source(source)
    check_interface(place.interface)
    sock.change_group(change, place, source)


def check_source(host: str) -> None:
    """Raise WSAEINVAL for an address from which nobody sends."""
    if ip_address(host).is_multicast or ip_address(host).is_unspecified:
        raise error(constants.WSAEINVAL, "is no source", source=host)


def host_of(sock: MultipointSocket, name: SockAddr) -> str:
    """Return the address in a sockaddr, without its scope. Raises WSAEINVAL if it is of another family."""
    if isinstance(name, SOCKADDR_IN) is not (sock.entry.family == constants.AF_INET):
        raise error(constants.WSAEINVAL, "is of another family than the socket")
    return endpoint(name).host.partition("%")[0]


def interface_at(sock: MultipointSocket, address: str) -> int:
    """Return the index of the interface with this IPv4 address, or that is written as 0.x.x.x (DP-06)."""
    number = int(IPv4Address(address))
    if number < 1 << 24:
        return number
    index = kernel.interface_of(sock.family, address)
    if index is None:
        raise error(constants.WSAEADDRNOTAVAIL, "no interface has this address", address=address)
    return index


def check_interface(index: int) -> None:
    """Raise WSAEADDRNOTAVAIL for an index that no interface has; 0 is the system's choice (DP-06)."""
    if index and index not in {number for number, _ in socket.if_nameindex()}:
        raise error(constants.WSAEADDRNOTAVAIL, "no such interface", index=index)


def _mreq(sock: MultipointSocket, value: bytes) -> tuple[Place, str | None]:
    it = IP_MREQ.unpack(value)
    return Place(it.imr_multiaddr, interface_at(sock, it.imr_interface)), None


def _mreq_source(sock: MultipointSocket, value: bytes) -> tuple[Place, str | None]:
    it = IP_MREQ_SOURCE.unpack(value)
    return Place(it.imr_multiaddr, interface_at(sock, it.imr_interface)), it.imr_sourceaddr


def _mreq6(sock: MultipointSocket, value: bytes) -> tuple[Place, str | None]:
    it = IPV6_MREQ.unpack(value)
    return Place(it.ipv6mr_multiaddr, it.ipv6mr_interface), None


def _group_req(sock: MultipointSocket, value: bytes) -> tuple[Place, str | None]:
    it = GROUP_REQ.unpack(value)
    return Place(host_of(sock, it.gr_group), it.gr_interface), None


def _group_source_req(sock: MultipointSocket, value: bytes) -> tuple[Place, str | None]:
    it = GROUP_SOURCE_REQ.unpack(value)
    return Place(host_of(sock, it.gsr_group), it.gsr_interface), host_of(sock, it.gsr_source)


_EITHER_FAMILY = {
    constants.MCAST_JOIN_GROUP: (Change.ADD, _group_req),
    constants.MCAST_LEAVE_GROUP: (Change.DROP, _group_req),
    constants.MCAST_JOIN_SOURCE_GROUP: (Change.ADD_SOURCE, _group_source_req),
    constants.MCAST_LEAVE_SOURCE_GROUP: (Change.DROP_SOURCE, _group_source_req),
    constants.MCAST_BLOCK_SOURCE: (Change.BLOCK, _group_source_req),
    constants.MCAST_UNBLOCK_SOURCE: (Change.UNBLOCK, _group_source_req),
}
_CHANGES: Mapping[int, Mapping[int, tuple[Change, Reader]]] = {
    constants.IPPROTO_IP: {
        constants.IP_ADD_MEMBERSHIP: (Change.ADD, _mreq),
        constants.IP_DROP_MEMBERSHIP: (Change.DROP, _mreq),
        constants.IP_ADD_SOURCE_MEMBERSHIP: (Change.ADD_SOURCE, _mreq_source),
        constants.IP_DROP_SOURCE_MEMBERSHIP: (Change.DROP_SOURCE, _mreq_source),
        constants.IP_BLOCK_SOURCE: (Change.BLOCK, _mreq_source),
        constants.IP_UNBLOCK_SOURCE: (Change.UNBLOCK, _mreq_source),
        **_EITHER_FAMILY,
    },
    constants.IPPROTO_IPV6: {
        constants.IPV6_ADD_MEMBERSHIP: (Change.ADD, _mreq6),
        constants.IPV6_DROP_MEMBERSHIP: (Change.DROP, _mreq6),
        **_EITHER_FAMILY,
    },
}


def setters(level: int) -> dict[int, Callable[[MultipointSocket, bytes], None]]:
    """Return the setters of a level by option."""
    return {name: partial(change_group, change, reader) for name, (change, reader) in _CHANGES[level].items()}
