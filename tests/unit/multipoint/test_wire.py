"""The control protocol: one table of messages and their bytes, read whole, in pieces, cut short and with a tail."""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multipoint import wire
from multipoint.errors import DecodingError
from multipoint.flow import FLOWSPEC, QOS
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.wire import Decoder, Endpoint, Message, encode

NONCE = bytes(range(16))
GREETING = bytes.fromhex("d74d504c 01 00 00 000102030405060708090a0b0c0d0e0f")
NOTHING_ASKED = bytes.fromhex("ff" * 20 + "06000000" + "ff" * 8)
QUICK = QOS.of(FLOWSPEC(TokenRate=125_000, TokenBucketSize=1500, ServiceType=2), FLOWSPEC(), b"\x01\x02")
QUICK_BYTES = (
    bytes.fromhex("48e80100 dc050000 ffffffff ffffffff ffffffff 02000000 ffffffff ffffffff")
    + NOTHING_ASKED
    + bytes.fromhex("0002 0102")
)
MEMBERSHIP = wire.Membership(
    session=0x0102030405060708,
    member=9,
    group=Endpoint("239.255.1.2", 50_000),
    root=Endpoint("10.0.0.1", 50_001),
    group_key=b"G" * 32,
    member_key=b"M" * 32,
    heartbeat_ms=2500,
    silence_ms=10_000,
    has_side_chats=True,
    sequence=258,
)
MESSAGES: list[tuple[Message, bytes]] = [
    (wire.Proof(b"T" * 32), bytes.fromhex("01 00 0020") + b"T" * 32),
    (
        wire.Join(
            *(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, JoinRole.BOTH),
            *(Endpoint("10.0.0.2", 5000), 1024, b"hello", None),
        ),
        bytes.fromhex("02 00 0015 03 00 00 04 04 0a000002 1388 0400 0005 68656c6c6f 00"),
    ),
    (
        wire.Invite(ProviderClass.CONF, Plane.ROOT, Plane.LEAF, JoinRole.SENDER_ONLY, 7, 0, b"", QUICK),
        bytes.fromhex("03 00 0055 04 01 00 01 0000000000000007 0000 0000 01") + QUICK_BYTES,
    ),
    (
        wire.Accept(Plane.LEAF, Plane.LEAF, Endpoint("fd00::2", 5000), b"\0", None),
        bytes.fromhex("04 00 001a 00 00 01 06 fd000000000000000000000000000002 1388 0001 00 00"),
    ),
    (wire.Accept(Plane.ROOT, Plane.ROOT), bytes.fromhex("04 00 0006 01 01 00 0000 00")),
    (wire.Reject(10_061), bytes.fromhex("05 00 0002 274d")),
    (
        wire.Confirm(MEMBERSHIP),
        bytes.fromhex("06 00 006b 0102030405060708 00000009 04efff0102c350 040a000001c351")
        + b"G" * 32
        + b"M" * 32
        + bytes.fromhex("000009c4 00002710 01 0000000000000102"),
    ),
    (wire.Cancel(), bytes.fromhex("07 00 0000")),
    (wire.Leave(b"bye"), bytes.fromhex("08 00 0005 0003 627965")),
    (wire.Close(), bytes.fromhex("09 00 0002 0000")),
    (wire.Heartbeat(1, 2), bytes.fromhex("0a 00 0010 0000000000000001 0000000000000002")),
    (wire.Chat(b"psst"), bytes.fromhex("0b 00 0006 0004 70737374")),
    (wire.FlowRequest(3, QUICK), bytes.fromhex("0c 00 0048 00000003") + QUICK_BYTES),
    (wire.FlowAnswer(3, 10_045, QUICK), bytes.fromhex("0d 00 004a 00000003 273d") + QUICK_BYTES),
]
EVERY_MESSAGE = pytest.mark.parametrize(("message", "data"), MESSAGES, ids=lambda value: type(value).__name__)


def greeted() -> Decoder:
    """Return a decoder that has its Hello behind it."""
    decoder = Decoder()
    decoder.feed(GREETING)
    assert isinstance(decoder.next(), wire.Hello)
    return decoder


