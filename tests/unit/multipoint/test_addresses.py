"""Addresses as text, taken apart."""

import pytest

from multipoint.addresses import is_group, is_one_host, is_unspecified, packed, unpacked


@pytest.mark.parametrize("host", ["10.9.0.1", "239.1.2.3", "fd09::1", "ff15::7"])
def test_both_ways(host: str) -> None:
    assert unpacked(packed(host)) == host


def test_scope_id_is_left_out() -> None:
    assert unpacked(packed("fe80::1%3")) == "fe80::1"
    assert is_group("ff02::1%3")


def test_groups_and_wildcards() -> None:
    assert [is_group(host) for host in ("239.1.2.3", "ff15::7", "10.9.0.1", "::1")] == [True, True, False, False]
    assert [is_unspecified(host) for host in ("0.0.0.0", "::", "10.9.0.1")] == [True, True, False]


def test_host_is_no_group_no_wildcard_and_not_everybody() -> None:
    assert all(map(is_one_host, ("10.9.0.1", "::1", "fe80::1%3", "10.9.0.255")))
    assert not any(map(is_one_host, ("239.1.2.3", "ff02::1%3", "0.0.0.0", "::", "255.255.255.255")))


@pytest.mark.parametrize("host", ["", "here", "10.9.0.256", "1.2.3"])
def test_what_is_no_address(host: str) -> None:
    for question in (packed, is_group, is_one_host, is_unspecified):
        with pytest.raises(ValueError, match="does not appear to be"):
            question(host)
