"""SIGKILL to pytest at any moment leaves nothing: no process, container, namespace or interface, within 5 seconds."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from joinlab.engine import connect, engine_problem
from joinlab.marks import LABEL_PROCESS, ProcessMark

KILLS = 10
# Moments lie between the start of pytest and this many times what it took until a test ran.
STRETCH = 1.5
RUNNING_WITHIN_S = 60.0
GONE_WITHIN_S = 5.0
# Inherited by all that pytest starts here.
MARK = "JOINLAB_KILL_TEST"

RUNNING = "running"
TEST = f"""
from pathlib import Path

def test_that_never_ends(lab, root, leaves):
    Path({RUNNING!r}).touch()
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
    environment = {**os.environ, MARK: "control"}
    with subprocess.Popen(["cat"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo:
        assert echo.stdin
        assert echo.stdout
        # It has its environment once it answers; for a moment before that, /proc shows none.
        os.write(echo.stdin.fileno(), b"?")
        assert os.read(echo.stdout.fileno(), 1) == b"?"
        assert any(f"process {echo.pid}:" in found for found in marked_processes("control"))
    assert not list(marked_processes("control"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("runtime", ["netns", "docker"])
def test_killed_pytest_leaves_nothing(tmp_path: Path, runtime: str) -> None:
    if runtime == "docker" and (problem := engine_problem()):
        pytest.skip(f"needs a Docker engine: {problem}")
    (tmp_path / "test_long.py").write_text(TEST)
    before = interfaces()
    # The control: a run in full swing, in which all that has to go is seen.
    begun = time.monotonic()
    with running_pytest(tmp_path, runtime, "control") as (process, owner):
        wait_until((tmp_path / RUNNING).exists, RUNNING_WITHIN_S)
        took_s = time.monotonic() - begun
        kinds = {found.partition(" ")[0] for found in leftovers("control", owner)}
        assert kinds == ({"process", "container"} if runtime == "docker" else {"process"})
        process.kill()
    assert_all_gone("control", owner, "in full swing")

    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    for number in range(KILLS):
        token, moment_s = f"{seed}-{number}", moments.uniform(0.0, STRETCH * took_s)
        with running_pytest(tmp_path, runtime, token) as (process, owner):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(moment_s)
            process.kill()
        assert_all_gone(token, owner, f"at {moment_s:.3f} s (seed {seed})")
    assert interfaces() <= before


def assert_all_gone(token: str, owner: str, when: str) -> None:
    """Wait until nothing of a killed run is left, for as long as that may take."""
    wait_until(lambda: not leftovers(token, owner), GONE_WITHIN_S)
    left = leftovers(token, owner)
    assert not left, f"left {GONE_WITHIN_S:g} s after a kill {when}: {left}"


def wait_until(question: Callable[[], bool], timeout_s: float) -> None:
    """Ask again and again: nobody tells us when a stranger's process has gone."""
    deadline = time.monotonic() + timeout_s
    while not question() and time.monotonic() < deadline:
        time.sleep(0.05)


@contextmanager
def running_pytest(directory: Path, runtime: str, token: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run pytest; gives the process, and how its containers name it as their owner."""
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
        try:
            yield process, str(ProcessMark.of(process.pid))
        finally:
            process.kill()
