"""One side's changes of flows on the live connections of a session: proposed to all peers, in force if none refuses.

A change is in force here from the moment it is proposed (QS-09); the first refusal takes it back everywhere. May not
know: sockets, threads, clocks; what flows mean.
"""

from collections.abc import Iterable
from enum import Enum

from multipoint.flow import QOS
from multipoint.link import Link


class Outcome(Enum):
    """What an answer means for the change that is on its way."""

    OPEN = "others have not answered yet, or it was about an earlier change"
    AGREED = "all have agreed"
    REFUSED = "one has refused"


class Negotiation:
    """At most one change is on its way; a new one takes the place of an older one."""

    def __init__(self) -> None:
        self.before = QOS()
        self.outcome = Outcome.AGREED
        self._number = 0
        self._waiting: set[Link] = set()

    def propose(self, before: QOS, asked: QOS, peers: Iterable[Link], now: float) -> int:
        """Ask all peers; ``before`` is what was in force until now. Returns the number of the change."""
        if self.outcome is not Outcome.OPEN:
            self.before = before
        self._waiting = set(peers)
        self._tell(asked, self._waiting, now)
        self.outcome = Outcome.OPEN if self._waiting else Outcome.AGREED
        return self._number

    def take_back(self, flows: QOS, peers: Iterable[Link], now: float) -> None:
        """Tell all peers that the earlier flows hold; what they answer is of no interest."""
        self._waiting = set()
        self._tell(flows, peers, now)

    def answered(self, link: Link, number: int, code: int) -> Outcome:
        """A peer has answered; the outcome is told once."""
        if number != self._number or link not in self._waiting:
            return Outcome.OPEN
        return self._refuse() if code else self.gone(link)

    def late(self, number: int) -> Outcome:
        """The time for answers to this change is over; who has not answered has refused."""
        return self._refuse() if number == self._number and self._waiting else Outcome.OPEN

    def _refuse(self) -> Outcome:
        self._waiting.clear()
        self.outcome = Outcome.REFUSED
        return self.outcome

    def gone(self, link: Link) -> Outcome:
        """A peer has agreed, or is no peer any more."""
        if link not in self._waiting:
            return Outcome.OPEN
        self._waiting.discard(link)
        if not self._waiting:
            self.outcome = Outcome.AGREED
        return self.outcome

    def _tell(self, flows: QOS, peers: Iterable[Link], now: float) -> None:
        self._number += 1
        for link in peers:
            link.ask_flows(self._number, flows, now)
