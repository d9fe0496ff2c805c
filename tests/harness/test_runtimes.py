"""Which runtime is taken and why; what the netns runtime does beside running nodes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from joinlab import runtimes
from joinlab.errors import LabBroken, UnfitMachine, UsageError
from joinlab.plan import LabPlan

if TYPE_CHECKING:
    from tests.harness.conftest import BareLab


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let no Docker engine be found; returns where it is looked for."""
    path = str(tmp_path / "docker.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    return path


def test_without_an_engine_auto_takes_netns_and_says_why(no_engine: str) -> None:
    choice = runtimes.choose("auto")
    assert choice.name == "netns"
    assert choice.why.startswith(f"no Docker engine at {no_engine}")


def test_docker_without_an_engine_is_refused_with_the_cure(no_engine: str) -> None:
    with pytest.raises(UnfitMachine, match=f"no Docker engine at {no_engine}: apt-get install docker.io"):
        runtimes.choose("docker")


@pytest.mark.usefixtures("no_engine")
def test_netns_asks_no_engine() -> None:
    assert runtimes.choose("netns") == ("netns", "it was asked for")


def test_an_unknown_runtime_is_told_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no runtime 'podman': there are auto, docker, netns"):
        runtimes.choose("podman")


def test_a_shell_is_opened_in_the_node(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.stand(star(2))
    program = "hostname; ls /sys/class/net; cat /proc/1/comm"
    shell = subprocess.run(
        lab.runtime.shell("b"), input=program, capture_output=True, check=True, text=True, timeout=10
    )
    assert shell.stdout.split() == ["b", "eth0", "lo", "node", "b"]


def test_a_node_that_asks_for_an_image_is_refused(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    plan = star(1)
    with pytest.raises(UsageError, match="node a asks for the image mine: that needs --runtime=docker"):
        lab.runtime.start([replace(plan.nodes[0], image="mine")])


def test_a_node_that_can_not_be_made_is_told(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    plan = star(1)
    with pytest.raises(LabBroken, match=r"node n+ can't be made: "):
        lab.runtime.start([replace(plan.nodes[0], name="n" * 100)])


def test_nodes_end_with_the_runtime(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    lab.stand(star(2))
    for agent in lab.agents.values():
        agent.close()
    lab.runtime.stop()
    lab.runtime.stop()
    for node in "ab":
        assert lab.wait_for("node", node=node, change="ended")["status"] == 0


def test_a_node_that_can_not_be_made_leaves_nothing_of_the_others(lab: BareLab, star: Callable[..., LabPlan]) -> None:
    too_long, *others = star(3).nodes
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(LabBroken, match="can't be made"):
        lab.runtime.start([replace(too_long, name="x" * 100), *others])
    lab.runtime.stop()
    assert set(Path("/proc/self/fd").iterdir()) <= before
