"""Admission: an interface promises no more than it can carry."""

import pytest

from multipoint import constants as c
from multipoint.admission import Budget
from multipoint.errors import MultipointError
from multipoint.flow import FLOWSPEC


def flow(rate: int, service_type: int = c.SERVICETYPE_CONTROLLEDLOAD, latency: int = c.QOS_NOT_SPECIFIED) -> FLOWSPEC:
    return FLOWSPEC(TokenRate=rate, ServiceType=service_type, Latency=latency)


@pytest.mark.requirement("QS-34")
def test_promises_add_up_to_the_capacity_and_no_more() -> None:
    budget = Budget(capacity=1000)
    budget.reserve("one", flow(600))
    budget.reserve("two", flow(400, c.SERVICE_GUARANTEED))
    with pytest.raises(MultipointError, match=r"WSAEOPNOTSUPP: .* asked 1, left 0"):
        budget.reserve("three", flow(1))
    assert budget.promised == 1000


@pytest.mark.requirement("QS-34")
def test_best_effort_needs_no_promise() -> None:
    budget = Budget(capacity=1000)
    budget.reserve("one", flow(5000, c.SERVICETYPE_BESTEFFORT), FLOWSPEC())
    assert budget.promised == 0


@pytest.mark.requirement("QS-34")
def test_unknown_capacity_is_unlimited() -> None:
    Budget().reserve("one", flow(10**9))


@pytest.mark.requirement("QS-34", "QS-09")
def test_refused_change_leaves_the_earlier_promise() -> None:
    budget = Budget(capacity=1000)
    budget.reserve("one", flow(600))
    with pytest.raises(MultipointError):
        budget.reserve("one", flow(1001))
    assert budget.promised == 600
    budget.reserve("one", flow(1000))
    assert budget.promised == 1000


@pytest.mark.requirement("QS-38")
def test_capacity_comes_back() -> None:
    budget = Budget(capacity=1000)
    budget.reserve("one", flow(1000))
    budget.release("one")
    budget.release("one")
    budget.reserve("two", flow(1000))
    budget.reserve("two", FLOWSPEC())
    assert budget.promised == 0


@pytest.mark.requirement("QS-41")
@pytest.mark.parametrize(
    ("service_type", "latency", "is_kept"),
    [
        (c.SERVICETYPE_GUARANTEED, 2000, True),
        (c.SERVICETYPE_GUARANTEED, 1999, False),
        (c.SERVICETYPE_GUARANTEED, c.QOS_NOT_SPECIFIED, True),
        (c.SERVICETYPE_CONTROLLEDLOAD, 1, True),
    ],
)
def test_guaranteed_latency_is_checked(service_type: int, latency: int, is_kept: bool) -> None:
    budget = Budget(delay_us=2000)
    if is_kept:
        budget.reserve("one", flow(1, service_type, latency))
    else:
        with pytest.raises(MultipointError, match="WSAEOPNOTSUPP"):
            budget.reserve("one", flow(1, service_type, latency))


@pytest.mark.requirement("QS-39")
def test_when_the_link_gets_slower_the_latest_promises_break() -> None:
    budget = Budget(capacity=1000)
    for holder, rate in (("one", 500), ("two", 300), ("three", 200)):
        budget.reserve(holder, flow(rate))
    assert budget.broken == []
    budget.capacity = 700
    assert budget.broken == ["two"]
    budget.capacity = 600
    assert budget.broken == ["three", "two"]
