"""Shaping by token bucket, as arithmetic on the time that it is told (QS-25 to QS-30).

Counted is user data. Times are seconds of any clock that does not go back. May not know: clocks, sockets, who waits.
"""

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Self

from multipoint import constants
from multipoint.constants import QOS_NOT_SPECIFIED
from multipoint.flow import QOS
from multipoint.flow_rules import PROMISES, number_of, service


class Mode(Enum):
    """What becomes of a message that does not conform (QS-27)."""

    BORROW = constants.TC_NONCONF_BORROW
    SHAPE = constants.TC_NONCONF_SHAPE
    DISCARD = constants.TC_NONCONF_DISCARD


class Fate(Enum):
    """What to do with a message."""

    SEND = "send it"
    BORROW = "send it, after all that conforms"
    HOLD = "hold it back, or say WSAEWOULDBLOCK"
    DROP = "drop it and say that it was sent"
    TOO_LONG = "refuse it, WSAEMSGSIZE"


@dataclass(frozen=True)
class Shape:
    """What a sending flow asks of shaping: bytes a second, bytes."""

    rate: float
    depth: int
    peak: float
    # QS-37: MaxSduSize, or the largest message of the socket
    longest: int
    mode: Mode

    @classmethod
    def of(cls, qos: QOS, max_message: int) -> Self | None:
        """Return what the flows ask for; None if nothing is to be shaped or counted. The flows are valid."""
        flow = qos.SendingFlowspec
        kind = service(flow.ServiceType)
        if kind.type in (constants.SERVICETYPE_NOCHANGE, constants.SERVICETYPE_NOTRAFFIC):
            return None
        longest = min(flow.MaxSduSize, max_message)
        mode = number_of(qos, constants.QOS_OBJECT_SD_MODE)
        # QS-28, D-55
        default = Mode.SHAPE if kind.type in PROMISES else Mode.BORROW
        # QS-29; QS-23: without traffic control only the longest message counts
        rate = number_of(qos, constants.QOS_OBJECT_SHAPING_RATE) or flow.TokenRate
        if not kind.has_traffic_control:
            return cls(inf, longest, inf, longest, Mode.BORROW)
        return cls(
            _unless_missing(rate),
            # QS-26
            longest if flow.TokenBucketSize == QOS_NOT_SPECIFIED else flow.TokenBucketSize,
            _unless_missing(flow.PeakBandwidth),
            longest,
            default if mode is None else Mode(mode),
        )


class Bucket:
    """Tokens that come at a rate and are kept up to a depth: in any time t at most rate * t + depth bytes go."""

    def __init__(self, rate: float, depth: int, now: float) -> None:
        self._rate = rate
        self._depth = depth
        self._tokens = float(depth)
        self._at = now

    def ready_at(self, size: int, now: float) -> float:
        """Return when so many bytes may go: ``now``, later, or never (infinity) if the bucket is too small."""
        self._fill(now)
        if size <= self._tokens or self._rate == inf:
            return now
        return now + (size - self._tokens) / self._rate if size <= self._depth else inf

    def take(self, size: int, now: float) -> None:
        """Take the tokens of bytes that go now."""
        self._fill(now)
        self._tokens -= size

    def _fill(self, now: float) -> None:
        # At an infinite rate nobody counts tokens, and no time times infinity is no number.
        if self._rate != inf:
            self._tokens = min(self._depth, self._tokens + (now - self._at) * self._rate)
        self._at = now


class Shaper:
    """Says what becomes of each message of one sender."""

    # A held message is let go so many seconds early, so that rounding never holds it twice.
    _ROUNDING_S = 1e-6

    def __init__(self, shape: Shape, now: float) -> None:
        self.shape = shape
        self._average = Bucket(shape.rate, shape.depth, now)
        # QS-25: p * t + one largest message
        self._peak = Bucket(shape.peak, shape.longest, now)

    def offer(self, size: int, now: float) -> tuple[Fate, float]:
        """Return what becomes of a message now, its tokens taken if it goes; for HOLD, when to offer it again."""
        if size > self.shape.longest:
            return Fate.TOO_LONG, now
        ready = max(bucket.ready_at(size, now) for bucket in (self._average, self._peak))
        if ready <= now + self._ROUNDING_S:
            self._average.take(size, now)
            self._peak.take(size, now)
            return Fate.SEND, now
        return self._not_conforming(ready, now)

    def _not_conforming(self, ready: float, now: float) -> tuple[Fate, float]:
        match self.shape.mode:
            case Mode.BORROW:
                # It leaves the tokens to those that conform.
                return Fate.BORROW, now
            case Mode.DISCARD:
                return Fate.DROP, now
            case Mode.SHAPE:
                # A message that is longer than the bucket is deep would wait for ever.
                return (Fate.TOO_LONG, now) if ready == inf else (Fate.HOLD, ready)


def _unless_missing(rate: int) -> float:
    return inf if rate in (QOS_NOT_SPECIFIED, constants.POSITIVE_INFINITY_RATE) else rate
