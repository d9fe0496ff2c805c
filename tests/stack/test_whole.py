"""Statements of several parts, proved in all of them: what a join leaves alone, what a call that fails leaves alone."""

import socket
import struct
from collections.abc import Callable
from functools import partial

import pytest
from tests.stack.flows import start
from tests.stack.network import Pair, isolated
from tests.stack.people import (
    LEAF,
    ROOT,
    Meanwhile,
    Watcher,
    a_leaf,
    a_listening_leaf,
    a_root,
    admit,
    code_of,
    code_or_none,
    wait_till_blocked,
)
from tests.stack.test_winsock import a_listening, a_socket, join

from multipoint import constants as c
from multipoint import sockopts, wire
from multipoint import winsock as ws
from multipoint.events import NetworkEvent
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.layouts import WSABUF, WSANETWORKEVENTS
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Caller, JoinRequest, Ref, Settings, Verdict
from multipoint.wire import Endpoint

ONE, NONE = (1).to_bytes(4, "little"), bytes(4)
LOOPS = {c.AF_INET: (c.IPPROTO_IP, c.IP_MULTICAST_LOOP), c.AF_INET6: (c.IPPROTO_IPV6, c.IPV6_MULTICAST_LOOP)}
KERNELS_LOOPS = {
    c.AF_INET: (socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP),
    c.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP),
}
GROUPS = {c.AF_INET: "239.1.2.3", c.AF_INET6: "ff15::3"}


def failure(result: int) -> int:
    assert result == c.SOCKET_ERROR
    return ws.WSAGetLastError()


@pytest.mark.requirement("JL-28")
@pytest.mark.parametrize("which", ["leg", "leaf"])
@isolated
def test_descriptor_of_a_join_that_is_not_complete(which: str) -> None:
    start()
    _, door = a_listening(LEAF if which == "leg" else ROOT)
    s = a_socket(ROOT if which == "leg" else LEAF)
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(1)) == 0
    new = join(s, door)
    # Only these fail.
    words, room = [WSABUF(1, b"x")], [WSABUF(9, bytearray(9))]
    for call in (
        partial(ws.send, new, b"x", 1, 0),
        partial(ws.sendto, new, b"x", 1, 0, door, 16),
        partial(ws.WSASend, new, words, 1, Ref(0), 0, None, None),
        partial(ws.WSASendTo, new, words, 1, Ref(0), 0, door, 16, None, None),
        partial(ws.WSASendDisconnect, new, None),
        partial(ws.recv, new, bytearray(9), 9, 0),
        partial(ws.recvfrom, new, bytearray(9), 9, 0, None, None),
        partial(ws.WSARecv, new, room, 1, Ref(0), Ref(0), None, None),
        partial(ws.WSARecvFrom, new, room, 1, Ref(0), Ref(0), None, None, None, None),
        partial(ws.WSARecvDisconnect, new, None),
        partial(ws.shutdown, new, c.SD_BOTH),
        partial(ws.getpeername, new, bytearray(16), Ref(16)),
    ):
        assert failure(call()) == c.WSAENOTCONN, call
    assert ws.ioctlsocket(new, c.FIONBIO, Ref(1)) == 0
    assert ws.WSAEventSelect(new, ws.WSACreateEvent(), c.FD_READ) == 0
    assert ws.setsockopt(new, c.SOL_SOCKET, c.SO_DONTLINGER, ONE, 4) == 0
    value = bytearray(4)
    assert ws.getsockopt(new, c.SOL_SOCKET, c.SO_TYPE, value, Ref(4)) == 0
    assert int.from_bytes(value, "little") == c.SOCK_SEQPACKET
    assert ws.closesocket(new) == 0


@pytest.mark.requirement("JL-40", "JL-39")
@isolated
def test_cancelled_join_is_told_by_no_event_and_a_leaf_is_closed_with_it() -> None:
    with Stack() as stack:
        root, listening = a_root(stack), a_listening_leaf(stack)
        watcher = Watcher(root, c.FD_CONNECT)
        root.join(listening.local_address).close()
        assert root.enumerate_events() == {}
        again = root.join(listening.local_address)
        again.close()
        assert root.enumerate_events() == {}
        leaf, door = a_leaf(stack), Watcher(root, c.FD_ACCEPT)
        leaf.set_blocking(False)
        assert leaf.join(root.local_address) is leaf
        assert door.wait_for(root, NetworkEvent.ACCEPT) == 0
        leaf.close()
        for call in (leaf.receive, partial(leaf.join, root.local_address), leaf.enumerate_events):
            assert code_of(call) == c.WSAENOTSOCK
        assert watcher


