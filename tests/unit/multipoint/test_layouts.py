"""The C structures: sizes, bytes, and both ways."""

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multipoint.errors import DecodingError
from multipoint.flow import FLOWSPEC, QOS
from multipoint.layouts import (
    LINGER,
    SOCKADDR_IN,
    SOCKADDR_IN6,
    WSABUF,
    WSADATA,
    WSANETWORKEVENTS,
    WSAPROTOCOL_INFO,
)

LIGHT = FLOWSPEC(TokenRate=125_000, TokenBucketSize=1500, ServiceType=2)
INFO = WSAPROTOCOL_INFO(dwServiceFlags1=0x2609, ProviderId=uuid.UUID(int=1), iAddressFamily=2, szProtocol="UDP")
EXAMPLES: dict[str, tuple[Any, int, str]] = {
    # name: value, size, how its bytes begin
    "sockaddr_in": (SOCKADDR_IN(5000, "239.1.2.3"), 16, "0200 1388 ef010203 0000000000000000"),
    "sockaddr_in6": (
        SOCKADDR_IN6(5000, "ff15::1", 7, 3),
        28,
        "1700 1388 07000000 ff150000000000000000000000000001 03000000",
    ),
    "linger": (LINGER(1, 5), 4, "0100 0500"),
    "network events": (
        WSANETWORKEVENTS(0x21, [0, 0, 0, 0, 0, 10_054, 0, 0, 0, 0]),
        44,
        "21000000" + "00" * 20 + "4627",
    ),
    "WSADATA": (WSADATA(0x0202, 0x0202, 1000, 65_000, "stack", "up"), 408, "0202 0202 e803 e8fd" + "00" * 8 + "737461"),
    "protocol": (INFO, 372, "09260000" + "00" * 16 + "00" * 15 + "01" + "00000000 01000000"),
    # the example of C.8
    "FLOWSPEC": (
        LIGHT,
        32,
        "48e80100 dc050000 ffffffff ffffffff ffffffff 02000000 ffffffff ffffffff",
    ),
    "QOS": (QOS(LIGHT), 80, "48e80100 dc050000"),
}


@pytest.mark.parametrize(("value", "size", "begin"), EXAMPLES.values(), ids=EXAMPLES)
def test_structure_has_its_bytes_both_ways(value: Any, size: int, begin: str) -> None:
    data = value.pack()
    assert len(data) == size == type(value).size
    assert data.hex().startswith(begin.replace(" ", ""))
    assert type(value).unpack(data) == value
    assert type(value).unpack(data + b"tail") == value


@pytest.mark.parametrize(("value", "size", "begin"), EXAMPLES.values(), ids=EXAMPLES)
def test_structure_cut_short_is_refused(value: Any, size: int, begin: str) -> None:
    data = value.pack()
    for end in range(size):
        with pytest.raises(DecodingError):
            type(value).unpack(data[:end])


@pytest.mark.parametrize(
    ("value", "begin"),
    [
        (SOCKADDR_IN(), "0200"),
        (SOCKADDR_IN6(), "1700"),
        (LINGER(), ""),
        (WSANETWORKEVENTS(), ""),
        (WSADATA(), ""),
        (WSAPROTOCOL_INFO(ChainLen=0), ""),
    ],
    ids=lambda it: type(it).__name__,
)
def test_structure_is_nothing_but_its_family_to_begin_with(value: Any, begin: str) -> None:
    assert value.pack() == bytes.fromhex(begin).ljust(value.size, b"\0")


@pytest.mark.parametrize("wide", [False, True])
def test_name_that_is_no_text_is_refused(wide: bool) -> None:
    data = bytearray(INFO.pack(wide))
    data[WSAPROTOCOL_INFO.layout.size : WSAPROTOCOL_INFO.layout.size + 2] = b"\xff\xdf"
    with pytest.raises(DecodingError):
        WSAPROTOCOL_INFO.unpack(data, wide)


@pytest.mark.requirement("SU-21")
def test_protocol_has_both_widths() -> None:
    assert (WSAPROTOCOL_INFO.size, WSAPROTOCOL_INFO.wide_size) == (372, 628)
    assert len(INFO.pack(wide=True)) == 628
    assert INFO.pack(wide=True)[116:122] == b"U\0D\0P\0"
    assert WSAPROTOCOL_INFO.unpack(INFO.pack(wide=True), wide=True) == INFO


# C.9, in its order; the numbers of the chain follow ChainLen at 44.
PROTOCOL_OFFSETS = {
    "dwServiceFlags1": 0,
    "dwServiceFlags2": 4,
    "dwServiceFlags3": 8,
    "dwServiceFlags4": 12,
    "dwProviderFlags": 16,
    "dwCatalogEntryId": 36,
    "ChainLen": 40,
    "iVersion": 72,
    "iAddressFamily": 76,
    "iMaxSockAddr": 80,
    "iMinSockAddr": 84,
    "iSocketType": 88,
    "iProtocol": 92,
    "iProtocolMaxOffset": 96,
    "iNetworkByteOrder": 100,
    "iSecurityScheme": 104,
    "dwMessageSize": 108,
    "dwProviderReserved": 112,
}


@pytest.mark.requirement("SU-21")
@pytest.mark.parametrize("wide", [False, True])
def test_each_field_of_a_protocol_has_its_place(wide: bool) -> None:
    values = {name: 0x1000 + offset for name, offset in PROTOCOL_OFFSETS.items()}
    identity = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    data = WSAPROTOCOL_INFO(**values, ProviderId=identity, szProtocol="name").pack(wide)  # type: ignore[arg-type]
    found = {name: int.from_bytes(data[offset : offset + 4], "little") for name, offset in PROTOCOL_OFFSETS.items()}
    assert found == values
    assert data[20:36] == identity.bytes_le
    assert data[116:].startswith("name".encode("utf-16-le" if wide else "ascii"))


@pytest.mark.requirement("QS-01", "QS-10")
def test_qos_keeps_its_objects() -> None:
    objects = bytes.fromhex("d2070000 0c000000 01000000")
    value = QOS.of(LIGHT, FLOWSPEC(), objects)
    assert value.ProviderSpecific == WSABUF(12, objects)
    assert len(value.pack()) == 92
    assert QOS.unpack(value.pack()) == value


@pytest.mark.requirement("QS-06")
def test_no_objects_is_null_and_0() -> None:
    assert QOS.unpack(QOS().pack()).ProviderSpecific == WSABUF(0, None)


def test_objects_outside_the_buffer_are_refused() -> None:
    data = QOS.of(LIGHT, FLOWSPEC(), bytes(8)).pack()
    for length, offset in ((9, 80), (8, 79), (8, 81), (8, 0), (0xFFFFFFFF, 80), (8, 2**64 - 1)):
        wrong = data[:64] + length.to_bytes(4, "little") + bytes(4) + offset.to_bytes(8, "little") + data[80:]
        with pytest.raises(DecodingError):
            QOS.unpack(wrong)


@given(
    st.sampled_from([SOCKADDR_IN, SOCKADDR_IN6, WSANETWORKEVENTS, WSADATA, WSAPROTOCOL_INFO, LINGER, FLOWSPEC, QOS]),
    st.binary(max_size=500),
)
def test_any_bytes_give_a_structure_or_the_decoding_error(cls: Any, data: bytes) -> None:
    try:
        value = cls.unpack(data)
    except DecodingError:
        return
    assert cls.unpack(value.pack()) == value
