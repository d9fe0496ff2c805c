"""What dead runs left is found by its marks and removed; what lives, or can't be judged, is left alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
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