def test_hello_has_its_bytes() -> None:
    hello = wire.Hello(nonce=NONCE)
    assert encode(hello) == GREETING
    decoder = Decoder()
    decoder.feed(GREETING)
    assert decoder.next() == hello


@EVERY_MESSAGE
def test_message_is_encoded(message: Message, data: bytes) -> None:
    assert encode(message).hex(" ") == data.hex(" ")


@EVERY_MESSAGE
def test_message_is_read_whole_with_a_tail(message: Message, data: bytes) -> None:
    decoder = greeted()
    decoder.feed(data + encode(wire.Cancel())[:3])
    assert decoder.next() == message
    assert decoder.next() is None


@EVERY_MESSAGE
def test_message_is_read_byte_by_byte(message: Message, data: bytes) -> None:
    decoder = Decoder()
    stream = GREETING + data + data
    found = []
    for place in range(len(stream)):
        decoder.feed(stream[place : place + 1])
        found += list(decoder.messages())
    assert found[1:] == [message, message]


@EVERY_MESSAGE
def test_body_cut_short_or_too_long_is_refused(message: Message, data: bytes) -> None:
    body = data[4:]
    for wrong in (*(body[:end] for end in range(len(body))), body + b"\0"):
        decoder = greeted()
        decoder.feed(data[:2] + len(wrong).to_bytes(2, "big") + wrong)
        with pytest.raises(DecodingError):
            decoder.next()


def test_table_has_every_message() -> None:
    assert {type(message) for message, _ in MESSAGES} == set(wire.KINDS.values())


HOSTILE = {
    "another protocol": b"GET / HTTP/1.1\r\n",
    "unknown kind": GREETING + b"\x0e\x00",
    "flags": GREETING + b"\x07\x01",
    "too long for its kind": GREETING + bytes.fromhex("08 00 0403"),
    "length beyond the frame": GREETING + bytes.fromhex("08 00 0005 0004 627965"),
    "no such provider": GREETING + bytes.fromhex("02 00 0010 05 00 00 04 04 0a000002 1388 0400 0000 00"),
    "no such role": GREETING + bytes.fromhex("02 00 0010 03 00 00 03 04 0a000002 1388 0400 0000 00"),
    "no such family": GREETING + bytes.fromhex("02 00 0010 03 00 00 04 05 0a000002 1388 0400 0000 00"),
    "capacity over the limit": GREETING + bytes.fromhex("02 00 0010 03 00 00 04 04 0a000002 1388 0401 0000 00"),
    "neither there nor missing": GREETING + bytes.fromhex("02 00 0010 03 00 00 04 04 0a000002 1388 0400 0000 02"),
    "no such internet protocol": GREETING + bytes.fromhex(f"02 00 001c 03 00 00 04 05 {'00' * 16} 1388 0000 0000 00"),
    "second greeting": GREETING + GREETING,
}


@pytest.mark.requirement("JL-53")
@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_are_refused_for_good(data: bytes) -> None:
    decoder = Decoder()
    decoder.feed(data)
    with pytest.raises(DecodingError):
        list(decoder.messages())
    decoder.feed(encode(wire.Cancel()))
    with pytest.raises(DecodingError):
        decoder.next()


def test_stranger_is_known_by_his_first_byte() -> None:
    decoder = Decoder()
    decoder.feed(b"G")
    with pytest.raises(DecodingError):
        decoder.next()


def test_length_is_refused_before_the_body_is_there() -> None:
    decoder = greeted()
    decoder.feed(bytes.fromhex("07 00 0001"))
    with pytest.raises(DecodingError):
        decoder.next()


def test_messages_before_hostile_bytes_are_delivered() -> None:
    decoder = greeted()
    decoder.feed(encode(wire.Leave()) + b"\xff\xff")
    assert decoder.next() == wire.Leave()
    with pytest.raises(DecodingError):
        decoder.next()


@pytest.mark.requirement("JL-53")
def test_other_major_version_is_told_and_nothing_after_it() -> None:
    decoder = Decoder()
    decoder.feed(encode(wire.Hello(major=2)) + encode(wire.Cancel()))
    hello = decoder.next()
    assert isinstance(hello, wire.Hello)
    assert hello.major == 2
    with pytest.raises(DecodingError):
        decoder.next()


