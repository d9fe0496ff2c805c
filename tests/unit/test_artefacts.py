"""What a failed run leaves: the Trace and the packets, of the same stretch of time."""

from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgReader

from joinlab.artefacts import write_artefacts
from joinlab.frames import FrameFacts
from joinlab.loop import Loop
from joinlab.planning import plan
from joinlab.ring import Frame
from joinlab.topology import load
from joinlab.trace import Kind, Mark, Record, Trace, read


@pytest.fixture
def trace() -> Trace:
    """Return a Trace of five packets; the fourth was captured before the third, which has an earlier time."""
    trace = Trace(Loop())
    trace.add(*(packet(number, ns) for number, ns in enumerate((10, 20, 40, 30, 50), 1)))
    return trace


def packet(number: int, ns: int) -> Record:
    """Return a packet that says its number."""
    data = bytes(Ether() / IP(dst="239.1.2.3") / UDP(sport=5000, dport=5000) / f"packet {number}".encode())
    return Record(ns, Kind.PACKET, "root", "", "UDP", FrameFacts(number, "root", Frame(ns, 1, True, len(data), data)))


@pytest.mark.parametrize(("before_ns", "left"), [(0, 5), (20, 4), (35, 2), (99, 0)])
def test_packet_has_the_same_number_in_both_files(trace: Trace, tmp_path: Path, before_ns: int, left: int) -> None:
    trace.forget(Mark(before_ns))
    trace_file, capture_file = write_artefacts(tmp_path, trace, plan(load("star")))
    with PcapNgReader(str(capture_file)) as reader:
        captured = {number: bytes(frame[UDP].payload) for number, frame in enumerate(reader, 1)}
    told = {record.facts["number"]: record.facts["payload"] for record in read(trace_file)}
    assert told == captured
    assert sorted(told) == list(range(1, left + 1))
