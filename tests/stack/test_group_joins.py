"""When a join of a group is told, and what of it the link sees."""

import socket
from ipaddress import ip_address

import pytest
from tests.stack.network import Pair, isolated
from tests.stack.people import LEAF, Watcher
from tests.stack.sniffer import ICMPV6, IGMP, Frame, Sniffer

from multipoint import constants as c
from multipoint.events import NetworkEvent
from multipoint.kinds import JoinRole
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import JoinRequest

SOURCE = c.WSA_FLAG_MULTIPOINT_C_LEAF | c.WSA_FLAG_MULTIPOINT_D_ROOT
# protocol, flags, role; whether the kernel becomes a member, and so says it to the link
JOINS = {
    "MCAST, both": (17, LEAF, JoinRole.BOTH, True),
    "MCAST, receiver": (17, LEAF, JoinRole.RECEIVER_ONLY, True),
    "MCAST, sender": (17, LEAF, JoinRole.SENDER_ONLY, False),
    "SSM, receiver": (301, LEAF, JoinRole.RECEIVER_ONLY, True),
    "SSM, source": (301, SOURCE, JoinRole.SENDER_ONLY, False),
}
GROUPS = {c.AF_INET: ("239.1.1.1", "239.9.9.9"), c.AF_INET6: ("ff15::1", "ff15::9")}
CHANNELS = {c.AF_INET: "232.1.1.1", c.AF_INET6: "ff35::1"}


def join(stack: Stack, family: int, group: str, how: str, source: str) -> MultipointSocket:
    """Join without blocking, and wait until it is told."""
    protocol, flags, role, _ = JOINS[how]
    sock = stack.socket(family, c.SOCK_DGRAM, protocol, None, flags)
    sock.set_interface(socket.if_nametoindex("eth0"))
    sock.options.reuse_address = True
    watcher = Watcher(sock, c.FD_CONNECT)
    sources = (source,) if protocol == 301 and role.receives else ()
    assert sock.join((group, 5000), JoinRequest(role, sources=sources)) is sock
    assert watcher.wait_for(sock, NetworkEvent.CONNECT) == 0
    return sock


def names(frame: Frame, group: str) -> bool:
    """Tell whether it is a report that names the group."""
    return frame.protocol in (IGMP, ICMPV6) and ip_address(group).packed in frame.data


@pytest.mark.requirement("JL-29", "JL-30", "JL-56", "JL-20", "JL-27", "JL-25")
@pytest.mark.parametrize("how", JOINS)
@pytest.mark.parametrize("family", GROUPS, ids=["IPv4", "IPv6"])
@isolated
def test_join_is_told_when_the_kernel_has_it_and_a_sender_says_nothing(family: int, how: str) -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        protocol, _, role, is_member = JOINS[how]
        source = pair.right.address6 if family == c.AF_INET6 else pair.right.address
        group, mark = CHANNELS[family] if protocol == 301 else GROUPS[family][0], GROUPS[family][1]
        sniffer = Sniffer()
        sock = join(stack, family, group, how, source)
        # No answer of anybody was waited for: nobody is there to answer.
        assert pair.left.has_joined(group) is is_member
        assert sock.peer_address == (group, 5000)
        # Who hears needs the group's port, who only speaks takes a free one.
        assert (sock.local_address.port == 5000) is role.receives
        assert sock.local_address.port in (5000, *range(49152, 65536))
        # What it had to say would be said before what comes after it.
        join(stack, family, mark, "MCAST, both", source)
        said = sniffer.until_frame(lambda frame: names(frame, mark))
        assert any(names(frame, group) for frame in said) is is_member
