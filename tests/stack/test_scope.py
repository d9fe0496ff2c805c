"""How far multicast goes, told from the frames on the link; the ioctls that say so; and the data group of a session."""

import socket
from functools import partial
from ipaddress import ip_address, ip_network

import pytest
from tests.stack.flows import start
from tests.stack.network import Pair, isolated
from tests.stack.people import LEAF, ROOT, Meanwhile, a_leaf, a_root, code_of
from tests.stack.sniffer import IGMP, TCP, UDP, Sniffer

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.catalogue import CATALOGUE
from multipoint.group_layouts import IP_MREQ, IPV6_MREQ
from multipoint.kinds import ProviderClass
from multipoint.rootsocket import RootSocket
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Ref, Settings, sockaddr


def a_member(family: int, group: str, index: int) -> int:
    """Return a socket that hears the group on a port, and sends to it through the interface."""
    s = ws.WSASocket(family, c.SOCK_DGRAM, c.IPPROTO_UDP, None, 0, LEAF)
    number = index.to_bytes(4, "big" if family == c.AF_INET else "little")
    level = c.IPPROTO_IP if family == c.AF_INET else c.IPPROTO_IPV6
    assert ws.setsockopt(s, c.SOL_SOCKET, c.SO_REUSEADDR, (1).to_bytes(4, "little"), 4) == 0
    assert ws.setsockopt(s, level, c.IP_MULTICAST_IF, number, 4) == 0
    size = 16 if family == c.AF_INET else 28
    assert ws.WSAJoinLeaf(s, sockaddr(group, 5000), size, None, None, None, None, c.JL_BOTH) == s
    return s


def set_scope(s: int, scope: int) -> None:
    value = scope.to_bytes(4, "little")
    assert ws.WSAIoctl(s, c.SIO_MULTICAST_SCOPE, value, 4, None, 0, Ref(0), None, None) == 0


def heard(s: int) -> bytes:
    buffer = bytearray(20)
    length = ws.recv(s, buffer, 20, 0)
    return bytes(buffer[:length])


@pytest.mark.requirement("IO-13", "IO-14", "IO-15", "DP-07", "DP-40")
@pytest.mark.parametrize(("family", "group"), [(c.AF_INET, "239.1.1.1"), (c.AF_INET6, "ff15::7")])
@isolated
def test_scope_on_the_wire(family: int, group: str) -> None:
    pair = Pair()
    with pair.left:
        start()
        index = socket.if_nametoindex("eth0")
        s, neighbour, sniffer = a_member(family, group, index), a_member(family, group, index), Sniffer()
        level = c.IPPROTO_IP if family == c.AF_INET else c.IPPROTO_IPV6
        # Untouched: the own segment. The kernel has the route for IPv6 groups a moment after the link is up.
        while ws.send(s, b"first", 5, 0) != 5:
            assert ws.WSAGetLastError() == c.WSAENETUNREACH
        assert heard(neighbour) == b"first"
        set_scope(s, 0)
        assert ws.send(s, b"zero", 4, 0) == 4
        assert heard(neighbour) == b"zero"
        set_scope(s, 7)
        assert ws.send(s, b"seven", 5, 0) == 5
        # Whichever was set last.
        assert ws.setsockopt(s, level, c.IP_MULTICAST_TTL, (3).to_bytes(4, "little"), 4) == 0
        assert ws.send(s, b"last", 4, 0) == 4
        ours = [frame for frame in sniffer.until(b"last") if frame.protocol == UDP and frame.to == group]
        assert [(frame.scope, frame.data[8:]) for frame in ours] == [(1, b"first"), (7, b"seven"), (3, b"last")]


@pytest.mark.requirement("IO-15")
@pytest.mark.parametrize("provider", [ProviderClass.P2MP, ProviderClass.CONF])
@isolated
def test_scope_is_of_the_sessions_data_alone(provider: ProviderClass) -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        sniffer = Sniffer()
        root = a_root(stack, pair.left.address, provider=provider)
        root.set_scope(5)
        with pair.right, Stack() as far:
            leaf = a_leaf(far, provider=provider)
            if provider is ProviderClass.CONF:
                leaf.set_scope(6)
            admit_from(pair, root, leaf)
            root.send(b"before")
            assert leaf.receive()[0] == b"before"
            root.set_scope(9)
            root.send(b"after")
            assert leaf.receive()[0] == b"after"
            seen = sniffer.until(b"after")
            if provider is ProviderClass.CONF:
                leaf.send(b"member")
                leaf.set_scope(8)
                leaf.send(b"again")
                seen += sniffer.until(b"again")
            leaf.close()
            seen += sniffer.until_protocol(IGMP)
        data = {word: frame.scope for frame in seen for word in WORDS if frame.data.endswith(word)}
        members = {b"member": 6, b"again": 8} if provider is ProviderClass.CONF else {}
        assert data == {b"before": 5, b"after": 9} | members
        assert {frame.scope for frame in seen if frame.protocol == IGMP} == {1}
        assert {frame.scope for frame in seen if frame.protocol == TCP} == {64}


def admit_from(pair: Pair, root: MultipointSocket, leaf: MultipointSocket) -> None:
    """Let a leaf at the right ask a root at the left, whose thread has to be there."""
    with pair.left:
        accepting = Meanwhile(root.accept)
    leaf.join(root.local_address)
    accepting.result()


WORDS = (b"before", b"after", b"member", b"again")


