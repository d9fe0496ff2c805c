"""What a frame is, by a look at its headers: cheap enough to be done for each frame as it arrives.

A frame's name is made at arrival; all else (addresses, ports, payload) when somebody asks. Frames come from the wire
and may be anything: what can't be read is named by what can.

May not know: nodes, the Trace, scapy.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

from joinlab.membership import Membership, read_igmp, read_mld
from joinlab.ring import Frame
from multipoint.datagram import HEADER_SIZE, VERSION_BYTE
from multipoint.wire import Message

ETHERNET = 14
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
IGMP, TCP, UDP, ICMPV6, HOP_BY_HOP, FRAGMENT = 2, 6, 17, 58, 0, 44
PROTOCOLS = {1: "ICMP", IGMP: "IGMP", TCP: "TCP", UDP: "UDP", ICMPV6: "ICMPv6", 103: "PIM"}
UDP_HEADER = 8
SESSION_HEADER, SESSION_VERSION = HEADER_SIZE, bytes([VERSION_BYTE])
KNOWN_AT_ONCE = ("number", "port", "from_node", "length", "frame")
FIN, SYN, RST = 0x01, 0x02, 0x04
TCP_NAMES = ((RST, "TCP RST"), (SYN, "TCP SYN"), (FIN, "TCP FIN"))


class Datagram(NamedTuple):
    """The IP layer of a frame."""

    protocol: int
    source: str
    destination: str
    is_fragment: bool  # not the first one: no header of the protocol in it
    is_begun: bool  # the first one, and more follow
    start: int  # where what follows the IP headers begins in the frame
    body: bytes  # and what it is, without the padding of a short frame


def read_ip(frame: bytes) -> Datagram | None:
    """Return the IP layer, None if there is none or it is cut short."""
    kind = frame[12:ETHERNET]
    if kind == IPV4 and len(frame) >= ETHERNET + 20:
        return _read_ipv4(frame)
    if kind == IPV6 and len(frame) >= ETHERNET + 40:
        return _read_ipv6(frame)
    return None


def _read_ipv4(frame: bytes) -> Datagram:
    body = ETHERNET + (frame[14] & 0x0F) * 4
    # 0: a segment larger than the field can say.
    end = ETHERNET + (int.from_bytes(frame[16:18]) or len(frame))
    offset = int.from_bytes(frame[20:22])
    is_fragment, is_begun = bool(offset & 0x1FFF), offset & 0x3FFF == 0x2000
    source, destination = str(IPv4Address(frame[26:30])), str(IPv4Address(frame[30:34]))
    return Datagram(frame[23], source, destination, is_fragment, is_begun, body, frame[body:end])


def _read_ipv6(frame: bytes) -> Datagram:
    protocol, body, is_fragment, is_begun = frame[20], ETHERNET + 40, False, False
    end = body + (int.from_bytes(frame[18:20]) or len(frame))
    while protocol in (HOP_BY_HOP, FRAGMENT) and body + 8 <= len(frame):
        if protocol == FRAGMENT:
            offset = int.from_bytes(frame[body + 2 : body + 4])
            is_fragment, is_begun = bool(offset & 0xFFF8), offset & 0xFFF9 == 1
            protocol, body = frame[body], body + 8
        else:
            protocol, body = frame[body], body + 8 + frame[body + 1] * 8
    source, destination = str(IPv6Address(frame[22:38])), str(IPv6Address(frame[38:54]))
    return Datagram(protocol, source, destination, is_fragment, is_begun, body, frame[body:end])


def read_membership(frame: bytes) -> Membership | None:
    """Return the IGMP or MLD message in a frame, None if it holds none."""
    datagram = read_ip(frame)
    if datagram is None or datagram.is_fragment:
        return None
    if datagram.protocol == IGMP:
        return read_igmp(datagram.body)
    return read_mld(datagram.body) if datagram.protocol == ICMPV6 else None


def name_of(frame: bytes) -> str:
    """Return what the frame is, in the field's words: "UDP", "TCP SYN", "IGMPv3 report TO_EX 239.1.2.3"."""
    # Nearly all frames of a busy lab are these, and cost no more than this line.
    if frame[12:14] == IPV4 and frame[23:24] == b"\x11" and not frame[21] and not frame[20] & 0x1F:
        return "UDP"
    datagram = read_ip(frame)
    if datagram is None:
        return "not IP"
    protocol = PROTOCOLS.get(datagram.protocol, f"IP protocol {datagram.protocol}")
    if datagram.is_fragment:
        return f"{protocol} fragment"
    if datagram.protocol == TCP:
        return _name_of_tcp(datagram.body)
    return str(read_membership(frame) or protocol)


