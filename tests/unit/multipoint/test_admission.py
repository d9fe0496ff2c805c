"""Admission: an interface promises no more than it can carry."""

import pytest

from multipoint import constants as c
from multipoint.admission import Ability, Admission, Budget, Limit, is_promise
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
    assert budget.possible == {"one": 500, "two": 300, "three": 200}
    budget.capacity = 700
    assert budget.possible == {"one": 500, "two": 0, "three": 200}
    budget.capacity = 600
    assert budget.possible == {"one": 500, "two": 100, "three": 0}


LO, ETH = 1, 2


def an_admission() -> Admission[str]:
    """Return the promises of a host whose lo carries 1000 out and 500 in, and takes 2000 us."""
    abilities = {LO: Ability(sending=1000, receiving=500, delay_us=2000), ETH: Ability()}
    return Admission(abilities.__getitem__)


@pytest.mark.requirement("QS-34")
def test_each_way_has_its_capacity_and_a_refusal_changes_neither() -> None:
    admission = an_admission()
    admission.reserve("one", LO, flow(600), flow(300))
    for too_much in ((flow(401), flow(200)), (flow(400), flow(201))):
        with pytest.raises(MultipointError, match="WSAEOPNOTSUPP"):
            admission.reserve("two", LO, *too_much)
    admission.reserve("two", LO, flow(400), flow(200))
    admission.reserve("one", LO, flow(600), flow(0))
    admission.reserve("three", LO, flow(0), flow(300))


@pytest.mark.requirement("QS-38")
def test_promises_come_back_and_follow_their_holder() -> None:
    admission = an_admission()
    admission.reserve("one", LO, flow(1000), FLOWSPEC())
    assert admission.interfaces == {LO}
    admission.reserve("one", ETH, FLOWSPEC(), flow(1))
    assert admission.interfaces == {ETH}
    admission.reserve("two", LO, flow(1000), flow(500))
    for holder in ("one", "two", "two", "nobody"):
        admission.release(holder)
    assert admission.interfaces == set()
    admission.reserve("three", LO, flow(1000), flow(500))
    admission.reserve("three", LO, flow(9999, c.SERVICETYPE_BESTEFFORT), FLOWSPEC())
    assert admission.interfaces == set()


@pytest.mark.requirement("QS-39")
def test_changed_interface_says_what_each_of_its_holders_can_have() -> None:
    abilities = {LO: Ability(sending=1000, receiving=None), ETH: Ability()}
    admission = Admission[str](abilities.__getitem__)
    admission.reserve("one", LO, flow(600), flow(100))
    admission.reserve("two", LO, FLOWSPEC(), flow(200))
    admission.reserve("elsewhere", ETH, flow(1), FLOWSPEC())
    abilities[LO] = Ability(sending=500, receiving=250)
    # It is looked at when it changes, not for each promise.
    admission.reserve("three", LO, flow(400), FLOWSPEC())
    reason = c.WSA_QOS_ADMISSION_FAILURE
    assert admission.refresh(LO) == {
        "one": Limit(100, 100, reason),
        "two": Limit(None, 150, reason),
        "three": Limit(400, None, reason),
    }
    abilities[LO] = Ability(sending=500, is_up=False)
    reason = c.WSA_QOS_TRAFFIC_CTRL_ERROR
    assert admission.refresh(LO) == {
        "one": Limit(0, 0, reason),
        "two": Limit(None, 0, reason),
        "three": Limit(0, None, reason),
    }


@pytest.mark.requirement("QS-41")
@pytest.mark.parametrize("is_sending", [True, False])
def test_guaranteed_flow_needs_a_fast_interface(is_sending: bool) -> None:
    def flows(latency: int) -> tuple[FLOWSPEC, FLOWSPEC]:
        asked = flow(1, c.SERVICETYPE_GUARANTEED, latency)
        return (asked, FLOWSPEC()) if is_sending else (FLOWSPEC(), asked)

    admission = an_admission()
    with pytest.raises(MultipointError, match="WSAEOPNOTSUPP"):
        admission.reserve("one", LO, *flows(1999))
    admission.reserve("one", LO, *flows(2000))


@pytest.mark.requirement("QS-34")
@pytest.mark.parametrize(
    ("service_type", "promises"),
    [
        (c.SERVICETYPE_GUARANTEED, True),
        (c.SERVICE_CONTROLLEDLOAD, True),
        (c.SERVICETYPE_BESTEFFORT, False),
        (c.SERVICETYPE_NOTRAFFIC, False),
    ],
)
def test_service_type_promises_something_or_not(service_type: int, promises: bool) -> None:
    assert is_promise(flow(1, service_type)) is promises


@pytest.mark.requirement("QS-39", "QS-04")
def test_promise_is_restored_whatever_others_have_been_promised() -> None:
    admission = Admission[str]({LO: Ability(sending=1000, receiving=1000, delay_us=5)}.__getitem__)
    admission.reserve("one", LO, flow(800), FLOWSPEC())
    admission.release("one")
    admission.reserve("two", LO, flow(700), flow(100))
    admission.restore("one", LO, flow(800, c.SERVICETYPE_GUARANTEED, 1), flow(c.QOS_NOT_SPECIFIED))
    assert {holder: limit[:2] for holder, limit in admission.refresh(LO).items()} == {
        "one": (300, None),
        "two": (700, 100),
    }
    admission.restore("three", 9, flow(c.QOS_NOT_SPECIFIED), FLOWSPEC())
    assert admission.interfaces == {LO}


@pytest.mark.requirement("QS-34", "QS-39")
def test_who_needs_nothing_is_let_in_where_too_much_is_promised() -> None:
    budget = Budget(capacity=1000)
    budget.reserve("one", flow(1000))
    budget.capacity = 500
    budget.reserve("two", FLOWSPEC())
    assert budget.promised == 1000


@pytest.mark.requirement("QS-39")
def test_promises_that_are_restored_count_each_way() -> None:
    admission: Admission[str] = Admission(lambda _: Ability(sending=1000, receiving=1000))
    admission.restore("one", 3, flow(1100), flow(1200))
    assert admission.refresh(3) == {"one": Limit(1000, 1000, c.WSA_QOS_ADMISSION_FAILURE)}
    admission.release("one")
    admission.restore("one", 3, FLOWSPEC(), flow(1200))
    assert admission.refresh(3) == {"one": Limit(None, 1000, c.WSA_QOS_ADMISSION_FAILURE)}