@pytest.mark.requirement("IO-08", "IO-13", "IO-03")
@isolated
def test_input_of_loopback_and_scope() -> None:
    start()
    conference = ws.WSASocket(c.AF_INET, c.SOCK_SEQPACKET, 303, None, 0, LEAF)
    group = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, 0, LEAF)
    for s in (conference, group):
        value = bytearray(4)
        assert ws.getsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_LOOP, value, Ref(4)) == 0
        assert value == b"\1\0\0\0"
        for code in (c.SIO_MULTIPOINT_LOOPBACK, c.SIO_MULTICAST_SCOPE):
            for given in (None, b"", b"\0", bytes(3)):
                size = len(given or b"")
                assert ws.WSAIoctl(s, code, given, size, None, 0, Ref(0), None, None) == c.SOCKET_ERROR
                assert ws.WSAGetLastError() == c.WSAEFAULT
        for given, is_on in ((bytes(4), 0), (b"\0\0\0\1", 1), (bytes(8), 0), (b"\1\0\0\0", 1)):
            returned, out = Ref(-1), bytearray(b"untouched")
            assert ws.WSAIoctl(s, c.SIO_MULTIPOINT_LOOPBACK, given, len(given), out, 9, returned, None, None) == 0
            assert (returned.value, bytes(out)) == (0, b"untouched")
            assert ws.getsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_LOOP, value, Ref(4)) == 0
            assert value[0] == is_on


@pytest.mark.requirement("DP-41")
@isolated
def test_data_group_from_the_range_or_as_told() -> None:
    pair = Pair()
    settings = Settings(groups_ipv4="239.77.0.0/24", first_port=50000, last_port=50100)
    with pair.left, Stack(settings) as stack:
        sniffer = Sniffer()

        def where(root: RootSocket) -> tuple[str, int]:
            """Let somebody join; he is told the group, and hears what is sent there."""
            root.bind((pair.left.address, 0))
            root.listen()
            with pair.right, Stack() as far:
                leaf = a_leaf(far)
                admit_from(pair, root, leaf)
                root.send(b"here")
                assert leaf.receive()[0] == b"here"
                frame = sniffer.until(b"here")[-1]
                return frame.to, frame.port

        host, port = where(a_silent_root(stack))
        assert ip_address(host) in ip_network("239.77.0.0/24")
        assert 50000 <= port <= 50100
        root, other = a_silent_root(stack), a_silent_root(stack)
        root.set_group(("239.200.1.1", 6000))
        assert code_of(lambda: other.set_group(("239.200.1.1", 6000))) == c.WSAEADDRINUSE
        for wrong in (("10.0.0.1", 6000), ("239.200.1.1", 0), ("ff15::1", 6000), ("nonsense", 6000)):
            assert code_of(partial(other.set_group, wrong)) == c.WSAEADDRNOTAVAIL
        assert where(root) == ("239.200.1.1", 6000)
        assert code_of(lambda: root.set_group(("239.200.1.2", 6000))) == c.WSAEINVAL
        root.close()
        other.set_group(("239.200.1.1", 6000))


def a_silent_root(stack: Stack) -> RootSocket:
    root = stack.socket(c.AF_INET, c.SOCK_SEQPACKET, 302, None, ROOT)
    assert isinstance(root, RootSocket)
    return root


@pytest.mark.requirement("DP-41", "SK-20")
@isolated
def test_two_sessions_never_share_a_group_and_port() -> None:
    with Stack(Settings(groups_ipv4="239.77.0.0/30", first_port=50000, last_port=50003)) as stack:
        roots = [a_silent_root(stack) for _ in range(12)]
        assert len(stack.groups) == len(roots) == 3 * 4
        assert code_of(lambda: a_silent_root(stack)) == c.WSAENOBUFS
        assert len(stack.sockets) == 12
        roots[0].close()
        a_silent_root(stack)


def take_all(sock: MultipointSocket, messages: list[bytes]) -> None:
    while True:
        messages.append(sock.receive()[0])


@pytest.mark.requirement("DP-29")
@isolated
def test_data_may_be_lost_control_is_not() -> None:
    promises = c.XP1_GUARANTEED_DELIVERY | c.XP1_GUARANTEED_ORDER
    assert not any(entry.info().dwServiceFlags1 & promises for entry in CATALOGUE)
    pair = Pair()
    with pair.left, Stack() as stack:
        root = a_root(stack, pair.left.address)
        with pair.right, Stack() as far:
            leaf = a_leaf(far)
            leaf.bind((pair.right.address, 0))
            leaf.listen()
            accepting = Meanwhile(leaf.accept)
            with pair.left:
                leg = root.join(leaf.local_address)
            member = accepting.result()
            # It has joined the group by then: what comes on one connection comes in order.
            assert leg.send(b"welcome") > 0
            assert member.receive()[0] == b"welcome"
            # More than any queue holds, while nobody reads.
            for number in range(50):
                assert leg.send(b"chat %d" % number) > 0
                for _ in range(20):
                    assert root.send(bytes(1400)) == 1400
            root.close()
            messages: list[bytes] = []
            assert code_of(partial(take_all, member, messages)) == c.WSAEDISCON
            chats = [message for message in messages if message.startswith(b"chat")]
            data = len(messages) - len(chats)
            assert chats == [b"chat %d" % number for number in range(50)]
            assert 0 < data < 1000


@pytest.mark.requirement("DP-06")
@isolated
def test_scope_id_of_an_interface_that_is_not_there() -> None:
    start()
    s = ws.WSASocket(c.AF_INET6, c.SOCK_DGRAM, c.IPPROTO_UDP, None, 0, LEAF)
    value = IPV6_MREQ("ff02::7", 999).pack()
    assert ws.setsockopt(s, c.IPPROTO_IPV6, c.IPV6_ADD_MEMBERSHIP, value, len(value)) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEADDRNOTAVAIL
    value = IP_MREQ("239.1.1.1", "192.0.2.1").pack()
    four = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, 0, LEAF)
    assert ws.setsockopt(four, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, value, len(value)) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAEADDRNOTAVAIL
