"""Admission: which promises an interface can still keep (QS-34 to QS-36, QS-38, QS-41; D-54).

One Budget for each interface, shared by all sessions that use it. May not know: how capacity and delay are found out.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

from multipoint import constants
from multipoint.constants import QOS_NOT_SPECIFIED
from multipoint.errors import error
from multipoint.flow import FLOWSPEC
from multipoint.flow_rules import PROMISES, service


@dataclass
class Budget:
    """What an interface can carry, in bytes a second (None: no limit), its delay, and what is promised of it."""

    capacity: int | None = None
    delay_us: int = 0
    _promised: dict[Hashable, int] = field(default_factory=dict)

    @property
    def promised(self) -> int:
        """The bytes a second that are promised."""
        return sum(self._promised.values())

    @property
    def broken(self) -> list[Hashable]:
        """Whose promises can't be kept any more since the capacity has changed, the latest first (QS-39)."""
        if self.capacity is None:
            return []
        kept, total = set[Hashable](), 0
        for holder, rate in self._promised.items():
            if total + rate <= self.capacity:
                total += rate
                kept.add(holder)
        return [holder for holder in reversed(self._promised) if holder not in kept]

    def reserve(self, holder: Hashable, *flows: FLOWSPEC) -> None:
        """Promise flows to the holder, in place of what he had; or CallerError (WSAEOPNOTSUPP), and nothing changes."""
        needed = sum(self._needs(flow) for flow in flows)
        others = self.promised - self._promised.get(holder, 0)
        if self.capacity is not None and needed and others + needed > self.capacity:
            raise error(
                *(constants.WSAEOPNOTSUPP, "the interface can't carry the flow"),
                asked=needed,
                left=self.capacity - others,
            )
        self._promised[holder] = needed
        if not needed:
            del self._promised[holder]

    def release(self, holder: Hashable) -> None:
        """Take back what was promised to the holder, if anything was (QS-38)."""
        self._promised.pop(holder, None)

    def _needs(self, flow: FLOWSPEC) -> int:
        kind = service(flow.ServiceType).type
        if kind not in PROMISES:
            return 0
        if kind == constants.SERVICETYPE_GUARANTEED and flow.Latency < self.delay_us:
            # QS-41
            raise error(
                *(constants.WSAEOPNOTSUPP, "the link is too slow for the Latency"),
                asked_us=flow.Latency,
                link_us=self.delay_us,
            )
        return 0 if flow.TokenRate == QOS_NOT_SPECIFIED else flow.TokenRate
