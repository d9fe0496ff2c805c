"""Socket groups: ids, and how many open sockets each has. Book-keeping only, as the newer pages reserve them (SK-07).

May not know: sockets.
"""

import itertools
from collections import Counter

from multipoint import constants
from multipoint.errors import error
from multipoint.flow import QOS

NEW_GROUP = (constants.SG_UNCONSTRAINED_GROUP, constants.SG_CONSTRAINED_GROUP)
# Far from 0, 1 and 2, which are orders, not ids.
FIRST_GROUP = 0x1000


class SocketGroups:
    """The groups that open sockets belong to; one lives until its last member closes (D-57)."""

    def __init__(self) -> None:
        self._numbers = itertools.count(FIRST_GROUP)
        self._members: Counter[int] = Counter()
        # DI-15: what its creator has said that a group's sockets send and receive together
        self._flows: dict[int, QOS] = {}

    def enter(self, group: int) -> int:
        """Return the id for what a program gives as g: none, a new group, or one more member of a known one."""
        if not group:
            return 0
        if group not in NEW_GROUP and not self._members[group]:
            raise error(constants.WSAEINVAL, "no such socket group", g=group)
        number = next(self._numbers) if group in NEW_GROUP else group
        self._members[number] += 1
        return number

    def leave(self, group: int) -> None:
        """A member has closed."""
        self._members[group] -= 1
        if self._members[group] <= 0:
            del self._members[group]
            self._flows.pop(group, None)

    def keep_flows(self, group: int, flows: QOS) -> None:
        """Remember the flows of a group, for its creator."""
        self._flows[group] = flows.copy()

    def flows(self, group: int) -> QOS | None:
        """Return the flows of a group, if its creator has said any."""
        found = self._flows.get(group)
        return found and found.copy()
