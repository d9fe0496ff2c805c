"""What a flow specification may say: service types, validity, objects, negotiation (QS-16 to QS-33, QS-20).

Pure functions over FLOWSPEC and QOS. They raise CallerError with a WSA_QOS_* code, as WSAIoctl reports it; a join
reports each of them as WSAEOPNOTSUPP (``at_join``). May not know: sockets, time, capacity.
"""

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from multipoint import constants
from multipoint.constants import (
    QOS_NOT_SPECIFIED,
    SERVICETYPE_BESTEFFORT,
    SERVICETYPE_CONTROLLEDLOAD,
    SERVICETYPE_GENERAL_INFORMATION,
    SERVICETYPE_GUARANTEED,
    SERVICETYPE_NETWORK_CONTROL,
    SERVICETYPE_NETWORK_UNAVAILABLE,
    SERVICETYPE_NOCHANGE,
    SERVICETYPE_NONCONFORMING,
    SERVICETYPE_NOTRAFFIC,
    SERVICETYPE_QUALITATIVE,
    WSA_QOS_EFLOWSPEC,
    WSA_QOS_ESERVICETYPE,
)
from multipoint.errors import MultipointError, error
from multipoint.flow import FLOWSPEC, QOS

# QS-24: who goes first where packets compete on one host, and what is less than what in a negotiation (QS-20).
RANKS = (
    SERVICETYPE_NETWORK_CONTROL,
    SERVICETYPE_GUARANTEED,
    SERVICETYPE_CONTROLLEDLOAD,
    SERVICETYPE_BESTEFFORT,
    SERVICETYPE_QUALITATIVE,
    SERVICETYPE_NONCONFORMING,
    SERVICETYPE_NOTRAFFIC,
)
# The service types that promise something of the network, and so are admitted or refused (QS-34).
PROMISES = frozenset({SERVICETYPE_GUARANTEED, SERVICETYPE_CONTROLLEDLOAD})
_SHORT_TYPES = {
    constants.SERVICE_BESTEFFORT: SERVICETYPE_BESTEFFORT,
    constants.SERVICE_CONTROLLEDLOAD: SERVICETYPE_CONTROLLEDLOAD,
    constants.SERVICE_GUARANTEED: SERVICETYPE_GUARANTEED,
    constants.SERVICE_QUALITATIVE: SERVICETYPE_QUALITATIVE,
}
# SERVICE_BESTEFFORT and its like share their highest bit with SERVICE_NO_TRAFFIC_CONTROL.
_SHORT_BIT = 0x80000000
_NO_CONTROL_BIT = constants.SERVICE_NO_TRAFFIC_CONTROL & ~_SHORT_BIT
_TYPES_TO_SET = frozenset(
    {
        SERVICETYPE_NOTRAFFIC,
        SERVICETYPE_BESTEFFORT,
        SERVICETYPE_CONTROLLEDLOAD,
        SERVICETYPE_GUARANTEED,
        SERVICETYPE_GENERAL_INFORMATION,
        SERVICETYPE_NOCHANGE,
        SERVICETYPE_NETWORK_CONTROL,
        SERVICETYPE_QUALITATIVE,
    }
)
# QS-17
_NO_RATE_NEEDED = frozenset({SERVICETYPE_NETWORK_CONTROL, SERVICETYPE_QUALITATIVE, SERVICETYPE_BESTEFFORT})
# The rest of such a flow is not looked at.
_EMPTY = frozenset({SERVICETYPE_NOCHANGE, SERVICETYPE_NOTRAFFIC})


class Service(NamedTuple):
    """A ServiceType taken apart (QS-22, QS-23)."""

    type: int
    has_traffic_control: bool = True
    has_signaling: bool = True


