"""The ring on a real packet socket: each test's body runs in a child with a network of its own."""

import fcntl
import os
import select
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable

import pytest

from joinlab.namespaces import Namespace, become_root_of_new_user_namespace, unshare
from joinlab.ring import MAX_IGNORED, Frame, Geometry, Ring, filter_program, open_ring

SMALL = Geometry(block_size=4096, block_count=4)
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
LOOPBACK = 1
TARGET = ("127.0.0.1", 5000)


def in_own_network(body: Callable[[], None]) -> None:
    """Run the body in a child that is alone on its network; fail if it fails."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _leave_network()
            body()
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def _leave_network() -> None:
    if os.geteuid() == 0:
        unshare(Namespace.NET)
    else:
        become_root_of_new_user_namespace(Namespace.NET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def open_small(ignored: tuple[int, ...] = ()) -> Ring:
    """Return a ring that is full soon."""
    return Ring(open_ring(ignored, SMALL), SMALL)


def sink() -> socket.socket:
    """Return a socket that takes what is sent, so that nothing is answered."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(TARGET)
    return sock


def read(ring: Ring, count: int) -> list[Frame]:
    """Return that many frames, waiting for them."""
    frames: list[Frame] = []
    while len(frames) < count:
        assert select.select([ring], [], [], 5)[0], f"{len(frames)} of {count} frames"
        frames += ring.read()
    return frames


def test_a_frame_is_seen_once_in_each_direction_with_its_time() -> None:
    def body() -> None:
        ring, before = open_small(), time.time_ns()
        with sink() as sock:
            sock.sendto(b"hello", TARGET)
        out, back = read(ring, 2)
        assert before <= out.ns <= back.ns <= time.time_ns()
        assert (out.interface, out.outgoing, back.interface, back.outgoing) == (LOOPBACK, True, LOOPBACK, False)
        assert out.data == back.data
        assert out.data.endswith(b"hello")
        assert out.length == len(out.data) == 14 + 20 + 8 + 5
        assert ring.statistics() == (2, 0)
        assert ring.statistics() == (0, 0)

    in_own_network(body)


def test_the_ring_goes_round_and_round() -> None:
    def body() -> None:
        ring = open_small()
        with sink() as sock:
            for number in range(100):
                sock.sendto(b"number %d" % number, TARGET)
                assert [frame.data[42:] for frame in read(ring, 2)] == [b"number %d" % number] * 2

    in_own_network(body)


def test_what_finds_no_room_is_counted() -> None:
    def body() -> None:
        ring = open_small()
        with sink() as sock:
            for _ in range(200):
                sock.sendto(bytes(500), TARGET)
        kept, dropped = ring.statistics()
        assert dropped > 0
        assert kept + dropped == 400
        assert len(read(ring, kept)) == kept

    in_own_network(body)


def test_a_frame_larger_than_a_block_is_cut_and_says_so() -> None:
    def body() -> None:
        ring = open_small()
        with sink() as sock:
            sock.sendto(bytes(20_000), TARGET)
        frame, _ = read(ring, 2)
        assert frame.length == 14 + 20 + 8 + 20_000
        assert 3000 < len(frame.data) < 4096

    in_own_network(body)


def test_ignored_interfaces_are_not_seen() -> None:
    def body() -> None:
        for ignored in ((LOOPBACK,), (7, LOOPBACK, 8), tuple(range(MAX_IGNORED))):
            ring = open_small(ignored)
            with sink() as sock:
                sock.sendto(b"hello", TARGET)
            assert ring.statistics() == (0, 0)
            ring.close()

    in_own_network(body)


def test_other_interfaces_are_seen_beside_ignored_ones() -> None:
    def body() -> None:
        ring = open_small((7, 8, 9))
        with sink() as sock:
            sock.sendto(b"hello", TARGET)
        assert ring.statistics() == (2, 0)

    in_own_network(body)


def test_only_ip_is_seen() -> None:
    def body() -> None:
        ring = open_small()
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            for kind in (0x0806, 0x88CC, 0x86DD, 0x0800):
                sock.sendto(bytes(12) + kind.to_bytes(2) + bytes(40), ("lo", 0))
        kinds = {frame.data[12:14].hex() for frame in read(ring, 4)}
        assert kinds == {"0800", "86dd"}
        assert ring.statistics() == (4, 0)

    in_own_network(body)


def test_too_many_interfaces_to_ignore_are_refused() -> None:
    with pytest.raises(ValueError, match="251 interfaces"):
        filter_program(range(MAX_IGNORED + 1))
