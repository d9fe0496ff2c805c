"""A lab without ``Lab``: a keeper, its fabric and netns nodes, spoken to by their verbs.

The tests of those parts use it, each with both launchers: what works as root must work for an ordinary user.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from joinlab.launchers import LAUNCHERS, RunningKeeper, start_keeper
from joinlab.loop import Conversation, Loop, Pending
from joinlab.plan import BridgePlan, LabPlan, LinkPlan, Multicast, NodePlan, Shape
from joinlab.ring import Geometry, Ring
from joinlab.runtimes.base import Node
from joinlab.runtimes.netns import NetnsRuntime
from joinlab_agent.channel import Message

FAST_TIMERS = Multicast(
    snooping=True,
    querier=True,
    igmp_version=3,
    mld_version=2,
    query_interval_cs=12_500,
    query_response_cs=10,
    startup_query_interval_cs=100,
    startup_query_count=1,
    last_member_interval_cs=10,
    last_member_count=2,
    membership_interval_cs=26_000,
    querier_interval_cs=25_500,
    fast_leave=False,
)

UNSHAPED = Shape()


class BareLab:
    """A keeper, and what a test has it build."""

    def __init__(self, launcher: str) -> None:
        self.loop = Loop()
        self.records: list[Message] = []
        self.keeper: RunningKeeper = start_keeper(self.loop, on_record=self.records.append, only=launcher)
        self.runtime = NetnsRuntime(self.keeper)
        self.nodes: dict[str, Node] = {}
        self.agents: dict[str, Conversation] = {}
        self._ring: Ring | None = None
        self._ports: dict[int, str] = {}
        self._frames: dict[str, list[bytes]] = {}
        self._is_closed = False

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Have the keeper do something."""
        return self.keeper.conversation.call(verb, **arguments)

    def build(self, plan: LabPlan) -> None:
        """Build a plan up to its links, without probing."""
        self.ask("build", plan=plan.to_json())
        self.nodes = dict(self.runtime.start(plan.nodes))
        self.agents = {name: Conversation(self.loop, node.agent, name) for name, node in self.nodes.items()}
        self.ask("adopt", pids={name: node.pid for name, node in self.nodes.items()})
        self.ask("link")

    def stand(self, plan: LabPlan) -> None:
        """Build a plan until it is ready."""
        self.build(plan)
        self.ask("ready")

    def start(self, node: str, program: str, *arguments: object) -> Pending[Any]:
        """Start a Python program in a node."""
        argv = [sys.executable, "-c", program, *map(str, arguments)]
        return self.agents[node].start("run", argv=argv, timeout_s=20)

    def run(self, node: str, program: str, *arguments: object) -> str:
        """Run a Python program in a node and return what it printed; it must succeed."""
        completed = self.start(node, program, *arguments).result()
        assert completed["status"] == 0, completed["stderr"]
        printed: str = completed["stdout"]
        return printed.strip()

    def capture(self) -> None:
        """Begin to collect frames; ``frames`` returns them."""
        value, (descriptor,) = self.ask("capture")
        self._ring = Ring.from_descriptor(descriptor, Geometry.from_json(value["ring"]))
        self._ports = {int(index): name for index, name in value["ports"].items()}
        self.loop.watch(self._ring, self._collect)

    def frames_to(self, port: str, last: bytes) -> list[bytes]:
        """Return the frames that a port has sent to its node, up to one that ends in ``last``."""
        frames = self._frames.setdefault(port, [])
        found = self.loop.wait_for(lambda: next((n for n, f in enumerate(frames, 1) if f.endswith(last)), None), 5)
        assert found is not None, f"no frame ending in {last!r} at {port}, but {frames}"
        return frames[:found]

    def _collect(self) -> None:
        assert self._ring is not None
        for frame in self._ring.read():
            if frame.outgoing:
                self._frames.setdefault(self._ports[frame.interface], []).append(frame.data)

    def wait_for(self, kind: str, **facts: object) -> Message:
        """Wait for a record of the keeper."""

        def question() -> Message | None:
            wanted = {"record": kind, **facts}
            return next((r for r in self.records if wanted.items() <= r.items()), None)

        found = self.loop.wait_for(question, 5)
        assert found is not None, f"no record {kind} with {facts}, but {self.records}"
        return found

    def close(self) -> None:
        """Take everything down. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._ring is not None:
            self.loop.unwatch(self._ring)
            self._ring.close()
        for agent in self.agents.values():
            agent.close()
        self.runtime.stop()
        self.keeper.close()
        self.loop.close()


def star(
    count: int = 3,
    *,
    ipv6: bool = False,
    multicast: Multicast = FAST_TIMERS,
    up: Shape = UNSHAPED,
    down: Shape = UNSHAPED,
    **changes: Any,
) -> LabPlan:
    """Plan nodes called a, b, c ... on one bridge, the first at 10.1.0.1; ``changes`` are made to the timers."""
    timers = replace(multicast, **changes)
    names = [chr(ord("a") + number) for number in range(count)]
    return LabPlan(
        "bare",
        (BridgePlan("hub", "10.1.0.0/16", "fd01::/64" if ipv6 else None, timers),),
        tuple(NodePlan(name, "leaf") for name in names),
        tuple(
            LinkPlan(
                node=name,
                interface="eth0",
                bridge="hub",
                port=f"{name}-port",
                mac=f"02:00:00:00:00:{number:02x}",
                ipv4=f"10.1.0.{number}/16",
                ipv6=f"fd01::{number:x}/64" if ipv6 else None,
                igmp_version=timers.igmp_version,
                mld_version=timers.mld_version,
                up=up,
                down=down,
            )
            for number, name in enumerate(names, 1)
        ),
    )


@pytest.fixture(name="star")
def star_() -> Callable[..., LabPlan]:
    """Return the function that plans a star."""
    return star


@pytest.fixture(params=[launcher.name for launcher in LAUNCHERS])
def launcher(request: pytest.FixtureRequest) -> str:
    """Return the name of a launcher; the test runs with each that this user may use."""
    name: str = request.param
    problem = next(launcher.problem() for launcher in LAUNCHERS if launcher.name == name)
    if problem:
        pytest.skip(f"launcher {name}: {problem}")
    return name


@pytest.fixture
def start_lab() -> Iterator[Callable[[str], BareLab]]:
    """Return a function that starts a bare lab with a launcher; all of them are closed at the end."""
    with ExitStack() as stack:

        def start(launcher: str) -> BareLab:
            lab = BareLab(launcher)
            stack.callback(lab.close)
            return lab

        yield start


@pytest.fixture
def lab(launcher: str, start_lab: Callable[[str], BareLab]) -> BareLab:
    """Return a bare lab; nothing is built yet."""
    return start_lab(launcher)
