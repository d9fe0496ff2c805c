"""The dialects: each difference, and that there is no other."""

import errno
from dataclasses import asdict

import pytest

from multipoint import constants as c
from multipoint.dialects import (
    CE,
    DIALECTS,
    JOIN_CODES,
    MODERN,
    SPEC1990,
    Dialect,
    cancel_code,
    join_code,
    negotiate,
    nested_code,
)
from multipoint.errors import CODE_NAMES, JOIN_KERNEL_CODES, from_kernel_at_join
from multipoint.flow_rules import at_join
from multipoint.kinds import ProviderClass

MCAST, SSM, P2MP, CONF = ProviderClass
V1, V2 = 0x0101, 0x0202


@pytest.mark.requirement("DI-01")
def test_there_are_three() -> None:
    assert set(DIALECTS) == {"modern", "spec1990", "ce"}


@pytest.mark.requirement("DI-01", "DI-02", "DI-20", "DI-21")
def test_dialects_differ_in_these_rules_and_in_no_other() -> None:
    """What the documents say differently, and is no field here, is one behaviour in all dialects."""

    def differing(one: Dialect, other: Dialect) -> set[str]:
        return {name for name, value in asdict(one).items() if asdict(other)[name] != value} - {"name"}

    of_the_first_specification = {"has_cancel_blocking_call", "keeps_group_flows"}
    of_ce = {"no_join", "has_async_select", "refuses_nested_calls", "closed_elsewhere"}
    assert differing(MODERN, SPEC1990) == of_the_first_specification
    assert differing(MODERN, CE) == of_ce
    assert differing(SPEC1990, CE) == of_the_first_specification | of_ce


@pytest.mark.requirement("DI-10", "DI-11", "JL-75")
@pytest.mark.parametrize("provider", ProviderClass)
def test_default_provider_of_ce_can_not_join(provider: ProviderClass) -> None:
    assert join_code(MODERN, provider) == join_code(SPEC1990, provider) == 0
    assert join_code(CE, provider) == (c.WSASYSCALLFAILURE if provider is MCAST else 0)


@pytest.mark.requirement("DI-09")
def test_ce_has_no_messages() -> None:
    assert [dialect.has_async_select for dialect in (MODERN, SPEC1990, CE)] == [True, True, False]


@pytest.mark.requirement("DI-07")
@pytest.mark.parametrize(
    ("dialect", "version", "code"),
    [
        (MODERN, V2, c.WSAEOPNOTSUPP),
        (MODERN, V1, 0),
        (SPEC1990, V2, 0),
        (SPEC1990, V1, 0),
        (CE, V2, c.WSAEOPNOTSUPP),
        (CE, V1, c.WSAEOPNOTSUPP),
    ],
)
def test_who_can_cancel_a_blocking_call(dialect: Dialect, version: int, code: int) -> None:
    assert cancel_code(dialect, version) == code


@pytest.mark.requirement("DI-08", "JL-72")
@pytest.mark.parametrize(
    ("dialect", "version", "code"),
    [(MODERN, V2, 0), (MODERN, V1, c.WSAEINPROGRESS), (SPEC1990, V2, 0), (CE, V2, c.WSAEINPROGRESS)],
)
def test_nested_calls(dialect: Dialect, version: int, code: int) -> None:
    assert nested_code(dialect, version) == code


@pytest.mark.requirement("DI-12", "CL-25")
def test_call_whose_socket_is_closed_elsewhere() -> None:
    assert (MODERN.closed_elsewhere, CE.closed_elsewhere) == (c.WSAEINTR, c.WSAENOTSOCK)


@pytest.mark.requirement("DI-15")
def test_flows_of_groups_are_kept_by_the_first_specification_only() -> None:
    assert [dialect.keeps_group_flows for dialect in (MODERN, SPEC1990, CE)] == [False, True, False]


@pytest.mark.requirement("SU-02", "SU-03")
@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (0x0000, None),
        (0x0900, None),
        (0x0001, 0x0001),
        (0x0101, 0x0101),
        (0x0201, 0x0101),
        (0x0002, 0x0002),
        (0x0102, 0x0102),
        (0x0202, 0x0202),
        (0x0902, 0x0202),
        (0x0003, 0x0202),
    ],
    ids=lambda value: "none" if value is None else f"{value & 0xFF}.{value >> 8}",
)
def test_version_granted(asked: int, granted: int | None) -> None:
    assert negotiate(asked) == granted


@pytest.mark.requirement("JL-27", "DI-18", "DI-23", "JL-76")
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_list_of_join_codes_is_closed(dialect: Dialect) -> None:
    codes = JOIN_CODES[dialect]
    assert c.WSAEWOULDBLOCK not in codes
    assert set(JOIN_KERNEL_CODES.values()) <= codes
    assert {at_join(code) for code in CODE_NAMES if CODE_NAMES[code].startswith("WSA_QOS")} <= codes
    assert {from_kernel_at_join(number) for number in errno.errorcode} <= codes
    assert {join_code(dialect, provider) for provider in (None, *ProviderClass)} - {0} <= codes
    assert dialect.closed_elsewhere in codes
