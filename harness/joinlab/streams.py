"""The control messages of rooted sessions, read from the TCP segments that pass a port.

A connection is followed from its beginning, in each direction and at each port apart, so messages that are cut or
gathered by TCP come out whole, each in the frame that completes it. What does not begin with our Hello is somebody
else's connection and is left alone.

May not know: nodes, the Trace, what the messages mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

from multipoint.errors import DecodingError
from multipoint.wire import Decoder, Message

PORTS_AND_SEQUENCE = Struct("!HHI")
FIN, SYN = 0x01, 0x02
MODULUS = 1 << 32
HALF = MODULUS // 2


class Direction(NamedTuple):
    """One direction of one connection as it passes one port."""

    port: str
    from_node: bool
    source: str
    source_port: int
    destination: str
    destination_port: int


@dataclass(slots=True)
class _Stream:
    expected: int  # the sequence number that continues what was read
    decoder: Decoder | None = field(default_factory=Decoder)  # None: not ours, or no longer readable


class Streams:
    """Follows the control connections of one capture."""

    def __init__(self) -> None:
        self._streams: dict[Direction, _Stream] = {}

    def read(self, port: str, from_node: bool, source: str, destination: str, segment: bytes) -> Sequence[Message]:
        """Take the next TCP segment that passes a port; return the messages that it completes."""
        if len(segment) < 20:
            return ()
        source_port, destination_port, sequence = PORTS_AND_SEQUENCE.unpack_from(segment)
        direction = Direction(port, from_node, source, source_port, destination, destination_port)
        if segment[13] & SYN:
            self._streams[direction] = _Stream((sequence + 1) % MODULUS)
            return ()
        stream = self._streams.get(direction)
        if stream is None:
            return ()
        messages = _feed(stream, sequence, segment[(segment[12] >> 4) * 4 :])
        if stream.decoder is None or segment[13] & FIN:
            del self._streams[direction]
        return messages


def _feed(stream: _Stream, sequence: int, payload: bytes) -> Sequence[Message]:
    seen = (stream.expected - sequence) % MODULUS
    if seen >= HALF:
        # Something before this segment never passed this port; what follows can't be read.
        stream.decoder = None
    fresh = payload[seen:] if seen < HALF else b""  # what was sent again is left out
    if stream.decoder is None or not fresh:
        return ()
    stream.expected = (stream.expected + len(fresh)) % MODULUS
    try:
        stream.decoder.feed(fresh)
        return tuple(stream.decoder.messages())
    except DecodingError:
        stream.decoder = None
        return ()
