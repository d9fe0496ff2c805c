"""The flows of one socket: what was asked, what is promised of an interface, how sending is shaped (B.6).

The rules are in ``flow_rules``, the arithmetic in ``admission`` and ``bucket``. May not know: sockets, sessions.
"""

import copy
from collections.abc import Callable

from multipoint.admission import Budget
from multipoint.bucket import Fate, Shape, Shaper
from multipoint.errors import MultipointError, error
from multipoint.flow import QOS
from multipoint.flow_rules import at_join, check
from multipoint.kinds import JoinRole


class Quality:
    """A socket's quality of service; nothing specified at first (QS-14)."""

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._qos = QOS()
        self._shaper: Shaper | None = None
        self._budget: Budget | None = None

    @property
    def qos(self) -> QOS:
        """A copy of the flows in force."""
        return copy.deepcopy(self._qos)

    @property
    def is_shaped(self) -> bool:
        """Tell whether each message has to be offered first."""
        return self._shaper is not None

    def set(self, qos: QOS, role: JoinRole, budget: Budget, now: float) -> None:
        """Put flows into force. Raises CallerError, and nothing changes, if they are not valid or can't be carried."""
        check(qos, role.sends, role.receives)
        flows = [qos.SendingFlowspec] * role.sends + [qos.ReceivingFlowspec] * role.receives
        budget.reserve(self, *flows)
        if self._budget is not budget and self._budget is not None:
            self._budget.release(self)
        self._budget = budget
        self._qos = copy.deepcopy(qos)
        shape = Shape.of(qos, self._max_message) if role.sends else None
        self._shaper = Shaper(shape, now) if shape else None

    def note(self, qos: QOS) -> None:
        """Take over flows that the other side has granted; they need no promise here."""
        self._qos = copy.deepcopy(qos)

    def offer(self, size: int, now: float) -> tuple[Fate, float]:
        """Return what becomes of a message, and when to offer it again if it is held back."""
        return self._shaper.offer(size, now) if self._shaper else (Fate.SEND, now)

    def release(self) -> None:
        """Give back what was promised (QS-38)."""
        if self._budget:
            self._budget.release(self)
            self._budget = None


def in_a_join(call: Callable[[], None]) -> None:
    """Call with the codes of WSAJoinLeaf, whose list has no WSA_QOS_* (QS-33)."""
    try:
        call()
    except MultipointError as reason:
        raise error(at_join(reason.code), str(reason)) from reason