@lru_cache(64)
def service(number: int) -> Service:
    """Take a ServiceType apart; CallerError with WSA_QOS_ESERVICETYPE if it is none."""
    has_signaling = not number & constants.SERVICE_NO_QOS_SIGNALING
    has_control = number & constants.SERVICE_NO_TRAFFIC_CONTROL != constants.SERVICE_NO_TRAFFIC_CONTROL
    rest = number & ~constants.SERVICE_NO_QOS_SIGNALING
    if not has_control:
        rest &= ~_NO_CONTROL_BIT
    if rest in _SHORT_TYPES:
        return Service(_SHORT_TYPES[rest], has_control, has_signaling)
    if not has_control:
        rest &= ~_SHORT_BIT
    if rest not in _TYPES_TO_SET | {SERVICETYPE_NETWORK_UNAVAILABLE, SERVICETYPE_NONCONFORMING}:
        raise error(WSA_QOS_ESERVICETYPE, "no service type", number=hex(number))
    return Service(rest, has_control, has_signaling)


def check(qos: QOS, sends: bool = True, receives: bool = True) -> None:
    """Raise CallerError if the flows or the objects are not valid; a direction that is not used is not looked at."""
    # QS-05
    if sends:
        _check_sending(qos.SendingFlowspec)
    if receives:
        _check_receiving(qos.ReceivingFlowspec)
    _check_objects(qos)


def is_valid(qos: QOS | None) -> bool:
    """Say whether flows that come from a peer are valid; none are."""
    try:
        if qos is not None:
            check(qos)
    except MultipointError:
        return False
    return True


def is_signalled(flow: FLOWSPEC) -> bool:
    """Say whether a flow is negotiated with a peer (QS-23)."""
    return service(flow.ServiceType).has_signaling


def swapped(qos: QOS) -> QOS:
    """Return the flows as the other end sees them: what one sends, the other receives. Objects are about sending."""
    return QOS.of(qos.ReceivingFlowspec.copy(), qos.SendingFlowspec.copy())


def at_join(code: int) -> int:
    """Return the code of WSAJoinLeaf for a code of these rules: its list has no WSA_QOS_* (QS-33, D-52)."""
    return constants.WSAEOPNOTSUPP if code in range(constants.WSA_QOS_RECEIVERS, 11_032) else code


def _check_sending(flow: FLOWSPEC) -> None:
    kind = _settable(flow)
    if kind in _EMPTY:
        return
    if flow.TokenRate == QOS_NOT_SPECIFIED and kind not in _NO_RATE_NEEDED:
        raise error(WSA_QOS_EFLOWSPEC, "the sending flow needs a TokenRate")
    _check_values(flow)


def _check_receiving(flow: FLOWSPEC) -> None:
    kind = _settable(flow)
    if kind in _EMPTY:
        return
    if kind == SERVICETYPE_GENERAL_INFORMATION:
        # QS-21
        raise error(WSA_QOS_ESERVICETYPE, "general information is for sending flows")
    if kind == SERVICETYPE_GUARANTEED and flow.TokenRate == QOS_NOT_SPECIFIED:
        # QS-18
        raise error(WSA_QOS_EFLOWSPEC, "a guaranteed receiving flow needs a TokenRate")
    _check_values(flow)


def _settable(flow: FLOWSPEC) -> int:
    # QS-16, QS-22: given, known, and not one of those for reading only
    kind = service(flow.ServiceType).type
    if kind not in _TYPES_TO_SET:
        raise error(WSA_QOS_ESERVICETYPE, "this service type can only be read", number=kind)
    return kind


def _check_values(flow: FLOWSPEC) -> None:
    # QS-17, QS-19; a value that is not specified is the greatest number there is
    if flow.TokenRate == 0:
        raise error(WSA_QOS_EFLOWSPEC, "TokenRate 0")
    if flow.TokenRate != QOS_NOT_SPECIFIED and flow.PeakBandwidth < flow.TokenRate:
        raise error(WSA_QOS_EFLOWSPEC, "PeakBandwidth below TokenRate", peak=flow.PeakBandwidth, rate=flow.TokenRate)
    if flow.MinimumPolicedSize == 0:
        raise error(WSA_QOS_EFLOWSPEC, "MinimumPolicedSize 0")


class ProviderObject(NamedTuple):
    """A provider-specific object: its type and what follows its header."""

    type: int
    body: bytes


