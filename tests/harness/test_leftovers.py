"""What dead runs left is found by its marks and removed; what lives, or can't be judged, is left alone."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from docker import DockerClient

from joinlab import leftovers
from joinlab.containers import of_run, remove_all
from joinlab.engine import engine, engine_problem
from joinlab.image import ensure_image
from joinlab.marks import (
    LABEL_OWNER,
    LABEL_PROCESS,
    LABEL_RUN,
    PROCESS_VARIABLE,
    ProcessMark,
    this_process,
)
from joinlab.rundirectory import OWNER_NAME

needs_engine = pytest.mark.skipif(engine_problem() is not None, reason=str(engine_problem()))

DEAD = replace(this_process(), started=1)
ELSEWHERE = replace(DEAD, boot="another")
RUN = f"leftovers-{os.getpid()}"


@pytest.fixture(params=[DEAD, this_process(), ELSEWHERE], ids=["dead", "alive", "elsewhere"])
def owner(request: pytest.FixtureRequest) -> ProcessMark:
    mark: ProcessMark = request.param
    return mark


@pytest.fixture
def client() -> Iterator[DockerClient]:
    with engine() as client:
        yield client
        remove_all(client, of_run(client, RUN))


def found(kind: str, name: str) -> list[leftovers.Leftover]:
    return [left for left in leftovers.find() if left.kind == kind and name in str(left)]


@needs_engine
def test_containers_of_dead_runs_are_found_and_removed(client: DockerClient, owner: ProcessMark) -> None:
    labels = {LABEL_RUN: RUN, LABEL_OWNER: str(os.getuid()), LABEL_PROCESS: str(owner)}
    client.api.create_container(ensure_image(client, lambda _: None), ["true"], labels=labels)
    left = found("container", RUN)
    assert len(left) == (owner == DEAD)
    for container in left:
        container.remove()
    assert len(of_run(client, RUN)) == (owner != DEAD)


@needs_engine
@pytest.mark.skipif(os.getuid() == 0, reason="root may remove anybody's: run as an ordinary user")
def test_containers_of_another_user_are_left_alone(client: DockerClient) -> None:
    labels = {LABEL_RUN: RUN, LABEL_OWNER: str(os.getuid() + 1), LABEL_PROCESS: str(DEAD)}
    client.api.create_container(ensure_image(client, lambda _: None), ["true"], labels=labels)
    assert found("container", RUN) == []


@needs_engine
def test_a_container_that_only_looks_like_ours_is_left_alone(client: DockerClient) -> None:
    name = f"joinlab-{RUN}-leaf1"
    container = client.api.create_container(ensure_image(client, lambda _: None), ["true"], name=name)["Id"]
    assert found("container", RUN) == []
    remove_all(client, [container])


def test_processes_of_dead_runs_are_found_and_killed(owner: ProcessMark) -> None:
    command = [sys.executable, "-c", "print('runs', flush=True); input()"]
    environment = os.environ | {PROCESS_VARIABLE: str(owner)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        left = found("process", f"{process.pid} (")
        assert len(left) == (owner == DEAD)
        for one in left:
            one.remove()
        process.communicate(b"\n")
    assert process.returncode == (-9 if owner == DEAD else 0)


def test_directories_of_dead_runs_are_found_and_removed(
    owner: ProcessMark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    directory = tmp_path / "joinlab" / "a-run"
    directory.mkdir(parents=True)
    (directory / OWNER_NAME).write_text(str(owner))
    for left in found("directory", "a-run"):
        left.remove()
    assert directory.exists() == (owner != DEAD)


class KilledHarness:
    """A `joinlab up`, killed with its reaper while all that would have ended by itself is frozen."""

    def __init__(self, runtime: str, runs: Path) -> None:
        environment = os.environ | {"XDG_RUNTIME_DIR": str(runs)}
        command = [str(Path(sys.executable).with_name("joinlab")), "up", "star", "--leaves", "1", "--runtime", runtime]
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as harness:
            said = b""
            while not said.endswith(b"joinlab> "):
                data = os.read(harness.stdout.fileno(), 65536) if harness.stdout else b""
                assert data, said
                said += data
            self.run = next((path.name for path in runs.glob("joinlab/*")), "")
            self.processes = list(descendants(harness.pid))
            for pid in self.processes:
                os.kill(pid, signal.SIGSTOP)
            self.pause_containers()
            harness.kill()
        for pid in self.processes:
            if b"joinlab.reaper" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    def pause_containers(self) -> None:
        """Freeze the containers of the run, if it has some."""
        if self.run:
            with engine() as client:
                for container in of_run(client, self.run):
                    client.api.pause(container)

    def left(self) -> list[leftovers.Leftover]:
        """Return what is left of it."""
        names = {f"{pid} (" for pid in self.processes}
        return [
            left
            for left in leftovers.find()
            if (self.run and left.run == self.run) or (left.kind == "process" and left.name.startswith(tuple(names)))
        ]


def descendants(pid: int) -> Iterator[int]:
    """Yield the children of a process, and theirs."""
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        yield child
        yield from descendants(child)


@pytest.mark.parametrize("runtime", ["netns", pytest.param("docker", marks=needs_engine)])
def test_all_that_a_killed_harness_left_is_found_and_removed(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    harness = KilledHarness(runtime, tmp_path)
    left = harness.left()
    kinds = Counter(one.kind for one in left)
    if runtime == "docker":
        assert kinds["container"] >= 2
        assert kinds["directory"] == 1
    else:
        # The keeper, its nursery and two nodes, at least.
        assert kinds["process"] >= 4
    for one in left:
        one.remove()
    assert wait_until_nothing(harness.left) == []
    assert list(tmp_path.iterdir()) == []


def wait_until_nothing(left: Callable[[], list[leftovers.Leftover]]) -> list[leftovers.Leftover]:
    """Ask until nothing is left, for at most five seconds: the kernel takes its time with the killed."""
    deadline = time.monotonic() + 5
    while (still := left()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return still
