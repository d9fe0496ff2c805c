"""Admission: which promises an interface can still keep (QS-34 to QS-36, QS-38, QS-41; D-54).

One Budget for each interface and way, shared by all sessions that use it. May not know: how capacity and delay are
found out.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from multipoint import constants
from multipoint.constants import QOS_NOT_SPECIFIED
from multipoint.errors import error
from multipoint.flow import FLOWSPEC
from multipoint.flow_rules import PROMISES, service

Holder = TypeVar("Holder", bound=Hashable)


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
    def possible(self) -> dict[Hashable, int]:
        """How much of each promise can be kept: the earlier ones whole, what is left goes to the others."""
        left = self.promised if self.capacity is None else self.capacity
        kept: dict[Hashable, int] = {}
        for holder, rate in self._promised.items():
            if rate <= left:
                left -= rate
                kept[holder] = rate
        for holder, rate in self._promised.items():
            if holder not in kept:
                kept[holder] = min(rate, left)
                left -= kept[holder]
        return kept

    def reserve(self, holder: Hashable, *flows: FLOWSPEC) -> None:
        """Promise flows to the holder, in place of what he had; or CallerError (WSAEOPNOTSUPP), and nothing changes."""
        needed = self.check(holder, *flows)
        self.release(holder)
        if needed:
            self._promised[holder] = needed

    def restore(self, holder: Hashable, flow: FLOWSPEC) -> None:
        """Promise a flow to the holder whatever there is; ``possible`` says what of it can be kept."""
        if rate := _rate(flow):
            self._promised[holder] = rate

    def check(self, holder: Hashable, *flows: FLOWSPEC) -> int:
        """Return the rate that flows need; CallerError (WSAEOPNOTSUPP) if the holder can't have it."""
        needed = sum(self._needs(flow) for flow in flows)
        others = self.promised - self._promised.get(holder, 0)
        if self.capacity is not None and needed and others + needed > self.capacity:
            raise error(
                *(constants.WSAEOPNOTSUPP, "the interface can't carry the flow"),
                asked=needed,
                left=self.capacity - others,
            )
        return needed

    def release(self, holder: Hashable) -> None:
        """Take back what was promised to the holder, if anything was (QS-38)."""
        self._promised.pop(holder, None)

    def _needs(self, flow: FLOWSPEC) -> int:
        check_latency(flow, self.delay_us)
        return _rate(flow)


def _rate(flow: FLOWSPEC) -> int:
    is_counted = is_promise(flow) and flow.TokenRate != QOS_NOT_SPECIFIED
    return flow.TokenRate if is_counted else 0


def is_promise(flow: FLOWSPEC) -> bool:
    """Say whether a flow promises something of the network (QS-34)."""
    return service(flow.ServiceType).type in PROMISES


def check_latency(flow: FLOWSPEC, delay_us: int) -> None:
    """Raise CallerError (WSAEOPNOTSUPP) if a guaranteed flow asks for less time than it takes (QS-41)."""
    if service(flow.ServiceType).type == constants.SERVICETYPE_GUARANTEED and flow.Latency < delay_us:
        raise error(
            *(constants.WSAEOPNOTSUPP, "the way is too slow for the Latency"),
            asked_us=flow.Latency,
            needed_us=delay_us,
        )


@dataclass(frozen=True)
class Ability:
    """What an interface can do now: bytes a second each way (None: no limit), its delay, whether it works at all."""

    sending: int | None = None
    receiving: int | None = None
    delay_us: int = 0
    is_up: bool = True


class Limit(NamedTuple):
    """What of a holder's promises can be kept: rates each way (None: nothing was promised), and why not more."""

    sending: int | None
    receiving: int | None
    reason: int


class Admission(Generic[Holder]):
    """The promises of a host's interfaces; a link carries as much each way, so each way has a budget."""

    def __init__(self, look: Callable[[int], Ability]) -> None:
        """``look`` finds out what an interface can do, by its index."""
        self._look = look
        self._budgets: dict[int, tuple[Budget, Budget]] = {}
        self._places: dict[Holder, int] = {}

    @property
    def interfaces(self) -> frozenset[int]:
        """Where something is promised."""
        return frozenset(self._places.values())

    def reserve(self, holder: Holder, interface: int, sending: FLOWSPEC, receiving: FLOWSPEC) -> None:
        """Promise flows to the holder in place of all he had; or CallerError (WSAEOPNOTSUPP), and nothing changes."""
        if interface not in self.interfaces:
            self.refresh(interface)
        outward, inward = self._budgets[interface]
        outward.check(holder, sending)
        inward.check(holder, receiving)
        self.release(holder)
        outward.reserve(holder, sending)
        inward.reserve(holder, receiving)
        self._note_place(holder, interface)

    def restore(self, holder: Holder, interface: int, sending: FLOWSPEC, receiving: FLOWSPEC) -> None:
        """Promise again what the holder has had before, also if that is more than there is; look at it with refresh."""
        outward, inward = self._budgets.setdefault(interface, (Budget(), Budget()))
        outward.restore(holder, sending)
        inward.restore(holder, receiving)
        self._note_place(holder, interface)

    def _note_place(self, holder: Holder, interface: int) -> None:
        outward, inward = self._budgets[interface]
        if holder in outward.possible or holder in inward.possible:
            self._places[holder] = interface

    def release(self, holder: Holder) -> None:
        """Take back what was promised to the holder, if anything was (QS-38)."""
        interface = self._places.pop(holder, None)
        if interface is not None:
            for budget in self._budgets[interface]:
                budget.release(holder)

    def refresh(self, interface: int) -> dict[Holder, Limit]:
        """Look at an interface again; return what each holder can have of it now (QS-39)."""
        ability = self._look(interface)
        outward, inward = self._budgets.setdefault(interface, (Budget(), Budget()))
        outward.capacity = ability.sending if ability.is_up else 0
        inward.capacity = ability.receiving if ability.is_up else 0
        outward.delay_us = inward.delay_us = ability.delay_us
        reason = constants.WSA_QOS_ADMISSION_FAILURE if ability.is_up else constants.WSA_QOS_TRAFFIC_CTRL_ERROR
        here = [holder for holder, place in self._places.items() if place == interface]
        return {holder: Limit(outward.possible.get(holder), inward.possible.get(holder), reason) for holder in here}
