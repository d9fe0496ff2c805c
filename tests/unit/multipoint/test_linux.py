"""Numbers of Windows and Linux: the tables against the numbers of this kernel, as Python's socket module knows them."""

import socket

import pytest

from multipoint import constants, linux
from multipoint.linux import Option, linux_option


@pytest.mark.requirement("SK-42")
def test_families_are_the_kernel_s() -> None:
    assert linux.LINUX_FAMILIES[constants.AF_INET] == socket.AF_INET
    assert linux.LINUX_FAMILIES[constants.AF_INET6] == socket.AF_INET6
    assert linux.WINDOWS_FAMILIES[socket.AF_INET6] == constants.AF_INET6 == 23


@pytest.mark.requirement("SK-40")
@pytest.mark.parametrize(
    "name",
    [
        *("SO_DEBUG", "SO_REUSEADDR", "SO_DONTROUTE", "SO_BROADCAST", "SO_SNDBUF", "SO_RCVBUF", "SO_KEEPALIVE"),
        *("SO_OOBINLINE", "SO_RCVLOWAT"),
        *("IP_OPTIONS", "IP_HDRINCL", "IP_TOS", "IP_TTL", "IP_MULTICAST_IF", "IP_MULTICAST_TTL", "IP_ADD_MEMBERSHIP"),
        *("IP_DROP_MEMBERSHIP", "IPV6_UNICAST_HOPS", "IPV6_MULTICAST_IF", "IPV6_MULTICAST_HOPS", "IPV6_V6ONLY"),
        *("IPV6_JOIN_GROUP", "IPV6_LEAVE_GROUP"),
    ],
)
def test_option_is_the_kernel_s(name: str) -> None:
    prefix = name.partition("_")[0]
    level = {"SO": constants.SOL_SOCKET, "IP": constants.IPPROTO_IP, "IPV6": constants.IPPROTO_IPV6}[prefix]
    linux_level = {"SO": socket.SOL_SOCKET, "IP": socket.IPPROTO_IP, "IPV6": socket.IPPROTO_IPV6}[prefix]
    assert linux_option(level, getattr(constants, name)) == Option(linux_level, getattr(socket, name))


def test_no_two_options_become_one() -> None:
    assert len(set(linux.LINUX_OPTIONS.values())) == len(linux.LINUX_OPTIONS)


@pytest.mark.requirement("IO-12")
def test_loopback_is_not_the_kernel_s() -> None:
    assert linux_option(constants.IPPROTO_IP, constants.IP_MULTICAST_LOOP) is None
    assert linux_option(constants.IPPROTO_IPV6, constants.IPV6_MULTICAST_LOOP) is None
    assert (socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP) == linux.LINUX_IP_MULTICAST_LOOP
    assert (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP) == linux.LINUX_IPV6_MULTICAST_LOOP


@pytest.mark.requirement("IO-24")
def test_filter_modes_are_swapped() -> None:
    assert linux.LINUX_FILTER_MODES == {constants.MCAST_INCLUDE: 1, constants.MCAST_EXCLUDE: 0}
