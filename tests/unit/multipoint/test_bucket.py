"""Shaping: arithmetic on a time that the test chooses."""

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multipoint import constants as c
from multipoint.bucket import Bucket, Fate, Mode, Shape, Shaper
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import pack_object

LONGEST = 1400


def flows(objects: bytes = b"", **fields: int) -> QOS:
    return QOS.of(FLOWSPEC(**{"TokenRate": 1000, "ServiceType": 2} | fields), FLOWSPEC(), objects)


def number(kind: int, value: int) -> bytes:
    return pack_object(kind, value.to_bytes(4, "little"))


SHAPES = {
    "controlled load": (["QS-26", "QS-28"], flows(), Shape(1000, LONGEST, inf, LONGEST, Mode.SHAPE)),
    "guaranteed": (["QS-28"], flows(ServiceType=3), Shape(1000, LONGEST, inf, LONGEST, Mode.SHAPE)),
    "best effort": (["QS-28"], flows(ServiceType=1), Shape(1000, LONGEST, inf, LONGEST, Mode.BORROW)),
    "network control": (["QS-28"], flows(ServiceType=10), Shape(1000, LONGEST, inf, LONGEST, Mode.BORROW)),
    "best effort that is to be shaped": (
        ["QS-27"],
        flows(number(c.QOS_OBJECT_SD_MODE, c.TC_NONCONF_SHAPE), ServiceType=1),
        Shape(1000, LONGEST, inf, LONGEST, Mode.SHAPE),
    ),
    "guaranteed that may borrow": (
        ["QS-27"],
        flows(number(c.QOS_OBJECT_SD_MODE, c.TC_NONCONF_BORROW), ServiceType=3),
        Shape(1000, LONGEST, inf, LONGEST, Mode.BORROW),
    ),
    "bucket": (["QS-25"], flows(TokenBucketSize=3000), Shape(1000, 3000, inf, LONGEST, Mode.SHAPE)),
    "peak": (["QS-25"], flows(PeakBandwidth=2000), Shape(1000, LONGEST, 2000, LONGEST, Mode.SHAPE)),
    "shortest": (["QS-37"], flows(MaxSduSize=100), Shape(1000, 100, inf, 100, Mode.SHAPE)),
    "no limit": (["QS-26"], flows(TokenRate=c.QOS_NOT_SPECIFIED), Shape(inf, LONGEST, inf, LONGEST, Mode.SHAPE)),
    "another rate": (
        ["QS-29"],
        flows(number(c.QOS_OBJECT_SHAPING_RATE, 500)),
        Shape(500, LONGEST, inf, LONGEST, Mode.SHAPE),
    ),
    "discard": (
        ["QS-27"],
        flows(number(c.QOS_OBJECT_SD_MODE, c.TC_NONCONF_DISCARD)),
        Shape(1000, LONGEST, inf, LONGEST, Mode.DISCARD),
    ),
    "no traffic control": (
        ["QS-23"],
        flows(ServiceType=2 | c.SERVICE_NO_TRAFFIC_CONTROL),
        Shape(inf, LONGEST, inf, LONGEST, Mode.BORROW),
    ),
    "nothing asked": (["QS-14"], QOS(), None),
}


@pytest.mark.parametrize(
    ("qos", "shape"),
    [
        pytest.param(qos, shape, id=name, marks=pytest.mark.requirement(*ids))
        for name, (ids, qos, shape) in SHAPES.items()
    ],
)
def test_flows_ask_for_a_shape(qos: QOS, shape: Shape | None) -> None:
    assert Shape.of(qos, LONGEST) == shape


def shaper(mode: Mode, rate: float = 1000, depth: int = 500, peak: float = inf) -> Shaper:
    return Shaper(Shape(rate, depth, peak, LONGEST, mode), now=0)


