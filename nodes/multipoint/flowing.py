"""Sockets with quality of service: flows set and read, promised of an interface, kept to in sending (B.6).

May not know: sessions, and how flows are negotiated with a peer (``sessionflows``).
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from multipoint import constants, kernel
from multipoint.admission import Limit, check_latency
from multipoint.bucket import Fate
from multipoint.catalogue import Entry
from multipoint.errors import MultipointError, WouldBlock, error, from_binding_at_join
from multipoint.events import NetworkEvent
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import at_join, is_valid
from multipoint.kinds import JoinRole, Kind
from multipoint.quality import Quality
from multipoint.reactor import Timer
from multipoint.sockets import MultipointSocket
from multipoint.values import Address, JoinRequest

if TYPE_CHECKING:
    from multipoint.stack import Stack

# QS-24 in Linux' words: TC_PRIO_CONTROL, which only the privileged may use, INTERACTIVE, INTERACTIVE_BULK, BESTEFFORT,
# BULK, FILLER. The kernel's default queue has three bands: the first two, the next two, the last two.
PRIORITIES = {
    constants.SERVICETYPE_NETWORK_CONTROL: 7,
    constants.SERVICETYPE_GUARANTEED: 6,
    constants.SERVICETYPE_CONTROLLEDLOAD: 4,
    constants.SERVICETYPE_QUALITATIVE: 2,
}
BEST_EFFORT, NONCONFORMING = 0, 1


class FlowSocket(MultipointSocket):
    """A socket whose provider has QoS."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind | None) -> None:
        super().__init__(stack, entry, kind)
        self.quality = Quality(self.max_message)
        self._before: QOS | None = None
        # Whom the last join was about, which says through which interface
        self._towards: str | None = None
        self._flushes = 0
        self._priority = BEST_EFFORT
        self._room_timer: Timer | None = None

    # Setting and reading

    def set_qos(self, qos: QOS) -> None:
        """Put flows into force (QS-09). Raises a WSA_QOS_* code, or WSAEOPNOTSUPP if they can't be carried."""
        with self.stack.lock:
            self._check_quality()
            self.put_flows(self.quality.merged(qos, self.flow_role))

    def get_qos(self) -> QOS:
        """Return the flows in force (QS-10). Raises WSAEINVAL before it is bound, as a sender before it has joined."""
        with self.stack.lock:
            self._check_quality()
            if not self.is_joined and (self.bound is None or not self.flow_role.receives):
                raise error(constants.WSAEINVAL, "is neither bound for receiving nor joined")
            return self.quality.in_force

    def override_flows(self, request: JoinRequest, towards: str) -> None:
        """Put a join's flows into force, for the time being (QS-02); without any, promise those there are (QS-03)."""
        before = self.quality.kept
        if request.qos and not self.stack.settings.quality:
            raise error(constants.WSAEOPNOTSUPP, "the provider has no QoS")
        self._towards = towards
        try:
            if request.qos:
                self.put_flows(self.quality.merged(request.qos, request.role))
            elif self.quality.is_specified:
                self.put_flows(before)
        except MultipointError as reason:
            # QS-33
            raise error(at_join(reason.code), str(reason)) from reason
        self._before = before
        if request.group_qos and self.is_group_creator and self.stack.dialect.keeps_group_flows:
            self.stack.socket_groups.keep_flows(self.group_id, request.group_qos)

    def overriding(self, request: JoinRequest, towards: str, bind: Callable[[], None]) -> None:
        """``override_flows``, then ``bind``, step 13 of JL-16; ended if that fails."""
        self.override_flows(request, towards)
        try:
            bind()
        except MultipointError as reason:
            self.end_override(reason.code)
            raise error(from_binding_at_join(reason.code), str(reason)) from reason

    def end_override(self, code: int) -> None:
        """A join has ended: after a failure the earlier flows are back (QS-04)."""
        before, self._before = self._before, None
        if code and before is not None:
            self.take_back_flows(before)

    def bind(self, address: Address) -> None:
        """Bind; what was promised so far is promised of the interface of that address from now on."""
        with self.stack.lock:
            super().bind(address)
            self._move_promise()

    def set_interface(self, index: int) -> None:
        """Choose the interface for multicast; what was promised is promised of that one from now on (QS-39)."""
        with self.stack.lock:
            super().set_interface(index)
            self._move_promise()

    def _move_promise(self) -> None:
        if self.quality.is_specified:
            self.take_back_flows(self.quality.granted)

    def _check_quality(self) -> None:
        self.check_open()
        if not self.stack.settings.quality:
            raise error(constants.WSAENOPROTOOPT, "the provider has no QoS")

    # What the kinds say

    @property
    def is_joined(self) -> bool:
        """Tell whether the socket takes part in a session."""
        return False

    @property
    def flow_role(self) -> JoinRole:
        """Which directions there are (QS-05)."""
        only = self.kind.roles if self.kind else ()
        return next(iter(only)) if len(only) == 1 else self.role

    def promised_flows(self, flows: QOS) -> tuple[FLOWSPEC, FLOWSPEC]:
        """Return what of flows is promised of the interface, sending and receiving."""
        return flows.SendingFlowspec, flows.ReceivingFlowspec

    # Promises

    def _promises(self, flows: QOS) -> tuple[FLOWSPEC, FLOWSPEC]:
        # QS-38: a session that has ended holds no capacity, whatever is set then.
        return (FLOWSPEC(), FLOWSPEC()) if self.has_ended else self.promised_flows(flows)

    def put_flows(self, flows: QOS, towards: str | None = None) -> None:
        """Promise valid flows of the interface and put them into force; raises WSAEOPNOTSUPP, and nothing changes."""
        self._towards = towards or self._towards
        sending, receiving = self._promises(flows)
        self.stack.admit(self, self._flow_interface, sending, receiving)
        self.quality.put(flows, time.monotonic())

    def take_back_flows(self, flows: QOS) -> None:
        """Go back to flows that were in force before, whatever was promised to others meanwhile (QS-39)."""
        sending, receiving = self._promises(flows)
        self.quality.put(flows, time.monotonic())
        self.stack.readmit(self, self._flow_interface, sending, receiving)

    def take_flows(self, flows: QOS) -> int:
        """Take flows that a peer wants on a live session; return 0 or the code with which we refuse (QS-09)."""
        if not is_valid(flows):
            return constants.WSAEOPNOTSUPP
        try:
            self.put_flows(flows)
        except MultipointError as reason:
            return reason.code
        self.tell_flows()
        return 0

    def check_way(self, one_way_us: Callable[[], int]) -> None:
        """Raise WSAEOPNOTSUPP if the way to the peer takes longer than a flow allows (QS-41)."""
        if self.quality.is_guaranteed:
            flows, taken_us = self.quality.kept, one_way_us()
            check_latency(flows.SendingFlowspec, taken_us)
            check_latency(flows.ReceivingFlowspec, taken_us)

    def limit_flows(self, limit: Limit) -> None:
        """The interface can do less than was promised, or again all of it (QS-39, EV-45)."""
        if self.quality.limit(limit.sending, limit.receiving, limit.reason, time.monotonic()):
            self.tell_flows()

    def tell_flows(self) -> None:
        """Record FD_QOS; who is held back looks again."""
        self.record(self.memory.change(NetworkEvent.QOS))
        self.wake()

    def release_flows(self) -> None:
        """Give back what was promised (QS-38)."""
        self.stack.admission.release(self)

    def _flow_interface(self) -> int:
        """DP-05: the interface whose capacity counts; 0 if there is none yet."""
        bound = self.bound.host if self.bound else ""
        return (
            self.options.interface
            or kernel.interface_of(self.family, bound)
            or kernel.interface_towards(self.family, self._towards)
        )

    # Sending

    def flush(self) -> None:
        """Drop messages that are held back; who sent them goes on as if they had been sent (IO-18)."""
        with self.stack.lock:
            self.check_open()
            self._flushes += 1
            self.wake()

    def conforms(self, size: int, deadline: float | None) -> bool:
        """Wait until a message may go; False if it is to be dropped (QS-27, QS-30)."""
        with self.stack.lock:
            self.check_open()
            flushes = self._flushes
            while True:
                fate, when = self.quality.offer(size, time.monotonic())
                if fate is not Fate.HOLD:
                    return self.let_go(fate, size)
                if not self.is_blocking:
                    self._tell_room_at(when)
                    raise WouldBlock(constants.WSAEWOULDBLOCK, "no tokens to send")
                if deadline is not None and when > deadline:
                    raise error(constants.WSAETIMEDOUT, "no tokens in time")
                if self.wait_until(lambda: self._flushes != flushes or self.has_ended or None, when - time.monotonic()):
                    return False

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing can be sent any more."""
        return False

    def let_go(self, fate: Fate, size: int) -> bool:
        """Mark what is sent next as its fate says; False if it is dropped. Raises WSAEMSGSIZE (QS-30)."""
        if fate is Fate.TOO_LONG:
            raise error(constants.WSAEMSGSIZE, "longer than the flow allows", length=size)
        own = PRIORITIES.get(self.quality.sending_service, BEST_EFFORT)
        self._take_priority(NONCONFORMING if fate is Fate.BORROW else own)
        return fate is not Fate.DROP

    def _take_priority(self, priority: int) -> None:
        sock = self.data_socket()
        if sock and priority != self._priority:
            kernel.set_priority(sock, priority)
            self._priority = priority

    def _tell_room_at(self, when: float) -> None:
        self.memory.enable(NetworkEvent.WRITE)
        if self._room_timer:
            self._room_timer.cancel()
        self._room_timer = self.stack.reactor.call_at(when, self._has_room)

    def _has_room(self) -> None:
        self._room_timer = None
        self.record(self.memory.tell(NetworkEvent.WRITE, True))
