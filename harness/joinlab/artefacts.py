"""What a run leaves to look at: the Trace as JSON lines, and the packets for Wireshark.

May not know: where they are to lie, when they are wanted.
"""

from collections.abc import Iterator
from pathlib import Path

from joinlab.capture import FRAMES_LOST
from joinlab.frames import FrameFacts
from joinlab.pcapng import CapturedFrame, Interface, write_pcapng
from joinlab.plan import LabPlan, LinkPlan
from joinlab.trace import Kind, Question, Trace

TRACE_FILE = "trace.jsonl"
CAPTURE_FILE = "capture.pcapng"


def write_artefacts(directory: Path, trace: Trace, plan: LabPlan) -> tuple[Path, Path]:
    """Write both files; returns their paths. A packet's "number" in the one is its number in the other."""
    directory.mkdir(parents=True, exist_ok=True)
    trace_file, capture_file = directory / TRACE_FILE, directory / CAPTURE_FILE
    trace.write(trace_file)
    write_capture(capture_file, trace, plan)
    return trace_file, capture_file


def write_capture(path: Path, trace: Trace, plan: LabPlan) -> None:
    """Write all packets, in the order in which they were captured."""
    frames = sorted(_frames(trace), key=lambda frame: frame[0])
    planned = [Interface(link.port, _describe(link)) for link in plan.links]
    names = {interface.name for interface in planned}
    others = sorted({frame.interface for _, frame in frames} - names)
    interfaces = [*planned, *(Interface(name, "") for name in others)]
    ended_ns = max((frame.ns for _, frame in frames), default=0)
    write_pcapng(path, interfaces, (frame for _, frame in frames), _lost(trace), ended_ns)


def _frames(trace: Trace) -> Iterator[tuple[int, CapturedFrame]]:
    for record in trace.select(Question("packets", Kind.PACKET)):
        if isinstance(facts := record.facts, FrameFacts):
            yield facts.number, CapturedFrame(record.ns, facts.port, not facts.from_node, facts.length, facts.frame)


def _lost(trace: Trace) -> int:
    lost = Question("lost frames", Kind.LINK, where=lambda record: record.name == FRAMES_LOST)
    return sum(record.facts["frames"] for record in trace.select(lost))


def _describe(link: LinkPlan) -> str:
    addresses = " ".join(filter(None, [link.ipv4, link.ipv6]))
    return f"port of {link.bridge} to {link.node} {link.interface} ({addresses}); inbound is from {link.node}"
