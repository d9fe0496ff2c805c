"""Every number that section C of docs/requirements.md lists is the number of that name in constants."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from multipoint import constants

PAGE = (Path(__file__).parents[3] / "docs" / "requirements.md").read_text()
NUMBER = re.compile(r"^(-?\d+|0x[0-9A-Fa-f]+)\b")
# Column heads say what the names in their column lack.
PREFIXES = {"C.4": ("", "WSA_FLAG_", "XP1_")}


def section(number: str, following: str) -> str:
    """Return the text of a section of the page."""
    return PAGE[PAGE.index(f"### {number} ") : PAGE.index(f"### {following} ")]


def listed(text: str) -> dict[str, int]:
    """Return the pairs of a name and a number that stand side by side in rows of tables."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        for name, value in pairwise(cells):
            if re.fullmatch(r"[A-Z][A-Z0-9_]{2,}( \(.*\))?", name) and (match := NUMBER.match(value)):
                found[name.split(" ")[0]] = int(match[1], 0)
    return found


PAIRS = {
    name: value
    for first, following in (("C.1", "C.2"), ("C.3", "C.4"), ("C.4", "C.5"), ("C.5", "C.6"), ("C.7", "C.8"))
    for name, value in listed(section(first, following)).items()
}
OPTIONS = listed(section("C.6", "C.7"))


def test_page_lists_many() -> None:
    assert len(PAIRS) > 180
    assert len(OPTIONS) > 25


@pytest.mark.requirement("SK-42")
@pytest.mark.parametrize(("name", "value"), (PAIRS | OPTIONS).items())
def test_number_is_the_page_s(name: str, value: int) -> None:
    names = [prefix + name for prefixes in PREFIXES.values() for prefix in prefixes]
    numbers = {getattr(constants, name) for name in names if hasattr(constants, name)}
    assert numbers == {value}


@pytest.mark.parametrize("row", re.findall(r"^\| (SO_|MSG_)[^|]*\| (.+?) \|$", section("C.6", "C.7"), re.MULTILINE))
def test_option_is_the_page_s(row: tuple[str, str]) -> None:
    prefix, options = row
    for option in options.split(", "):
        name, value = option.split(" ")[:2]
        number = ~int(value[1:], 0) if value.startswith("~") else int(value, 0)
        assert getattr(constants, prefix + name) == number, name


def test_all_events_are_ten_bits() -> None:
    assert constants.FD_ALL_EVENTS == (1 << constants.FD_MAX_EVENTS) - 1
