"""A lab: one object that owns everything of a run, from the keeper to the last node, and takes it down.

    with Lab(plan) as lab:
        root = lab.root.app()

It starts in this order: keeper, then fabric and nodes side by side, links between them, proof that snooping is in
force, capture. Whatever goes wrong on the way, what was started by then is taken down before the error gets out.

May not know: pytest, topology files, what is tested.
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self, TypeVar

from joinlab.capture import Capture, open_capture
from joinlab.control import Control
from joinlab.errors import ExpectationFailed, LabBroken
from joinlab.expect import Expectations
from joinlab.helper import helper_launcher
from joinlab.laggards import leave_again, reported_after_leaving
from joinlab.launchers import RunningKeeper, start_keeper
from joinlab.loop import Loop
from joinlab.node import LabNode, end_apps, end_programs
from joinlab.plan import LabPlan, Shape
from joinlab.records import from_message
from joinlab.runtimes import Choice, Runtime, choose
from joinlab.runtimes.netns import NetnsRuntime
from joinlab.trace import Kind, Mark, Question, Record, Trace
from joinlab_agent.channel import Message

Announce = Callable[[str], None]
T = TypeVar("T")

UNSHAPED = Shape()


class Lab:
    """A running lab, as long as the context lasts (or from ``start`` to ``close``)."""

    def __init__(
        self,
        plan: LabPlan,
        runtime: str | Choice = "auto",
        *,
        launcher: str | None = None,
        announce: Announce = lambda _: None,
    ) -> None:
        """Prepare a lab.

        ``runtime`` may have been chosen already. ``announce`` gets lines for the person who waits: what was chosen and
        why, slow steps.
        """
        self.plan = plan
        self.loop = Loop()
        self.trace = Trace(self.loop)
        self.nodes: Mapping[str, LabNode] = {}
        self.run_id = secrets.token_hex(6)
        self._wanted_runtime = runtime
        self._wanted_launcher = launcher
        self._announce = announce
        self._owned = contextlib.ExitStack()
        self._is_ending = False
        self._control: Control | None = None
        self._keeper: RunningKeeper | None = None
        self._runtime: Runtime | None = None
        self._capture: Capture | None = None
        self._node_of_port = {link.port: link.node for link in plan.links}
        self._own_groups: frozenset[tuple[str, str]] = frozenset()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start everything. Raises UsageError, UnfitMachine, LabBroken; nothing is left then."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take everything down; the Trace stays. Idempotent."""
        self._is_ending = True
        self._owned.close()

    @property
    def root(self) -> LabNode:
        """Return the node that has the role of root."""
        return next(node for node in self.nodes.values() if node.role == "root")

    @property
    def leaves(self) -> tuple[LabNode, ...]:
        """Return the nodes that are leaves, in the order of the topology."""
        return tuple(node for node in self.nodes.values() if node.role == "leaf")

    @property
    def runtime(self) -> str:
        """Return the name of the runtime in use."""
        return self._need(self._runtime).name

    @property
    def launcher(self) -> str:
        """Return the name of what gave the keeper its privileges."""
        return self._need(self._keeper).launcher

    @property
    def capture(self) -> Capture:
        """Return the capture of the fabric."""
        return self._need(self._capture)

    @property
    def is_open(self) -> bool:
        """Tell whether it has not been closed yet."""
        return not self._is_ending

    @property
    def is_whole(self) -> bool:
        """Tell whether keeper and nodes live, as far as is known."""
        keeper = self._keeper
        return keeper is not None and keeper.conversation.is_open and all(n.is_running for n in self.nodes.values())

    def node(self, name: str) -> LabNode:
        """Return a node by name. Raises LabBroken."""
        self._need(self._runtime)
        if name not in self.nodes:
            raise LabBroken(f"there is no node {name!r} in this lab; there are: {', '.join(self.nodes)}")
        return self.nodes[name]

    def shell(self, node: str) -> list[str]:
        """Return the command that opens a shell in a node."""
        return self._need(self._runtime).shell(self.node(node).name)

    def expectations(self) -> Expectations:
        """Return questions to the Trace, about what happens from now on."""
        return Expectations(self.trace, self.plan, self.capture)

    # Links, while the lab runs

    def shape(self, node: str, *, up: Shape = UNSHAPED, down: Shape = UNSHAPED) -> None:
        """Shape a node's link anew, per direction as the node sees it."""
        self._ask("shape", port=self._port(node), up=asdict(up), down=asdict(down))

    def cut(self, node: str) -> None:
        """Cut a node's link."""
        self._ask("cut", port=self._port(node))

    def mend(self, node: str) -> None:
        """Mend a node's link."""
        self._ask("mend", port=self._port(node))

    # Groups

    def groups(self) -> frozenset[tuple[str, str]]:
        """Return (port, group) for each group that a bridge forwards because a node has joined it."""
        return self._all_groups() - self._own_groups

    def end_apps(self) -> None:
        """End all apps and programs, and with them what they have joined: the bridges forget it a little later."""
        end_programs(self.nodes.values())
        end_apps(self.trace, [app for node in self.nodes.values() for app in tuple(node.apps.values())])

    def settle(self) -> None:
        """End all apps and programs and wait until the bridges have forgotten every group. Raises ExpectationFailed."""
        self.end_apps()
        mark = self.trace.mark()
        while left := self.groups():
            # Asked again after each change, because the last one may have come before the question.
            mark = self._wait_for_rest(left, mark)

    def _wait_for_rest(self, left: frozenset[tuple[str, str]], mark: Mark) -> Mark:
        """Wait until a bridge forgets something, with the help of hosts that must leave again."""
        text = f"the bridge forgets {', '.join(f'{group} at {port}' for port, group in sorted(left))}"
        try:
            return _after(self.trace.wait_for(Question(text, Kind.GROUP, where=_is_forgotten), since=mark))
        except ExpectationFailed:
            asked = [(self._node_of_port[port], group) for port, group in left]
            late = [(node, group) for node, group in asked if reported_after_leaving(self.trace, node, group)]
            if not late:
                raise
            for node, group in late:
                leave_again(self.trace, self.node(node), group)
            return mark

    # Start

    def _start(self) -> None:
        wanted = self._wanted_runtime
        choice = wanted if isinstance(wanted, Choice) else choose(wanted)
        self._owned.callback(self.loop.close)
        runtime = self._prepare(choice)
        self._announce(f"{self.plan.name}: {len(self.plan.nodes)} nodes on {choice.name}, because {choice.why}")
        building = self._start_asking("build", plan=self.plan.to_json())
        self._owned.callback(runtime.stop)
        started = runtime.start(self.plan.nodes)
        building()
        self.nodes = {
            plan.name: LabNode(
                self.loop,
                self.trace,
                plan,
                tuple(link for link in self.plan.links if link.node == plan.name),
                started[plan.name].agent,
            )
            for plan in self.plan.nodes
        }
        self._owned.callback(self._let_go_of_nodes)
        self._ask("adopt", pids={name: node.pid for name, node in started.items()})
        self._check_that_nodes_live()
        self._ask("link")
        self._ask("ready")
        self._capture = open_capture(self.loop, self.trace, self.plan, self._ask("capture"))
        self._owned.callback(self._capture.close)
        self._own_groups = self._all_groups()

    def _prepare(self, choice: Choice) -> Runtime:
        """Start the keeper that the runtime needs, and return the runtime, not yet started."""
        if choice.name == "docker":
            runtime: Runtime = self._prepare_docker()
        else:
            runtime = NetnsRuntime(self._start_keeper())
        self._runtime = runtime
        return runtime

    def _prepare_docker(self) -> Runtime:
        # Late, because the SDK takes 0.2 s to import, and a lab on netns does without.
        from joinlab.runtimes.docker import DockerRuntime

        control = self._open_control()
        self._start_keeper(for_containers=True)
        return DockerRuntime(self.loop, control, self._announce)

    def _open_control(self) -> Control:
        """Return the control of this run's containers, made when the first one wants it."""
        if self._control is None:
            self._control = Control(self.loop)
            self.run_id = self._control.id
            self._owned.callback(self._control.close)
        return self._control

    def _start_keeper(self, *, for_containers: bool = False) -> RunningKeeper:
        keeper = start_keeper(
            self.loop,
            run_id=self.run_id,
            for_containers=for_containers,
            others=[helper_launcher(self._open_control, self._announce)],
            only=self._wanted_launcher,
            on_record=self._on_keeper_record,
            on_end=self._on_keeper_end,
        )
        self._keeper = keeper
        self._owned.callback(keeper.close)
        self._announce(f"the keeper runs {_place(keeper.launcher)}, because {keeper.why}")
        return keeper

    def _check_that_nodes_live(self) -> None:
        """See that no node ended before the keeper took hold of it: its number could have been another process's."""
        while self.loop.pump():
            pass
        if ended := [node.name for node in self.nodes.values() if not node.is_running]:
            raise LabBroken(f"{', '.join(ended)} ended while the lab came up")

    def _let_go_of_nodes(self) -> None:
        for node in self.nodes.values():
            node.close()

    # The keeper

    def _on_keeper_record(self, body: Message) -> None:
        node = body.pop("node", None) or self._node_of_port.get(body.get("port", ""), "")
        self.trace.add(from_message(body, node))

    def _on_keeper_end(self) -> None:
        if not self._is_ending:
            self.trace.add(Record(time.time_ns(), Kind.NODE, "", "", "keeper ended"))

    def _start_asking(self, verb: str, **arguments: Any) -> Callable[[], Any]:
        return self._need(self._keeper).conversation.start(verb, **arguments).result

    def _ask(self, verb: str, **arguments: Any) -> Any:
        return self._start_asking(verb, **arguments)()

    def _all_groups(self) -> frozenset[tuple[str, str]]:
        return frozenset((entry["port"], entry["group"]) for entry in self._ask("groups"))

    def _port(self, node: str) -> str:
        return self.node(node).links[0].port

    def _need(self, part: T | None) -> T:
        if part is None:
            raise LabBroken("the lab has not been started")
        return part


def _place(launcher: str) -> str:
    return "as root" if launcher == "root" else f"in a {launcher}"


def _is_forgotten(record: Record) -> bool:
    return record.name == "forgotten"


def _after(record: Record) -> Mark:
    return Mark(record.ns + 1)