def _name_of_tcp(segment: bytes) -> str:
    if len(segment) < 20:
        return "TCP"
    return next((name for flag, name in TCP_NAMES if segment[13] & flag), "TCP")


def tcp_payload(segment: bytes) -> bytes:
    """Return what a TCP segment carries."""
    return segment[(segment[12] >> 4) * 4 :] if len(segment) >= 20 else b""


class FrameFacts(Mapping[str, Any]):
    """The facts of a packet record; what isn't known at arrival is worked out when it is asked for.

    ``frame`` is the raw frame, ``from_node`` its direction, ``number`` its place among all frames. IP packets
    have ``source`` and ``destination``; UDP and TCP ones ``source_port``, ``destination_port`` and ``payload``.
    ``data`` is the payload of a UDP datagram without the header of a rooted session. ``messages`` are the control
    messages of our protocol that this frame completes.
    """

    __slots__ = ("_captured", "_known", "messages", "number", "port")

    def __init__(self, number: int, port: str, captured: Frame, messages: Sequence[Message] = ()) -> None:
        self.number = number
        self.port = port
        self.messages = messages
        self._captured = captured
        self._known: dict[str, Any] | None = None

    @property
    def frame(self) -> bytes:
        """The raw frame."""
        return self._captured.data

    @property
    def from_node(self) -> bool:
        """Whether it came from the node; else the bridge sent it to the node."""
        return not self._captured.outgoing

    @property
    def length(self) -> int:
        """Its length on the wire; the frame may have been cut."""
        return self._captured.length

    @property
    def membership(self) -> Membership | None:
        """The IGMP or MLD message, if it is one."""
        return read_membership(self.frame)

    def renumbered(self, number: int) -> "FrameFacts":
        """Return the same with another number."""
        return FrameFacts(number, self.port, self._captured, self.messages)

    def _facts(self) -> dict[str, Any]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in KNOWN_AT_ONCE}
        if self.messages:
            own["messages"] = list(map(str, self.messages))
        datagram = read_ip(self.frame)
        if datagram is None:
            return own
        return own | {"source": datagram.source, "destination": datagram.destination} | _transport(datagram)

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key) if key in KNOWN_AT_ONCE else self._facts()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts())

    def __len__(self) -> int:
        return len(self._facts())


def _transport(datagram: Datagram) -> dict[str, Any]:
    body = datagram.body
    if datagram.protocol not in (UDP, TCP) or datagram.is_fragment or len(body) < UDP_HEADER:
        return {}
    ports = {"source_port": int.from_bytes(body[0:2]), "destination_port": int.from_bytes(body[2:4])}
    if datagram.protocol == TCP:
        return ports | {"payload": tcp_payload(body)}
    return ports | {"payload": body[UDP_HEADER:], "data": _without_header(body[UDP_HEADER:])}


def _without_header(payload: bytes) -> bytes:
    """Return what the user sent."""
    is_ours = payload[:1] == SESSION_VERSION and len(payload) >= SESSION_HEADER
    return payload[SESSION_HEADER:] if is_ours else payload


def carries(frame: bytes, data: bytes) -> bool:
    """Tell whether a frame is a UDP datagram with this data, with or without the header of a rooted session.

    Of a datagram in fragments the first one decides, as far as it goes.
    """
    datagram = read_ip(frame)
    if datagram is None or datagram.protocol != UDP or datagram.is_fragment:
        return False
    payload = datagram.body[UDP_HEADER:]
    parts = (payload, _without_header(payload))
    return any(data[: len(part)] == part if datagram.is_begun else data == part for part in parts)
