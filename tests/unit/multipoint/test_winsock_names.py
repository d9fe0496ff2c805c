"""docs/winsock-names.md says what is there, and nothing else."""

import re
from collections.abc import Collection
from importlib import import_module
from pathlib import Path

import pytest

from multipoint import constants as c
from multipoint import ioctls, sockopts, winsock

PAGE = (Path(__file__).parents[3] / "docs" / "winsock-names.md").read_text()
HELPERS = {"ConditionFunction", "address", "create_queue", "get_message", "sockaddr"}
STRUCTURES = {"MSG", "TIMEVAL", "WSAOVERLAPPED", "fd_set"}
LEVELS = {"SOL_SOCKET": ("SO_",), "IPPROTO_IP": ("IP_", "MCAST_"), "IPPROTO_IPV6": ("IPV6_",)}


def section(title: str) -> list[list[str]]:
    """Return the cells of the rows of a section's table."""
    text = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return rows[1:]


def names(cell: str) -> list[str]:
    return re.split(r", *", cell)


FUNCTIONS = [(name, here) for cell, here, _ in section("Functions") for name in names(cell)]
OPTIONS = [(level, name, here) for level, cell, here, _ in section("Options") for name in names(cell)]


IOCTLS = {name: (here, remark) for cell, here, remark in section("Ioctls") for name in names(cell)}


def test_every_function_has_a_row_and_no_other_is_said_to_be_here() -> None:
    assert len(dict(FUNCTIONS)) == len(FUNCTIONS)
    assert {name for name, here in FUNCTIONS if here == "yes"} == set(winsock.__all__) - HELPERS - STRUCTURES
    assert all(f"`{name}`" in PAGE for name in HELPERS | STRUCTURES)
    assert {here for _, here in FUNCTIONS} == {"yes", "no"}


def test_what_is_not_here_has_a_reason() -> None:
    assert all(why for _, here, why in section("Functions") if here == "no")
    assert all(why for _, _, here, why in section("Options") if here == "no")


@pytest.mark.parametrize(("cell", "module"), section("Structures"))
def test_structures_are_where_the_page_says(cell: str, module: str) -> None:
    found = import_module(f"multipoint.{module.strip('`')}")
    assert all(hasattr(found, name) for name in names(cell))


@pytest.mark.parametrize(("level", "name", "here"), OPTIONS)
def test_option_is_there_or_not_as_the_page_says(level: str, name: str, here: str) -> None:
    known = sockopts._OPTIONS[getattr(c, level)]
    assert (getattr(c, name) in known) is (here == "yes")


@pytest.mark.parametrize("level", LEVELS)
def test_no_option_is_missing_from_the_page(level: str) -> None:
    told = {getattr(c, name) for of, name, here in OPTIONS if of == level and here == "yes"}
    if level == "IPPROTO_IPV6":
        told |= {getattr(c, name) for _, name, here in OPTIONS if name.startswith("MCAST_") and here == "yes"}
    assert told == set(sockopts._OPTIONS[getattr(c, level)])


def test_ioctls_are_there_or_not_as_the_page_says() -> None:
    known = {name for name in dir(c) if name.startswith(("SIO", "FIO"))}
    assert set(IOCTLS) == known
    assert {name for name, (here, _) in IOCTLS.items() if here == "yes"} == of_codes(ioctls._CONTROLS, known)
    refused = {name for name, (here, remark) in IOCTLS.items() if here == "no" and remark.startswith("WSAEOPNOTSUPP")}
    assert refused == of_codes(ioctls._REFUSED, known)


def of_codes(codes: Collection[int], known: set[str]) -> set[str]:
    return {name for name in known if getattr(c, name) in codes}
