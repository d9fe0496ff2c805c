"""The labs of one pytest worker: each is started when first asked for and kept, because tests come and go faster.

A lab that was used is not at rest at once: its bridges need 0.2 s to forget what the apps had joined. So that nobody
waits for it as long as there is other work, a lab is left as it is after use, and settled before the next.

May not know: pytest.
"""

from collections.abc import Callable

from joinlab.errors import ExpectationFailed, JoinlabError
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
        self._last_user: dict[Lab, str] = {}

    @property
    def running(self) -> tuple[Lab, ...]:
        """Return the labs that run."""
        return tuple(self._running.values())

    def get(self, igmp: int | None) -> Lab:
        """Return a lab that is whole, starting one if there is none. It need not be at rest: see ``settle``."""
        lab = self._running.pop(igmp, None)
        if lab is not None and not lab.is_whole:
            self._discard(lab)
            lab = None
        if lab is None:
            self._make_room()
            lab = self._start(self._plan_for(igmp))
        self._running[igmp] = lab
        return lab

    def leave(self, lab: Lab, user: str) -> None:
        """End the apps of its user, who is named when the lab does not come to rest."""
        self._last_user[lab] = user
        self._keep_if_sound(lab, lab.end_apps)

    def settle(self, lab: Lab) -> None:
        """Wait until a lab is at rest. One that does not come to rest is not used again; the error says who left it."""
        self._keep_if_sound(lab, lab.settle)

    def close(self) -> None:
        """Take down all."""
        for lab in self.running:
            self._discard(lab)

    def _keep_if_sound(self, lab: Lab, step: Callable[[], None]) -> None:
        try:
            step()
        except (ExpectationFailed, JoinlabError, TimeoutError) as error:
            error.add_note(f"The lab was last used by {self._last_user.get(lab, 'nobody')}.")
            self._discard(lab)
            raise

    def _make_room(self) -> None:
        while len(self._running) >= MOST_LABS:
            # The one that was used longest ago comes first.
            oldest = self.running[0]
            self.settle(oldest)
            self._discard(oldest)

    def _discard(self, lab: Lab) -> None:
        self._running = {igmp: running for igmp, running in self._running.items() if running is not lab}
        self._last_user.pop(lab, None)
        lab.close()
