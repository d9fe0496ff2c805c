"""Flows under well-known names, for WSAGetQOSByName (QS-42, D-78). Others come from ``Settings.flow_templates``.

What a codec sends, both ways: its frames with their RTP header. May not know: sockets.
"""

from collections.abc import Mapping

from multipoint.constants import SERVICETYPE_CONTROLLEDLOAD, SERVICETYPE_GUARANTEED
from multipoint.flow import FLOWSPEC, QOS

RTP_HEADER = 12


def _sound(frame: int, each_ms: int) -> QOS:
    """Return the flows of a codec with so many bytes in a frame, and a frame each so many milliseconds."""
    size = frame + RTP_HEADER
    flow = FLOWSPEC(
        TokenRate=size * 1000 // each_ms,
        # Two frames may go together, if the program was late.
        TokenBucketSize=2 * size,
        PeakBandwidth=2 * size * 1000 // each_ms,
        ServiceType=SERVICETYPE_GUARANTEED,
        MaxSduSize=size,
        MinimumPolicedSize=size,
    )
    return QOS.of(flow, flow)


def _picture(bits_per_second: int) -> QOS:
    flow = FLOWSPEC(
        TokenRate=bits_per_second // 8,
        TokenBucketSize=bits_per_second // 8,
        ServiceType=SERVICETYPE_CONTROLLEDLOAD,
        MaxSduSize=1400,
    )
    return QOS.of(flow, flow)


TEMPLATES: Mapping[str, QOS] = {
    "G711": _sound(160, 20),
    "G723.1": _sound(24, 30),
    "G729": _sound(20, 20),
    "GSM6.10": _sound(33, 20),
    "H261CIF": _picture(384_000),
    "H261QCIF": _picture(128_000),
    "H263CIF": _picture(256_000),
    "H263QCIF": _picture(64_000),
}
