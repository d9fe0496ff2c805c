"""Capture files, as tshark reads them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgReader

from joinlab.pcapng import CapturedFrame, Interface, write_pcapng

NS = 1_795_200_000_123_456_789
DATA = [bytes(Ether() / IP(dst="239.1.2.3") / UDP(dport=5000) / payload) for payload in (b"a", b"bc", b"def")]
PORTS = [Interface("root", "port of hub to root"), Interface("leaf1", "port of hub to leaf1")]
FRAMES = [
    CapturedFrame(NS, "root", False, len(DATA[0]), DATA[0]),
    CapturedFrame(NS + 1, "leaf1", True, len(DATA[1]), DATA[1]),
    CapturedFrame(NS + 2_000_000_000, "leaf1", True, 5000, DATA[2]),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a capture file with three frames, of which seven others were lost."""
    path = tmp_path / "capture.pcapng"
    write_pcapng(path, PORTS, FRAMES, lost=7, ended_ns=NS + 3_000_000_000)
    return path


def test_scapy_reads_the_frames_back(file: Path) -> None:
    with PcapNgReader(str(file)) as reader:
        assert [bytes(packet) for packet in reader] == DATA


needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is missing: apt-get install tshark")


@needs_tshark
def test_tshark_reads_ports_directions_times_and_lengths(file: Path) -> None:
    fields = ["frame.time_epoch", "frame.interface_name", "frame.interface_description", "frame.packet_flags_direction"]
    fields += ["frame.len", "frame.cap_len"]
    command = ["tshark", "-r", str(file), "-T", "fields", *(word for field in fields for word in ("-e", field))]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split("\t") for line in lines] == [
        ["1795200000.123456789", "root", "port of hub to root", "0x00000001", str(len(DATA[0])), str(len(DATA[0]))],
        ["1795200000.123456790", "leaf1", "port of hub to leaf1", "0x00000002", str(len(DATA[1])), str(len(DATA[1]))],
        ["1795200002.123456789", "leaf1", "port of hub to leaf1", "0x00000002", "5000", str(len(DATA[2]))],
    ]


@needs_tshark
def test_losses_stand_in_the_file(file: Path) -> None:
    # capinfos comes with tshark; a wrong block would make it fail.
    output = subprocess.run(["capinfos", str(file)], capture_output=True, text=True, check=True).stdout
    assert "Number of interfaces in file: 2" in output
    assert b"7 frames were lost" in file.read_bytes()


def test_a_run_without_packets_is_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcapng"
    write_pcapng(path, PORTS, [])
    with PcapNgReader(str(path)) as reader:
        assert list(reader) == []
