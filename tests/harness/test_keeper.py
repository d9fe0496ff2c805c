"""The keeper and its nodes: nothing survives, whoever is killed and whenever; a bad request ends nobody."""

from __future__ import annotations

import json
import os
import random
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from joinlab import launchers, pids, probe
from joinlab.capabilities import mask
from joinlab.errors import LabBroken, UnfitMachine, UsageError
from joinlab.launchers import RUN_VARIABLE, start_keeper
from joinlab.loop import Loop
from joinlab.nodefork import CAPABILITIES
from joinlab.plan import LabPlan

if TYPE_CHECKING:
    from tests.harness.conftest import BareLab

# A harness of its own: a lab from the first step to the last and again, until it is killed. A line for each lab.
HARNESS = """
import json, sys
from joinlab.launchers import start_keeper
from joinlab.loop import Loop
from joinlab.nodefork import CAPABILITIES
from joinlab.plan import LabPlan
from joinlab.runtimes.netns import NetnsRuntime

plan, launcher, run_id = LabPlan.from_json(json.loads(sys.argv[1])), sys.argv[2], sys.argv[3]
while True:
    loop = Loop()
    keeper = start_keeper(loop, run_id=run_id, only=launcher)
    ask, runtime = keeper.conversation.call, NetnsRuntime(keeper)
    ask("build", plan=plan.to_json())
    nodes = runtime.start(plan.nodes)
    ask("adopt", pids={name: node.pid for name, node in nodes.items()})
    ask("link")
    ask("ready")
    ask("capture")
    print("stands", flush=True)
    if "stay" in sys.argv:
        sys.stdin.read()
    runtime.stop()
    keeper.close()
    loop.close()
"""
GONE_WITHIN_S = 5.0
MOMENTS = 10
# A lab stands after about 0.25 s and is taken down in 0.05 s: this meets every part of its life.
LONGEST_LIFE_S = 0.6
SEED = 20260


def processes_of(run_id: str) -> set[int]:
    """Return the processes that carry a run's mark, in whatever namespaces they are."""
    mark = f"{RUN_VARIABLE}={run_id}".encode()
    return {int(file.parent.name) for file in Path("/proc").glob("[0-9]*/environ") if mark in content(file)}


def content(file: Path) -> bytes:
    """Return what is in a file, nothing if it is gone or not ours."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def assert_all_gone(run_id: str) -> None:
    """Wait until no process of a run is left."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while left := processes_of(run_id):
        wait_for_ends(left, deadline)
        assert time.monotonic() < deadline, f"left after {GONE_WITHIN_S:g} s: {left}"