@pytest.mark.requirement("JL-13", "JL-63")
@pytest.mark.parametrize("size", [0, 1, wire.MAX_CONNECT_DATA])
def test_connect_data_travels_unchanged_up_to_the_limit(size: int) -> None:
    message = wire.Leave((bytes(range(256)) * 4)[:size])
    decoder = greeted()
    decoder.feed(encode(message))
    assert decoder.next() == message


@pytest.mark.requirement("JL-13")
def test_connect_data_over_the_limit_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="1025 bytes are more than 1024"):
        encode(wire.Leave(bytes(1025)))


def test_longest_chat_fits_its_frame() -> None:
    message = wire.Chat(bytes(wire.MAX_CHAT))
    decoder = greeted()
    decoder.feed(encode(message))
    assert decoder.next() == message


def test_proof_depends_on_key_speaker_and_nonces() -> None:
    proofs = {
        wire.make_proof(key, is_caller, own, peer)
        for key in (b"one", b"another" * 10)
        for is_caller in (True, False)
        for own, peer in ((NONCE, bytes(16)), (bytes(16), NONCE))
    }
    assert len(proofs) == 8


endpoints = st.builds(Endpoint, st.ip_addresses().map(str), st.integers(0, 0xFFFF))
connect_data = st.binary(max_size=wire.MAX_CONNECT_DATA)
number32 = st.integers(0, 0xFFFFFFFF)
number64 = st.integers(0, 2**64 - 1)
flowspecs = st.builds(FLOWSPEC, *[number32] * 8)
flows = st.builds(QOS.of, flowspecs, flowspecs, st.binary(max_size=100))
asked = (st.sampled_from(ProviderClass), st.sampled_from(Plane), st.sampled_from(Plane), st.sampled_from(JoinRole))
carried = (st.integers(0, wire.MAX_CONNECT_DATA), connect_data, st.none() | flows)
keys = st.binary(min_size=32, max_size=32)
memberships = st.builds(
    wire.Membership, number64, number32, endpoints, endpoints, keys, keys, number32, number32, st.booleans()
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(wire.Proof, keys),
    st.builds(wire.Join, *asked, endpoints, *carried),
    st.builds(wire.Invite, *asked, number64, *carried),
    st.builds(
        wire.Accept,
        *(st.sampled_from(Plane), st.sampled_from(Plane), st.none() | endpoints, connect_data, st.none() | flows),
    ),
    st.builds(wire.Reject, st.integers(0, 0xFFFF)),
    st.builds(wire.Confirm, memberships),
    st.builds(wire.Cancel),
    st.builds(wire.Leave, connect_data),
    st.builds(wire.Close, connect_data),
    st.builds(wire.Heartbeat, number64, number64),
    st.builds(wire.Chat, st.binary(max_size=2000)),
    st.builds(wire.FlowRequest, number32, flows),
    st.builds(wire.FlowAnswer, number32, st.integers(0, 0xFFFF), flows),
)


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Yield the data in pieces of these sizes, and what is left in one."""
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


@given(st.lists(messages, max_size=4), st.lists(st.integers(0, 200), max_size=10))
def test_any_messages_in_any_pieces_come_out_as_they_went_in(sent: list[Message], sizes: list[int]) -> None:
    decoder = Decoder()
    received: list[Message] = []
    for piece in pieces(GREETING + b"".join(encode(message) for message in sent), sizes):
        decoder.feed(piece)
        received += decoder.messages()
    assert received[1:] == sent


@given(st.binary(max_size=300))
def test_any_bytes_give_messages_or_the_decoding_error(data: bytes) -> None:
    for start in (b"", GREETING, GREETING + b"\x02\x00"):
        decoder = Decoder()
        decoder.feed(start + data)
        with contextlib.suppress(DecodingError):
            list(decoder.messages())


@given(messages, st.integers(0), st.integers(1, 255))
def test_any_message_with_a_wrong_byte_gives_messages_or_the_decoding_error(
    message: Message, place: int, change: int
) -> None:
    data = bytearray(encode(message))
    data[place % len(data)] ^= change
    decoder = greeted()
    decoder.feed(data)
    with contextlib.suppress(DecodingError):
        list(decoder.messages())
