"""What frames are called, and what can be asked of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from joinlab.frames import FrameFacts, carries, name_of
from joinlab.ring import Frame
from multipoint.datagram import Authenticator, Datagram, encode_datagram

GROUP, GROUP6 = "239.1.2.3", "ff15::123"
V4, V6 = Ether() / IP(src="10.0.0.1", dst=GROUP), Ether() / IPv6(src="fd00::1", dst=GROUP6)
UDP_DATA = UDP(sport=7, dport=5000) / b"hello"

NAMES = [
    (V4 / UDP_DATA, "UDP"),
    (V6 / UDP_DATA, "UDP"),
    (V4 / TCP(flags="S"), "TCP SYN"),
    (V4 / TCP(flags="SA"), "TCP SYN"),
    (V4 / TCP(flags="PA") / b"x", "TCP"),
    (V4 / TCP(flags="FA"), "TCP FIN"),
    (V6 / TCP(flags="RA"), "TCP RST"),
    (V4 / ICMP(), "ICMP"),
    (Ether() / IP(dst=GROUP, proto=89) / b"x", "IP protocol 89"),
    (Ether() / IP(dst=GROUP, proto=17, frag=100) / b"xxxxxxxxxx", "UDP fragment"),
    (V6 / IPv6ExtHdrFragment(nh=17, offset=100) / b"xxxxxxxxxx", "UDP fragment"),
    (Ether() / ARP(), "not IP"),
]


def facts_of(packet: Packet) -> FrameFacts:
    """Return the facts of a packet that a node sent."""
    return FrameFacts(9, "p1", Frame(5, 2, False, len(packet), bytes(packet)))


@pytest.mark.parametrize(("packet", "name"), NAMES, ids=[packet.summary() for packet, _ in NAMES])
def test_a_frame_is_named_by_what_it_is(packet: Packet, name: str) -> None:
    assert name_of(bytes(packet)) == name


@pytest.mark.parametrize(("packet", "name"), NAMES, ids=[packet.summary() for packet, _ in NAMES])
def test_a_frame_cut_anywhere_has_a_name_and_facts(packet: Packet, name: str) -> None:
    frame = bytes(packet)
    for end in range(len(frame)):
        assert name_of(frame[:end])
        dict(FrameFacts(1, "p", Frame(5, 2, True, len(frame), frame[:end])))


def test_the_facts_of_a_datagram() -> None:
    packet = V4 / UDP_DATA
    assert dict(facts_of(packet)) == {
        "number": 9,
        "port": "p1",
        "from_node": True,
        "length": len(packet),
        "frame": bytes(packet),
        "source": "10.0.0.1",
        "destination": GROUP,
        "source_port": 7,
        "destination_port": 5000,
        "payload": b"hello",
        "data": b"hello",
    }


def test_the_padding_of_a_short_frame_is_no_payload() -> None:
    assert facts_of(V4 / UDP_DATA / Raw(b""))["payload"] == b"hello"
    frame = bytes(V4 / UDP_DATA) + bytes(20)
    assert FrameFacts(1, "p", Frame(5, 2, True, 60, frame))["payload"] == b"hello"


def test_a_datagram_carries_its_payload_and_nothing_else() -> None:
    for base in (V4, V6):
        frame = bytes(base / UDP_DATA)
        assert carries(frame, b"hello")
        assert not carries(frame, b"hell")
        assert not carries(frame, b"hello you")
    assert not carries(bytes(V4 / TCP() / b"hello"), b"hello")


def test_a_datagram_of_a_session_carries_what_follows_its_header() -> None:
    data = encode_datagram(Datagram(1, 0, 7, b"hello"), Authenticator(b"key"))
    frame = bytes(V4 / UDP(dport=5000) / data)
    assert carries(frame, b"hello")
    assert carries(frame, data)
    assert not carries(frame, b"hell")
    assert FrameFacts(1, "p", Frame(5, 2, True, len(frame), frame))["data"] == b"hello"


def test_the_first_fragment_decides() -> None:
    data = bytes(range(250)) * 12
    whole = bytes(UDP(dport=5000, len=8 + len(data)) / data)
    begun, more = IP(src="10.0.0.1", dst=GROUP, proto=17, flags="MF"), IP(dst=GROUP, proto=17, frag=185)
    first, last = bytes(Ether() / begun / whole[:1480]), bytes(Ether() / more / whole[1480:])
    assert carries(first, data)
    assert not carries(first, b"\0" + data)
    assert not carries(last, data)


HEADS = st.sampled_from([bytes(packet)[:size] for packet, _ in NAMES for size in (14, 24, 34, 42, 54)])


@given(HEADS, st.binary(max_size=80), st.booleans())
def test_whatever_comes_has_a_name_and_facts(head: bytes, rest: bytes, outgoing: bool) -> None:
    """Frames come from the wire: no bytes may raise anything."""
    frame = head + rest
    assert name_of(frame)
    facts = FrameFacts(1, "p", Frame(5, 2, outgoing, len(frame), frame))
    assert dict(facts)["frame"] == frame
    assert facts.membership is None or str(facts.membership)
    carries(frame, b"hello")
