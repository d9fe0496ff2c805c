"""Through which interface a group is joined and spoken to, from the most special choice to the system's (DP-05)."""

import socket
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from tests.stack.network import IFA_F_NODAD, Pair, isolated
from tests.stack.people import LEAF, PATIENCE_S, code_or_none

from multipoint import constants as c
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.wire import Endpoint

PORT = 5000
GROUPS = {c.AF_INET: "239.1.2.3", c.AF_INET6: "ff02::1:203"}
SECOND = {c.AF_INET: "10.10.0.1", c.AF_INET6: "fd0a::1"}
FAMILY = {socket.AF_INET: c.AF_INET, socket.AF_INET6: c.AF_INET6}
# Level, IP_PKTINFO or IPV6_RECVPKTINFO, the option that joins, how far behind the group the interface stands.
EARS = {socket.AF_INET: (socket.IPPROTO_IP, 8, 35, 4), socket.AF_INET6: (socket.IPPROTO_IPV6, 49, 20, 0)}
# scope id of the name, multicast option, bound address (by interface); where it is joined then
CHOICES = [
    pytest.param(None, None, None, "eth0", id="the system's"),
    pytest.param(None, None, "eth1", "eth1", id="bound address before the system's"),
    pytest.param(None, "eth1", "eth0", "eth1", id="option before bound address"),
    pytest.param(None, "eth0", "eth1", "eth0", id="the other option before the other address"),
    pytest.param("eth1", "eth0", "eth0", "eth1", id="scope id before option"),
    pytest.param("eth0", "eth1", "eth1", "eth0", id="the other scope id before the other option"),
]


def add_second_interface() -> None:
    """Give this namespace an eth1 beside its eth0, over which the system's choice for groups goes."""
    with IPRoute() as routes:
        routes.link("add", ifname="eth1", kind="veth", peer="eth2")
        for name in ("eth1", "eth2"):
            (index,) = routes.link_lookup(ifname=name)
            routes.link("set", index=index, state="up")
            if name == "eth1":
                routes.addr("add", index=index, address=SECOND[c.AF_INET], prefixlen=24)
                routes.addr("add", index=index, address=SECOND[c.AF_INET6], prefixlen=64, flags=IFA_F_NODAD)


def joined_on(family: int) -> set[str]:
    """Return the interfaces of this thread's namespace on which the kernel holds the group."""
    group = GROUPS[family]
    if family == c.AF_INET6:
        rows = [line.split() for line in Path("/proc/thread-self/net/igmp6").read_text().splitlines()]
        return {row[1] for row in rows if row[2] == socket.inet_pton(socket.AF_INET6, group).hex()}
    found, name = set(), ""
    for line in Path("/proc/thread-self/net/igmp").read_text().splitlines()[1:]:
        if line[0].isdigit():
            name = line.split()[1]
        elif line.split()[0] == socket.inet_aton(group)[::-1].hex().upper():
            found.add(name)
    return found


def speaks_through(sock: MultipointSocket) -> str:
    """Return the interface to which the kernel gives what the socket sends to its group."""
    kernel = sock.data_socket()
    assert kernel
    level, option, add, at = EARS[kernel.family]
    group = socket.inet_pton(kernel.family, GROUPS[FAMILY[kernel.family]])
    with socket.socket(kernel.family, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("", PORT))
        ear.setsockopt(level, option, 1)
        for index, _ in socket.if_nameindex():
            ear.setsockopt(level, add, group + bytes(at) + index.to_bytes(4, "little"))
        ear.settimeout(PATIENCE_S)
        while code_or_none(lambda: sock.send(b"where am I?")) == c.WSAENETUNREACH:
            pass  # IPv6 has its route a moment after the link is up
        _, controls, _, _ = ear.recvmsg(99, 99)
        index_at = 0 if at else 16
        return socket.if_indextoname(int.from_bytes(controls[0][2][index_at : index_at + 4], "little"))


@pytest.mark.requirement("DP-05", "DP-40", "D-31")
@pytest.mark.parametrize("family", GROUPS, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(("scope", "option", "bound", "expected"), CHOICES)
@isolated
def test_interface_of_a_join_and_of_what_is_sent(
    family: int, scope: str | None, option: str | None, bound: str | None, expected: str
) -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        add_second_interface()
        if family == c.AF_INET and scope:
            # Names of IPv4 have no scope id; what is next decides.
            expected = option or expected
        group = GROUPS[family] + (f"%{socket.if_nametoindex(scope)}" if scope and family == c.AF_INET6 else "")
        own = pair.left.address if family == c.AF_INET else pair.left.address6
        sock = stack.socket(family, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
        sock.options.reuse_address = True
        if option:
            sock.set_interface(socket.if_nametoindex(option))
        if bound:
            sock.bind((own if bound == "eth0" else SECOND[family], PORT))
        sock.join(Endpoint(group, PORT))
        assert joined_on(family) == {expected}
        assert speaks_through(sock) == expected
