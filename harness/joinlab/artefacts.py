"""What a run leaves to look at: the Trace as JSON lines, and the packets for Wireshark.

May not know: where they are to lie, when they are wanted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from joinlab.capture import FRAMES_LOST
from joinlab.frames import FrameFacts
from joinlab.pcapng import CapturedFrame, Interface, write_pcapng
from joinlab.plan import LabPlan, LinkPlan
from joinlab.trace import Kind, Question, Record, Trace

TRACE_FILE = "trace.jsonl"
CAPTURE_FILE = "capture.pcapng"


def write_artefacts(directory: Path, trace: Trace, plan: LabPlan) -> tuple[Path, Path]:
    """Write both files, of what the Trace still has; returns their paths.

    A packet's "number" in the one is its number in the other, so packets are counted from the first that is left.
    """
    directory.mkdir(parents=True, exist_ok=True)
    trace_file, capture_file = directory / TRACE_FILE, directory / CAPTURE_FILE
    captured = sorted(facts.number for _, facts in _packets(trace))
    places = {number: place for place, number in enumerate(captured, 1)}
    trace.write(trace_file, lambda record: _renumbered(record, places))
    write_capture(capture_file, trace, plan)
    return trace_file, capture_file


def write_capture(path: Path, trace: Trace, plan: LabPlan) -> None:
    """Write all packets, in the order in which they were captured."""
    packets = sorted(_packets(trace), key=lambda packet: packet[1].number)
    frames = [CapturedFrame(ns, facts.port, not facts.from_node, facts.length, facts.frame) for ns, facts in packets]
    planned = [Interface(link.port, _describe(link)) for link in plan.links]
    names = {interface.name for interface in planned}
    others = sorted({frame.interface for frame in frames} - names)
    interfaces = [*planned, *(Interface(name, "") for name in others)]
    ended_ns = max((frame.ns for frame in frames), default=0)
    write_pcapng(path, interfaces, frames, _lost(trace), ended_ns)


def _packets(trace: Trace) -> Iterator[tuple[int, FrameFacts]]:
    for record in trace.select(Question("packets", Kind.PACKET)):
        if isinstance(record.facts, FrameFacts):
            yield record.ns, record.facts


def _renumbered(record: Record, places: Mapping[int, int]) -> Record:
    facts = record.facts
    return replace(record, facts=facts.renumbered(places[facts.number])) if isinstance(facts, FrameFacts) else record


def _lost(trace: Trace) -> int:
    lost = Question("lost frames", Kind.LINK, where=lambda record: record.name == FRAMES_LOST)
    return sum(record.facts["frames"] for record in trace.select(lost))


def _describe(link: LinkPlan) -> str:
    addresses = " ".join(filter(None, [link.ipv4, link.ipv6]))
    return f"port of {link.bridge} to {link.node} {link.interface} ({addresses}); inbound is from {link.node}"
