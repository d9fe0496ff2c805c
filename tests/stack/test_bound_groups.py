"""Plain group sockets bound to one address of the host: they hear the group, and unicast to that address only."""

import errno
import os
import socket

import pytest
from tests.stack.network import Pair, isolated
from tests.stack.people import LEAF, code_of

from multipoint import constants as c
from multipoint.packetfilter import KEEP, program
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import JoinRequest

FAMILIES = {c.AF_INET: (socket.AF_INET, "239.1.2.3", "127.0.0.1"), c.AF_INET6: (socket.AF_INET6, "ff15::123", "::1")}


def a_member(stack: Stack, family: int, host: str, group: tuple[str, int]) -> MultipointSocket:
    sock = stack.socket(family, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
    sock.bind((host, group[1]))
    sock.join(group, JoinRequest())
    return sock


def send_once_routed(peer: socket.socket, data: bytes, to: tuple[str, int]) -> None:
    """Send as soon as the kernel has made its route for IPv6 groups, a moment after the link is up."""
    while True:
        try:
            peer.sendto(data, to)
        except OSError as reason:
            if reason.errno != errno.ENETUNREACH:
                raise
            os.sched_yield()
        else:
            return


@pytest.mark.requirement("JL-22", "DP-05", "DP-03", "DP-40", "IO-09")
@pytest.mark.parametrize("family", FAMILIES)
@isolated
def test_group_socket_bound_to_one_address(family: int) -> None:
    kernel_family, group, loopback = FAMILIES[family]
    pair = Pair()
    there = pair.right.address if family == c.AF_INET else pair.right.address6
    here = pair.left.address if family == c.AF_INET else pair.left.address6
    with pair.right:
        peer = socket.socket(kernel_family, socket.SOCK_DGRAM)
        peer.bind((there, 6000))
        if family == c.AF_INET6:
            peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("eth0"))
    with pair.left, Stack() as stack:
        member = a_member(stack, family, here, (group, 6000))
        assert member.local_address == (here, 6000)
        send_once_routed(peer, b"to the group", (group, 6000))
        assert member.receive() == (b"to the group", (there, 6000))
        peer.sendto(b"to you", (here, 6000))
        assert member.receive()[0] == b"to you"
        # Of unicast to the host's other address nothing comes, whatever the loopback rule says.
        with socket.socket(kernel_family, socket.SOCK_DGRAM) as neighbour:
            for is_on in (True, False):
                member.set_loopback(is_on)
                neighbour.sendto(b"to another address", (loopback, 6000))
                peer.sendto(b"last", (here, 6000))
                assert member.receive()[0] == b"last"
        member.send(b"from the member", (there, 6000))
        assert peer.recvfrom(99)[1][:2] == (here, 6000)
        other = stack.socket(family, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
        unknown = "192.0.2.1" if family == c.AF_INET else "2001:db8::1"
        assert code_of(lambda: other.bind((unknown, 6000))) == c.WSAEADDRNOTAVAIL
    peer.close()


@pytest.mark.requirement("IO-09", "JL-22")
def test_filter_is_none_where_nothing_is_to_be_kept_away() -> None:
    assert program(hears_host=True, address=None) == ()
    for address in ("10.0.0.1", "fd09::1"):
        for hears_host in (True, False):
            steps = program(hears_host, address)
            assert steps[-1] == KEEP
            # No jump leads behind the end.
            assert all(at + 1 + max(yes, no) < len(steps) for at, (_, yes, no, _) in enumerate(steps[:-1]))
