"""Ends in detail: shutdown's directions, lingering, disconnect data, spent sockets."""

import contextlib
import socket
from collections.abc import Iterator
from functools import partial

import pytest
from pyroute2 import IPRoute
from tests.stack.network import Pair, isolated
from tests.stack.people import (
    HERE,
    LEAF,
    PATIENCE_S,
    ROOT,
    Meanwhile,
    Watcher,
    a_group_socket,
    a_leaf,
    a_listening_leaf,
    a_root,
    admit,
    code_of,
    invite,
    wait_till_blocked,
)
from tests.stack.test_winsock import a_listening

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint import wire
from multipoint.calling import process
from multipoint.catalogue import PROTOCOLS
from multipoint.events import NetworkEvent
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.layouts import WSADATA
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import JoinRequest, Settings
from multipoint.wire import Endpoint

GROUP = Endpoint("239.1.2.3", 5000)
# Who hears of whose end.
TOLD = {"root": ("leg", "member"), "leg": ("member",), "member": ("leg",), "listening leaf": ()}


@contextlib.contextmanager
def a_deaf_leaf(root: MultipointSocket) -> Iterator[socket.socket]:
    """Let somebody ask to be a leaf who speaks the protocol by hand, and never hangs up unless told."""
    request = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, Endpoint(HERE, 9), 0, b"", None)
    with socket.create_connection((HERE, root.local_address.port), timeout=PATIENCE_S) as peer:
        peer.sendall(wire.encode(wire.Hello()) + wire.encode(request))
        yield peer


def read_to_the_end(peer: socket.socket) -> str:
    """Read all that comes; return how the connection ended."""
    try:
        while peer.recv(65536):
            pass
    except ConnectionResetError:
        return "reset"
    # A reset that comes after the orderly end of the stream shows here only (EPIPE).
    return "reset" if peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) else "in order"


@pytest.mark.requirement("CL-02")
@isolated
def test_root_that_only_stops_receiving_goes_on() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        admit(root, leaf)
        root.shutdown(c.SD_RECEIVE)
        assert code_of(root.receive) == c.WSAESHUTDOWN
        root.send(b"still speaking")
        assert leaf.receive()[0] == b"still speaking"
        invite(root, a_listening_leaf(stack))


@pytest.mark.requirement("CL-29")
@pytest.mark.parametrize(
    ("role", "wrong"), [(JoinRole.RECEIVER_ONLY, c.SD_SEND), (JoinRole.SENDER_ONLY, c.SD_RECEIVE), (JoinRole.BOTH, 3)]
)
@isolated
def test_shutdown_of_a_direction_that_is_not_there(role: JoinRole, wrong: int) -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        accepting = Meanwhile(root.accept)
        leaf.join(root.local_address, JoinRequest(role))
        leg = accepting.result()
        plain = a_group_socket(stack, GROUP, role)
        for sock in (leaf, plain):
            assert code_of(partial(sock.shutdown, wrong)) == c.WSAEINVAL
        watcher = Watcher(leg)
        leaf.shutdown(c.SD_BOTH)
        assert watcher.wait_for(leg, NetworkEvent.CLOSE) == 0
        plain.shutdown(c.SD_BOTH)


@pytest.mark.requirement("CL-28", "CL-04")
@isolated
def test_shutdown_waits_for_nobody_whatever_the_linger_says() -> None:
    with Stack() as stack:
        root = a_root(stack)
        root.options.linger = True, 10 * PATIENCE_S
        with a_deaf_leaf(root) as peer:
            root.accept()
            # A call that waits would find the other side not hanging up.
            Meanwhile(lambda: root.shutdown(c.SD_BOTH)).result()
            assert root.local_address.host == HERE
            assert read_to_the_end(peer) == "in order"


@pytest.mark.requirement("CL-22")
@isolated
def test_close_without_linger_returns_at_once_and_ends_in_order() -> None:
    with Stack() as stack:
        root = a_root(stack)
        with a_deaf_leaf(root) as peer:
            root.accept()
            Meanwhile(root.close).result()
            assert read_to_the_end(peer) == "in order"


