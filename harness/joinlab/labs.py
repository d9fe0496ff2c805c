"""The labs of one pytest worker: each is started when first asked for and kept, because tests come and go faster.

May not know: pytest.
"""

from collections.abc import Callable

from joinlab.lab import Lab
from joinlab.plan import LabPlan

# A worker rarely needs more than IGMPv2 and IGMPv3 of its topology.
MOST_LABS = 2


class Labs:
    """Running labs by IGMP version; None is what the topology says."""

    def __init__(self, plan_for: Callable[[int | None], LabPlan], start: Callable[[LabPlan], Lab]) -> None:
        self._plan_for = plan_for
        self._start = start
        self._running: dict[int | None, Lab] = {}

    def get(self, igmp: int | None) -> Lab:
        """Return a lab that is whole, starting one if there is none."""
        lab = self._running.pop(igmp, None)
        if lab is not None and not lab.is_whole:
            lab.close()
            lab = None
        if lab is None:
            self._make_room()
            lab = self._start(self._plan_for(igmp))
        self._running[igmp] = lab
        return lab

    def discard(self, lab: Lab) -> None:
        """Take down a lab that can't be trusted any more."""
        for igmp, running in tuple(self._running.items()):
            if running is lab:
                del self._running[igmp]
        lab.close()

    def close(self) -> None:
        """Take down all."""
        while self._running:
            self._running.popitem()[1].close()

    def _make_room(self) -> None:
        while len(self._running) >= MOST_LABS:
            # The one that was used longest ago comes first.
            self._running.pop(next(iter(self._running))).close()
