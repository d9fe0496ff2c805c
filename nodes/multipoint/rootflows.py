"""The flows of a session at its root: what it offers, what it takes of an answer, what it grants (QS-20, QS-35, QS-36).

May not know: how leaves come in, and the data plane.
"""

from typing import TYPE_CHECKING

from multipoint import constants
from multipoint.admission import is_promise
from multipoint.catalogue import Entry
from multipoint.connection import Connection
from multipoint.errors import MultipointError, error
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import check_reduced
from multipoint.flowing import FlowSocket
from multipoint.kinds import Kind
from multipoint.link import Link
from multipoint.sessionflows import SessionSocket

if TYPE_CHECKING:
    from multipoint.stack import Stack


class RootFlowSocket(SessionSocket):
    """A c_root with the flows of its session."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind) -> None:
        super().__init__(stack, entry, kind)
        # QS-35: they are those of the first join.
        self.has_flows = False

    def offer(self) -> QOS | None:
        """Return the session's flows if they promise something."""
        flows = self.quality.signalled
        return flows if flows and is_promise(flows.SendingFlowspec) else None

    def take_answer(self, link: Link, granted: QOS | None) -> None:
        """The first leaf may reduce the session's flows (QS-20); later ones carry them or don't come in (QS-36)."""
        asked = link.request.qos if link.request else None
        if asked is None or granted is None:
            return
        if self.has_flows and granted.SendingFlowspec != asked.SendingFlowspec:
            raise error(constants.WSAEOPNOTSUPP, "the leaf can't carry the session's flow")
        try:
            check_reduced(asked, granted)
        except MultipointError as reason:
            raise error(constants.WSAECONNREFUSED, str(reason)) from reason
        if not self.has_flows:
            self.put_flows(self.quality.agreed(granted))

    def grant(self, leg: FlowSocket, connection: Connection, decided: QOS | None) -> QOS | None:
        """Return a leaf's flows as it sees them: its receiving flow is the root's sending flow (QS-43)."""
        asked = connection.link.request.qos if connection.link.request else None
        mine = self.quality.signalled
        if asked is None and mine is None:
            return None
        granted = (decided if asked else None) or asked or QOS()
        assert connection.link.request
        if connection.link.request.role.receives and mine and mine.SendingFlowspec != FLOWSPEC():
            granted = QOS.of(granted.SendingFlowspec, mine.SendingFlowspec, granted.objects)
        leg.put_flows(QOS.of(FLOWSPEC(), granted.SendingFlowspec), connection.link.peer.host)
        for end in (self, leg):
            end.check_way(connection.one_way_us)
        return granted
