"""What one message and one call may be: flags, length, room to send; and what each socket begins with."""

import subprocess
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address, ip_network

import pytest
from tests.stack.calls import ANYWHERE, failure, number, start
from tests.stack.flows import start as start_with
from tests.stack.network import Pair, isolated
from tests.stack.people import (
    CONFERENCE_ROOT,
    LEAF,
    ROOT,
    Meanwhile,
    Watcher,
    a_group_socket,
    a_leaf,
    a_root,
    admit,
    code_of,
    code_or_none,
)
from tests.stack.test_overlapped import a_room, a_session

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.catalogue import CATALOGUE, PROTOCOLS, Entry
from multipoint.events import NetworkEvent
from multipoint.kinds import JoinRole, ProviderClass
from multipoint.layouts import WSABUF
from multipoint.rootsocket import RootSocket
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Ref, Settings, sockaddr
from multipoint.wire import Endpoint

GROUP = Endpoint("239.1.2.3", 5000)
UNKNOWN = 0x4000
ENTRIES = pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.info().szProtocol)


@pytest.mark.requirement("DP-35")
@isolated
def test_flags_of_receives_and_sends() -> None:
    start_with()
    root, leg, leaf = a_session()
    plain = ws.WSASocket(c.AF_INET, c.SOCK_DGRAM, 17, None, 0, LEAF)
    assert ws.bind(plain, ANYWHERE, 16) == 0
    where, buffers = (bytearray(16), Ref(16)), [WSABUF(1, b"x")]
    name = sockaddr("127.0.0.1", 9)
    for s in (root, leg, leaf, plain):
        receives: list[Callable[[int], int]] = [
            lambda flags, s=s: ws.recv(s, bytearray(9), 9, flags),  # type: ignore[misc]
            lambda flags, s=s: ws.recvfrom(s, bytearray(9), 9, flags, *where),  # type: ignore[misc]
            lambda flags, s=s: ws.WSARecv(s, [a_room()], 1, Ref(0), Ref(flags), None, None),  # type: ignore[misc]
            lambda flags, s=s: ws.WSARecvFrom(s, [a_room()], 1, Ref(0), Ref(flags), *where, None, None),  # type: ignore[misc]
        ]
        sends: list[Callable[[int], int]] = [
            lambda flags, s=s: ws.send(s, b"x", 1, flags),  # type: ignore[misc]
            lambda flags, s=s: ws.sendto(s, b"x", 1, flags, name, 16),  # type: ignore[misc]
            lambda flags, s=s: ws.WSASend(s, buffers, 1, None, flags, None, None),  # type: ignore[misc]
            lambda flags, s=s: ws.WSASendTo(s, buffers, 1, None, flags, name, 16, None, None),  # type: ignore[misc]
        ]
        for receive in receives:
            assert failure(receive(c.MSG_OOB)) == failure(receive(c.MSG_WAITALL)) == c.WSAEOPNOTSUPP
            assert failure(receive(UNKNOWN)) == c.WSAEINVAL
        for send in sends:
            assert failure(send(c.MSG_OOB)) == c.WSAEOPNOTSUPP
            assert failure(send(UNKNOWN)) == c.WSAEINVAL
    for words in (b"one", b"two"):
        assert ws.send(root, words, 3, 0) == 3
    seen = bytearray(3)
    for flags, words in ((c.MSG_PEEK, b"one"), (c.MSG_PEEK, b"one"), (0, b"one"), (0, b"two")):
        assert ws.recv(leaf, seen, 3, flags) == 3
        assert seen == words


@pytest.mark.requirement("DP-12", "DP-11")
@isolated
def test_message_that_is_too_long_is_not_sent() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        group = a_group_socket(stack, GROUP)
        for speaker, hearer, to in (
            (group, group, None),
            (root, leaf, None),
            (leaf, root, None),
            (leg, leaf, None),
            (leaf, leg, root.local_address),
        ):
            most = speaker.max_message
            assert code_of(partial(speaker.send, bytes(most + 1), to)) == c.WSAEMSGSIZE
            for size in (0, most):
                assert speaker.send(bytes(size), to) == size
                assert len(hearer.receive()[0]) == size


