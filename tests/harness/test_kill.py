"""SIGKILL to pytest at any moment leaves nothing: no process, container, namespace or interface, within 5 seconds."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from joinlab.engine import connect, engine_problem
from joinlab.marks import LABEL_PROCESS, ProcessMark

KILLS = 10
# A lab is up after 0.7 s (netns) or 2 s (docker) with the start of pytest; the rest is a running test.
MOMENTS_S = {"netns": 2.0, "docker": 3.5}
GONE_WITHIN_S = 5.0
# Inherited by all that pytest starts here.
MARK = "JOINLAB_KILL_TEST"

TEST = """
def test_that_never_ends(lab, root, leaves):
    while True:
        lab.root.run("true")
"""


def marked_processes(token: str) -> Iterator[str]:
    """Yield what carries the token in its environment, zombies aside."""
    wanted = f"{MARK}={token}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield f"process {entry.name}: {(entry / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()}"
        except (OSError, UnicodeDecodeError):
            continue


def containers_of(owner: str) -> list[str]:
    """Return the containers, in whatever state, that the killed pytest had made."""
    if engine_problem():
        return []
    with closing(connect()) as client:
        found = client.api.containers(all=True, filters={"label": f"{LABEL_PROCESS}={owner}"})
    return [f"container {container['Names']}" for container in found]


def interfaces() -> set[str]:
    """Return the interfaces of this network namespace, and the namespaces that have a name."""
    named = Path("/run/netns")
    names = {f"namespace {path.name}" for path in named.iterdir()} if named.is_dir() else set()
    return names | {f"interface {path.name}" for path in Path("/sys/class/net").iterdir()}


def leftovers(token: str, owner: str) -> list[str]:
    """Return all that is left of a killed run."""
    return [*marked_processes(token), *containers_of(owner)]


def test_marked_processes_are_found() -> None:
    """The control: what is looked for would be seen."""
    with subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: "control"}) as sleeper:
        assert any(f"process {sleeper.pid}:" in found for found in marked_processes("control"))
        sleeper.kill()
    assert not list(marked_processes("control"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("runtime", ["netns", "docker"])
def test_killed_pytest_leaves_nothing(tmp_path: Path, runtime: str) -> None:
    if runtime == "docker" and (problem := engine_problem()):
        pytest.skip(f"needs a Docker engine: {problem}")
    (tmp_path / "test_long.py").write_text(TEST)
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    before = interfaces()
    alive: set[str] = set()
    for number in range(KILLS):
        token, moment_s = f"{seed}-{number}", moments.uniform(0.0, MOMENTS_S[runtime])
        owner = kill_after(moment_s, tmp_path, runtime, token, alive)
        deadline = time.monotonic() + GONE_WITHIN_S
        while (left := leftovers(token, owner)) and time.monotonic() < deadline:
            time.sleep(0.05)  # nobody tells us when a stranger's process has gone
        assert not left, f"left {GONE_WITHIN_S:g} s after a kill at {moment_s:.3f} s (seed {seed}): {left}"
    assert interfaces() <= before
    # The control: some of the kills hit a run in full swing, and what had to go was seen then.
    assert {"process", "container" if runtime == "docker" else "process"} <= alive


def kill_after(moment_s: float, directory: Path, runtime: str, token: str, alive: set[str]) -> str:
    """Run pytest and kill it at that moment; returns how its containers name it as their owner.

    The kinds of things that were there at the moment of the kill are added to ``alive``.
    """
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--topology=star",
        f"--runtime={runtime}",
    ]
    with subprocess.Popen(
        command,
        cwd=directory,
        env={**os.environ, MARK: token},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        owner = str(ProcessMark.of(process.pid))
        try:
            process.wait(moment_s)
        except subprocess.TimeoutExpired:
            alive.update(found.partition(" ")[0] for found in leftovers(token, owner))
            process.kill()
        else:
            raise AssertionError(f"pytest ended by itself with {process.returncode}")
    return owner
