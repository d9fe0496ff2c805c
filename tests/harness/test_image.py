"""The node image: named after its content, built once, from a base that is found without asking."""

import io
import re
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from joinlab import image
from joinlab.base import base_problem, is_of_release
from joinlab.engine import engine, engine_problem
from joinlab.errors import UnfitMachine
from joinlab.image import ContextFile, context_files, ensure_image, image_tag

needs_engine = pytest.mark.skipif(engine_problem() is not None, reason=str(engine_problem()))


@pytest.fixture
def client() -> Iterator[DockerClient]:
    with engine() as client:
        yield client


def test_image_is_named_after_its_content(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("one")
    one = image_tag([ContextFile("module.py", file)])
    assert one == image_tag([ContextFile("module.py", file)])
    file.write_text("two")
    assert one != image_tag([ContextFile("module.py", file)])
    assert image_tag([ContextFile("module.py", file)], base="mine") != image_tag([ContextFile("module.py", file)])


def test_image_holds_what_node_and_keeper_run() -> None:
    names = {name for name, _ in context_files()}
    assert {
        "Dockerfile",
        "joinlab_agent/agent.py",
        "multipoint/__init__.py",
        "joinlab/keeper.py",
        "pyroute2/__init__.py",
    } <= names
    assert {Path(name).suffix for name in names - {"Dockerfile"}} == {".py"}


def test_without_mmdebstrap_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "apt-get install mmdebstrap" in str(base_problem())


@needs_engine
def test_without_registry_and_mmdebstrap_it_is_one_line_with_the_cure(
    client: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "REPOSITORY", "joinlab-none")
    monkeypatch.setattr(image, "OFFICIAL_BASE", "127.0.0.1:9/python:3.11-slim")
    monkeypatch.setattr(image, "base_tag", lambda: "joinlab-base:none")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnfitMachine) as unfit:
        ensure_image(client, lambda _: None)
    (line,) = unfit.value.missing
    assert re.fullmatch(
        r"no registry gives 127\.0\.0\.1:9/python:3\.11-slim \(.+\), and mmdebstrap is missing, which makes one of "
        r"Debian's packages: apt-get install mmdebstrap \(or choose runtime netns\)",
        line,
    )


@needs_engine
def test_second_call_finds_the_image_and_says_nothing(client: DockerClient) -> None:
    said: list[str] = []
    tag = ensure_image(client, said.append)
    said.clear()
    assert ensure_image(client, said.append) == tag
    assert said == []


@pytest.fixture
def empty_base(client: DockerClient) -> Iterator[str]:
    """Make an image in which nothing is, not even a shell."""
    packed = io.BytesIO()
    tarfile.open(fileobj=packed, mode="w").close()
    client.api.import_image_from_data(packed.getvalue(), repository="joinlab-test", tag="empty")
    yield "joinlab-test:empty"
    client.images.remove("joinlab-test:empty", force=True)


@needs_engine
def test_a_build_that_fails_says_why(client: DockerClient, empty_base: str) -> None:
    with pytest.raises(UnfitMachine, match=r"can't be built.*(?s:.*)Step"):
        ensure_image(client, lambda _: None, base=empty_base)


@pytest.fixture
def own_base(client: DockerClient) -> Iterator[str]:
    """Give the node image a second name, so that what is built on it is a new image."""
    client.images.get(ensure_image(client, lambda _: None)).tag("joinlab-test", "base")
    yield "joinlab-test:base"
    client.images.remove("joinlab-test:base", force=True)


@needs_engine
def test_workers_that_want_the_same_image_build_it_once(client: DockerClient, own_base: str) -> None:
    said: list[str] = []
    made: set[str] = set()

    def work() -> None:
        with engine() as mine:
            made.add(ensure_image(mine, said.append, base=own_base))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for tag in made:
        client.images.remove(tag, force=True)
    assert len([line for line in said if line.startswith("Building")]) == 1


@pytest.mark.parametrize(
    ("source", "belongs"),
    [
        ("deb http://mirror.example/debian bookworm main", True),
        ("deb http://mirror.example/debian bookworm-updates main contrib", True),
        ("deb [signed-by=/k.gpg] http://mirror.example/debian-security bookworm-security main", True),
        ("deb http://mirror.example/debian trixie main", False),
        ("deb http://mirror.example/pub/apt bookworm-pgdg main", False),
        ("deb http://mirror.example/linux/debian bookworm stable", False),
        ("Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main", True),
        ("Enabled: no\nTypes: deb\nURIs: http://x.example/\nSuites: bookworm\nComponents: main", False),
        ("# Suites: bookworm\nTypes: deb\nURIs: http://x.example/\nSuites: sid\nComponents: main", False),
    ],
)
def test_only_the_releases_own_sources_are_used(source: str, belongs: bool) -> None:
    assert is_of_release(source, "bookworm") is belongs
