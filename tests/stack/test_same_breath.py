"""What a peer says in one breath, so that the stack hears all of it before it can answer the first part."""

import contextlib
import random
import socket
from collections.abc import Callable

import pytest
from tests.stack.flows import NOTHING, a_flow, sending
from tests.stack.network import isolated
from tests.stack.people import Meanwhile, Watcher, a_leaf, a_listening_leaf, a_root, admit, code_of, invite

from multipoint import constants as c
from multipoint import wire
from multipoint.errors import MultipointError
from multipoint.events import NetworkEvent
from multipoint.flow import QOS
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.wire import Endpoint

HOST = Endpoint("127.0.0.1", 7001)
JOIN = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, HOST)
INVITE = wire.Invite(ProviderClass.P2MP, Plane.ROOT, Plane.ROOT, JoinRole.BOTH, 7)
LEAF_ACCEPTS = wire.Accept(Plane.LEAF, Plane.LEAF, HOST)
ROOT_ACCEPTS = wire.Accept(Plane.ROOT, Plane.ROOT, HOST)


def confirm(group: str) -> wire.Confirm:
    """Return a root's Confirm; of a group that is none, no kernel can be a member."""
    return wire.Confirm(wire.Membership(7, 1, Endpoint(group, 7000), HOST, bytes(32), bytes(32), 2500, 10_000))


def say(peer: socket.socket, *messages: wire.Message) -> None:
    peer.sendall(b"".join(map(wire.encode, messages)))


def hang_up(peer: socket.socket) -> None:
    """Say no more, and wait until the stack has done with the connection."""
    with contextlib.suppress(OSError):
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1000):
            pass
    peer.close()


@pytest.mark.requirement("CL-07", "QS-09")
@isolated
def test_leaf_that_asks_for_flows_and_leaves_is_heard_leaving() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leg = admit(root, leaf)
        watcher = Watcher(leg)
        leaf.set_blocking(False)
        with stack.lock:
            leaf.set_qos(sending(300))
            leaf.close()
        assert watcher.wait_for(leg, NetworkEvent.CLOSE) == 0


@pytest.mark.requirement("CL-01", "QS-09")
@isolated
def test_root_that_asks_for_flows_and_ends_the_session_is_heard_ending_it() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        admit(root, leaf)
        watcher = Watcher(leaf)
        root.set_blocking(False)
        with stack.lock:
            root.set_qos(sending(300))
            root.close()
        assert watcher.wait_for(leaf, NetworkEvent.CLOSE) == 0


@pytest.mark.requirement("JL-37", "JL-76")
@isolated
def test_leaf_that_accepts_and_leaves_fails_the_join_and_not_the_root() -> None:
    with Stack() as stack, socket.create_server(("127.0.0.1", 0)) as server:
        root = a_root(stack)
        joining = Meanwhile(lambda: code_of(lambda: root.join(server.getsockname())))
        leaf, _ = server.accept()
        say(leaf, wire.Hello(), LEAF_ACCEPTS, wire.Leave())
        assert joining.result() == c.WSAECONNREFUSED
        hang_up(leaf)
        invite(root, a_listening_leaf(stack))


@pytest.mark.requirement("JL-37", "JL-38", "JL-76")
@isolated
def test_leaf_that_could_not_take_part_may_ask_again_though_the_root_has_closed() -> None:
    with Stack() as stack, socket.create_server(("127.0.0.1", 0)) as server:
        leaf = a_leaf(stack)
        joining = Meanwhile(lambda: code_of(lambda: leaf.join(server.getsockname())))
        root, _ = server.accept()
        say(root, wire.Hello(), ROOT_ACCEPTS, confirm("10.0.0.1"), wire.Close())
        assert joining.result() == c.WSAENETDOWN
        hang_up(root)
        admit(a_root(stack), leaf)


# What a peer may say, rightly or not; each role begins with what brings it furthest.
WORDS: tuple[wire.Message, ...] = (
    JOIN,
    INVITE,
    LEAF_ACCEPTS,
    ROOT_ACCEPTS,
    wire.Accept(Plane.LEAF, Plane.LEAF, HOST, b"", sending(10)),
    wire.Reject(c.WSAECONNREFUSED),
    confirm("239.9.9.9"),
    confirm("10.0.0.1"),
    wire.Cancel(),
    wire.Leave(b"leaf"),
    wire.Close(b"root"),
    wire.Heartbeat(),
    wire.Chat(b"hello"),
    wire.FlowRequest(1, sending(5)),
    wire.FlowRequest(2, QOS.of(a_flow(0), NOTHING)),
    wire.FlowAnswer(1, 0, sending(5)),
    wire.FlowAnswer(1, c.WSAENOBUFS, sending(5)),
)


def anything(choose: random.Random, *likely: wire.Message) -> tuple[wire.Message, ...]:
    """Return a Hello, most times what is likely next, and then anything."""
    begun = likely[: choose.randrange(2 * len(likely) + 1)]
    return (wire.Hello(), *begun, *choose.choices(WORDS, k=choose.randrange(4)))


def call_a_root(stack: Stack, choose: random.Random) -> None:
    root = a_root(stack)
    peer = socket.create_connection(root.local_address)
    say(peer, *anything(choose, JOIN))
    hang_up(peer)
    root.close()


def call_a_leaf(stack: Stack, choose: random.Random) -> None:
    leaf = a_listening_leaf(stack)
    peer = socket.create_connection(leaf.local_address)
    say(peer, *anything(choose, INVITE))
    hang_up(peer)
    leaf.close()


def be_let_in(stack: Stack, choose: random.Random) -> None:
    root = a_root(stack)
    peer = socket.create_connection(root.local_address)
    say(peer, wire.Hello(), JOIN)
    root.accept()
    say(peer, *anything(choose, wire.FlowRequest(1, sending(5)))[1:])
    hang_up(peer)
    root.close()


def be_invited(stack: Stack, choose: random.Random) -> None:
    root = a_root(stack)
    be_dialled(root, choose, LEAF_ACCEPTS)


def be_asked(stack: Stack, choose: random.Random) -> None:
    leaf = a_leaf(stack)
    be_dialled(leaf, choose, ROOT_ACCEPTS, confirm("239.9.9.9"), wire.FlowRequest(1, sending(5)))


def be_dialled(joiner: MultipointSocket, choose: random.Random, *likely: wire.Message) -> None:
    joiner.set_blocking(False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        with contextlib.suppress(MultipointError):
            joiner.join(server.getsockname())
        peer, _ = server.accept()
        say(peer, *anything(choose, *likely))
        hang_up(peer)
    joiner.close()


@pytest.mark.requirement("JL-53")
@pytest.mark.parametrize(
    "role", [call_a_root, call_a_leaf, be_let_in, be_invited, be_asked], ids=lambda it: it.__name__
)
@isolated
def test_whatever_is_said_in_one_breath_is_no_fault_of_the_stack(role: Callable[[Stack, random.Random], None]) -> None:
    with Stack() as stack:
        for seed in range(150):
            role(stack, random.Random(seed))
        # Still there for those who behave.
        admit(a_root(stack), a_leaf(stack))
