"""Plain groups beyond any-source: sources, options, IPv6."""

import socket
from functools import partial
from pathlib import Path

import pytest
from tests.stack.network import Pair, isolated
from tests.stack.people import (
    CONFERENCE_ROOT,
    LEAF,
    PATIENCE_S,
    ROOT,
    Meanwhile,
    Watcher,
    a_group_socket,
    admit,
    code_of,
    code_or_none,
)

from multipoint import constants as c
from multipoint import sockopts
from multipoint.addresses import packed
from multipoint.catalogue import PROTOCOLS
from multipoint.events import NetworkEvent
from multipoint.group_layouts import GROUP_REQ, GROUP_SOURCE_REQ, IP_MREQ, IP_MREQ_SOURCE
from multipoint.kinds import JoinRole, ProviderClass
from multipoint.layouts import SOCKADDR_IN
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import JoinRequest
from multipoint.wire import Endpoint

CHANNEL = Endpoint("232.1.2.3", 5000)
SOURCE = c.WSA_FLAG_MULTIPOINT_C_LEAF | c.WSA_FLAG_MULTIPOINT_D_ROOT


def an_ssm_socket(stack: Stack, flags: int) -> MultipointSocket:
    sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, 301, None, flags)
    sock.options.reuse_address = True
    return sock


@pytest.mark.requirement("DP-28", "JL-06", "JL-17", "D-20")
@isolated
def test_receiver_hears_the_sources_it_named_and_nobody_else() -> None:
    pair = Pair()
    with pair.left, Stack() as stack, pair.right, Stack() as far:
        with pair.left:
            source, other = an_ssm_socket(stack, SOURCE), a_group_socket(stack, CHANNEL, interface=0)
            source.join(CHANNEL, JoinRequest(JoinRole.SENDER_ONLY))
        receiver, deaf = an_ssm_socket(far, LEAF), an_ssm_socket(far, LEAF)
        receiver.join(CHANNEL, JoinRequest(JoinRole.RECEIVER_ONLY, sources=(pair.left.address,)))
        deaf.join(CHANNEL, JoinRequest(JoinRole.RECEIVER_ONLY, sources=(pair.right.address,)))
        source.send(b"news")
        assert receiver.receive() == (b"news", Endpoint(pair.left.address, source.local_address.port))
        deaf.set_blocking(False)
        assert code_or_none(deaf.receive) == c.WSAEWOULDBLOCK
        assert code_of(source.receive) == c.WSAEOPNOTSUPP
        assert code_of(lambda: receiver.send(b"no")) == c.WSAEOPNOTSUPP
        other.close()


@pytest.mark.requirement("JL-06", "JL-17", "JL-11")
@isolated
def test_ssm_joins_that_make_no_sense() -> None:
    with Stack() as stack:
        source, receiver = an_ssm_socket(stack, SOURCE), an_ssm_socket(stack, LEAF)
        hearing = partial(JoinRequest, JoinRole.RECEIVER_ONLY)
        for sock, address, request, code in (
            (source, CHANNEL, JoinRequest(JoinRole.BOTH), c.WSAEINVAL),
            (source, CHANNEL, JoinRequest(JoinRole.RECEIVER_ONLY), c.WSAEINVAL),
            (receiver, CHANNEL, JoinRequest(JoinRole.SENDER_ONLY), c.WSAEINVAL),
            (receiver, CHANNEL, JoinRequest(JoinRole.BOTH, sources=("10.0.0.1",)), c.WSAEINVAL),
            (receiver, CHANNEL, hearing(), c.WSAEFAULT),
            (receiver, CHANNEL, hearing(sources=("10.0.0.1",) * 11), c.WSAEFAULT),
            (receiver, CHANNEL, hearing(sources=("239.1.1.1",)), c.WSAEADDRNOTAVAIL),
            (receiver, Endpoint("10.0.0.1", 5), hearing(sources=("10.0.0.1",)), c.WSAEADDRNOTAVAIL),
        ):
            assert code_of(partial(sock.join, address, request)) == code


@pytest.mark.requirement("SK-40", "DP-08", "DP-09")
@isolated
def test_options_join_more_groups_and_answer_as_windows_does() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        sock = a_group_socket(stack, Endpoint("239.1.1.1", 5000), interface=0)
        second = IP_MREQ("239.1.1.2", pair.left.address).pack()
        add = partial(sockopts.set_option, sock, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP)
        drop = partial(sockopts.set_option, sock, c.IPPROTO_IP, c.IP_DROP_MEMBERSHIP)
        add(second)
        assert code_of(partial(add, second)) == c.WSAEADDRNOTAVAIL
        source = IP_MREQ_SOURCE("239.1.1.2", "10.9.0.2", pair.left.address).pack()
        add_source = partial(sockopts.set_option, sock, c.IPPROTO_IP, c.IP_ADD_SOURCE_MEMBERSHIP)
        assert code_of(partial(add_source, source)) == c.WSAEADDRNOTAVAIL
        sock.send(b"to the second", ("239.1.1.2", 5000))
        assert sock.receive()[0] == b"to the second"
        drop(second)
        assert code_of(partial(drop, second)) == c.WSAEINVAL
        add(second)
        assert code_of(partial(add, b"short")) == c.WSAEFAULT
        assert code_of(partial(add, IP_MREQ("10.0.0.1").pack())) == c.WSAEINVAL
        assert code_of(partial(add, IP_MREQ("239.1.1.3", "10.77.0.1").pack())) == c.WSAEADDRNOTAVAIL


