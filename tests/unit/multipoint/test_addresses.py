"""Addresses as text and port, and as the memory of a sockaddr."""

import pytest

from multipoint import winsock as ws
from multipoint.errors import DecodingError


@pytest.mark.parametrize(
    ("host", "port"), [("239.1.2.3", 5000), ("0.0.0.0", 0), ("ff15::1", 65_535), ("fe80::1%3", 1)], ids=str
)
def test_address_has_its_memory_both_ways(host: str, port: int) -> None:
    assert ws.address(ws.sockaddr(host, port).pack()) == (host, port)


@pytest.mark.parametrize("memory", [b"", b"\2", b"\2\0" + bytes(13), b"\x17\0" + bytes(25), b"\1\0" + bytes(126)])
def test_memory_that_holds_no_address_is_refused(memory: bytes) -> None:
    with pytest.raises(DecodingError):
        ws.address(memory)