@pytest.mark.requirement("QS-30")
def test_held_message_goes_when_its_time_has_come() -> None:
    sender = shaper(Mode.SHAPE)
    assert sender.offer(500, 0) == (Fate.SEND, 0)
    fate, again_at = sender.offer(250, 0)
    assert (fate, again_at) == (Fate.HOLD, 0.25)
    assert sender.offer(250, 0.24)[0] is Fate.HOLD
    assert sender.offer(250, again_at)[0] is Fate.SEND


@pytest.mark.requirement("QS-30")
def test_discarded_message_takes_no_tokens() -> None:
    sender = shaper(Mode.DISCARD)
    assert [sender.offer(size, 0)[0] for size in (400, 200, 100)] == [Fate.SEND, Fate.DROP, Fate.SEND]


@pytest.mark.requirement("QS-27")
def test_borrowing_message_goes_at_once() -> None:
    sender = shaper(Mode.BORROW)
    assert [sender.offer(300, 0)[0] for _ in range(3)] == [Fate.SEND, Fate.BORROW, Fate.BORROW]


@pytest.mark.requirement("QS-37")
def test_message_that_is_too_long_is_refused() -> None:
    assert shaper(Mode.BORROW).offer(LONGEST + 1, 0)[0] is Fate.TOO_LONG
    assert shaper(Mode.BORROW).offer(LONGEST, 0)[0] is not Fate.TOO_LONG


def test_message_longer_than_the_bucket_does_not_wait_for_ever() -> None:
    assert shaper(Mode.SHAPE).offer(501, 0)[0] is Fate.TOO_LONG


@pytest.mark.requirement("QS-25")
def test_peak_spaces_messages_apart() -> None:
    sender = shaper(Mode.SHAPE, depth=10_000, peak=2000)
    assert sender.offer(LONGEST, 0)[0] is Fate.SEND
    assert sender.offer(LONGEST, 0) == (Fate.HOLD, LONGEST / 2000)


def test_tokens_stop_at_the_depth() -> None:
    bucket = Bucket(1000, 500, now=0)
    bucket.take(500, 0)
    assert bucket.ready_at(500, 1000) == 1000
    bucket.take(500, 1000)
    assert bucket.ready_at(1, 1000) == 1000.001


def test_tokens_that_are_there_shorten_the_wait() -> None:
    bucket = Bucket(1000, 500, now=0)
    bucket.take(400, 0)
    assert bucket.ready_at(100, 0) == 0
    assert bucket.ready_at(300, 0) == 0.2
    assert bucket.ready_at(300, 0.1) == pytest.approx(0.2)
    assert bucket.ready_at(501, 0.1) == inf


@pytest.mark.requirement("QS-25", "QS-30")
@given(
    st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1)), max_size=50),
    st.integers(1, 5000),
    st.integers(500, 2000),
    st.integers(5000, 20_000),
)
def test_no_interval_has_more_than_the_bound(offers: list[tuple[int, float]], rate: int, depth: int, peak: int) -> None:
    sender, now, sent = shaper(Mode.SHAPE, rate, depth, peak), 0.0, [(0.0, 0)]
    for size, pause in offers:
        now += pause
        fate, again_at = sender.offer(size, now)
        if fate is Fate.HOLD:
            now = again_at
            fate, _ = sender.offer(size, now)
        assert fate is Fate.SEND, "a held message goes when its time has come"
        sent.append((now, sent[-1][1] + size))
    for i, (start, before) in enumerate(sent):
        for end, total in sent[i + 1 :]:
            assert total - before <= rate * (end - start) + depth + 0.1
            assert total - before <= peak * (end - start) + LONGEST + 0.1
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(sent))


@pytest.mark.requirement("QS-26")
def test_bucket_that_fills_at_once_holds_nothing_back_however_small_it_is() -> None:
    shaper = Shaper(Shape(inf, 10, inf, LONGEST, Mode.SHAPE), 0.0)
    assert [shaper.offer(LONGEST, 0.0) for _ in range(3)] == [(Fate.SEND, 0.0)] * 3
