"""Flows in a test's words, and the two ioctls of quality of service as C programs call them."""

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.flow import FLOWSPEC, QOS
from multipoint.flow_rules import objects
from multipoint.layouts import WSADATA
from multipoint.sockets import MultipointSocket
from multipoint.values import Ref, Settings

NOTHING = FLOWSPEC()
ROOM = 4096


def a_flow(rate: int, service: int = c.SERVICETYPE_CONTROLLEDLOAD, **others: int) -> FLOWSPEC:
    """Return a flow of a rate in bytes a second, with a bucket of one message unless said otherwise."""
    return FLOWSPEC(TokenRate=rate, ServiceType=service, **{"TokenBucketSize": 1500, **others})


def sending(rate: int, service: int = c.SERVICETYPE_CONTROLLEDLOAD, **others: int) -> QOS:
    """Return flows of which only the sending one is specified."""
    return QOS.of(a_flow(rate, service, **others), NOTHING)


def start(**settings: object) -> None:
    """Start the stack of the process."""
    chosen = Settings(join_timeout_s=3, **settings)  # type: ignore[arg-type]  # names and values as the test says
    assert ws.WSAStartup(0x0202, WSADATA(), settings=chosen) == 0


def set_qos(s: int, qos: QOS | bytes) -> int:
    """SIO_SET_QOS; return 0 or the code."""
    data = qos.pack() if isinstance(qos, QOS) else qos
    result = ws.WSAIoctl(s, c.SIO_SET_QOS, data, len(data), None, 0, Ref(0), None, None)
    return ws.WSAGetLastError() if result else 0


def get_qos(s: int) -> QOS:
    """SIO_GET_QOS, which has to work."""
    room, length = bytearray(ROOM), Ref(0)
    assert ws.WSAIoctl(s, c.SIO_GET_QOS, None, 0, room, ROOM, length, None, None) == 0, ws.WSAGetLastError()
    return QOS.unpack(room[: length.value])


def rate(s: int) -> int:
    """Return the TokenRate of the sending flow in force."""
    return get_qos(s).SendingFlowspec.TokenRate


def rates(sock: MultipointSocket) -> tuple[int, int]:
    """Return the rates of the flows in force; -1 for one that is not specified."""
    flows = sock.get_qos().SendingFlowspec, sock.get_qos().ReceivingFlowspec
    sent, received = (-1 if flow == NOTHING else flow.TokenRate for flow in flows)
    return sent, received


def status(qos: QOS) -> int | None:
    """Return the reason that an RSVP_STATUS_INFO object gives."""
    for found in objects(qos.objects):
        if found.type == c.RSVP_OBJECT_STATUS_INFO:
            return int.from_bytes(found.body[:4], "little")
    return None
