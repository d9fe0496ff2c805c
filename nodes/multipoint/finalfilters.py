"""Ioctls that replace or read the whole source filter of a group (IO-24): SIOCSMSFILTER and its relatives.

Windows' layouts. Change-based options (``groupopts``) act on the same filter (DP-10). May not know: pointers; how a
filter is changed (``memberships``).
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import TypeVar

from multipoint import constants
from multipoint.errors import DecodingError, error
from multipoint.filters import Mode
from multipoint.group_layouts import GROUP_FILTER, IP_MSFILTER
from multipoint.groupopts import check_interface, check_source, host_of, interface_at
from multipoint.memberships import Place
from multipoint.plain import PlainSocket
from multipoint.sockets import MultipointSocket
from multipoint.values import sockaddr

Layout = TypeVar("Layout", IP_MSFILTER, GROUP_FILTER)

_MODES = {constants.MCAST_INCLUDE: Mode.INCLUDE, constants.MCAST_EXCLUDE: Mode.EXCLUDE}
COUNT_SIZE = 4


def set_group_filter(sock: MultipointSocket, given: bytes) -> bytes:
    """SIOCSMSFILTER: replace the filter of a group of either family."""
    plain, wanted = _plain(sock), _read(GROUP_FILTER.unpack, given)
    sources = [host_of(plain, source) for source in wanted.gf_slist]
    return _replace(plain, _group_place(plain, wanted), wanted.gf_fmode, sources)


def get_group_filter(sock: MultipointSocket, given: bytes) -> bytes:
    """SIOCGMSFILTER: read it; as many sources as the input has room for, and how many there are."""
    plain, (asked, room) = _plain(sock), _question(GROUP_FILTER, given)
    mode, sources = plain.group_filter(_group_place(plain, asked))
    listed = [sockaddr(source, 0) for source in sources[:room]]
    answer = GROUP_FILTER(asked.gf_interface, asked.gf_group, mode.value, listed)
    return _with_count(answer.pack(), GROUP_FILTER.layout.size, len(sources))


def set_ip_filter(sock: MultipointSocket, given: bytes) -> bytes:
    """SIO_SET_MULTICAST_FILTER: replace the filter of an IPv4 group."""
    plain, wanted = _plain(sock, constants.AF_INET), _read(IP_MSFILTER.unpack, given)
    return _replace(plain, _ip_place(plain, wanted), wanted.imsf_fmode, wanted.imsf_slist)


def get_ip_filter(sock: MultipointSocket, given: bytes) -> bytes:
    """SIO_GET_MULTICAST_FILTER: read it, as SIOCGMSFILTER does."""
    plain, (asked, room) = _plain(sock, constants.AF_INET), _question(IP_MSFILTER, given)
    mode, sources = plain.group_filter(_ip_place(plain, asked))
    answer = IP_MSFILTER(asked.imsf_multiaddr, asked.imsf_interface, mode.value, sources[:room])
    return _with_count(answer.pack(), IP_MSFILTER.layout.size, len(sources))


def _replace(plain: PlainSocket, place: Place, mode: int, sources: list[str]) -> bytes:
    if mode not in _MODES:
        raise error(constants.WSAEINVAL, "no filter mode", mode=mode)
    for source in sources:
        check_source(source)
    plain.replace_filter(place, _MODES[mode], sources)
    return b""


def _plain(sock: MultipointSocket, family: int | None = None) -> PlainSocket:
    """IO-04: the ioctl is for plain sockets, of one family or of either."""
    if not isinstance(sock, PlainSocket) or family not in (None, sock.entry.family):
        raise error(constants.WSAEINVAL, "the ioctl is not for this kind of socket")
    return sock


def _read(unpack: Callable[[bytes], Layout], given: bytes) -> Layout:
    try:
        return unpack(given)
    except DecodingError as reason:
        raise error(constants.WSAEFAULT, str(reason)) from reason


def _question(layout: type[Layout], given: bytes) -> tuple[Layout, int]:
    """Return what is asked for, and for how many sources there is room: the count in the input."""
    head = given[: layout.layout.size]
    room = head[-COUNT_SIZE:]
    return _read(layout.unpack, head[:-COUNT_SIZE] + bytes(len(room))), int.from_bytes(room, "little")


def _with_count(answer: bytes, head: int, count: int) -> bytes:
    return answer[: head - COUNT_SIZE] + count.to_bytes(COUNT_SIZE, "little") + answer[head:]


def _ip_place(plain: PlainSocket, it: IP_MSFILTER) -> Place:
    return _checked(Place(it.imsf_multiaddr, interface_at(plain, it.imsf_interface)))


def _group_place(plain: PlainSocket, it: GROUP_FILTER) -> Place:
    return _checked(Place(host_of(plain, it.gf_group), it.gf_interface))


def _checked(place: Place) -> Place:
    if not ip_address(place.group).is_multicast:
        raise error(constants.WSAEINVAL, "is no group", group=place.group)
    check_interface(place.interface)
    return place
