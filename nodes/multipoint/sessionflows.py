"""Sockets of a rooted session that negotiate their flows with the other end, at a join and later (QS-09, QS-20, QS-43).

May not know: which end of the session this is; ``rootsocket`` and ``leafsocket`` say.
"""

import time
from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING

from multipoint import constants
from multipoint.catalogue import Entry
from multipoint.connection import Connection
from multipoint.errors import error
from multipoint.flow import QOS
from multipoint.kinds import Kind
from multipoint.link import Link
from multipoint.link_events import FlowsAnswered
from multipoint.negotiation import Negotiation, Outcome
from multipoint.rooted import RootedSocket

if TYPE_CHECKING:
    from multipoint.stack import Stack


class SessionSocket(RootedSocket):
    """A c_root, or a rooted c_leaf, with the flows of its session."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind) -> None:
        super().__init__(stack, entry, kind)
        self._negotiation = Negotiation()

    @abstractmethod
    def peers(self) -> list[Connection]:
        """Return the connections to the other ends of live memberships."""

    def set_qos(self, qos: QOS) -> None:
        """Put flows into force; on a live session, negotiate them: a blocking socket waits for the answers (QS-09).

        On a nonblocking one FD_QOS tells of a refusal, which brings the earlier flows back.
        """
        with self.stack.lock:
            before, told = self.quality.granted, self.quality.signalled
            super().set_qos(qos)
            asked = self.quality.signalled
            if asked is None or asked == told:
                return
            now = time.monotonic()
            number = self._negotiation.propose(before, asked, self._links(), now)
            if self._negotiation.outcome is Outcome.OPEN:
                # A peer that is there and says nothing to it must not keep the program waiting.
                self.stack.reactor.call_at(now + self.stack.patience.join_s, partial(self._answers_late, number))
            self._pump()
            if self.is_blocking:
                self.wait_until(lambda: self._negotiation.outcome is not Outcome.OPEN or None)
                if self._negotiation.outcome is Outcome.REFUSED:
                    raise error(constants.WSAEOPNOTSUPP, "the other side can't carry the flows")

    def flows_answered(self, link: Link, answer: FlowsAnswered) -> None:
        """A peer says whether it agrees to our change."""
        self._decided_flows(self._negotiation.answered(link, answer.number, answer.code))

    def _answers_late(self, number: int) -> None:
        if not self.is_closed:
            self._decided_flows(self._negotiation.late(number))

    def _decided_flows(self, outcome: Outcome) -> None:
        if outcome is Outcome.REFUSED:
            self._take_back()
        self.wake()

    def peer_gone(self, link: Link) -> None:
        """Who is gone need not answer."""
        self._negotiation.gone(link)
        self.wake()

    def _take_back(self) -> None:
        now = time.monotonic()
        self.take_back_flows(self._negotiation.before)
        self._negotiation.take_back(self.quality.signalled or QOS(), self._links(), now)
        self._pump()
        if not self.is_blocking and self.quality.explain(constants.WSA_QOS_ADMISSION_FAILURE, now):
            self.tell_flows()

    def _links(self) -> list[Link]:
        return [connection.link for connection in self.peers() if connection.link.is_joined]

    def _pump(self) -> None:
        for connection in self.peers():
            connection.pump()
