"""The flows of a session at its leaf: what it takes of an offer or a grant, and how it answers changes (QS-20, QS-36).

May not know: how the leaf comes in, and its data plane.
"""

import time
from typing import TYPE_CHECKING

from multipoint import constants
from multipoint.catalogue import Entry
from multipoint.connection import Connection
from multipoint.errors import MultipointError, error
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import check, check_reduced, is_valid, swapped
from multipoint.kinds import Kind
from multipoint.leaf import Leaf, LeafState
from multipoint.link import Link
from multipoint.sessionflows import SessionSocket

if TYPE_CHECKING:
    from multipoint.stack import Stack


class LeafFlowSocket(SessionSocket):
    """A rooted c_leaf with the flows between it and its root."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind) -> None:
        super().__init__(stack, entry, kind)
        self._core = Leaf(kind, stack.patience)
        self._connection: Connection | None = None

    @property
    def is_joined(self) -> bool:
        """Tell whether it is a member."""
        return self._core.state is LeafState.MEMBER

    def peers(self) -> list[Connection]:
        """Return the connection to the root."""
        return [self._connection] if self._connection and self.is_joined else []

    def take_grant(self, granted: QOS | None) -> None:
        """Take what the root has granted; WSAEOPNOTSUPP if our interface can't carry the session's flow (QS-36)."""
        if granted is None:
            return
        asked = self.quality.signalled or QOS()
        if not is_valid(granted):
            raise error(constants.WSAECONNREFUSED, "the root has granted flows that are not valid")
        try:
            # What we receive is the root's to say (QS-43).
            check_reduced(asked, QOS.of(granted.SendingFlowspec, asked.ReceivingFlowspec, granted.objects))
        except MultipointError as reason:
            raise error(constants.WSAECONNREFUSED, str(reason)) from reason
        assert self._connection
        self.put_flows(self.quality.agreed(granted), self._connection.link.peer.host)

    def _consider(self, offer: QOS) -> int:
        """Promise to receive what the session sends, should we be let in; return 0 or why we can't (QS-36)."""
        flows = self.quality.granted
        flows.ReceivingFlowspec = offer.SendingFlowspec
        try:
            check(flows)
            self.put_flows(flows)
        except MultipointError:
            return constants.WSAEOPNOTSUPP
        return 0

    def flows_asked(self, link: Link, number: int, qos: QOS) -> None:
        """The root sends otherwise from now on, or wants us to; before we have joined: so it will send."""
        if not self.is_joined:
            link.answer_flows(number, self._consider(qos), qos, time.monotonic())
            return
        flows = self.quality.granted
        flows.ReceivingFlowspec = qos.SendingFlowspec
        if qos.ReceivingFlowspec != FLOWSPEC():
            flows.SendingFlowspec = qos.ReceivingFlowspec
        link.answer_flows(number, self.take_flows(flows), qos, time.monotonic())

    def take_offer(self, connection: Connection, decided: QOS | None) -> QOS | None:
        """Take what the root sends for what we receive (QS-43); return what is granted, or WSAEOPNOTSUPP (QS-36)."""
        request = connection.link.request
        assert request
        if request.qos is None:
            return None
        granted = decided or request.qos
        self.role = request.role.mirrored
        self.put_flows(swapped(granted), connection.link.peer.host)
        self.check_way(connection.one_way_us)
        return granted