@pytest.mark.requirement("CL-22")
@pytest.mark.parametrize("closing", ["root", "leg"])
@isolated
def test_linger_waits_then_breaks_off(closing: str) -> None:
    with Stack() as stack:
        root = a_root(stack)
        root.options.linger = True, 0.05
        with a_deaf_leaf(root) as peer:
            leg = root.accept()
            (leg if closing == "leg" else root).close()
            # All was said, and then, as nobody hung up, came the reset.
            assert read_to_the_end(peer) == "reset"


@pytest.mark.requirement("CL-22")
@pytest.mark.parametrize("closing", ["root", "leg", "member", "listening leaf"])
@isolated
def test_linger_ends_with_the_graceful_end(closing: str) -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        sockets = {"root": root, "leg": leg, "member": leaf, "listening leaf": a_listening_leaf(stack)}
        sock = sockets.pop(closing)
        watchers = {name: Watcher(sockets[name]) for name in TOLD[closing]}
        sock.options.linger = True, 10 * PATIENCE_S
        Meanwhile(sock.close).result()
        for name, watcher in watchers.items():
            assert watcher.wait_for(sockets[name], NetworkEvent.CLOSE) == 0


@pytest.mark.requirement("CL-22", "CL-05")
@pytest.mark.parametrize("who", ["root", "leaf"])
@isolated
def test_linger_does_not_wait_for_strangers_who_hold_the_line(who: str) -> None:
    with Stack() as stack:
        sock = a_root(stack) if who == "root" else a_listening_leaf(stack)
        with (
            socket.create_connection(sock.local_address, PATIENCE_S),
            socket.create_connection(sock.local_address, PATIENCE_S) as second,
        ):
            second.sendall(b"nonsense")
            # They are taken in turn: by now the silent one has been.
            read_to_the_end(second)
            sock.options.linger = True, 10 * PATIENCE_S
            Meanwhile(sock.close).result()


@pytest.mark.requirement("DI-07", "CL-22", "CL-27")
@isolated
def test_cancelled_linger_ends_abruptly() -> None:
    assert ws.WSAStartup(0x0101, WSADATA()) == 0
    root, name = a_listening(ROOT)
    with socket.create_connection(ws.address(name), PATIENCE_S) as peer:
        join = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, Endpoint("127.0.0.1", 9))
        peer.sendall(wire.encode(wire.Hello()) + wire.encode(join))
        leg = ws.accept(root, None, None)
        assert ws.setsockopt(leg, c.SOL_SOCKET, c.SO_LINGER, (1 | 60 << 16).to_bytes(4, "little"), 4) == 0
        lingering = process.sockets.get(leg)
        closing = Meanwhile(lambda: (ws.closesocket(leg), ws.WSAGetLastError()))
        wait_till_blocked(lingering)
        assert ws.WSACancelBlockingCall() == 0
        assert closing.result() == (c.SOCKET_ERROR, c.WSAEINTR)
        assert read_to_the_end(peer) == "reset"
    assert ws.closesocket(leg) == c.SOCKET_ERROR
    assert ws.WSAGetLastError() == c.WSAENOTSOCK


@pytest.mark.requirement("CL-22", "SU-09")
@isolated
def test_clean_up_ends_lingering() -> None:
    stack = Stack()
    root = a_root(stack)
    root.options.linger = True, 10 * PATIENCE_S
    with a_deaf_leaf(root) as peer:
        root.accept()
        closing = Meanwhile(root.close)
        peer.recv(1)
        while not root.is_closed:
            pass
        stack.close()
        closing.result()
        assert read_to_the_end(peer) == "reset"


@pytest.mark.requirement("CL-23")
@isolated
def test_lingering_close_of_a_nonblocking_socket_is_refused_and_nothing_has_begun() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        for sock in (root, leaf, leg):
            sock.options.linger = True, 1
            sock.set_blocking(False)
            assert code_of(sock.close) == c.WSAEWOULDBLOCK
        assert leg.enumerate_events() == {}
        root.send(b"as before")
        leaf.set_blocking(True)
        assert leaf.receive()[0] == b"as before"
        root.options.linger = True, 0
        root.close()


