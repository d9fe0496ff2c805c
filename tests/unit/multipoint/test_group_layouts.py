"""The C structures of multicast options: their bytes for Windows and for the kernel."""

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multipoint.constants import MCAST_EXCLUDE, MCAST_INCLUDE
from multipoint.errors import DecodingError, MultipointError
from multipoint.group_layouts import (
    GROUP_FILTER,
    GROUP_REQ,
    GROUP_SOURCE_REQ,
    IP_MREQ,
    IP_MREQ_SOURCE,
    IP_MSFILTER,
    IPV6_MREQ,
)
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6

GROUP, SOURCE = SOCKADDR_IN(0, "239.1.2.3"), SOCKADDR_IN6(0, "fd00::1")
GROUP_BYTES = "0200 0000 ef010203" + "00" * 120
SOURCE_BYTES = "0000 00000000 fd000000000000000000000000000001" + "00" * 104
EXAMPLES: list[tuple[Any, str, str]] = [
    # value, Windows, Linux
    (IP_MREQ("239.1.2.3", "10.0.0.1"), "ef010203 0a000001", "ef010203 0a000001"),
    (
        IP_MREQ_SOURCE("239.1.2.3", "10.0.0.9", "10.0.0.1"),
        "ef010203 0a000009 0a000001",
        "ef010203 0a000001 0a000009",
    ),
    (IPV6_MREQ("ff15::1", 2), "ff15" + "00" * 13 + "01 02000000", "ff15" + "00" * 13 + "01 02000000"),
    (GROUP_REQ(2, GROUP), "02000000 00000000" + GROUP_BYTES, "02000000 00000000" + GROUP_BYTES),
    (
        GROUP_SOURCE_REQ(2, GROUP, SOURCE),
        "02000000 00000000" + GROUP_BYTES + "1700" + SOURCE_BYTES,
        "02000000 00000000" + GROUP_BYTES + "0a00" + SOURCE_BYTES,
    ),
    (
        IP_MSFILTER("239.1.2.3", "10.0.0.1", MCAST_INCLUDE, ["10.0.0.9"]),
        "ef010203 0a000001 00000000 01000000 0a000009",
        "ef010203 0a000001 01000000 01000000 0a000009",
    ),
    (
        GROUP_FILTER(2, GROUP, MCAST_EXCLUDE, [SOURCE]),
        "02000000 00000000" + GROUP_BYTES + "01000000 01000000 1700" + SOURCE_BYTES,
        "02000000 00000000" + GROUP_BYTES + "00000000 01000000 0a00" + SOURCE_BYTES,
    ),
]
EVERY = pytest.mark.parametrize(("value", "windows", "linux"), EXAMPLES, ids=lambda value: type(value).__name__)


@pytest.mark.requirement("SK-40", "IO-24")
@EVERY
def test_structure_has_both_systems_bytes(value: Any, windows: str, linux: str) -> None:
    assert value.pack().hex() == windows.replace(" ", "")
    assert value.pack_linux().hex() == linux.replace(" ", "")


@EVERY
def test_structure_is_read_back(value: Any, windows: str, linux: str) -> None:
    assert type(value).unpack(value.pack() + b"tail") == value
    for end in range(len(value.pack())):
        with pytest.raises(DecodingError):
            type(value).unpack(value.pack()[:end])


@pytest.mark.requirement("IO-24")
def test_mode_that_is_none_is_refused() -> None:
    with pytest.raises(MultipointError, match="WSAEINVAL"):
        IP_MSFILTER(imsf_fmode=2).pack_linux()


def test_count_of_sources_is_checked_before_they_are_read() -> None:
    data = bytearray(IP_MSFILTER("239.1.2.3").pack())
    data[12:16] = b"\xff" * 4
    with pytest.raises(DecodingError):
        IP_MSFILTER.unpack(data)


@given(st.sampled_from([type(value) for value, _, _ in EXAMPLES]), st.binary(max_size=600))
def test_any_bytes_give_a_structure_or_the_decoding_error(cls: Any, data: bytes) -> None:
    try:
        value = cls.unpack(data)
    except DecodingError:
        return
    assert cls.unpack(value.pack()) == value


@pytest.mark.requirement("SK-40")
def test_kernel_takes_the_layouts() -> None:
    """On the loopback interface: join a group by each structure; the kernel would refuse a wrong one."""
    options: list[tuple[int, Any]] = [
        (socket.IP_ADD_MEMBERSHIP, IP_MREQ("239.255.9.1", "127.0.0.1")),
        (39, IP_MREQ_SOURCE("239.255.9.2", "127.0.0.9", "127.0.0.1")),
        (42, GROUP_REQ(1, SOCKADDR_IN(0, "239.255.9.3"))),
        (46, GROUP_SOURCE_REQ(1, SOCKADDR_IN(0, "239.255.9.4"), SOCKADDR_IN(0, "127.0.0.9"))),
        (41, IP_MSFILTER("239.255.9.1", "127.0.0.1", MCAST_EXCLUDE, ["127.0.0.8"])),
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for option, value in options:
            sock.setsockopt(socket.IPPROTO_IP, option, value.pack_linux())
