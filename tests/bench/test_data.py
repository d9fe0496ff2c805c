"""How fast the stack carries data, beside plain Python sockets in the same run."""

import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from figures import Figures
from tests.bench.elsewhere import in_namespace, process
from tests.stack.network import Pair
from tests.stack.people import Meanwhile, a_group_socket, a_leaf, a_root

from multipoint.kinds import JoinRole
from multipoint.stack import Stack
from multipoint.wire import Endpoint

ROUNDS = 25
DATAGRAMS = 1000
# How many are on their way at once: so few that no receiver's buffer overflows, so many that both sides work.
WINDOW = 20
GROUP = Endpoint("239.1.2.3", 5000)
# The group of the plain sockets, on the interface of the system's choice.
ANY_INTERFACE = socket.inet_aton("239.7.7.7") + bytes(4)
# Of the issue that asked for them: the speed of plain sockets is 1.
SPEEDS = {"plain group": 0.85, "rooted session": 0.5}

Send = Callable[[bytes], object]
Receive = Callable[[], object]


@pytest.mark.parametrize("size", [200, 1400])
def test_from_node_to_node(figures: Figures, size: int) -> None:
    _add(figures, f"{size} bytes from process to process", in_namespace(lambda: from_process_to_process(size)))


@pytest.mark.parametrize("size", [200, 1400])
def test_work_of_both_sides(figures: Figures, size: int) -> None:
    _add(figures, f"{size} bytes, work of both sides", in_namespace(lambda: both_in_one_thread(size)), has_aim=False)


def _add(figures: Figures, what: str, measured: list[list[float]], *, has_aim: bool = True) -> None:
    floor, *others = measured
    for (name, speed), laps in zip(SPEEDS.items(), others, strict=True):
        figures.add(
            f"{name}: {what}",
            "us",
            laps,
            floor=floor,
            floor_is=f"plain sockets; aim {speed} of their speed" if has_aim else "plain sockets",
            aim=statistics.median(floor) / speed if has_aim else None,
        )


# One thread sends some, then receives them: nothing is done side by side, and nobody waits.


def both_in_one_thread(size: int) -> list[list[float]]:
    """Return microseconds for a datagram sent and received over a link: plain sockets, a group, a rooted session."""
    data, pair = bytes(size), Pair()
    with (
        Stack() as near,
        Stack() as far,
        pair.left,
        speakers(near, pair.left.address) as (sends, root),
        pair.right,
        listeners(far, root) as receives,
    ):
        return laps(sends, lambda number, send: burst(send, receives[number], data))


def burst(send: Send, receive: Receive, data: bytes) -> int:
    """Send some datagrams, then receive them; return how many."""
    for _ in range(WINDOW):
        send(data)
    for _ in range(WINDOW):
        receive()
    return WINDOW


# A process sends all the time, another one receives all the time.


def from_process_to_process(size: int) -> list[list[float]]:
    """Return microseconds from one datagram to the next: plain sockets, a group, a rooted session."""
    data, pair = bytes(size), Pair()
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    with (
        ours,
        theirs,
        pair.left,
        Stack() as near,
        speakers(near, pair.left.address) as (sends, root),
        process(pair.right, lambda tell: serve_listeners(root, theirs, tell)),
    ):
        return laps(sends, lambda number, send: stream(number, send, ours, data))


def stream(number: int, send: Send, channel: socket.socket, data: bytes) -> int:
    """Send many datagrams, no more at a time than fit; return how many."""
    channel.send(bytes([number]))
    for window in range(DATAGRAMS // WINDOW):
        if window > 1:
            channel.recv(1)
        for _ in range(WINDOW):
            send(data)
    channel.recv(1)
    channel.recv(1)
    return DATAGRAMS


def serve_listeners(root: Endpoint, channel: socket.socket, tell: Callable[[Any], None]) -> None:
    """Receive as asked for, and say so after each window."""
    with Stack() as stack, listeners(stack, root) as receives:
        tell(root)
        while order := channel.recv(1):
            receive = receives[order[0]]
            for _ in range(DATAGRAMS // WINDOW):
                for _ in range(WINDOW):
                    receive()
                channel.send(b".")


# Both


def laps(sends: Sequence[Send], run: Callable[[int, Send], int]) -> list[list[float]]:
    """Return microseconds for each datagram and round of each way, one way after the other in each round."""
    measured: list[list[float]] = [[] for _ in sends]
    for _ in range(ROUNDS):
        for number, send in enumerate(sends):
            begun = time.perf_counter()
            count = run(number, send)
            measured[number].append(1e6 * (time.perf_counter() - begun) / count)
    return measured


@contextmanager
def speakers(stack: Stack, address: str) -> Iterator[tuple[list[Send], Endpoint]]:
    """The sending sides and the root's address, who lets in one leaf."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
        sender = a_group_socket(stack, GROUP, JoinRole.SENDER_ONLY, interface=0)
        root = a_root(stack, address)
        Meanwhile(root.accept)
        yield [lambda data: speaker.sendto(data, ("239.7.7.7", 7777)), sender.send, root.send], root.local_address


@contextmanager
def listeners(stack: Stack, root: Endpoint) -> Iterator[list[Receive]]:
    """The receiving sides, members all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("239.7.7.7", 7777))
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, ANY_INTERFACE)
        receiver, leaf = a_group_socket(stack, GROUP, interface=0), a_leaf(stack)
        leaf.join(root)
        yield [lambda: listener.recvfrom(65536), receiver.receive, leaf.receive]
