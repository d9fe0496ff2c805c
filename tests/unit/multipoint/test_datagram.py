"""Datagrams of rooted sessions: bytes, tags, replays."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multipoint.datagram import (
    HEADER_SIZE,
    REPLAY_WINDOW,
    Authenticator,
    Datagram,
    ReplayWindow,
    decode_datagram,
    encode_datagram,
)
from multipoint.errors import DecodingError

KEY = bytes(range(32))
ONE = Datagram(session=1, sender=2, sequence=3, payload=b"payload")
HEAD = bytes.fromhex("d1 00 0000 00000002 0000000000000001 0000000000000003")


def test_datagram_has_its_bytes() -> None:
    data = encode_datagram(ONE, Authenticator(KEY))
    assert data[:24] == HEAD
    assert data[40:] == b"payload"
    assert data[24:40] == Authenticator(KEY).tag(HEAD, b"payload")
    assert decode_datagram(data) == ONE


@pytest.mark.requirement("DP-11")
def test_empty_payload_is_a_datagram() -> None:
    data = encode_datagram(ONE._replace(payload=b""), Authenticator(KEY))
    assert len(data) == HEADER_SIZE
    assert decode_datagram(data).payload == b""


@pytest.mark.requirement("DP-23", "DP-25")
def test_only_the_key_makes_it_genuine() -> None:
    data = encode_datagram(ONE, Authenticator(KEY))
    assert Authenticator(KEY).is_genuine(data)
    assert not Authenticator(bytes(32)).is_genuine(data)


@pytest.mark.requirement("DP-23", "DP-25")
def test_any_changed_bit_is_found() -> None:
    data = encode_datagram(ONE, Authenticator(KEY))
    for place in range(len(data) * 8):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        assert not Authenticator(KEY).is_genuine(bytes(changed))


@pytest.mark.parametrize("data", [b"", HEAD, HEAD + bytes(15), b"\xd2" + HEAD[1:] + bytes(16), b"\xd1\1" + bytes(38)])
def test_what_is_no_datagram_is_refused(data: bytes) -> None:
    with pytest.raises(DecodingError):
        decode_datagram(data)


@given(st.binary(max_size=100))
def test_any_bytes_give_a_datagram_or_the_decoding_error(data: bytes) -> None:
    with contextlib.suppress(DecodingError):
        decode_datagram(data)


NEAR, FAR = REPLAY_WINDOW - 1, REPLAY_WINDOW


@pytest.mark.parametrize(
    ("sequences", "admitted"),
    [
        ([0, 1, 2], [True, True, True]),
        ([0, 0], [True, False]),
        ([0, 1, 1, 0], [True, True, False, False]),
        ([5, 5], [True, False]),
        ([5, 3, 4, 3], [True, True, True, False]),
        ([NEAR, 0, 0], [True, True, False]),
        ([FAR, 0], [True, False]),
        ([0, FAR, 1, 1], [True, True, True, False]),
        ([2**64 - 1, 0, 2**64 - 1, 2**64 - 2], [True, False, False, True]),
    ],
)
def test_replay_window(sequences: list[int], admitted: list[bool]) -> None:
    window = ReplayWindow()
    assert [window.admit(sequence) for sequence in sequences] == admitted


@pytest.mark.parametrize(
    ("sequences", "admitted"),
    [
        ([3000, 2999, 3000], [True, False, False]),
        ([2999, 0, 3001, 3000, 2999], [False, False, True, True, False]),
        ([3000 + FAR, 2999, 3000, 3001], [True, False, False, True]),
    ],
)
def test_replay_window_that_begins_later(sequences: list[int], admitted: list[bool]) -> None:
    window = ReplayWindow(3000)
    assert [window.admit(sequence) for sequence in sequences] == admitted


@given(st.lists(st.integers(0, 3 * REPLAY_WINDOW)))
def test_no_number_is_admitted_twice_and_none_is_lost_near_the_front(sequences: list[int]) -> None:
    window, seen, highest = ReplayWindow(), set[int](), -1
    for sequence in sequences:
        expected = sequence not in seen and sequence > highest - REPLAY_WINDOW
        assert window.admit(sequence) is expected
        seen.add(sequence)
        highest = max(highest, sequence)
