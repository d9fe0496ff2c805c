"""The flows of one socket: merged, lessened, explained; and an interface's promises each way."""

import pytest

from multipoint import constants as c
from multipoint.admission import Ability, Admission, Limit
from multipoint.bucket import Fate
from multipoint.errors import MultipointError
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import pack_object
from multipoint.kinds import JoinRole
from multipoint.quality import Quality

NOTHING = FLOWSPEC()
OWN = pack_object(c.RSVP_OBJECT_POLICY_INFO, b"mine")


def a_flow(rate: int, service: int = c.SERVICETYPE_GUARANTEED) -> FLOWSPEC:
    return FLOWSPEC(TokenRate=rate, TokenBucketSize=100, ServiceType=service)


@pytest.mark.requirement("QS-05", "QS-21")
def test_directions_that_say_nothing_or_are_lacking_stay() -> None:
    quality = Quality(1000)
    quality.put(QOS.of(a_flow(1), a_flow(2)), 0.0)
    assert quality.merged(QOS.of(NOTHING, a_flow(3)), JoinRole.BOTH) == QOS.of(a_flow(1), a_flow(3))
    wrong = QOS.of(a_flow(0), a_flow(3))
    assert quality.merged(wrong, JoinRole.RECEIVER_ONLY) == QOS.of(a_flow(1), a_flow(3))
    with pytest.raises(MultipointError, match="WSA_QOS_EFLOWSPEC"):
        quality.merged(wrong, JoinRole.SENDER_ONLY)
    # Nothing of it is in force before it is put.
    assert quality.in_force == QOS.of(a_flow(1), a_flow(2))


@pytest.mark.requirement("QS-39")
def test_less_than_promised_comes_with_its_reason_and_the_programs_own_objects() -> None:
    quality = Quality(1000)
    quality.put(QOS.of(a_flow(500), NOTHING, OWN), 0.0)
    assert quality.limit(200, None, c.WSA_QOS_ADMISSION_FAILURE, 0.0)
    assert not quality.limit(200, None, c.WSA_QOS_ADMISSION_FAILURE, 0.0)
    reason = pack_object(c.RSVP_OBJECT_STATUS_INFO, c.WSA_QOS_ADMISSION_FAILURE.to_bytes(4, "little") + bytes(8))
    assert quality.in_force == QOS.of(a_flow(200), NOTHING, reason + OWN)
    assert quality.granted == QOS.of(a_flow(500), NOTHING, OWN)
    assert quality.limit(500, None, c.WSA_QOS_ADMISSION_FAILURE, 0.0)
    assert quality.in_force == quality.granted


@pytest.mark.requirement("QS-39")
def test_flow_of_which_nothing_can_be_promised_is_best_effort() -> None:
    quality = Quality(1000)
    quality.put(QOS.of(a_flow(500), a_flow(300)), 0.0)
    assert quality.limit(0, 0, c.WSA_QOS_TRAFFIC_CTRL_ERROR, 0.0)
    for flow, rate in ((quality.in_force.SendingFlowspec, 500), (quality.in_force.ReceivingFlowspec, 300)):
        assert flow == a_flow(rate, c.SERVICETYPE_BESTEFFORT)


@pytest.mark.requirement("QS-25")
def test_same_flow_set_again_does_not_fill_the_bucket() -> None:
    quality = Quality(1000)
    for _ in range(3):
        quality.put(QOS.of(a_flow(10), NOTHING), 0.0)
        fate, _ = quality.offer(100, 0.0)
    assert fate is Fate.HOLD


@pytest.mark.requirement("QS-23")
def test_flow_without_signalling_keeps_to_itself() -> None:
    quality = Quality(1000)
    silent = a_flow(1, c.SERVICETYPE_GUARANTEED | c.SERVICE_NO_QOS_SIGNALING)
    quality.put(QOS.of(silent, a_flow(2)), 0.0)
    assert quality.signalled == QOS.of(NOTHING, a_flow(2))
    assert quality.agreed(QOS.of(a_flow(7), a_flow(8))) == QOS.of(silent, a_flow(8))
    quality.put(QOS.of(silent, NOTHING), 0.0)
    assert quality.signalled is None


@pytest.mark.requirement("QS-34")
def test_each_way_of_an_interface_has_its_promises_and_all_or_nothing_is_taken() -> None:
    admission: Admission[str] = Admission(lambda _: Ability(sending=1000, receiving=500))
    admission.reserve("one", 3, a_flow(1000), a_flow(400))
    for sending, receiving in ((1001, 1), (1, 501)):
        with pytest.raises(MultipointError, match="WSAEOPNOTSUPP"):
            admission.reserve("one", 3, a_flow(sending), a_flow(receiving))
    for sending, receiving in ((1, 1), (0, 101)):
        flow = a_flow(sending) if sending else NOTHING
        with pytest.raises(MultipointError, match="WSAEOPNOTSUPP"):
            admission.reserve("two", 3, flow, a_flow(receiving))
    admission.reserve("two", 3, NOTHING, a_flow(100))
    # Another interface is another matter.
    admission.reserve("one", 4, a_flow(1000), NOTHING)
    admission.reserve("two", 3, a_flow(1000), NOTHING)
    assert admission.interfaces == {3, 4}


@pytest.mark.requirement("QS-39", "QS-38")
def test_interface_looked_at_again_says_what_each_can_have() -> None:
    now = Ability(sending=1000)
    admission: Admission[str] = Admission(lambda _: now)
    admission.reserve("one", 3, a_flow(600), NOTHING)
    admission.reserve("two", 3, a_flow(400), NOTHING)
    now = Ability(sending=700)
    assert admission.refresh(3) == {
        "one": Limit(600, None, c.WSA_QOS_ADMISSION_FAILURE),
        "two": Limit(100, None, c.WSA_QOS_ADMISSION_FAILURE),
    }
    now = Ability(is_up=False)
    assert set(admission.refresh(3).values()) == {Limit(0, None, c.WSA_QOS_TRAFFIC_CTRL_ERROR)}
    admission.release("one")
    admission.release("two")
    assert admission.interfaces == frozenset()


def test_what_is_handed_out_or_taken_in_can_be_changed_without_effect() -> None:
    one, other = Quality(1000), Quality(1000)
    for flows in (one.granted, one.in_force):
        flows.SendingFlowspec.TokenRate = 7
    given = QOS.of(a_flow(1), a_flow(2))
    one.put(given, 0.0)
    given.SendingFlowspec.TokenRate = 8
    assert one.signalled
    for flows in (one.granted, one.in_force, one.signalled):
        flows.ReceivingFlowspec.TokenRate = 9
    assert one.granted == one.in_force == one.signalled == QOS.of(a_flow(1), a_flow(2))
    assert other.granted == other.in_force == QOS()
    one.put(QOS(), 0.0)
    assert not any((one.is_specified, one.is_guaranteed, one.signalled))
