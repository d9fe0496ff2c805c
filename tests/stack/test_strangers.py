"""Who doesn't belong at a control port: never raises, never blocks another peer, is forgotten."""

import os
import resource
import socket
import struct
from collections.abc import Callable

import pytest
from tests.stack.network import isolated
from tests.stack.people import HERE, PATIENCE_S, Meanwhile, a_leaf, a_listening_leaf, a_root, admit, code_of, invite

from multipoint import constants as c
from multipoint import wire
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.values import Settings

JOIN = wire.encode(wire.Hello()) + wire.encode(
    wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, wire.Endpoint("127.0.0.1", 1))
)


def call(root: MultipointSocket, said: bytes) -> socket.socket:
    caller = socket.create_connection(root.local_address, PATIENCE_S)
    caller.sendall(said)
    return caller


def is_turned_away(caller: socket.socket) -> bool:
    """Wait until the other side hangs up; whatever it says before doesn't count."""
    try:
        while caller.recv(1000):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.requirement("AC-09", "JL-53", "D-62")
@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100_000, JOIN[:-1] + b"\xff" * 5000, JOIN + JOIN, os.urandom(200)],
    ids=["http", "zeros", "broken join", "two joins", "random"],
)
@isolated
def test_nonsense_at_the_control_port_is_turned_away(said: bytes) -> None:
    with Stack() as stack:
        root = a_root(stack)
        silent = call(root, b"")
        assert is_turned_away(call(root, said))
        leg = admit(root, a_leaf(stack))
        assert leg.peer_address
        silent.close()


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


ANSWERS: dict[str, Callable[[socket.socket], object]] = {
    "nothing, and hangs up": lambda peer: None,
    "a reset": reset,
    "another protocol": lambda peer: peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "another version": lambda peer: peer.sendall(wire.encode(wire.Hello(major=2))),
    "a request of its own": lambda peer: peer.sendall(JOIN),
}


@pytest.mark.requirement("JL-53", "JL-66", "JL-37")
@pytest.mark.parametrize("who", ["leaf", "root"])
@pytest.mark.parametrize("answer", ANSWERS)
@isolated
def test_listener_that_is_no_socket_of_the_kind_refuses(answer: str, who: str) -> None:
    with Stack() as stack, socket.create_server((HERE, 0)) as server:
        joiner = a_leaf(stack) if who == "leaf" else a_root(stack)
        joining = Meanwhile(lambda: code_of(lambda: joiner.join(server.getsockname())))
        peer, _ = server.accept()
        with peer:
            ANSWERS[answer](peer)
        assert joining.result() == c.WSAECONNREFUSED
        # Somebody of the kind lets it in.
        if who == "leaf":
            admit(a_root(stack), joiner)
        else:
            invite(joiner, a_listening_leaf(stack))


@pytest.mark.requirement("JL-53", "JL-43")
@pytest.mark.parametrize("who", ["leaf", "root"])
@isolated
def test_listener_that_says_nothing_is_waited_for(who: str) -> None:
    with Stack(Settings(join_timeout_s=0.05)) as stack, socket.create_server((HERE, 0)) as server:
        joiner = a_leaf(stack) if who == "leaf" else a_root(stack)
        assert code_of(lambda: joiner.join(server.getsockname())) == c.WSAETIMEDOUT


@isolated
def test_those_turned_away_leave_nothing_behind() -> None:
    with Stack() as stack:
        root = a_root(stack)
        for _ in range(50):
            assert is_turned_away(call(root, b"nonsense"))
        # The stack's thread holds the lock until the last of them is forgotten.
        with stack.lock:
            assert not root._connections  # type: ignore[attr-defined]
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counting descriptors
        for _ in range(50):
            leaf = a_leaf(stack)
            leg = admit(root, leaf)
            leaf.close()
            leg.close()
        admit(root, a_leaf(stack))
        assert len(os.listdir("/proc/self/fd")) <= before + 20  # noqa: PTH208


@isolated
def test_listener_outlives_a_lack_of_descriptors() -> None:
    with Stack() as stack:
        root, leaf = a_root(stack), a_leaf(stack)
        leaf.bind(("127.0.0.1", 0))
        caller = socket.socket()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = max(int(number) for number in os.listdir("/proc/self/fd"))  # noqa: PTH208
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        caller.connect(root.local_address)
        caller.sendall(b"nonsense")
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert is_turned_away(caller)
        admit(root, leaf)


@isolated
def test_stream_cut_at_each_byte_is_turned_away_or_withdrawn() -> None:
    with Stack() as stack:
        root = a_root(stack)
        for cut in range(len(JOIN) + 1):
            caller = call(root, JOIN[:cut])
            caller.shutdown(socket.SHUT_WR)
            assert is_turned_away(caller)
        root.set_blocking(False)
        assert code_of(root.accept) == c.WSAEWOULDBLOCK
