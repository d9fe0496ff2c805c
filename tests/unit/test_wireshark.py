"""The dissector for Wireshark: it reads each message that the codec writes, and shows what is none."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from wireshark import INFO, needs_tshark, show

from joinlab.pcapng import CapturedFrame, Interface, write_pcapng
from multipoint import wire
from multipoint.datagram import Authenticator, Datagram, encode_datagram
from multipoint.flow import FLOWSPEC, QOS
from multipoint.kinds import JoinRole, Plane, ProviderClass
from multipoint.wire import KINDS, Endpoint, Message, body_limit, encode

pytestmark = needs_tshark

HELLO = encode(wire.Hello(nonce=b"n" * 16))
ENDS = IP(src="10.0.0.2", dst="10.0.0.1")
FLOWS = QOS.of(FLOWSPEC(TokenRate=125_000), FLOWSPEC(Latency=7), b"\x01\x02")
MEMBERSHIP = wire.Membership(
    session=0x0102,
    member=9,
    group=Endpoint("239.255.1.2", 50_000),
    root=Endpoint("fd00::1", 50_001),
    group_key=b"G" * 32,
    member_key=b"M" * 32,
    heartbeat_ms=2500,
    silence_ms=10_000,
    sequence=77,
)
# Each message and fields of it as tshark shows them.
MESSAGES: list[tuple[Message, dict[str, str]]] = [
    (wire.Hello(wants_proof=True, nonce=b"n" * 16), {"major": "1", "wants_proof": "1", "nonce": "6e" * 16}),
    (wire.Proof(b"T" * 32), {"tag": "54" * 32}),
    (
        wire.Join(
            *(ProviderClass.P2MP, Plane.LEAF, Plane.ROOT, JoinRole.BOTH, Endpoint("10.0.0.2", 5000), 1024, b"hello"),
        ),
        {
            "provider": "3",
            "control_plane": "0",
            "data_plane": "1",
            "role": "4",
            "data_address.ipv4": "10.0.0.2",
            "data_address.port": "5000",
            "capacity": "1024",
            "caller_data": b"hello".hex(),
        },
    ),
    (
        wire.Invite(ProviderClass.CONF, Plane.ROOT, Plane.LEAF, JoinRole.SENDER_ONLY, 7, 0, b"", FLOWS),
        {"session": "0x0000000000000007", "sending.TokenRate": "125000", "receiving.Latency": "7", "objects": "0102"},
    ),
    (
        wire.Accept(Plane.LEAF, Plane.LEAF, Endpoint("fd00::2", 5000), b"\0"),
        {"data_address.ipv6": "fd00::2", "callee_data": "00"},
    ),
    (wire.Reject(10_061), {"code": "10061"}),
    (
        wire.Confirm(MEMBERSHIP),
        {
            "session": "0x0000000000000102",
            "member": "9",
            "group.ipv4": "239.255.1.2",
            "root.ipv6": "fd00::1",
            "group_key": "47" * 32,
            "member_key": "4d" * 32,
            "heartbeat_ms": "2500",
            "silence_ms": "10000",
            "has_side_chats": "1",
            "sequence": "77",
        },
    ),
    (wire.Cancel(), {"length": "0"}),
    (wire.Leave(b"bye"), {"disconnect_data": b"bye".hex()}),
    (wire.Close(), {"length": "2"}),
    (wire.Heartbeat(1, 2), {"stamp": "1", "echo": "2"}),
    (wire.Chat(b"psst"), {"chat": b"psst".hex()}),
    (wire.FlowRequest(3, FLOWS), {"number": "3", "sending.TokenRate": "125000"}),
    (wire.FlowAnswer(3, 10_045, FLOWS), {"number": "3", "code": "10045", "receiving.Latency": "7"}),
]
# Bodies that are not as long as their fields say, or say what no field can.
BROKEN = {
    "too short": "0a 00 000f" + "00" * 15,
    "too long": "08 00 0006 0003 627965 00",
    "longer inside than outside": "08 00 0005 0009 627965",
    "a length that its kind can't have": "05 00 0003 274d00",
    "no such kind": "0e 00 0000",
    "flags": "07 01 0000",
    "no such plane": "04 00 0006 02 01 00 0000 00",
    "no such address": "04 00 0006 00 01 01 0500 00",
    "neither true nor false": "04 00 0006 00 01 02 0000 00",
    "more callee data than there may be": "04 00 0006 00 01 00 0401 00",
}


def segments(pieces: Iterable[bytes], port: int = 40_000) -> list[bytes]:
    """Return the frames of a TCP connection in one direction, a segment for each piece."""
    frames = [Ether() / ENDS / TCP(sport=port, dport=50_000, seq=99, flags="S")]
    at = 100
    for piece in pieces:
        frames.append(Ether() / ENDS / TCP(sport=port, dport=50_000, seq=at, flags="A") / piece)
        at += len(piece)
    return [bytes(frame) for frame in frames]


def capture(path: Path, frames: Sequence[bytes]) -> Path:
    """Write a capture file of frames."""
    file = path / "capture.pcapng"
    captured = [CapturedFrame(number, "port", False, len(frame), frame) for number, frame in enumerate(frames, 1)]
    write_pcapng(file, [Interface("port", "")], captured)
    return file


def test_each_message_is_shown_with_its_fields(tmp_path: Path) -> None:
    assert [type(message) for message, _ in MESSAGES[1:]] == list(KINDS.values())
    file = capture(tmp_path, segments(encode(message) for message, _ in MESSAGES))
    fields = sorted({field for _, shown in MESSAGES for field in shown})
    for (message, expected), shown in zip(MESSAGES, show(file, INFO, "malformed", *fields), strict=True):
        assert shown[INFO][0].split() == [type(message).__name__]
        assert "malformed" not in shown
        assert {field: shown[field] for field in expected} == {field: [value] for field, value in expected.items()}


@pytest.mark.parametrize("size", [7, 100, 100_000])
def test_messages_that_tcp_cuts_or_gathers_come_out_whole(tmp_path: Path, size: int) -> None:
    messages = [message for message, _ in MESSAGES]
    stream = b"".join(map(encode, messages))
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    shown = show(capture(tmp_path, segments(pieces)), INFO)
    names = list(itertools.chain(*(line[INFO][0].split() for line in shown)))
    assert names == [type(message).__name__ for message in messages]


def test_what_is_no_message_is_shown_as_malformed(tmp_path: Path) -> None:
    control = encode(wire.Cancel())
    bodies = [*map(bytes.fromhex, BROKEN.values()), control]
    streams = [segments([HELLO, body], port) for port, body in enumerate(bodies, 40_000)]
    shown = show(capture(tmp_path, list(itertools.chain(*streams))), INFO, "malformed")[1::2]
    told = {why: line[INFO][0].split()[-1] for why, line in zip((*BROKEN, "control"), shown, strict=True)}
    assert told == dict.fromkeys(BROKEN, "malformed") | {"control": "Cancel"}


def test_limits_are_those_of_the_codec(tmp_path: Path) -> None:
    heads = {kind: bytes([kind, 0]) + (body_limit(kind) + 1).to_bytes(2) for kind in KINDS}
    streams = [segments([HELLO, head], 40_000 + kind) for kind, head in heads.items()]
    # As long as may be: what is announced is waited for, and nothing is shown.
    longest = [segments([HELLO, bytes([kind, 0]) + body_limit(kind).to_bytes(2)], 50_000 + kind) for kind in KINDS]
    shown = show(capture(tmp_path, list(itertools.chain(*streams, *longest))), INFO)
    told = [word for line in shown for word in line[INFO][0].split() if word != "Hello"]
    assert told == ["malformed"] * len(KINDS) + ["Cancel"]


def test_datagrams_of_sessions_are_shown_and_no_others(tmp_path: Path) -> None:
    data = [
        encode_datagram(Datagram(0x1122, sender, 7, payload), Authenticator(b"key"))
        for sender, payload in ((0, b""), (3, b"payload"))
    ]
    others = [b"\xd1\x00\x00\x00 too short", b"\xd1\x01" + bytes(60), b"a stranger's datagram, long enough to be one"]
    frames = [bytes(Ether() / ENDS / UDP(sport=5000, dport=5001) / payload) for payload in (*data, *others)]
    frames += segments([b"GET / HTTP/1.0\r\n\r\n"])
    fields = (INFO, "sender", "session", "sequence", "tag", "payload")
    of_root, of_member = show(capture(tmp_path, frames), *fields)
    assert of_root[INFO] == ["Data of the root, 0 bytes"]
    assert of_member == {
        INFO: ["Data of member 3, 7 bytes"],
        "sender": ["3"],
        "session": ["0x0000000000001122"],
        "sequence": ["7"],
        "tag": [data[1][24:40].hex()],
        "payload": [b"payload".hex()],
    }