@pytest.mark.requirement("JL-55", "JL-54")
@pytest.mark.parametrize("provider", [ProviderClass.P2MP, ProviderClass.CONF])
@isolated
def test_role_of_a_root_is_that_of_each_leg(provider: ProviderClass) -> None:
    with Stack() as stack:
        root = a_root(stack, provider=provider)
        members = {}
        for role in JoinRole:
            leaf = a_listening_leaf(stack, provider=provider)
            accepting = Meanwhile(leaf.accept)
            root.join(leaf.local_address, JoinRequest(role))
            members[role] = accepting.result()
            while code_or_none(lambda: members[role].peer_data_address) == c.WSAENOTCONN:  # type: ignore[attr-defined]  # noqa: B023
                pass
        root.send(b"down")
        if provider is ProviderClass.CONF:
            # What one sends there reaches all, and itself.
            assert root.receive()[0] == b"down"
        for role, member in members.items():
            if role.sends:
                assert member.receive()[0] == b"down"
            else:
                assert code_of(member.receive) == c.WSAEOPNOTSUPP
            if role.receives:
                assert member.send(role.name.encode()) == len(role.name)
                assert root.receive()[0] == role.name.encode()
            else:
                assert code_of(partial(member.send, b"up")) == c.WSAEOPNOTSUPP


@pytest.mark.requirement("EV-19", "EV-20", "EV-22")
@isolated
def test_enumeration_that_fails_changes_nothing() -> None:
    start()
    root, name = a_listening(ROOT)
    leaf, event = a_socket(LEAF), ws.WSACreateEvent()
    assert ws.WSAEventSelect(root, event, c.FD_ACCEPT) == 0
    assert ws.ioctlsocket(leaf, c.FIONBIO, Ref(1)) == 0
    join(leaf, name)
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 5000, False) == c.WSA_WAIT_EVENT_0
    found = WSANETWORKEVENTS()
    assert failure(ws.WSAEnumNetworkEvents(root, event, None)) == c.WSAEFAULT  # type: ignore[arg-type]
    assert failure(ws.WSAEnumNetworkEvents(root, 999, found)) == c.WSAEINVAL
    assert failure(ws.WSAEnumNetworkEvents(5, event, found)) == c.WSAENOTSOCK
    assert found.lNetworkEvents == 0
    # The object is still signalled and the record still there; a reset of the object alone leaves the record.
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_EVENT_0
    assert ws.WSAResetEvent(event)
    assert ws.WSASetEvent(event)
    assert ws.WSAEnumNetworkEvents(root, event, found) == 0
    assert (found.lNetworkEvents, found.iErrorCode[3]) == (c.FD_ACCEPT, 0)
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT


@pytest.mark.requirement("IO-12", "IO-09", "IO-11")
@pytest.mark.parametrize("family", GROUPS, ids=["IPv4", "IPv6"])
@isolated
def test_loopback_option_acts_on_the_receiver_and_not_on_the_kernels_sender(family: int) -> None:
    pair = Pair()
    with pair.left, Stack() as stack:
        socks = []
        for is_on in (True, False):
            sock = stack.socket(family, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
            sock.options.reuse_address = True
            sock.set_interface(socket.if_nametoindex("eth0"))
            sockopts.set_option(sock, *LOOPS[family], ONE if is_on else NONE)
            sock.join((GROUPS[family], 5000))
            socks.append(sock)
        on, off = socks
        off.set_blocking(False)
        for speaker in (off, on):
            while code_or_none(partial(speaker.send, b"from here")) == c.WSAENETUNREACH:
                pass  # IPv6 has its route a moment after the link is up
            assert on.receive()[0] == b"from here"
            assert code_of(off.receive) == c.WSAEWOULDBLOCK
        for sock in socks:
            kernels = sock.data_socket()
            assert kernels
            assert kernels.getsockopt(*KERNELS_LOOPS[family]) == 1


@pytest.mark.requirement("DI-10", "DI-12")
@isolated
def test_codes_of_a_join_in_windows_ce() -> None:
    with Stack(Settings(dialect="ce")) as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        joining = Meanwhile(lambda: leaf.join(root.local_address))
        wait_till_blocked(leaf)
        leaf.close()
        assert code_of(joining.result) == c.WSAENOTSOCK
    start(dialect="ce")
    _, name = a_listening(ROOT)
    for kind, protocol, code in (
        (c.SOCK_DGRAM, c.IPPROTO_UDP, c.WSASYSCALLFAILURE),
        (c.SOCK_DGRAM, 301, c.WSAEINVAL),
        (c.SOCK_SEQPACKET, 302, c.WSAEINVAL),
    ):
        assert join(ws.socket(c.AF_INET, kind, protocol), name) == c.INVALID_SOCKET
        assert ws.WSAGetLastError() == code


@pytest.mark.requirement("CL-21", "D-60")
@isolated
def test_silence_is_ten_seconds_unless_configured() -> None:
    assert Settings().silence_s == 10
    with Stack(Settings(silence_s=3)) as chosen, Stack() as default:
        for stack, silence_s in ((chosen, 3), (default, 10)):
            root, leaf = a_root(stack), a_leaf(default)
            admit(root, leaf)
            # The root says how long; both ends keep to it.
            (to_root,), (to_leaf,) = leaf.peers(), root.peers()  # type: ignore[attr-defined]
            assert to_root.link.patience.silence_s == to_leaf.link.patience.silence_s == silence_s


def a_caller(listener: MultipointSocket) -> socket.socket:
    """Ask to be let in by hand; the request waits when this returns."""
    request = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, Endpoint("127.0.0.1", 9))
    watcher = Watcher(listener, c.FD_ACCEPT)
    peer = socket.create_connection(listener.local_address)
    peer.sendall(wire.encode(wire.Hello()) + wire.encode(request))
    assert watcher.wait_for(listener, NetworkEvent.ACCEPT) == 0
    return peer


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def cancel(peer: socket.socket) -> None:
    peer.sendall(wire.encode(wire.Cancel()))
    while peer.recv(100):
        pass
    peer.close()


