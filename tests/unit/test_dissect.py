"""scapy's view of packets, our own protocol included."""

import pytest
from scapy.layers.dns import DNS
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from joinlab.dissect import ControlHello, ControlMessage, DataHeader, dissect
from joinlab.frames import FrameFacts
from joinlab.records import Kind, Record
from joinlab.ring import Frame
from multipoint.datagram import Authenticator, Datagram, encode_datagram
from multipoint.wire import Heartbeat, Hello, Reject, encode

BASE = Ether() / IP(src="10.0.0.1", dst="239.1.2.3")


def test_a_datagram_on_the_port_of_dns_is_not_taken_for_dns() -> None:
    frame = bytes(BASE / UDP(sport=53, dport=53) / Raw(b"hello, this is no name server"))
    assert DNS in Ether(frame)  # the pitfall
    packet = dissect(frame)
    assert DNS not in packet
    assert packet[UDP].sport == 53
    assert bytes(packet[Raw]) == b"hello, this is no name server"


def test_control_messages_are_layers() -> None:
    data = encode(Hello(nonce=b"n" * 16)) + encode(Heartbeat(1, 2)) + encode(Reject(10061))
    packet = dissect(bytes(BASE / TCP(dport=5000) / data))
    assert packet[ControlHello].nonce == b"n" * 16
    heartbeat = packet[ControlMessage]
    assert heartbeat.sprintf("%kind%") == "Heartbeat"
    reject = heartbeat.payload
    assert reject.sprintf("%kind%") == "Reject"
    assert reject.body == (10061).to_bytes(2)


def test_control_layers_build_what_the_codec_encodes() -> None:
    assert bytes(ControlMessage(kind=5, body=(10061).to_bytes(2))) == encode(Reject(10061))
    assert bytes(ControlHello()) == encode(Hello())


def test_the_header_of_session_data_is_a_layer() -> None:
    data = encode_datagram(Datagram(0x1122, 3, 7, b"payload"), Authenticator(b"key"))
    header = dissect(bytes(BASE / UDP(dport=5000) / data))[DataHeader]
    assert (header.session, header.sender, header.sequence) == (0x1122, 3, 7)
    assert bytes(header.payload) == b"payload"


def test_dissecting_keeps_every_byte() -> None:
    for transport in (UDP(sport=53, dport=9), TCP(dport=9, options=[("MSS", 1460)])):
        frame = bytes(BASE / transport / Raw(b"payload"))
        assert bytes(dissect(frame)) == frame


def test_a_packet_record_is_dissected_and_no_other() -> None:
    frame = bytes(BASE / UDP(dport=9) / Raw(b"payload"))
    record = Record(1, Kind.PACKET, "root", "", "UDP", FrameFacts(1, "p", Frame(1, 1, True, len(frame), frame)))
    assert dissect(record)[IP].dst == "239.1.2.3"
    with pytest.raises(TypeError, match="a record of the kind event is no packet"):
        dissect(Record(1, Kind.EVENT, "root", "", "FD_CLOSE"))


def test_any_frame_can_be_dissected() -> None:
    frame = bytes(BASE / TCP(dport=5000) / encode(Hello()))
    for end in range(14, len(frame)):
        dissect(frame[:end])
