"""A node as a test sees it: its name and address, its apps, commands run in it, what it printed.

May not know: how a node is made.
"""

import itertools
import signal as signals
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joinlab.app import App
from joinlab.errors import LabBroken
from joinlab.loop import PATIENCE_S, Conversation, Loop, Pending, take_all
from joinlab.plan import LinkPlan, NodePlan
from joinlab.records import from_message
from joinlab.trace import Kind, Question, Record, Trace
from joinlab_agent.channel import Channel, Message

# Enough for a step that a test takes; longer ones give their own.
COMMAND_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended; a negative status is the signal that ended it."""

    status: int
    stdout: str
    stderr: str


class Program:
    """A program that runs in a node while the test goes on: one under test, which need know nothing of joinlab."""

    def __init__(self, node: "LabNode", name: str, pending: Pending[Any]) -> None:
        self.node = node
        self.name = name
        self._pending = pending

    def __repr__(self) -> str:
        return f"<program {self.name} on {self.node.name}>"

    @property
    def is_running(self) -> bool:
        """Tell whether it has not ended yet."""
        return not self._pending.is_done

    def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send it a signal."""
        self.node.kill(self.name, signal)

    def result(self, timeout_s: float = PATIENCE_S) -> Completed:
        """Wait for its end; gives its status and all that it printed. Raises TimeoutError."""
        return Completed(**self._pending.result(timeout_s))


class LabNode:
    """One node of a running lab."""

    def __init__(self, loop: Loop, trace: Trace, plan: NodePlan, links: tuple[LinkPlan, ...], agent: Channel) -> None:
        self.name = plan.name
        self.role = plan.role
        self.links = links
        self.log: list[str] = []
        self.apps: dict[str, App] = {}
        self.programs: list[Program] = []
        self._is_ending = False
        self._loop = loop
        self._trace = trace
        self._app_names = (f"app{number}" for number in itertools.count(1))
        self._program_names = (f"program{number}" for number in itertools.count(1))
        self._conversation = Conversation(
            loop, agent, f"the agent of {plan.name}", on_record=self._on_record, on_end=self._on_end
        )

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    @property
    def host(self) -> str:
        """Return the node's IPv4 address."""
        return self.links[0].ipv4.partition("/")[0]

    @property
    def host6(self) -> str:
        """Return the node's IPv6 address. Raises LabBroken where its segment has none."""
        if (ipv6 := self.links[0].ipv6) is None:
            raise LabBroken(f"{self.name} has no IPv6 address: its bridge has no ipv6 network in the topology")
        return ipv6.partition("/")[0]

    @property
    def is_running(self) -> bool:
        """Tell whether the node lives, as far as is known."""
        return self._conversation.is_open

    def app(self, name: str | None = None, **settings: Any) -> App:
        """Start an app and its stack; settings are those of ``App.start_up``."""
        (app,) = start_apps([self], name, **settings)
        return app

    def run(self, *argv: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Completed:
        """Run a command in the node, wait for it and give its output; after ``timeout_s`` it is killed."""
        pending = self._conversation.start("run", argv=list(argv), timeout_s=timeout_s)
        # The agent keeps the limit; ours comes later and only guards against an agent that hangs.
        return Completed(**pending.result(timeout_s + PATIENCE_S))

    def start(self, *argv: str) -> Program:
        """Start a program in the node and leave it running; it is killed when the test ends, if it still runs."""
        name = next(self._program_names)
        program = Program(self, name, self._conversation.start("run", argv=list(argv), name=name))
        self.programs.append(program)
        self._trace.add(Record(time.time_ns(), Kind.NODE, self.name, name, "started", {"argv": list(argv)}))
        return program

    def kill(self, app: str, signal: int = signals.SIGKILL) -> None:
        """Send an app or a program a signal."""
        self.start_kill(app, signal).result()

    def start_kill(self, app: str, signal: int = signals.SIGKILL) -> Pending[Any]:
        """Send an app a signal, without waiting for the agent's answer."""
        return self._conversation.start("kill", app=app, signal=int(signal))

    def close(self) -> None:
        """Let go of the node and its apps; they end."""
        for app in self.apps.values():
            app.close()
        self._is_ending = True
        self._conversation.close()

    def start_fork(self, name: str | None) -> Callable[[], App]:
        """Ask the agent for an app process; calling the result waits for it."""
        name = name or next(self._app_names)
        pending = self._conversation.start("app", name=name)
        return lambda: self._new_app(name, *pending.result())

    def _new_app(self, name: str, value: Mapping[str, int], descriptors: tuple[int, ...]) -> App:
        channel = Channel(socket.socket(fileno=descriptors[0]))
        app = self.apps[name] = App(self._loop, self._trace, channel, self, name, value["pid"])
        self._trace.add(Record(time.time_ns(), Kind.NODE, self.name, name, "started", value))
        return app

    def _on_record(self, body: Message) -> None:
        if body["record"] == "log":
            self.log.append(body["text"])
        if body["record"] == "ended":
            self.apps.pop(body["app"], None)
        self._trace.add(from_message(body, self.name))

    def _on_end(self) -> None:
        if not self._is_ending:
            self._trace.add(Record(time.time_ns(), Kind.NODE, self.name, "", "node ended"))


def start_apps(nodes: Iterable[LabNode], name: str | None = None, **settings: Any) -> list[App]:
    """Start an app on each of the nodes, all at once; settings are those of ``App.start_up``."""
    apps = take_all([node.start_fork(name) for node in nodes])
    for starting in [app.start("WSAStartup", **settings) for app in apps]:
        starting.result()
    return apps


def end_apps(trace: Trace, apps: Iterable[App]) -> None:
    """End apps and wait until their nodes say that the processes are gone, and with them what they had joined."""
    running = [app for app in apps if app.node.apps.get(app.name) is app]
    for app in running:
        app.close()
        # One that hangs or is stopped does not notice. The answer is of no interest: it may have ended already.
        app.node.start_kill(app.name)
    for app in running:
        trace.wait_for(_end_of(app))


def end_programs(nodes: Iterable[LabNode]) -> None:
    """Kill the programs that still run, and wait for their ends."""
    for node in nodes:
        running = [program for program in node.programs if program.is_running]
        node.programs.clear()
        for program in running:
            node.start_kill(program.name)
        for program in running:
            program.result()


def _end_of(app: App) -> Question:
    def is_end(record: Record) -> bool:
        return record.name == "ended" and record.facts["pid"] == app.pid

    return Question(f"the end of {app!r}", Kind.NODE, app.node.name, app.name, is_end)
