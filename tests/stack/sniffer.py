"""What passes on a link: frames taken off eth0 of the namespace in which the sniffer is made."""

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import NamedTuple

from tests.stack.people import PATIENCE_S

ETH_P_ALL, ETHERNET = 3, 14
IGMP, TCP, UDP, ICMPV6 = 2, 6, 17, 58
HOP_BY_HOP = 0
REPORT_V3, REPORT_MLD2 = 0x22, 143
# D.1: the records with which a host says that it doesn't want a group any more, or a source of it.
TO_INCLUDE, BLOCK = 3, 6


class Frame(NamedTuple):
    """What the tests want to know of a packet on the link."""

    protocol: int
    scope: int
    to: str
    port: int
    data: bytes


class Sniffer:
    """Sees what passes on this namespace's end of the link."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._sock.bind(("eth0", ETH_P_ALL))
        self._sock.settimeout(PATIENCE_S)

    def until(self, words: bytes) -> list[Frame]:
        """Return the frames up to the first that carries these words to a group, with it."""
        return self.until_frame(lambda frame: frame.data.endswith(words) and ip_address(frame.to).is_multicast)

    def until_protocol(self, protocol: int) -> list[Frame]:
        """Return the frames up to the first of a protocol."""
        return self.until_frame(lambda frame: frame.protocol == protocol)

    def until_frame(self, is_last: Callable[[Frame], bool]) -> list[Frame]:
        """Return the frames up to the first of which this is true, with it."""
        frames: list[Frame] = []
        while not frames or not is_last(frames[-1]):
            frame = parsed(self._sock.recv(65536))
            if frame:
                frames.append(frame)
        return frames


def parsed(data: bytes) -> Frame | None:
    """Return the frame if it is IP."""
    kind, packet = data[12:14], data[ETHERNET:]
    if kind == b"\x08\x00":
        head, to = (packet[0] & 15) * 4, socket.inet_ntop(socket.AF_INET, packet[16:20])
        return Frame(packet[9], packet[8], to, int.from_bytes(packet[head + 2 : head + 4]), packet[head:])
    if kind == b"\x86\xdd":
        to = socket.inet_ntop(socket.AF_INET6, packet[24:40])
        protocol, body = packet[6], packet[40:]
        if protocol == HOP_BY_HOP:
            protocol, body = body[0], body[(body[1] + 1) * 8 :]
        return Frame(protocol, packet[7], to, int.from_bytes(body[2:4]), body)
    return None


def is_leave(frame: Frame, group: str) -> bool:
    """Tell whether it is an IGMPv3 or MLDv2 report that ends the membership in a group, or its one source (D.1)."""
    packed = ip_address(group).packed
    if (frame.protocol, frame.data[0]) not in ((IGMP, REPORT_V3), (ICMPV6, REPORT_MLD2)):
        return False
    place = 8
    for _ in range(int.from_bytes(frame.data[6:8])):
        kind, sources = frame.data[place], int.from_bytes(frame.data[place + 2 : place + 4])
        if frame.data[place + 4 :].startswith(packed) and kind in (TO_INCLUDE, BLOCK):
            return True
        place += 4 + len(packed) * (1 + sources)
    return False