@pytest.mark.requirement("CL-14", "CL-37")
@isolated
def test_send_after_an_orderly_end_and_nothing_revives_the_sockets() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        watchers = [(sock, Watcher(sock)) for sock in (leg, leaf)]
        root.shutdown(c.SD_BOTH)
        for sock, watcher in watchers:
            assert watcher.wait_for(sock, NetworkEvent.CLOSE) == 0
            assert code_of(partial(sock.send, b"late")) == c.WSAENOTCONN
        another = a_root(stack)
        for spent in (root, leg, leaf):
            assert code_of(partial(spent.join, another.local_address)) == c.WSAEISCONN
        assert code_of(leaf.listen) == c.WSAEISCONN


@pytest.mark.requirement("EV-44", "CL-08", "CL-31")
@isolated
def test_leg_that_was_shut_down_closes_when_its_leafs_end_has_come() -> None:
    with Stack() as stack:
        root = a_root(stack)
        with a_deaf_leaf(root) as peer:
            leg = root.accept()
            watcher = Watcher(leg)
            leg.shutdown(c.SD_SEND)
            assert NetworkEvent.CLOSE not in leg.enumerate_events()
            assert code_of(partial(leg.send, b"late")) == c.WSAESHUTDOWN
            assert read_to_the_end(peer) == "in order"
            assert leg.enumerate_events() == {}
            peer.close()
            assert watcher.wait_for(leg, NetworkEvent.CLOSE) == 0
            assert code_of(leg.receive) == c.WSAEDISCON


@pytest.mark.requirement("CL-16", "AC-11")
@isolated
def test_listening_leaf_and_its_members_end_each_for_itself() -> None:
    with Stack() as stack:
        first, second, listener = a_root(stack), a_root(stack), a_listening_leaf(stack)
        (_, member), (_, other) = invite(first, listener), invite(second, listener)
        watcher, at_listener = Watcher(member), Watcher(listener)
        first.close()
        assert watcher.wait_for(member, NetworkEvent.CLOSE) == 0
        assert listener.enumerate_events() == {}
        assert at_listener
        listener.select_events(None, 0)
        listener.set_blocking(True)
        _, third = invite(a_root(stack), listener)
        listener.close()
        second.send(b"still a member")
        assert other.receive()[0] == b"still a member"
        assert code_of(partial(third.join, second.local_address)) == c.WSAEISCONN


@pytest.mark.requirement("EV-42", "EV-31", "CL-13", "D-41")
@pytest.mark.parametrize("how", ["switched off", "without its address"])
@isolated
def test_own_interface_that_is_lost_is_no_silence_of_the_peer(how: str) -> None:
    pair = Pair()
    with pair.left, Stack(Settings(silence_s=0.3)) as near, pair.right, Stack() as far:
        with pair.left:
            root = a_root(near, pair.left.address)
            accepting = Meanwhile(root.accept)
        leaf = a_leaf(far)
        leaf.join(root.local_address)
        leg = accepting.result()
        at_leg, at_leaf = Watcher(leg, c.FD_CLOSE), Watcher(leaf, c.FD_CLOSE)
        with IPRoute() as routes:
            (index,) = routes.link_lookup(ifname="eth0")
            if how == "switched off":
                routes.link("set", index=index, state="down")
            else:
                routes.addr("del", index=index, address=pair.right.address, prefixlen=24)
        assert at_leaf.wait_for(leaf, NetworkEvent.CLOSE) == c.WSAENETDOWN
        # At the other end nothing is lost but the peer.
        assert at_leg.wait_for(leg, NetworkEvent.CLOSE) == c.WSAECONNABORTED
        assert code_of(leaf.receive) == c.WSAENETDOWN


