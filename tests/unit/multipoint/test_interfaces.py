"""Queueing disciplines as the kernel describes them; netem, which not every kernel has, from its bytes."""

import struct

import pytest

from multipoint.interfaces import HEADER, Queue, _attributes, _discipline, _messages


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute with its padding."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def netem(*options: bytes) -> bytes:
    return attribute(1, b"netem\0") + attribute(2, bytes(24) + b"".join(options))


@pytest.mark.requirement("QS-34", "QS-41")
@pytest.mark.parametrize(
    ("described", "queue"),
    [
        (netem(), Queue()),
        (netem(attribute(10, struct.pack("=q", 5_000_000))), Queue(None, 5000)),
        (netem(attribute(6, struct.pack("=IiIi", 125_000, 0, 0, 0))), Queue(125_000, 0)),
        (netem(attribute(6, bytes([255] * 4) + bytes(12)), attribute(8, struct.pack("=Q", 2**33))), Queue(2**33, 0)),
        (attribute(1, b"tbf\0") + attribute(2, attribute(1, struct.pack("=8xI24x", 77))), Queue(77)),
        (
            attribute(1, b"tbf\0") + attribute(2, attribute(1, bytes(36)) + attribute(4, bytes(7) + b"\1")),
            Queue(1 << 56),
        ),
        (attribute(1, b"fq_codel\0") + attribute(2, b"anything"), Queue()),
        (b"", Queue()),
    ],
)
def test_rate_and_delay_of_a_discipline(described: bytes, queue: Queue) -> None:
    assert _discipline(_attributes(described)) == queue


def test_attributes_and_messages_may_be_empty() -> None:
    assert _attributes(attribute(7, b"x") + attribute(5, b"")) == {7: b"x", 5: b""}
    empty = HEADER.pack(HEADER.size, 3, 0, 0, 0)
    assert list(_messages(empty + empty)) == [(3, b""), (3, b"")]