_HEADER = Struct("<2I")
_NUMBER = Struct("<I")
# Objects whose length is fixed (C.8), and those that are known otherwise.
_BODIES = {
    constants.QOS_OBJECT_END_OF_LIST: 0,
    constants.QOS_OBJECT_SD_MODE: 4,
    constants.QOS_OBJECT_SHAPING_RATE: 4,
    constants.RSVP_OBJECT_STATUS_INFO: 12,
}
_KNOWN = frozenset(_BODIES) | {
    constants.QOS_OBJECT_DESTADDR,
    constants.RSVP_OBJECT_RESERVE_INFO,
    constants.RSVP_OBJECT_ADSPEC,
    constants.RSVP_OBJECT_POLICY_INFO,
    constants.RSVP_OBJECT_FILTERSPEC_LIST,
}


def objects(data: bytes) -> Iterator[ProviderObject]:
    """Yield the objects of a row (QS-31); CallerError where it is broken (QS-32)."""
    while data:
        if len(data) < _HEADER.size:
            raise error(constants.WSA_QOS_EPROVSPECBUF, "the row ends inside an object", left=len(data))
        kind, length = _HEADER.unpack_from(data)
        if kind not in _KNOWN:
            raise error(constants.WSA_QOS_EUNKNOWNPSOBJ, "unknown object", type=kind)
        body = _BODIES.get(kind, length - _HEADER.size)
        if not _HEADER.size <= length <= len(data) or length != _HEADER.size + body:
            raise error(constants.WSA_QOS_EOBJLENGTH, "wrong length", type=kind, length=length)
        if kind == constants.QOS_OBJECT_END_OF_LIST:
            return
        yield ProviderObject(kind, data[_HEADER.size : length])
        data = data[length:]


def pack_object(kind: int, body: bytes) -> bytes:
    """Return the bytes of a provider-specific object."""
    return _HEADER.pack(kind, _HEADER.size + len(body)) + body


def number_of(qos: QOS, kind: int) -> int | None:
    """Return the number in the first object of this type (QOS_SD_MODE, QOS_SHAPING_RATE), None if there is none."""
    for found in objects(qos.objects):
        if found.type == kind:
            return int(_NUMBER.unpack_from(found.body)[0])
    return None


def _check_objects(qos: QOS) -> None:
    for _ in objects(qos.objects):
        # QS-32: whatever stands behind those that are used is looked at too.
        pass
    mode = number_of(qos, constants.QOS_OBJECT_SD_MODE)
    rate = number_of(qos, constants.QOS_OBJECT_SHAPING_RATE)
    modes = {None, constants.TC_NONCONF_BORROW, constants.TC_NONCONF_SHAPE, constants.TC_NONCONF_DISCARD}
    if mode not in modes:
        raise error(constants.WSA_QOS_ESDMODEOBJ, "unknown mode", mode=mode)
    if rate == 0:
        # QS-29
        raise error(constants.WSA_QOS_ESHAPERATEOBJ, "ShapingRate 0")
    if mode == constants.TC_NONCONF_SHAPE and rate is None and qos.SendingFlowspec.TokenRate == QOS_NOT_SPECIFIED:
        # QS-27
        raise error(constants.WSA_QOS_ESDMODEOBJ, "shaping needs a TokenRate")


_SIZES = ("TokenRate", "TokenBucketSize", "PeakBandwidth", "MaxSduSize")
_TIMES = ("Latency", "DelayVariation")


def check_reduced(asked: QOS, granted: QOS) -> None:
    """Raise CallerError (WSAEINVAL) if the acceptor's condition function has raised a flow (QS-20, D-77)."""
    if not is_valid(granted):
        raise error(constants.WSAEINVAL, "the flows granted are not valid")
    for direction in ("SendingFlowspec", "ReceivingFlowspec"):
        before, after = getattr(asked, direction), getattr(granted, direction)
        raised = [name for name in _SIZES if getattr(after, name) > getattr(before, name)]
        # Less time is more of a promise.
        raised += [name for name in _TIMES if getattr(after, name) < getattr(before, name)]
        if _rank(after) < _rank(before):
            raised.append("ServiceType")
        if raised:
            raise error(constants.WSAEINVAL, "flows may only be reduced", flow=direction, raised=" and ".join(raised))


def _rank(flow: FLOWSPEC) -> int:
    kind = service(flow.ServiceType).type
    return RANKS.index(kind) if kind in RANKS else len(RANKS)
