"""A packet socket with a memory-mapped ring (TPACKET_V3): how it is opened, and how its frames are read.

The keeper opens it in the fabric's namespace and hands the descriptor over; the harness maps and reads it. One such
socket, bound to no interface, sees each frame on each port in both directions. Why a ring: 100,000 frames a second
cost it a tenth of a processor; a call per frame costs half of one, and loses frames when the reader is busy.

Standard library only. May not know: nodes, traces, what a frame contains.

The kernel fills blocks and hands each over when it is full or RETIRE_MS old; the reader gives it back by setting its
status to 0. Layouts are those of <linux/if_packet.h>, described in the kernel's networking/packet_mmap.rst.
"""

import ctypes
import mmap
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

# <linux/if_packet.h>, <linux/if_ether.h>, <asm-generic/socket.h>: Python's socket module lacks these.
SOL_PACKET = 263
PACKET_RX_RING = 5
PACKET_STATISTICS = 6
PACKET_VERSION = 10
TPACKET_V3 = 2
PACKET_OUTGOING = 4
SO_ATTACH_FILTER = 26
ETH_P_ALL = 0x0003
ETH_P_IP = 0x0800
ETH_P_IPV6 = 0x86DD
STATUS_USER = 1  # TP_STATUS_USER: the block is the reader's

# How long a frame may wait in a block that isn't full. A test waits for records that come out of here; but each block
# handed over half empty is one less until the reader comes, so this times the number of blocks is how long a slow
# stream of frames can go unread: one second.
RETIRE_MS = 2

# Classic BPF (<linux/filter.h>): load half word / word at a fixed place, jump if equal, return.
LOAD_HALF, LOAD_WORD, JUMP_EQUAL, RETURN = 0x28, 0x20, 0x15, 0x06
ETHERTYPE_AT = 12
INTERFACE_AT = 0xFFFFF000 + 8  # SKF_AD_OFF + SKF_AD_IFINDEX: not a place in the frame but the device's index
WHOLE_FRAME = 0x40000
MAX_IGNORED = 250  # a jump is 8 bits wide

REQUEST = struct.Struct("=7I")  # struct tpacket_req3
STATISTICS = struct.Struct("=3I")  # struct tpacket_stats_v3: packets (dropped ones included), drops, freezes
BLOCK_STATUS = struct.Struct("=I")
BLOCK_STATUS_AT = 8
BLOCK = struct.Struct("=8xIII")  # struct tpacket_block_desc: status, number of packets, offset of the first
SOCKADDR_LL = struct.Struct("=HHi12x")  # struct sockaddr_ll: family, protocol, index (0: all)
# struct tpacket3_hdr, then struct sockaddr_ll: next, sec, nsec, captured, length, offset of the frame; index, type
PACKET = struct.Struct("=IIIII4xH2x20x4xi2xB")