@pytest.mark.requirement("CL-34", "CL-35", "D-83")
@isolated
def test_root_says_farewell_to_every_leaf() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        admit(root, leaf)
        _, member = invite(root, a_listening_leaf(stack))
        watchers = [(sock, Watcher(sock)) for sock in (leaf, member)]
        root.shutdown(c.SD_SEND, b"good bye")
        for sock, watcher in watchers:
            assert watcher.wait_for(sock, NetworkEvent.CLOSE) == 0
            assert code_of(partial(sock.receive_disconnect, 7)) == c.WSAEFAULT
            assert code_of(sock.receive) == c.WSAEDISCON
            assert sock.receive_disconnect(8) == b"good bye"
            assert code_of(sock.receive) == c.WSAESHUTDOWN


@pytest.mark.requirement("CL-34", "CL-35")
@isolated
def test_leaf_and_leg_say_farewell_to_each_other() -> None:
    with Stack() as stack:
        root, leaf, other = a_root(stack), a_leaf(stack), a_leaf(stack)
        leg, at_other = admit(root, leaf), admit(root, other)
        watcher = Watcher(leg)
        assert leg.receive_disconnect(100) == b""
        leaf.shutdown(c.SD_SEND, b"I'm off")
        assert watcher.wait_for(leg, NetworkEvent.CLOSE) == 0
        assert leg.receive_disconnect(100) == b"I'm off"
        watcher = Watcher(other)
        at_other.shutdown(c.SD_SEND, b"go")
        assert watcher.wait_for(other, NetworkEvent.CLOSE) == 0
        assert other.receive_disconnect(100) == b"go"


@pytest.mark.requirement("CL-36")
@isolated
def test_channel_takes_no_disconnect_data() -> None:
    with Stack() as stack:
        channel = stack.socket(c.AF_INET, c.SOCK_DGRAM, PROTOCOLS[ProviderClass.SSM], None, LEAF)
        assert code_of(lambda: channel.shutdown(c.SD_SEND, b"bye")) == c.WSAENOPROTOOPT
        assert code_of(lambda: channel.receive_disconnect(9)) == c.WSAENOPROTOOPT
        channel.shutdown(c.SD_SEND)


@pytest.mark.requirement("CL-36", "CL-34")
@isolated
def test_disconnect_data_where_it_can_not_be() -> None:
    with Stack() as stack:
        plain, root, leaf = a_group_socket(stack, GROUP), a_root(stack), a_leaf(stack)
        assert code_of(lambda: plain.shutdown(c.SD_SEND, b"")) == c.WSAENOPROTOOPT
        assert code_of(lambda: plain.receive_disconnect(0)) == c.WSAENOPROTOOPT
        plain.send(b"still open")
        assert code_of(lambda: leaf.shutdown(c.SD_SEND, b"bye")) == c.WSAENOTCONN
        assert code_of(lambda: leaf.receive_disconnect(10)) == c.WSAENOTCONN
        admit(root, leaf)
        assert code_of(lambda: leaf.shutdown(c.SD_SEND, bytes(1025))) == c.WSAEFAULT
        leaf.send(b"still a member")
        assert root.receive()[0] == b"still a member"
        assert plain.receive_disconnect(None) == b""
        assert code_of(plain.receive) == c.WSAESHUTDOWN


@pytest.mark.requirement("CL-38", "EV-31")
@isolated
def test_close_is_told_once_however_many_causes_meet() -> None:
    with Stack() as stack, Stack() as other:
        root, leaf, told = a_root(stack), a_leaf(other), list[tuple[object, int]]()
        leg = admit(root, leaf)
        for sock in (leg, leaf):
            sock.post_events(lambda which, _, code: told.append((which, code)), c.FD_CLOSE)
        (connection,) = other.connections
        root.shutdown(c.SD_SEND)
        # Both ends hear of it in two more ways.
        leg.shutdown(c.SD_BOTH)
        while (leaf, 0) not in told:
            pass
        with other.lock:
            connection.link.broken(c.WSAECONNRESET, 0.0)
            connection.pump()
        root.close()
        for sock in (leg, leaf):
            sock.post_events(None, 0)
            assert told.count((sock, 0)) == 1
        assert len(told) == 2
