"""Control messages in TCP segments: whole, cut, gathered, repeated, and other people's."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joinlab.streams import Streams
from multipoint.wire import Chat, Heartbeat, Hello, Message, Reject, encode

SAID: Sequence[Message] = (Hello(), Heartbeat(1, 2), Chat(b"x" * 3000), Reject(10061))
BYTES = b"".join(map(encode, SAID))
START = 2**32 - 20  # the sequence numbers wrap within the stream
FIN, SYN, ACK = 0x01, 0x02, 0x10


def segment(sequence: int, data: bytes = b"", flags: int = ACK, port: int = 4000) -> bytes:
    """Return a TCP segment."""
    head = port.to_bytes(2) + (5000).to_bytes(2) + (sequence % 2**32).to_bytes(4) + bytes(4)
    return head + bytes([5 << 4, flags]) + bytes(6) + data


class Reader:
    """Reads the segments of one direction at one port."""

    def __init__(self) -> None:
        self.streams = Streams()

    def read(self, data: bytes, *, port: str = "leaf1") -> list[Message]:
        """Return the messages that a segment completes."""
        return list(self.streams.read(port, True, "10.0.0.2", "10.0.0.1", data))


@pytest.fixture
def reader() -> Reader:
    """Return a reader that has seen the connection begin."""
    reader = Reader()
    assert reader.read(segment(START - 1, flags=SYN)) == []
    return reader


@pytest.mark.parametrize("size", [1, 7, 1460, 10_000])
def test_messages_come_out_whole_however_they_are_cut(reader: Reader, size: int) -> None:
    parts = range(0, len(BYTES), size)
    messages = [message for at in parts for message in reader.read(segment(START + at, BYTES[at : at + size]))]
    assert messages == list(SAID)


def test_what_is_sent_again_counts_once(reader: Reader) -> None:
    first, rest = BYTES[:40], BYTES[40:]
    assert reader.read(segment(START, first)) == list(SAID[:1])
    assert reader.read(segment(START, first)) == []
    # Again, and this time with more behind it.
    assert reader.read(segment(START, first + rest)) == list(SAID[1:])


def test_after_a_gap_nothing_is_made_up(reader: Reader) -> None:
    reader.read(segment(START, BYTES[:40]))
    assert reader.read(segment(START + 60, BYTES[60:])) == []
    assert reader.read(segment(START + 40, BYTES[40:])) == []


def test_a_connection_that_does_not_begin_with_hello_is_left_alone(reader: Reader) -> None:
    assert reader.read(segment(START, b"GET / HTTP/1.1\r\n")) == []
    assert reader.read(segment(START + 16, BYTES)) == []


def test_a_connection_whose_beginning_was_not_seen_is_left_alone() -> None:
    assert Reader().read(segment(START, BYTES)) == []


def test_ports_are_followed_apart(reader: Reader) -> None:
    reader.read(segment(START - 1, flags=SYN), port="root")
    assert reader.read(segment(START, BYTES), port="root") == list(SAID)
    assert reader.read(segment(START, BYTES)) == list(SAID)


def test_the_last_words_are_heard(reader: Reader) -> None:
    assert reader.read(segment(START, BYTES, flags=ACK | FIN)) == list(SAID)
    assert reader.read(segment(START + len(BYTES) + 1, BYTES)) == []


def test_a_segment_cut_short_is_no_error(reader: Reader) -> None:
    whole = segment(START, BYTES[:30])
    for end in range(len(whole)):
        reader.read(whole[:end], port="other")


@given(st.lists(st.tuples(st.integers(-70, 70), st.binary(max_size=60), st.sampled_from([ACK, FIN, SYN])), max_size=12))
def test_whatever_segments_come_are_no_error(parts: list[tuple[int, bytes, int]]) -> None:
    """Segments come from the wire: repeated, out of order, nonsense."""
    reader = Reader()
    reader.read(segment(START - 1, flags=SYN))
    reader.read(segment(START, BYTES[:40]))
    for offset, data, flags in parts:
        reader.read(segment(START + 40 + offset, data, flags))
