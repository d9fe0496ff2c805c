"""The flows of one socket: what was granted, what of it can be kept now, how sending is shaped (B.6).

The rules are in ``flow_rules``, the arithmetic in ``admission`` and ``bucket``. May not know: sockets, clocks.
"""

from dataclasses import replace
from struct import Struct

from multipoint import constants
from multipoint.bucket import Fate, Shape, Shaper
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import PROMISES, check, is_signalled, pack_object, service
from multipoint.kinds import JoinRole

_STATUS = Struct("<3I")
# QS-14. Flows that are kept here are never changed in place, so all sockets without any share these.
_NOTHING = QOS()


class Quality:
    """A socket's quality of service; nothing is specified at first (QS-14)."""

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._granted = self._now = _NOTHING
        # QS-39: why less than what was granted is possible
        self._reason = 0
        self.shaper: Shaper | None = None

    @property
    def is_specified(self) -> bool:
        """Tell whether any flow was granted."""
        return self._granted is not _NOTHING

    @property
    def granted(self) -> QOS:
        """A copy of the flows that were granted, to be changed."""
        return self._granted.copy()

    @property
    def kept(self) -> QOS:
        """The flows that were granted themselves, to be put into force again; not to be changed."""
        return self._granted

    @property
    def in_force(self) -> QOS:
        """A copy of the flows as they are possible now, with the reason if that is less than granted (QS-39)."""
        qos = self._now.copy()
        if not self._reason:
            return qos
        status = pack_object(constants.RSVP_OBJECT_STATUS_INFO, _STATUS.pack(self._reason, 0, 0))
        return QOS.of(qos.SendingFlowspec, qos.ReceivingFlowspec, status + qos.objects)

    @property
    def signalled(self) -> QOS | None:
        """The flows that are negotiated with a peer; None if there are none (QS-23)."""
        if not self.is_specified:
            return None
        sending, receiving = (
            flow.copy() if is_signalled(flow) else FLOWSPEC()
            for flow in (self._granted.SendingFlowspec, self._granted.ReceivingFlowspec)
        )
        if sending == receiving == FLOWSPEC():
            return None
        return QOS.of(sending, receiving, self._granted.objects)

    @property
    def is_guaranteed(self) -> bool:
        """Tell whether a flow that was granted is guaranteed, and so has a limit to its latency."""
        granted = self._granted
        return self.is_specified and constants.SERVICETYPE_GUARANTEED in (
            service(granted.SendingFlowspec.ServiceType).type,
            service(granted.ReceivingFlowspec.ServiceType).type,
        )

    @property
    def is_shaped(self) -> bool:
        """Tell whether each message has to be offered first."""
        return self.shaper is not None

    @property
    def sending_service(self) -> int:
        """The service type of what is sent, without its flags."""
        return service(self._now.SendingFlowspec.ServiceType).type

    def merged(self, qos: QOS, role: JoinRole) -> QOS:
        """Return what would be granted if the program had its way; raises CallerError if that is not valid.

        A direction that the role lacks, and one that says SERVICETYPE_NOCHANGE, stays as it is (QS-05, QS-21).
        """
        merged = self.granted
        if role.sends and not _is_unchanged(qos.SendingFlowspec):
            merged.SendingFlowspec = replace(qos.SendingFlowspec)
        if role.receives and not _is_unchanged(qos.ReceivingFlowspec):
            merged.ReceivingFlowspec = replace(qos.ReceivingFlowspec)
        merged = QOS.of(merged.SendingFlowspec, merged.ReceivingFlowspec, qos.objects)
        check(merged)
        return merged

    def agreed(self, qos: QOS) -> QOS:
        """Return the flows with what a peer has granted; what was not negotiated stays."""
        merged = self.granted
        if is_signalled(merged.SendingFlowspec) and not _is_unchanged(qos.SendingFlowspec):
            merged.SendingFlowspec = qos.SendingFlowspec
        if is_signalled(merged.ReceivingFlowspec) and not _is_unchanged(qos.ReceivingFlowspec):
            merged.ReceivingFlowspec = qos.ReceivingFlowspec
        return merged.copy()

    def put(self, qos: QOS, now: float) -> None:
        """Put flows into force, which are valid."""
        self._granted = _NOTHING if qos == _NOTHING else qos.copy()
        self._reason = 0
        self._make_possible(self._granted, now)

    def limit(self, sending: int | None, receiving: int | None, reason: int, now: float) -> bool:
        """Note the rates that are possible now of what was promised, None: all of it. Tells of a change."""
        possible = self.granted
        possible.SendingFlowspec = _lessened(possible.SendingFlowspec, sending)
        possible.ReceivingFlowspec = _lessened(possible.ReceivingFlowspec, receiving)
        return self._note(possible, reason if possible != self._granted else 0, now)

    def explain(self, reason: int, now: float) -> bool:
        """Note why a change that was asked for did not come to be (QS-39)."""
        return self._note(self._now, reason, now)

    def offer(self, size: int, now: float) -> tuple[Fate, float]:
        """Return what becomes of a message, and when to offer it again if it is held back."""
        return self.shaper.offer(size, now) if self.shaper else (Fate.SEND, now)

    def _note(self, possible: QOS, reason: int, now: float) -> bool:
        if (possible, reason) == (self._now, self._reason):
            return False
        self._reason = reason
        self._make_possible(possible, now)
        return True

    def _make_possible(self, qos: QOS, now: float) -> None:
        self._now = qos
        shape = Shape.of(qos, self._max_message)
        if shape is None:
            self.shaper = None
        elif self.shaper is None or self.shaper.shape != shape:
            # The same shape keeps its bucket: setting it again must not fill it.
            self.shaper = Shaper(shape, now)


def _is_unchanged(flow: FLOWSPEC) -> bool:
    return service(flow.ServiceType).type == constants.SERVICETYPE_NOCHANGE


def _lessened(flow: FLOWSPEC, rate: int | None) -> FLOWSPEC:
    if rate is None or service(flow.ServiceType).type not in PROMISES or rate >= flow.TokenRate:
        return flow
    if rate == 0:
        # Nothing can be promised any more; what is sent goes as it can.
        return replace(flow, ServiceType=constants.SERVICETYPE_BESTEFFORT)
    return replace(flow, TokenRate=rate)
