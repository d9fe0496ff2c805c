"""The capture of a lab: frames from the fabric's ring become packet records on the Trace.

What the kernel had no room for is counted and stands on the Trace too ("frames lost"): a finding that something was
NOT sent is worth nothing if frames were lost meanwhile.

May not know: what is expected, how the ring was opened.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from joinlab.errors import LabBroken
from joinlab.frames import FrameFacts, name_of, read_ip
from joinlab.loop import PATIENCE_S, Loop
from joinlab.plan import LabPlan
from joinlab.records import Kind, Record
from joinlab.ring import Frame, Geometry, Ring
from joinlab.streams import Streams
from joinlab.trace import Trace
from multipoint.wire import Message

FRAMES_LOST = "frames lost"


class Capture:
    """Reads the ring whenever the loop is pumped. It owns the ring."""

    def __init__(self, loop: Loop, trace: Trace, ring: Ring, ports: Mapping[int, str], plan: LabPlan) -> None:
        """Begin to read; ``ports`` are the bridge ports' names by interface index."""
        self.lost = 0
        self._loop = loop
        self._trace = trace
        self._ring = ring
        node_of = {link.port: link.node for link in plan.links}
        self._ports = {index: (port, node_of.get(port, "")) for index, port in ports.items()}
        self._streams = Streams()
        self._kept = 0
        self._read = 0
        self._counted_ns = time.time_ns()
        loop.watch(ring, self._readable)

    def catch_up(self, timeout_s: float = PATIENCE_S) -> None:
        """Let in every frame that has passed a port until now. The kernel holds a frame back for a millisecond or two.

        It counts what it puts into the ring, so this is exact: it waits until as many have been read.
        """
        self._count()
        kept = self._kept
        if self._loop.wait_for(lambda: self._read >= kept or None, timeout_s) is None:
            raise LabBroken(f"the capture has {kept} frames, {self._read} could be read in {timeout_s:g} s")

    def close(self) -> None:
        """Let in what is there and give the ring back; the records stay."""
        if self._ring.is_open:
            self._readable()
            self._loop.unwatch(self._ring)
            self._ring.close()

    def _readable(self) -> None:
        frames = self._ring.read()
        first = self._read + 1
        self._read += len(frames)
        self._trace.extend([self._record(number, frame) for number, frame in enumerate(frames, first)])
        self._count()

    def _record(self, number: int, frame: Frame) -> Record:
        port, node = self._ports.get(frame.interface) or (f"interface {frame.interface}", "")
        name = name_of(frame.data)
        messages = self._messages(port, frame) if name.startswith("TCP") else ()
        if messages:
            name = f"control {', '.join(type(message).__name__ for message in messages)}"
        facts = FrameFacts(number, port, frame, messages)
        return Record(frame.ns, Kind.PACKET, node, "", name, facts)

    def _messages(self, port: str, frame: Frame) -> Sequence[Message]:
        datagram = read_ip(frame.data)
        if datagram is None:
            return ()
        return self._streams.read(port, not frame.outgoing, datagram.source, datagram.destination, datagram.body)

    def _count(self) -> None:
        kept, lost = self._ring.statistics()
        now = time.time_ns()
        self._kept += kept
        if lost:
            self.lost += lost
            facts = {"frames": lost, "since_ns": self._counted_ns}
            self._trace.add(Record(now, Kind.LINK, "", "", FRAMES_LOST, facts))
        self._counted_ns = now


def open_capture(loop: Loop, trace: Trace, plan: LabPlan, answer: tuple[dict[str, Any], tuple[int, ...]]) -> Capture:
    """Begin to read the ring that the keeper opened; ``answer`` is what its verb "capture" gave."""
    value, (descriptor,) = answer
    ring = Ring.from_descriptor(descriptor, Geometry.from_json(value["ring"]))
    # JSON knows no numbers as keys.
    return Capture(loop, trace, ring, {int(index): port for index, port in value["ports"].items()}, plan)
