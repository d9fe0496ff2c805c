"""IGMP and MLD messages: which host tells the network what about which group.

RFC 1112 (IGMPv1), 2236 (v2), 3376 (v3), 2710 (MLDv1), 3810 (MLDv2). Pure: bytes in, a value out; bytes that are no
such message give None. scapy reads the same messages for whoever wants each field (``dissect.py``), but takes a
third of a second to import and 0.2 ms a packet, and these names stand on each line of the Trace.

May not know: ports, nodes, the Trace.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

# Record types of IGMPv3 and MLDv2 (RFC 3376, 4.2.12; RFC 3810, 5.2.12), spelled as Wireshark spells them in short.
CHANGES = {1: "IS_IN", 2: "IS_EX", 3: "TO_IN", 4: "TO_EX", 5: "ALLOW", 6: "BLOCK"}
# (protocol, version, verb) of the messages that carry one group, by type.
IGMP_SIMPLE = {0x12: (1, "report"), 0x16: (2, "report"), 0x17: (2, "leave")}
MLD_SIMPLE = {131: (1, "report"), 132: (1, "done")}
IGMP_QUERY, IGMP_V3_REPORT = 0x11, 0x22
MLD_QUERY, MLD_V2_REPORT = 130, 143
IGMP_V3_QUERY_SIZE = 12
MLD_V2_QUERY_SIZE = 28

REPORT_COUNT = struct.Struct("!6xH")  # both reports: type, reserved, checksum, reserved, number of records
RECORD = struct.Struct("!BBH")  # type, length of auxiliary data in words, number of sources


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """What a message says about one group. ``change`` is "" where the message has only one meaning (v1, v2)."""

    change: str
    group: str
    sources: tuple[str, ...] = ()

    @property
    def is_of_link(self) -> bool:
        """Tell whether the group's traffic never leaves the link."""
        return self.group.startswith(("224.0.0.", "ff02:"))

    def __str__(self) -> str:
        sources = f"{{{', '.join(self.sources)}}}" if self.sources else ""
        return " ".join(filter(None, [self.change, self.group, sources]))


@dataclass(frozen=True, slots=True)
class Membership:
    """One message."""

    protocol: str  # "IGMP" or "MLD"
    version: int
    verb: str  # "report", "leave", "done" or "query"
    records: tuple[GroupRecord, ...]

    def __str__(self) -> str:
        what = ", ".join(map(str, self.records)) or "general"
        return f"{self.protocol}v{self.version} {self.verb} {what}"

    def joins(self, group: str) -> bool:
        """Tell whether the host announces by this that it wants the group, from all or some sources, from now on."""
        return any(record.group == group and _announces(self, record) for record in self.records)

    def leaves(self, group: str) -> bool:
        """Tell whether the host gives the group (or sources of it) up."""
        return any(record.group == group and _gives_up(self, record) for record in self.records)

    def names(self, group: str) -> bool:
        """Tell whether a host says anything about the group; a query is not from a host."""
        return self.verb != "query" and any(record.group == group for record in self.records)


def _announces(message: Membership, record: GroupRecord) -> bool:
    if message.verb != "report":
        return False
    return record.change in ("", "TO_EX") or (record.change in ("ALLOW", "TO_IN") and bool(record.sources))


def _gives_up(message: Membership, record: GroupRecord) -> bool:
    if message.verb in ("leave", "done"):
        return True
    return record.change == "BLOCK" or (record.change == "TO_IN" and not record.sources)


def read_igmp(data: bytes) -> Membership | None:
    """Read an IGMP message: what follows the IPv4 header."""
    if len(data) < 8:
        return None
    kind = data[0]
    if kind == IGMP_V3_REPORT:
        return _report("IGMP", 3, data, 4)
    group = str(IPv4Address(data[4:8]))
    if kind == IGMP_QUERY:
        version = 3 if len(data) >= IGMP_V3_QUERY_SIZE else 2 if data[1] else 1
        return Membership("IGMP", version, "query", _queried(group, "0.0.0.0"))
    if kind not in IGMP_SIMPLE:
        return None
    version, verb = IGMP_SIMPLE[kind]
    return Membership("IGMP", version, verb, (GroupRecord("", group),))


def read_mld(data: bytes) -> Membership | None:
    """Read an MLD message: the ICMPv6 message, after IPv6 and hop-by-hop headers."""
    if len(data) < 8:
        return None
    kind = data[0]
    if kind == MLD_V2_REPORT:
        return _report("MLD", 2, data, 16)
    if len(data) < 24 or kind not in (MLD_QUERY, *MLD_SIMPLE):
        return None
    group = str(IPv6Address(data[8:24]))
    if kind == MLD_QUERY:
        version = 2 if len(data) >= MLD_V2_QUERY_SIZE else 1
        return Membership("MLD", version, "query", _queried(group, "::"))
    version, verb = MLD_SIMPLE[kind]
    return Membership("MLD", version, verb, (GroupRecord("", group),))


def _queried(group: str, none: str) -> tuple[GroupRecord, ...]:
    return () if group == none else (GroupRecord("", group),)


def _report(protocol: str, version: int, data: bytes, size: int) -> Membership | None:
    """Read the records of a v3/v2 report whose addresses have ``size`` bytes."""
    (count,) = REPORT_COUNT.unpack_from(data)
    records = []
    at = REPORT_COUNT.size
    for _ in range(count):
        sources_at = at + RECORD.size + size
        if sources_at > len(data):
            return None
        kind, auxiliary, sources = RECORD.unpack_from(data, at)
        end = sources_at + sources * size
        if end > len(data) or kind not in CHANGES:
            return None
        addresses = [_address(data[place : place + size]) for place in range(sources_at - size, end, size)]
        records.append(GroupRecord(CHANGES[kind], addresses[0], tuple(addresses[1:])))
        at = end + auxiliary * 4
    return Membership(protocol, version, "report", tuple(records))


def _address(packed: bytes) -> str:
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))