@pytest.mark.requirement("DP-19", "EV-27", "EV-37")
@pytest.mark.parametrize("provider", [ProviderClass.MCAST, ProviderClass.P2MP])
@isolated
def test_sender_without_room_waits_or_is_told_when_there_is_some(provider: ProviderClass) -> None:
    pair = Pair()
    with pair.left, Stack() as stack, pair.right, Stack() as far, pair.left:
        sock = a_speaker(stack, far, pair, provider)
        slow = ("tbf", "rate", "8kbit", "burst", "2000", "limit", "1000000")
        subprocess.run(("tc", "qdisc", "add", "dev", "eth0", "root", *slow), check=True)
        watcher = Watcher(sock)
        assert watcher.wait_for(sock, NetworkEvent.WRITE) == 0
        while (code := code_or_none(partial(sock.send, bytes(1000)))) is None:
            pass
        assert code == c.WSAEWOULDBLOCK
        assert sock.enumerate_events() == {}
        # The queue goes, and gives back the room that its packets took.
        subprocess.run(("tc", "qdisc", "del", "dev", "eth0", "root"), check=True)
        assert watcher.wait_for(sock, NetworkEvent.WRITE) == 0
        assert sock.send(bytes(1000)) == 1000
        assert NetworkEvent.WRITE not in sock.enumerate_events()
        sock.select_events(None, 0)
        sock.set_blocking(True)
        subprocess.run(("tc", "qdisc", "add", "dev", "eth0", "root", *slow), check=True)
        sending = Meanwhile(lambda: [sock.send(bytes(1000)) for _ in range(200)])
        while not sock._waiters:
            assert sending.is_running
        subprocess.run(("tc", "qdisc", "del", "dev", "eth0", "root"), check=True)
        assert sending.result() == [1000] * 200


def a_speaker(stack: Stack, far: Stack, pair: Pair, provider: ProviderClass) -> MultipointSocket:
    """Return a socket that has somebody to send to through the link, and little room for that."""
    if provider is ProviderClass.MCAST:
        sock = a_group_socket(stack, GROUP, JoinRole.SENDER_ONLY, interface=0)
    else:
        sock = a_root(stack, pair.left.address)
        accepting = Meanwhile(sock.accept)
        with pair.right:
            a_leaf(far).join(sock.local_address)
        accepting.result()
    sock.set_sizes_and_broadcast(send_buffer=20_000)
    return sock


@pytest.mark.requirement("DP-07", "D-48", "D-49")
@ENTRIES
@isolated
def test_every_new_socket_has_scope_1_and_loopback_on(entry: Entry) -> None:
    start()
    info = entry.info()
    for flags in (LEAF, ROOT if entry.provider is ProviderClass.P2MP else CONFERENCE_ROOT):
        if flags != LEAF and not entry.provider.is_control_rooted:
            continue
        s = ws.WSASocket(-1, -1, -1, info, 0, flags)
        level = c.IPPROTO_IP if info.iAddressFamily == c.AF_INET else c.IPPROTO_IPV6
        assert number(s, c.IP_MULTICAST_TTL, level) == number(s, c.IP_MULTICAST_LOOP, level) == 1


@pytest.mark.requirement("DP-41", "D-88", "DP-40")
@pytest.mark.parametrize("provider", [ProviderClass.P2MP, ProviderClass.CONF])
@pytest.mark.parametrize(("family", "network"), [(c.AF_INET, "239.255.0.0/16"), (c.AF_INET6, "ff15::/16")])
@isolated
def test_root_takes_its_group_from_the_range_of_its_family(provider: ProviderClass, family: int, network: str) -> None:
    flags = ROOT if provider is ProviderClass.P2MP else CONFERENCE_ROOT
    other = Settings(groups_ipv4="239.77.0.0/24", groups_ipv6="ff18::7700/120")
    chosen = other.groups_ipv4 if family == c.AF_INET else other.groups_ipv6
    for settings, wanted in ((Settings(), network), (other, chosen)):
        with Stack(settings) as stack:
            for _ in range(10):
                root = stack.socket(family, c.SOCK_SEQPACKET, PROTOCOLS[provider], None, flags)
                assert isinstance(root, RootSocket)
            assert len(stack.groups) == 10
            assert all(ip_address(group.host) in ip_network(wanted) for group in stack.groups)
