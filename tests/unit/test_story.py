"""Records as lines for people."""

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from joinlab.frames import FrameFacts, name_of
from joinlab.records import Kind, Record
from joinlab.ring import Frame
from joinlab.story import line, tell


def packet(ns: int, node: str, *, from_node: bool = False, payload: bytes = b"hello") -> Record:
    """Return a datagram at a node's port."""
    data = bytes(Ether() / IP(src="10.0.0.1", dst="239.1.2.3") / UDP(sport=7, dport=5000) / payload)
    facts = FrameFacts(1, node, Frame(ns, 1, not from_node, len(data), data))
    return Record(ns, Kind.PACKET, node, "", name_of(data), facts)


def test_a_line_says_when_where_and_what() -> None:
    record = Record(3_500_000, Kind.EVENT, "root", "app1", "FD_CLOSE", {"socket": 3, "error": 0})
    assert line(record, 1_000_000) == "     +2.500 ms  root/app1        event   FD_CLOSE  socket=3 error=0"


def test_a_packet_tells_its_direction_its_ends_and_its_data() -> None:
    assert line(packet(0, "leaf1"), 0).split() == [
        "+0.000", "ms", "leaf1", "←", "packet", "UDP", "10.0.0.1:7", ">", "239.1.2.3:5000", "data=b'hello'",
    ]  # fmt: skip
    assert "leaf1 →" in line(packet(0, "leaf1", from_node=True), 0)


def test_facts_that_tell_nothing_are_left_out() -> None:
    facts: dict[str, object] = {"call": 7, "value": None, "sources": [], "blocked": False, "error": 0}
    assert line(Record(0, Kind.RETURN, "root", "app1", "bind", facts), 0).endswith("return  bind  error=0")


def test_a_long_value_is_cut_and_says_so() -> None:
    record = Record(0, Kind.CALL, "root", "app1", "send", {"data": b"x" * 1000})
    assert line(record, 0).endswith("xxx… (1003 long)")


def test_traffic_that_goes_the_same_way_is_one_line_a_link() -> None:
    records = [packet(ns * 1000 + link, node, from_node=node == "root")
               for ns in range(50) for link, node in enumerate(("root", "leaf1", "leaf2"))]  # fmt: skip
    lines = tell(records, 0)
    assert len(lines) == 3
    assert lines[0].endswith("(50 times until +0.049 ms)")


def test_what_a_bridge_floods_is_one_line() -> None:
    report = "IGMPv2 report 239.1.2.3"
    records = [Record(ns, Kind.PACKET, f"leaf{ns}", "", report, {"from_node": ns == 1}) for ns in (1, 2, 3, 4)]
    lines = tell(records, 0)
    assert len(lines) == 2
    assert "leaf1 →" in lines[0]
    assert "3 nodes ←" in lines[1]


def test_traffic_is_not_gathered_over_an_event() -> None:
    close = Record(5, Kind.EVENT, "root", "app1", "FD_CLOSE")
    assert len(tell([packet(1, "leaf1"), close, packet(9, "leaf1")], 0)) == 3