@pytest.mark.requirement("SK-40", "DP-10")
@isolated
def test_options_of_either_family_block_and_unblock_a_source() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        sock = stack.socket(c.AF_INET, c.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 5000))
        group, itself = SOCKADDR_IN(0, "239.1.1.1"), SOCKADDR_IN(0, pair.left.address)
        request, of_itself = GROUP_REQ(0, group).pack(), GROUP_SOURCE_REQ(0, group, itself).pack()
        sockopts.set_option(sock, c.IPPROTO_IP, c.MCAST_JOIN_GROUP, request)
        sock.set_blocking(False)
        sockopts.set_option(sock, c.IPPROTO_IP, c.MCAST_BLOCK_SOURCE, of_itself)
        sock.send(b"blocked", ("239.1.1.1", 5000))
        assert code_of(sock.receive) == c.WSAEWOULDBLOCK
        sockopts.set_option(sock, c.IPPROTO_IP, c.MCAST_UNBLOCK_SOURCE, of_itself)
        sock.send(b"heard", ("239.1.1.1", 5000))
        assert sock.receive()[0] == b"heard"


@pytest.mark.requirement("JL-71")
@isolated
def test_group_that_an_option_has_joined_is_joined_already() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, 0, None, LEAF)
        sockopts.set_option(sock, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, IP_MREQ("239.1.1.1").pack())
        assert code_of(lambda: sock.join(("239.1.1.1", 5000))) == c.WSAEISCONN


@pytest.mark.requirement("JL-71", "DP-05", "DP-40")
@isolated
def test_scope_id_in_the_name_of_a_group_says_the_interface() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        index = socket.if_nametoindex("eth0")
        sock = stack.socket(c.AF_INET6, c.SOCK_DGRAM, 0, None, LEAF)
        assert code_of(partial(sock.join, ("ff02::7%999", 5000))) == c.WSAENETUNREACH
        # It comes before the option.
        sock.set_interface(1)
        sock.join((f"ff02::7%{index}", 5000))
        held = Path("/proc/thread-self/net/igmp6").read_text().splitlines()
        assert [line.split()[1] for line in held if line.split()[2] == packed("ff02::7").hex()] == ["eth0"]


@pytest.mark.requirement("JL-71", "JL-37", "JL-21", "JL-80", "DP-05")
@isolated
def test_join_without_a_route_for_groups() -> None:
    with Stack() as stack:
        sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, 0, None, LEAF)
        assert code_of(lambda: sock.join(("239.1.1.1", 5000))) == c.WSAENETUNREACH
        # The binding that the join made stays, whatever the join came to.
        assert sock.local_address == ("0.0.0.0", 5000)
        watcher = Watcher(sock)
        assert sock.join(("239.1.1.1", 5000)) is sock
        assert watcher.wait_for(sock, NetworkEvent.CONNECT) == c.WSAENETUNREACH
        sock.set_interface(1)
        sock.join(("239.1.1.1", 5000))
        assert watcher.wait_for(sock, NetworkEvent.CONNECT) == 0


@pytest.mark.requirement("DP-40")
@pytest.mark.parametrize("provider", [ProviderClass.P2MP, ProviderClass.CONF])
@isolated
def test_rooted_session_over_ipv6(provider: ProviderClass) -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        flags = ROOT if provider is ProviderClass.P2MP else CONFERENCE_ROOT
        make = partial(stack.socket, c.AF_INET6, c.SOCK_SEQPACKET, PROTOCOLS[provider], None)
        root, leaf = make(flags), make(LEAF)
        root.bind((pair.left.address6, 0))
        root.listen()
        leg = admit(root, leaf)
        root.send(b"down")
        assert leaf.receive()[0] == b"down"
        leaf.send(b"up")
        heard = [root.receive()[0]]
        if provider is ProviderClass.CONF:
            heard.append(root.receive()[0])
        assert b"up" in heard
        leg.send(b"chat")
        assert leaf.receive()[0] in (b"chat", b"up")


@pytest.mark.requirement("DP-40", "DP-03")
@isolated
def test_plain_group_over_ipv6_and_a_program_of_plain_sockets() -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        sock = stack.socket(c.AF_INET6, c.SOCK_DGRAM, 0, None, LEAF)
        sock.join(("ff15::7", 5000))
        receiving = Meanwhile(sock.receive)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as program:
            program.settimeout(PATIENCE_S)
            program.bind((pair.left.address6, 0))
            program.sendto(b"plain", ("ff15::7", 5000))
            data, sender = receiving.result()
            assert data == b"plain"
            sock.send(b"back", sender)
            assert program.recv(10) == b"back"