@dataclass(frozen=True, slots=True)
class Geometry:
    """The size of a ring. What is larger than a block is cut, which only a segment that TCP offloads can be.

    16 MiB hold half a second of 100,000 frames a second; twice that would take twice the time to open it (10 ms).
    """

    block_size: int = 32 * 1024
    block_count: int = 512

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuild from ``to_json``."""
        return cls(**data)


class Frame(NamedTuple):
    """One frame on one port, as the kernel saw it."""

    ns: int  # CLOCK_REALTIME
    interface: int
    outgoing: bool  # out of that interface; at a bridge port: towards the node
    length: int  # on the wire; more than len(data) if it was cut
    data: bytes


class Statistics(NamedTuple):
    """What has been accepted and what got lost since the last time it was asked."""

    kept: int
    dropped: int


def filter_program(ignored: Sequence[int]) -> bytes:
    """Return the kernel filter: IPv4 and IPv6 on all interfaces but the ``ignored`` ones (by index)."""
    if len(ignored) > MAX_IGNORED:
        raise ValueError(f"{len(ignored)} interfaces to ignore, at most {MAX_IGNORED}")
    count = len(ignored)
    instruction = struct.Struct("=HBBI").pack
    return b"".join(
        [
            instruction(LOAD_WORD, 0, 0, INTERFACE_AT),
            # A hit jumps over the other comparisons and the four instructions below, to the refusal.
            *(instruction(JUMP_EQUAL, count - place + 3, 0, index) for place, index in enumerate(ignored)),
            instruction(LOAD_HALF, 0, 0, ETHERTYPE_AT),
            instruction(JUMP_EQUAL, 1, 0, ETH_P_IP),
            instruction(JUMP_EQUAL, 0, 1, ETH_P_IPV6),
            instruction(RETURN, 0, 0, WHOLE_FRAME),
            instruction(RETURN, 0, 0, 0),
        ]
    )


def open_ring(ignored: Sequence[int] = (), geometry: Geometry = Geometry()) -> socket.socket:
    """Open a packet socket with a ring in this network namespace; it captures from now on.

    ``ignored`` are interfaces whose frames are not wanted: bridges, whose own copies would count frames twice.
    Needs CAP_NET_RAW; the receiver of the descriptor needs nothing.
    """
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # 0: receives nothing before it is bound
    try:
        attach_filter(sock, filter_program(ignored))
        sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
        size, count = geometry.block_size, geometry.block_count
        sock.setsockopt(SOL_PACKET, PACKET_RX_RING, REQUEST.pack(size, count, size, count, RETIRE_MS, 0, 0))
        _bind_to_all(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def attach_filter(sock: socket.socket, program: bytes) -> None:
    """Have the kernel pass only what a program of classic BPF lets through."""
    # struct sock_fprog holds a pointer to the program, which must stay alive during the call.
    buffer = ctypes.create_string_buffer(program, len(program))
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    )


def _bind_to_all(sock: socket.socket) -> None:
    # Python's bind wants an interface's name. A socket that has its protocol from the start would need no bind, but
    # would count frames that came before its ring.
    address = SOCKADDR_LL.pack(socket.AF_PACKET, socket.htons(ETH_P_ALL), 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.bind(sock.fileno(), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), "the packet socket can't be bound")


class Ring:
    """The reading end. It owns the socket."""

    def __init__(self, sock: socket.socket, geometry: Geometry) -> None:
        self._sock = sock
        self._size = geometry.block_size
        self._count = geometry.block_count
        self._map = mmap.mmap(sock.fileno(), self._size * self._count)
        self._next = 0
        self.is_open = True

    @classmethod
    def from_descriptor(cls, descriptor: int, geometry: Geometry) -> Self:
        """Read the ring of a packet socket that another process opened and handed over."""
        return cls(socket.socket(fileno=descriptor), geometry)

    def fileno(self) -> int:
        """Return the descriptor; it is readable when a block is."""
        return self._sock.fileno()

    def close(self) -> None:
        """Give the ring back."""
        self.is_open = False
        self._map.close()
        self._sock.close()

    def read(self) -> list[Frame]:
        """Return all frames of the blocks that are ready, at most one round of the ring; never waits."""
        frames: list[Frame] = []
        for _ in range(self._count):
            start = self._next * self._size
            status, packets, first = BLOCK.unpack_from(self._map, start)
            if not status & STATUS_USER:
                break
            frames.extend(self._frames(start + first, packets))
            BLOCK_STATUS.pack_into(self._map, start + BLOCK_STATUS_AT, 0)
            self._next = (self._next + 1) % self._count
        return frames

    def statistics(self) -> Statistics:
        """Return how many frames were put into the ring and how many lost since the last call."""
        packets, dropped, _ = STATISTICS.unpack(self._sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, STATISTICS.size))
        return Statistics(packets - dropped, dropped)

    def _frames(self, at: int, packets: int) -> Iterator[Frame]:
        memory, unpack, make = self._map, PACKET.unpack_from, Frame
        for _ in range(packets):
            step, seconds, nanoseconds, captured, length, offset, interface, direction = unpack(memory, at)
            data = memory[at + offset : at + offset + captured]
            yield make(seconds * 1_000_000_000 + nanoseconds, interface, direction == PACKET_OUTGOING, length, data)
            at += step
