"""A killed harness leaves nothing: the reaper removes containers and directory, also those that show up late."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from joinlab.containers import labelled, of_run, remove_all
from joinlab.engine import engine, engine_problem
from joinlab.image import ensure_image
from joinlab.marks import LABEL_PROCESS, LABEL_RUN, PROCESS_VARIABLE, ProcessMark
from joinlab.reaper import DONE, reap
from joinlab.rundirectory import find_run_directories

pytestmark = pytest.mark.skipif(engine_problem() is not None, reason=str(engine_problem()))

# What issue and user expect of a kill.
GONE_WITHIN_S = 5.0
# From the harness's first imports to its nodes' first words.
MOMENTS = (0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.3)

# By then the reaper has looked for the first time, and found nothing.
CREATE_TAKES_S = 0.7

HARNESS = """
import sys, time
from joinlab.control import Control
from joinlab.helper import NAME, helper_launcher
from joinlab.launchers import start_keeper
from joinlab.loop import Loop
from joinlab.plan import NodePlan
from joinlab.runtimes.docker import DockerRuntime

loop = Loop()
control = Control(loop)
keeper = start_keeper(loop, others=[helper_launcher(lambda: control)], only=NAME, for_containers=True)
nodes = DockerRuntime(loop, control).start([NodePlan(name, "leaf") for name in "abc"])
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def client() -> Iterator[DockerClient]:
    with engine() as client:
        yield client


@pytest.fixture
def image(client: DockerClient) -> str:
    """Have the image ready, so that the moments fall into the start of containers and not into a build."""
    return ensure_image(client, lambda _: None)


def wait_until(claim: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def is_left(client: DockerClient, mark: ProcessMark) -> bool:
    """Tell whether anything of a harness is there: container, directory or process."""
    return any((labelled(client, f"{LABEL_PROCESS}={mark}"), directories(mark), marked_processes(mark)))


def directories(mark: ProcessMark) -> list[Path]:
    return [path for path, owner in find_run_directories() if owner == mark]


def marked_processes(mark: ProcessMark) -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/environ") if f"{PROCESS_VARIABLE}={mark}" in environment(path)]


def environment(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # ended meanwhile, or somebody else's
        return ""


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize("seconds", [*MOMENTS, None], ids=lambda s: f"after {s} s" if s else "when up")
def test_a_harness_killed_at_any_moment_leaves_nothing(client: DockerClient, seconds: float | None) -> None:
    harness = subprocess.Popen([sys.executable, "-c", HARNESS], stdout=subprocess.PIPE, text=True)
    mark = ProcessMark.of(harness.pid)
    assert harness.stdout is not None
    with harness.stdout as said:
        if seconds is None:
            assert said.readline() == "up\n"
            # The positive control: all that is looked for below is there and can be seen.
            assert len(labelled(client, f"{LABEL_PROCESS}={mark}")) == 4
            assert len(directories(mark)) == 1
        else:
            time.sleep(seconds)  # a moment of the harness's life, not a wait for anything
        harness.kill()
        harness.wait()
        wait_until(lambda: not is_left(client, mark), GONE_WITHIN_S)


def start_reaper(run: str, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "joinlab.reaper", run, str(directory)], stdin=subprocess.PIPE)


def make_container(client: DockerClient, image: str, run: str) -> str:
    container: str = client.api.create_container(image, ["true"], labels={LABEL_RUN: run})["Id"]
    return container


def test_containers_and_directory_are_removed(client: DockerClient, image: str, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    make_container(client, image, "dead")
    start_reaper("dead", directory).communicate(b"")
    assert of_run(client, "dead") == []
    assert not directory.exists()


def test_a_create_under_way_when_the_harness_dies_is_awaited(client: DockerClient, image: str) -> None:
    looking = threading.Thread(target=reap, args=["under-way"])
    looking.start()
    time.sleep(CREATE_TAKES_S)
    make_container(client, image, "under-way")
    wait_until(lambda: of_run(client, "under-way") == [], GONE_WITHIN_S)
    looking.join()


def test_a_run_that_ended_well_is_left_alone(client: DockerClient, image: str, tmp_path: Path) -> None:
    container = make_container(client, image, "well")
    reaper = start_reaper("well", tmp_path / "run")
    reaper.communicate(DONE)
    assert of_run(client, "well") == [container]
    remove_all(client, [container])


def test_removing_twice_is_no_error(client: DockerClient, image: str) -> None:
    container = make_container(client, image, "twice")
    remove_all(client, [container])
    remove_all(client, [container])
