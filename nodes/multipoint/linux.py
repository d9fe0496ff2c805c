"""Windows' numbers and Linux' numbers for the same things (SK-42, D-64): families, levels, options, filter modes.

What is not in a table here is the stack's own business, or is not there. May not know: sockets; Linux numbers are
written down, not asked for, so that the tables read the same everywhere.
"""

from collections.abc import Mapping
from typing import NamedTuple

from multipoint import constants

LINUX_FAMILIES: Mapping[int, int] = {
    constants.AF_UNSPEC: 0,
    constants.AF_INET: 2,
    constants.AF_INET6: 10,
}
WINDOWS_FAMILIES: Mapping[int, int] = {linux: windows for windows, linux in LINUX_FAMILIES.items()}

# C.6, IO-24: the two modes of a source filter are swapped between the systems.
LINUX_FILTER_MODES: Mapping[int, int] = {
    constants.MCAST_INCLUDE: 1,
    constants.MCAST_EXCLUDE: 0,
}


class Option(NamedTuple):
    """A level and an option of it."""

    level: int
    name: int


_SOCKET, _LINUX_SOCKET = constants.SOL_SOCKET, 1
_IP, _IPV6 = constants.IPPROTO_IP, constants.IPPROTO_IPV6

# The options that the kernel carries out under another number. IP_MULTICAST_LOOP is not among them: it acts on the
# wrong side there (IO-12).
LINUX_OPTIONS: Mapping[Option, Option] = {
    Option(_SOCKET, constants.SO_DEBUG): Option(_LINUX_SOCKET, 1),
    Option(_SOCKET, constants.SO_REUSEADDR): Option(_LINUX_SOCKET, 2),
    Option(_SOCKET, constants.SO_DONTROUTE): Option(_LINUX_SOCKET, 5),
    Option(_SOCKET, constants.SO_BROADCAST): Option(_LINUX_SOCKET, 6),
    Option(_SOCKET, constants.SO_SNDBUF): Option(_LINUX_SOCKET, 7),
    Option(_SOCKET, constants.SO_RCVBUF): Option(_LINUX_SOCKET, 8),
    Option(_SOCKET, constants.SO_KEEPALIVE): Option(_LINUX_SOCKET, 9),
    Option(_SOCKET, constants.SO_OOBINLINE): Option(_LINUX_SOCKET, 10),
    Option(_SOCKET, constants.SO_RCVLOWAT): Option(_LINUX_SOCKET, 18),
    Option(_IP, constants.IP_OPTIONS): Option(_IP, 4),
    Option(_IP, constants.IP_HDRINCL): Option(_IP, 3),
    Option(_IP, constants.IP_TOS): Option(_IP, 1),
    Option(_IP, constants.IP_TTL): Option(_IP, 2),
    Option(_IP, constants.IP_MULTICAST_IF): Option(_IP, 32),
    Option(_IP, constants.IP_MULTICAST_TTL): Option(_IP, 33),
    Option(_IP, constants.IP_ADD_MEMBERSHIP): Option(_IP, 35),
    Option(_IP, constants.IP_DROP_MEMBERSHIP): Option(_IP, 36),
    Option(_IP, constants.IP_ADD_SOURCE_MEMBERSHIP): Option(_IP, 39),
    Option(_IP, constants.IP_DROP_SOURCE_MEMBERSHIP): Option(_IP, 40),
    Option(_IP, constants.IP_BLOCK_SOURCE): Option(_IP, 38),
    Option(_IP, constants.IP_UNBLOCK_SOURCE): Option(_IP, 37),
    Option(_IP, constants.IP_PKTINFO): Option(_IP, 8),
    Option(_IPV6, constants.IPV6_UNICAST_HOPS): Option(_IPV6, 16),
    Option(_IPV6, constants.IPV6_MULTICAST_IF): Option(_IPV6, 17),
    Option(_IPV6, constants.IPV6_MULTICAST_HOPS): Option(_IPV6, 18),
    Option(_IPV6, constants.IPV6_ADD_MEMBERSHIP): Option(_IPV6, 20),
    Option(_IPV6, constants.IPV6_DROP_MEMBERSHIP): Option(_IPV6, 21),
    Option(_IPV6, constants.IPV6_V6ONLY): Option(_IPV6, 26),
    **{
        Option(level, windows): Option(level, linux)
        for level in (_IP, _IPV6)
        for windows, linux in {
            constants.MCAST_JOIN_GROUP: 42,
            constants.MCAST_LEAVE_GROUP: 45,
            constants.MCAST_BLOCK_SOURCE: 43,
            constants.MCAST_UNBLOCK_SOURCE: 44,
            constants.MCAST_JOIN_SOURCE_GROUP: 46,
            constants.MCAST_LEAVE_SOURCE_GROUP: 47,
        }.items()
    },
}
# What the stack sets itself and Windows has no name for: DP-04, IO-12.
LINUX_IP_MULTICAST_LOOP = Option(_IP, 34)
LINUX_IP_MULTICAST_ALL = Option(_IP, 49)
LINUX_IPV6_MULTICAST_LOOP = Option(_IPV6, 19)
LINUX_IPV6_MULTICAST_ALL = Option(_IPV6, 29)


def linux_option(level: int, name: int) -> Option | None:
    """Return level and number of the option for the kernel, None if the kernel is not to be asked."""
    return LINUX_OPTIONS.get(Option(level, name))