def wait_for_ends(pids: Iterable[int], deadline: float) -> None:
    """Wait until each process has ended, at most until the deadline."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ending = select.poll()
        ending.register(descriptor, select.POLLIN)
        ending.poll(max(0.0, deadline - time.monotonic()) * 1000)
        os.close(descriptor)


def start_harness(plan: LabPlan, launcher: str, run_id: str, *options: str) -> subprocess.Popen[bytes]:
    """Start a harness in a process of its own."""
    argv = [sys.executable, "-c", HARNESS, json.dumps(plan.to_json()), launcher, run_id, *options]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def end(harness: subprocess.Popen[bytes]) -> None:
    """Reap a killed harness."""
    with harness:
        pass


def test_a_harness_killed_at_any_moment_leaves_nothing(launcher: str, star: Callable[..., LabPlan]) -> None:
    interfaces = set(socket.if_nameindex())
    moments = random.Random(SEED)
    for _ in range(MOMENTS):
        run_id = secrets.token_hex(6)
        harness = start_harness(star(5), launcher, run_id)
        # Not a wait for something: the moment itself is what is tried.
        time.sleep(moments.uniform(0.05, LONGEST_LIFE_S))
        harness.kill()
        end(harness)
        assert_all_gone(run_id)
    assert set(socket.if_nameindex()) == interfaces


@pytest.mark.parametrize("victim", ["joinlab.keeper", "harness"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_standing_lab_goes_with_its_keeper_or_harness(
    launcher: str, star: Callable[..., LabPlan], victim: str, how: signal.Signals
) -> None:
    run_id = secrets.token_hex(6)
    harness = start_harness(star(5), launcher, run_id, "stay")
    assert harness.stdout is not None
    assert harness.stdout.readline() == b"stands\n"
    # With the root launcher: the keeper and five nodes; a user namespace's keeper has a process before it.
    processes = processes_of(run_id)
    assert len(processes) == (7 if launcher == "root" else 8)
    # The keeper was started first, so it (or the process before it) has the lowest number.
    os.kill(min(processes) if victim == "joinlab.keeper" else harness.pid, how)
    assert_all_gone(run_id)
    harness.kill()
    end(harness)


def test_a_node_that_is_killed_ends_alone(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.stand(star(3))
    assert lab.keeper.process is not None
    pid = lab.nodes["b"].pid
    os.kill(pids.outside(pid, lab.keeper.process.pid) or pid, signal.SIGKILL)
    ended = lab.wait_for("node", change="ended")
    assert (ended["node"], ended["status"]) == ("b", -signal.SIGKILL)
    assert lab.run("a", "print('here')") == "here"
    assert lab.run("c", "print('here')") == "here"


def test_a_node_is_a_machine_of_its_own(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.stand(star(2))
    program = "import os; print(os.getppid(), sorted(os.listdir('/sys/class/net')), len(os.listdir('/proc/self/fd')))"
    # The program's parent is the agent, pid 1. Its descriptors: stdin, stdout, stderr and the directory being listed.
    assert lab.run("a", program) == "1 ['eth0', 'lo'] 4"


def test_a_node_holds_nothing_of_the_keeper_or_of_other_nodes(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.stand(star(3))
    first, last = (lab.run(node, "import os; print(len(os.listdir('/proc/1/fd')))") for node in "ac")
    assert first == last


def test_control_c_at_the_terminal_is_not_for_the_keeper(lab: BareLab) -> None:
    assert lab.keeper.process is not None
    lab.keeper.process.send_signal(signal.SIGINT)
    assert lab.ask("hello")["pid"] > 0


@pytest.mark.parametrize(
    ("verb", "arguments", "text"),
    [
        ("dance", {}, "the keeper knows no verb 'dance'"),
        ("cut", {"port": "a-port"}, "nothing is built yet"),
        ("groups", {}, "there are no groups before the links are made"),
        ("cut", {"wrong": 1}, "unexpected keyword argument 'wrong'"),
        ("fork_node", {}, "required positional argument: 'name'"),
    ],
)
def test_a_wrong_request_is_answered_and_nothing_ends(
    lab: BareLab, verb: str, arguments: dict[str, object], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        lab.ask(verb, **arguments)
    assert lab.ask("hello")


def test_a_broken_plan_is_answered(lab: BareLab) -> None:
    with pytest.raises(LabBroken, match="KeyError: 'name'"):
        lab.ask("build", plan={})


def test_a_node_that_is_gone_can_not_be_linked(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    plan = star(1)
    lab.ask("build", plan=plan.to_json())
    with pytest.raises(LabBroken, match=r"node a \(process 4194000\) can't be entered: No such file or directory"):
        lab.ask("adopt", pids={"a": 4194000})


def test_the_keeper_ends_with_its_harness_while_it_probes(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.build(star(2))
    # A port that carries nothing is probed until the deadline.
    lab.ask("cut", port="a-port")
    lab.keeper.conversation.start("ready")
    lab.keeper.conversation.close()
    assert lab.keeper.process is not None
    lab.keeper.process.wait(probe.DEADLINE_S / 2)


def test_a_keeper_that_dies_early_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch, launcher: str) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(launchers, "START_S", 3600.0)
    with pytest.raises(UnfitMachine, match="the keeper ended before it answered"):
        start_keeper(Loop(), only=launcher)


def test_a_node_keeps_of_roots_powers_what_its_tools_need(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.stand(star(1))
    status = dict(line.split(":\t") for line in lab.run("a", "print(open('/proc/self/status').read())").splitlines())
    # Of a program that the node executes as root: the sets that count, and what it could gain.
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        assert int(status[kind], 16) == mask(CAPABILITIES)
