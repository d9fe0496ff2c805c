"""Capture files in pcapng, as Wireshark reads them: an interface for each port, directions, nanoseconds, losses.

Written by hand: scapy's writer has no interface per packet with a direction, and this is the subject of the house. The
format: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html. Blocks are little endian.

May not know: the Trace, nodes.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
BYTE_ORDER = 0x1A2B3C4D
LINKTYPE_ETHERNET = 1
UNKNOWN_LENGTH = 0xFFFFFFFFFFFFFFFF
# Option codes, by block.
END, COMMENT = 0, 1
SECTION_APPLICATION = 4
INTERFACE_NAME, INTERFACE_DESCRIPTION, INTERFACE_RESOLUTION = 2, 3, 9
PACKET_FLAGS = 2
STATISTICS_RECEIVED, STATISTICS_LOST = 4, 7
NANOSECONDS = 9
INBOUND, OUTBOUND = 1, 2


class Interface(NamedTuple):
    """One interface of the file."""

    name: str
    description: str


class CapturedFrame(NamedTuple):
    """One frame of the file."""

    ns: int
    interface: str  # by name
    outgoing: bool
    length: int  # on the wire
    data: bytes


def write_pcapng(
    path: Path, interfaces: Sequence[Interface], frames: Iterable[CapturedFrame], lost: int = 0, ended_ns: int = 0
) -> None:
    """Write a capture file. ``lost`` frames of the whole capture are told with the first interface."""
    with path.open("wb") as file:
        file.writelines(_blocks(interfaces, frames, lost, ended_ns))


def _blocks(
    interfaces: Sequence[Interface], frames: Iterable[CapturedFrame], lost: int, ended_ns: int
) -> Iterator[bytes]:
    yield _section()
    numbers = {interface.name: number for number, interface in enumerate(interfaces)}
    yield from map(_interface, interfaces)
    counts: Counter[str] = Counter()
    for frame in frames:
        counts[frame.interface] += 1
        yield _packet(numbers[frame.interface], frame)
    for name, number in numbers.items():
        yield _statistics(number, counts[name], lost if number == 0 else 0, ended_ns)


def _section() -> bytes:
    head = struct.pack("<IHHQ", BYTE_ORDER, 1, 0, UNKNOWN_LENGTH)
    return _block(SECTION, head, _option(SECTION_APPLICATION, b"joinlab"))


def _interface(interface: Interface) -> bytes:
    return _block(
        INTERFACE,
        struct.pack("<HHI", LINKTYPE_ETHERNET, 0, 0),
        _option(INTERFACE_NAME, interface.name.encode()),
        _option(INTERFACE_DESCRIPTION, interface.description.encode()),
        _option(INTERFACE_RESOLUTION, bytes([NANOSECONDS])),
    )


def _packet(number: int, frame: CapturedFrame) -> bytes:
    head = struct.pack("<IIIII", number, frame.ns >> 32, frame.ns & 0xFFFFFFFF, len(frame.data), frame.length)
    flags = OUTBOUND if frame.outgoing else INBOUND
    return _block(PACKET, head + _padded(frame.data), _option(PACKET_FLAGS, struct.pack("<I", flags)))


def _statistics(number: int, received: int, lost: int, ended_ns: int) -> bytes:
    head = struct.pack("<III", number, ended_ns >> 32, ended_ns & 0xFFFFFFFF)
    options = [
        _option(STATISTICS_RECEIVED, struct.pack("<Q", received)),
        _option(STATISTICS_LOST, struct.pack("<Q", lost)),
    ]
    if lost:
        options.insert(0, _option(COMMENT, f"{lost} frames were lost, of all interfaces together".encode()))
    return _block(STATISTICS, head, *options)


def _block(kind: int, body: bytes, *options: bytes) -> bytes:
    tail = b"".join(options) + struct.pack("<HH", END, 0)
    length = struct.pack("<I", 12 + len(body) + len(tail))
    return b"".join([struct.pack("<I", kind), length, body, tail, length])


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
