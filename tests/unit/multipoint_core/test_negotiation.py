"""Changes of flows on live connections: proposed to all, taken back at the first refusal."""

import pytest
from tests.unit.multipoint_core.pretend import Wire, leaf_asks

from multipoint import constants as c
from multipoint.flow import FLOWSPEC, QOS
from multipoint.link_events import FlowsAnswered, FlowsAsked
from multipoint.negotiation import Negotiation, Outcome


def flows(rate: int) -> QOS:
    return QOS.of(FLOWSPEC(TokenRate=rate, ServiceType=c.SERVICETYPE_CONTROLLEDLOAD), FLOWSPEC())


def joined() -> Wire:
    between = leaf_asks()
    between.join()
    return between


def answer(between: Wire, number: int, code: int) -> FlowsAnswered:
    """Let the leaf answer; return what the root's link tells."""
    between.leaf.answer_flows(number, code, flows(1), between.now)
    between.pass_bytes()
    (told,) = between.root.events()
    assert isinstance(told, FlowsAnswered)
    return told


@pytest.mark.requirement("QS-09")
def test_change_is_agreed_when_the_last_peer_agrees() -> None:
    root, wires = Negotiation(), [joined(), joined()]
    root.propose(flows(1), flows(2), [between.root for between in wires], 0.0)
    for place, between in enumerate(wires):
        between.pass_bytes()
        assert between.leaf.events() == [FlowsAsked(1, flows(2))]
        told = answer(between, 1, 0)
        assert root.answered(between.root, told.number, told.code) is (Outcome.AGREED if place else Outcome.OPEN)
    assert root.outcome is Outcome.AGREED


@pytest.mark.requirement("QS-09")
def test_first_refusal_takes_it_back_and_later_answers_count_for_nothing() -> None:
    root, wires = Negotiation(), [joined(), joined()]
    links = [between.root for between in wires]
    root.propose(flows(1), flows(2), links, 0.0)
    assert root.answered(links[0], 1, c.WSAEOPNOTSUPP) is Outcome.REFUSED
    assert root.before == flows(1)
    root.take_back(root.before, links, 0.0)
    assert root.answered(links[1], 1, c.WSAEOPNOTSUPP) is Outcome.OPEN
    assert root.answered(links[1], 2, 0) is Outcome.OPEN
    assert root.outcome is Outcome.REFUSED
    for between in wires:
        between.pass_bytes()
        assert between.leaf.events() == [FlowsAsked(1, flows(2)), FlowsAsked(2, flows(1))]


@pytest.mark.requirement("QS-09")
def test_second_change_before_the_answer_goes_back_to_what_held_before_both() -> None:
    root, between = Negotiation(), joined()
    root.propose(flows(1), flows(2), [between.root], 0.0)
    root.propose(flows(2), flows(3), [between.root], 0.0)
    assert root.answered(between.root, 1, c.WSAEOPNOTSUPP) is Outcome.OPEN
    assert root.answered(between.root, 2, c.WSAEOPNOTSUPP) is Outcome.REFUSED
    assert root.before == flows(1)


@pytest.mark.requirement("QS-09")
def test_who_has_not_answered_in_time_has_refused() -> None:
    root, between = Negotiation(), joined()
    number = root.propose(flows(1), flows(2), [between.root], 0.0)
    assert root.late(number) is Outcome.REFUSED
    assert root.late(number) is root.answered(between.root, number, 0) is Outcome.OPEN
    earlier = root.propose(flows(1), flows(3), [between.root], 0.0)
    root.propose(flows(1), flows(4), [between.root], 0.0)
    assert root.late(earlier) is Outcome.OPEN
    assert root.gone(between.root) is Outcome.AGREED
    assert root.late(earlier + 1) is Outcome.OPEN
    assert root.outcome is Outcome.AGREED


@pytest.mark.requirement("QS-09")
def test_who_is_gone_need_not_answer() -> None:
    root, between = Negotiation(), joined()
    root.propose(flows(1), flows(2), [between.root], 0.0)
    assert root.gone(joined().root) is Outcome.OPEN
    assert root.gone(between.root) is Outcome.AGREED
    root.propose(flows(2), flows(3), [], 0.0)
    assert root.outcome is Outcome.AGREED


@pytest.mark.requirement("QS-09")
def test_flows_cross_a_leave_without_harm() -> None:
    between = joined()
    between.leaf.leave(0.0)
    between.root.ask_flows(1, flows(2), 0.0)
    between.pass_bytes()
    assert between.leaf.events() == [FlowsAsked(1, flows(2))]
    between.leaf.answer_flows(1, 0, flows(2), 0.0)
    between.pass_bytes()
    assert not between.root.has_ended
