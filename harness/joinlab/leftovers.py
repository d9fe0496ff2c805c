"""What dead runs left behind: found by the marks that joinlab set itself (``marks.py``), never by the look of a name.

Nothing of a run that is alive, or that can't be judged from here (another machine's, another PID namespace's), counts
as left over. As root: containers and processes of all users; else: of this user.

May not know: how labs are run.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joinlab.engine import engine, engine_problem
from joinlab.marks import (
    LABEL_CONTENT,
    LABEL_OWNER,
    LABEL_PROCESS,
    LABEL_RUN,
    PROCESS_VARIABLE,
    ProcessMark,
)
from joinlab.rundirectory import find_run_directories, remove_run_directory

if TYPE_CHECKING:
    from docker import DockerClient


NO_TAG = "<none>:<none>"  # how the engine lists what a build left that never ended


@dataclass(frozen=True)
class Leftover:
    """One thing that a dead run left: "container", "process", "directory" or "image", and which."""

    kind: str
    name: str
    run: str = ""
    remove: Callable[[], None] = field(repr=False, compare=False, default=lambda: None)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" of run {self.run}" if self.run else "")


def find(*, images: bool = False) -> list[Leftover]:
    """Find what is left, in the order in which to remove it; with ``images`` the node images of older versions too."""
    return [*_processes(), *_of_engine(_containers), *_directories(), *(_of_engine(_images) if images else ())]


def remove(*, images: bool = False) -> list[Leftover]:
    """Remove what is left, and return it."""
    found = find(images=images)
    for leftover in found:
        leftover.remove()
    return found


def _processes() -> Iterator[Leftover]:
    for directory in Path("/proc").glob("[0-9]*"):
        pid = int(directory.name)
        mark = _owner_of(directory)
        if mark is not None and mark.is_gone and pid != os.getpid():
            yield Leftover("process", f"{pid} ({_program(directory)})", remove=partial(_kill, pid, mark))


def _owner_of(process: Path) -> ProcessMark | None:
    """Return the mark in a process's environment; None: it has none, or is none of ours to see."""
    key = f"{PROCESS_VARIABLE}=".encode()
    with contextlib.suppress(OSError, ValueError):
        for variable in (process / "environ").read_bytes().split(b"\0"):
            if variable.startswith(key):
                return ProcessMark.parse(variable.removeprefix(key).decode())
    return None


def _program(process: Path) -> str:
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return "ended"


def _kill(pid: int, mark: ProcessMark) -> None:
    """Kill a process by a handle on it, looked at again after the handle was taken: numbers are used anew."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if _owner_of(Path("/proc", str(pid))) == mark:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _directories() -> Iterator[Leftover]:
    for path, owner in find_run_directories():
        if owner.is_gone:
            yield Leftover("directory", str(path), path.name, partial(remove_run_directory, path))


def _of_engine(look: "Callable[[DockerClient], list[Leftover]]") -> list[Leftover]:
    """Ask the engine. Where none answers there is nothing of ours that still runs."""
    if engine_problem() is not None:
        return []
    with engine() as client:
        return look(client)


def _containers(client: "DockerClient") -> list[Leftover]:
    from joinlab.containers import labelled

    return [
        Leftover("container", found["Names"][0].lstrip("/"), labels[LABEL_RUN], partial(_remove, found["Id"]))
        for found in labelled(client, LABEL_RUN, LABEL_PROCESS)
        if _is_ours(labels := found["Labels"]) and _is_orphan(labels[LABEL_PROCESS])
    ]


def _is_ours(labels: dict[str, str]) -> bool:
    return os.getuid() in (0, int(labels.get(LABEL_OWNER, "-1")))


def _is_orphan(mark: str) -> bool:
    with contextlib.suppress(ValueError):
        return ProcessMark.parse(mark).is_gone
    return False


def _remove(container: str) -> None:
    from joinlab.containers import remove_all

    with engine() as client:
        remove_all(client, [container])


def _images(client: "DockerClient") -> list[Leftover]:
    from joinlab.base import base_tag
    from joinlab.image import context_files, image_tag

    current = {image_tag(context_files()), base_tag()}
    images: list[dict[str, Any]] = client.api.images(filters={"label": LABEL_CONTENT})
    names = {name for image in images for name in (image["RepoTags"] or [NO_TAG]) if name != NO_TAG}
    parts = {image["Id"] for image in images if (image["RepoTags"] or [NO_TAG]) == [NO_TAG]}
    return [Leftover("image", name, remove=partial(_remove_image, name)) for name in sorted(names - current | parts)]


def _remove_image(tag: str) -> None:
    from docker.errors import APIError

    # One that a container uses stays.
    with engine() as client, contextlib.suppress(APIError):
        client.api.remove_image(tag)
