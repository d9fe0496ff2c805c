"""Settings that no stack could keep to are refused where they are made."""

from typing import Any

import pytest

from multipoint import constants as c
from multipoint.errors import MultipointError
from multipoint.values import Settings


@pytest.mark.parametrize(
    "chosen",
    [
        {"dialect": "newspeak"},
        {"join_timeout_s": -1},
        {"silence_s": 0},
        {"groups_ipv4": "10.0.0.0/8"},
        {"groups_ipv4": "239.1.1.1/32"},
        {"groups_ipv4": "ff15::/16"},
        {"groups_ipv6": "nonsense"},
        {"first_port": 0},
        {"first_port": 60_000, "last_port": 59_999},
        {"last_port": 1 << 16},
        {"key": b""},
        {"key": "text"},
    ],
)
def test_impossible_settings_are_refused(chosen: dict[str, Any]) -> None:
    with pytest.raises(MultipointError) as refusal:
        Settings(**chosen)
    assert refusal.value.code == c.WSAEINVAL


def test_extreme_settings_are_taken() -> None:
    Settings(dialect="ce", join_timeout_s=0, silence_s=0.001, groups_ipv4="239.1.1.0/31", first_port=1, last_port=1)
