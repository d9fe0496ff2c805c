"""Packets in full, by scapy: each field of each layer, our own control protocol included.

Import it only when a packet is really to be taken apart: scapy takes a third of a second. Names of packets and what
expectations need come without it (``frames``, ``membership``, ``streams``).
"""

from typing import Any

from scapy.fields import (
    ByteEnumField,
    ByteField,
    FieldLenField,
    IntField,
    LongField,
    StrFixedLenField,
    StrLenField,
    XLongField,
)
from scapy.layers import igmp, inet6
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from joinlab.frames import FrameFacts, read_ip
from joinlab.membership import CHANGES, GroupRecord, Membership
from joinlab.records import Record
from multipoint.datagram import HEADER_SIZE as DATAGRAM_HEADER_SIZE
from multipoint.datagram import TAG_SIZE, VERSION_BYTE
from multipoint.wire import HELLO_SIZE, KINDS, MAGIC

TRANSPORTS = {6: TCP, 17: UDP}


class ControlHello(Packet):
    """The beginning of a control connection, in each direction."""

    name = "multipoint Hello"
    fields_desc = [  # noqa: RUF012 (scapy's way)
        StrFixedLenField("magic", MAGIC, len(MAGIC)),
        ByteField("major", 1),
        ByteField("minor", 0),
        ByteField("wants_proof", 0),
        StrFixedLenField("nonce", bytes(16), 16),
    ]

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """Frames follow."""
        return ControlMessage


class ControlMessage(Packet):
    """One frame of a control connection. The body's layout is in docs/protocol.md; ``streams`` decodes it."""

    name = "multipoint control"
    fields_desc = [  # noqa: RUF012
        ByteEnumField("kind", 0, {number: cls.__name__ for number, cls in KINDS.items()}),
        ByteField("zero", 0),
        FieldLenField("length", None, fmt="H", length_of="body"),
        StrLenField("body", b"", length_from=lambda packet: packet.length),
    ]

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """More frames follow."""
        return ControlMessage


class DataHeader(Packet):
    """The header of a datagram of a rooted or conference session."""

    name = "multipoint data"
    fields_desc = [  # noqa: RUF012
        ByteField("version", VERSION_BYTE),
        ByteField("flags", 0),
        StrFixedLenField("reserved", bytes(2), 2),
        IntField("sender", 0),
        XLongField("session", 0),
        LongField("sequence", 0),
        StrFixedLenField("tag", bytes(TAG_SIZE), TAG_SIZE),
    ]


def dissect(packet: Record | bytes) -> Packet:
    """Return a packet record, or a frame's bytes, as scapy's layers.

    What UDP and TCP carry is shown as ours if it is ours, as Raw otherwise: scapy would guess by port numbers, and take
    a test's datagrams for DNS.
    """
    frame = packet if isinstance(packet, bytes) else _frame(packet)
    datagram = read_ip(frame)
    if datagram is None or datagram.is_fragment or datagram.protocol not in TRANSPORTS:
        return Ether(frame)
    layers = Ether(frame[: datagram.start])
    transport = TRANSPORTS[datagram.protocol]
    size = 8 if transport is UDP else (datagram.body[12] >> 4) * 4 if len(datagram.body) >= 20 else 0
    header = transport(datagram.body[:size])
    header.remove_payload()
    if payload := datagram.body[size:]:
        header.add_payload(_payload(payload, transport))
    layers.lastlayer().add_payload(header)
    return layers


def membership_of(frame: bytes) -> Membership | None:
    """Return the IGMP or MLD message in a frame as scapy reads it: a second opinion on ``membership``."""
    packet = dissect(frame)
    if igmp.IGMPv3_MR in packet:
        records = tuple(
            GroupRecord(CHANGES[record.rtype], record.maddr, tuple(record.srcaddrs))
            for record in packet[igmp.IGMPv3_MR].records
        )
        return Membership("IGMP", 3, "report", records)
    if inet6.ICMPv6MLReport2 in packet:
        records = tuple(
            GroupRecord(CHANGES[record.rtype], record.dst, tuple(record.sources))
            for record in packet[inet6.ICMPv6MLReport2].records
        )
        return Membership("MLD", 2, "report", records)
    for layer, protocol, version, verb, field in SIMPLE:
        if layer in packet:
            return Membership(protocol, version, verb, _one(packet[layer].getfieldval(field)))
    return None


SIMPLE: tuple[tuple[Any, str, int, str, str], ...] = (
    (igmp.IGMP_MR, "IGMP", 1, "report", "gaddr"),
    (igmp.IGMPv2_MR, "IGMP", 2, "report", "gaddr"),
    (igmp.IGMPv2_LG, "IGMP", 2, "leave", "gaddr"),
    (igmp.IGMPv3_MQ, "IGMP", 3, "query", "gaddr"),
    (igmp.IGMP_MQ, "IGMP", 2, "query", "gaddr"),
    (inet6.ICMPv6MLReport, "MLD", 1, "report", "mladdr"),
    (inet6.ICMPv6MLDone, "MLD", 1, "done", "mladdr"),
    (inet6.ICMPv6MLQuery2, "MLD", 2, "query", "mladdr"),
    (inet6.ICMPv6MLQuery, "MLD", 1, "query", "mladdr"),
)


def _one(group: str) -> tuple[GroupRecord, ...]:
    return () if group in ("0.0.0.0", "::") else (GroupRecord("", group),)


def _frame(record: Record) -> bytes:
    if not isinstance(record.facts, FrameFacts):
        raise TypeError(f"a record of the kind {record.kind} is no packet")
    return record.facts.frame


def _payload(payload: bytes, transport: type[Packet]) -> Packet:
    if transport is TCP and payload.startswith(MAGIC) and len(payload) >= HELLO_SIZE:
        return ControlHello(payload)
    if transport is UDP and payload[:1] == bytes([VERSION_BYTE]) and len(payload) >= DATAGRAM_HEADER_SIZE:
        return DataHeader(payload)
    return Raw(payload)


__all__ = ["ControlHello", "ControlMessage", "DataHeader", "dissect", "membership_of"]