@pytest.mark.requirement("AC-18", "D-74")
@isolated
def test_request_that_was_reset_is_told_by_accept_and_one_that_was_withdrawn_is_not() -> None:
    with Stack() as stack:
        root = a_root(stack)
        cancel(a_caller(root))
        assert code_of(root.accept) == c.WSAEWOULDBLOCK
        reset(a_caller(root))
        cancel(a_caller(root))
        # By now the stack has heard of the reset; it is told once, and the next leaf gets in.
        assert code_of(root.accept) == c.WSAECONNRESET
        assert code_of(root.accept) == c.WSAEWOULDBLOCK
        leaf = a_caller(root)
        assert root.accept().peer_address.port == leaf.getsockname()[1]


@pytest.mark.requirement("AC-18", "D-74")
@pytest.mark.parametrize("give_up", [cancel, reset])
@isolated
def test_request_that_goes_while_its_condition_function_runs(give_up: Callable[[socket.socket], None]) -> None:
    with Stack() as stack:
        root = a_root(stack)
        peer = a_caller(root)

        def condition(_: Caller) -> Verdict:
            give_up(peer)
            cancel(a_caller_behind(root))
            return Verdict()

        assert code_of(lambda: root.accept(condition)) == c.WSAEACCES
        assert code_of(root.accept) == c.WSAEWOULDBLOCK


def a_caller_behind(listener: MultipointSocket) -> socket.socket:
    """Ask while the listener's program is busy with another; who has been heard to the end has been heard."""
    peer = socket.create_connection(listener.local_address)
    request = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, Endpoint("127.0.0.1", 9))
    peer.sendall(wire.encode(wire.Hello()) + wire.encode(request))
    return peer


@pytest.mark.requirement("AC-18", "AC-07")
@isolated
def test_reset_requests_keep_nobody_out() -> None:
    with Stack() as stack:
        root = a_root(stack, backlog=1)
        root.set_blocking(False)
        reset(a_caller(root))
        cancel(a_caller_behind(root))
        leaf = a_caller_behind(root)
        while (code := code_or_none(root.accept)) == c.WSAEWOULDBLOCK:
            pass
        assert code in (None, c.WSAECONNRESET)
        leaf.close()


@pytest.mark.requirement("IO-10", "IO-12", "SK-40")
@isolated
def test_loopback_is_for_nonrooted_data_planes() -> None:
    start()
    source = c.WSA_FLAG_MULTIPOINT_C_LEAF | c.WSA_FLAG_MULTIPOINT_D_ROOT
    conference_root = c.WSA_FLAG_MULTIPOINT_C_ROOT | c.WSA_FLAG_MULTIPOINT_D_LEAF
    for protocol, flags, code in (
        (17, LEAF, 0),
        (303, LEAF, 0),
        (303, conference_root, 0),
        (301, LEAF, c.WSAEINVAL),
        (301, source, c.WSAEINVAL),
        (302, LEAF, c.WSAEINVAL),
        (302, ROOT, c.WSAEINVAL),
        (302, 0, c.WSAEINVAL),
        (301, 0, c.WSAEINVAL),
    ):
        s = ws.WSASocket(c.AF_INET, 0, protocol, None, 0, flags)
        result = ws.WSAIoctl(s, c.SIO_MULTIPOINT_LOOPBACK, NONE, 4, None, 0, Ref(0), None, None)
        assert (failure(result) if result else 0) == code, (protocol, hex(flags))
        # The option means the same.
        result = ws.setsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_LOOP, NONE, 4)
        assert (failure(result) if result else 0) == code, (protocol, hex(flags))
