"""The node image: joinlab's own code on an official Python image, named after its content.

The second call finds the image by its name and takes milliseconds; a changed file gives another name. The build
needs no network: everything that goes in comes from this installation.

May not know: containers, labs.
"""

import hashlib
import importlib.metadata
import importlib.util
import io
import socket
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from joinlab.base import LAST_LINES, Progress, base_problem, base_tag, make_base
from joinlab.errors import LabBroken, UnfitMachine
from joinlab.marks import LABEL_CONTENT

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = "joinlab-node"
OFFICIAL_BASE = "python:3.11-slim"

# What runs in a node, and what runs in the keeper's helper container.
OWN_PACKAGES = ("multipoint", "joinlab_agent", "joinlab")
FOREIGN_PACKAGE = "pyroute2"

# A build takes some ten seconds; a worker that waits longer for another one's build is waiting for a dead engine.
BUILD_PATIENCE_S = 300.0
LOOK_AGAIN_S = 0.1


class ContextFile(NamedTuple):
    """A file of the build context: its name there and where it lies."""

    name: str
    path: Path


def ensure_image(client: "DockerClient", progress: Progress = print, base: str | None = None) -> str:
    """Return the tag of the node image, building it where it is missing; one build at a time on this machine.

    ``base`` None: the official Python image where there is one or a registry gives it, else one made of this
    machine's Debian packages. Raises UnfitMachine.
    """
    files = context_files()
    tag = image_tag(files, base)
    if not _is_there(client, tag):
        with _turn_to_build(tag):
            if not _is_there(client, tag):
                _build(client, tag, files, base or _choose_base(client, progress), progress)
    return tag


def image_tag(files: list[ContextFile], base: str | None = None) -> str:
    """Name the image after its content. Of the foreign package the version is enough: reading it would take longer."""
    content = hashlib.sha256(f"{FOREIGN_PACKAGE} {importlib.metadata.version(FOREIGN_PACKAGE)} {base}".encode())
    for name, path in files:
        if not name.startswith(f"{FOREIGN_PACKAGE}/"):
            content.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{REPOSITORY}:{content.hexdigest()[:12]}"


def context_files() -> list[ContextFile]:
    """List what goes into the image, from a checkout and from an installed wheel alike."""
    files = [ContextFile("Dockerfile", _dockerfile())]
    for package in (*OWN_PACKAGES, FOREIGN_PACKAGE):
        directory = package_directory(package)
        paths = sorted(directory.rglob("*.py"))
        files += [ContextFile(f"{package}/{path.relative_to(directory)}", path) for path in paths]
    return files


def package_directory(package: str) -> Path:
    """Return where an installed package lies. Raises LabBroken when it is not installed, which it always is."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LabBroken(f"the package {package} is not installed beside joinlab")
    return Path(spec.submodule_search_locations[0])


def _dockerfile() -> Path:
    """In a checkout it stands in nodes/; a wheel carries it in the package."""
    candidates = (package_directory("joinlab_agent").parent / "Dockerfile", package_directory("joinlab") / "Dockerfile")
    for path in candidates:
        if path.is_file():
            return path
    raise LabBroken(f"this installation of joinlab lacks its Dockerfile ({candidates[1]})")


def _is_there(client: "DockerClient", tag: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        client.images.get(tag)
    except ImageNotFound:
        return False
    return True


def _choose_base(client: "DockerClient", progress: Progress) -> str:
    made = base_tag()
    for tag in (OFFICIAL_BASE, made):
        if _is_there(client, tag):
            return tag
    progress(f"Pulling {OFFICIAL_BASE} ...")
    refusal = pull(client, OFFICIAL_BASE)
    if refusal is None:
        return OFFICIAL_BASE
    progress(f"No registry gives {OFFICIAL_BASE} ({refusal}).")
    if problem := base_problem():
        # The end of the engine's chain of reasons says what was the matter; all of it has been told just now.
        reason = refusal.rpartition(": ")[2]
        raise UnfitMachine([f"no registry gives {OFFICIAL_BASE} ({reason}), and {problem} (or choose runtime netns)"])
    return make_base(client, progress)


def pull(client: "DockerClient", tag: str) -> str | None:
    """Pull an image; returns why it can't be had, None when it is there."""
    from docker.errors import APIError
    from requests.exceptions import RequestException

    try:
        for step in client.api.pull(tag, stream=True, decode=True):
            if "error" in step:
                return str(step["error"])
    except APIError as error:
        return str(error.explanation)
    except RequestException as error:
        return f"the engine gives up: {error}"
    return None


def _build(client: "DockerClient", tag: str, files: list[ContextFile], base: str, progress: Progress) -> None:
    progress(f"Building the node image {tag} on {base} ...")
    said: list[str] = []
    steps = client.api.build(
        fileobj=_context(files),
        custom_context=True,
        tag=tag,
        buildargs={"BASE": base},
        labels={LABEL_CONTENT: tag},
        network_mode="none",
        rm=True,
        forcerm=True,
        decode=True,
    )
    for step in steps:
        said += str(step.get("stream", "")).splitlines()
        if "error" in step:
            last = "\n  ".join([line for line in said if line.strip()][-LAST_LINES:])
            raise UnfitMachine([f"the node image can't be built: {step['error']}\n  {last}"])


def _context(files: list[ContextFile]) -> io.BytesIO:
    """Pack the build context. Owner and mode are ours: nodes run as any user and must be able to read it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, path in files:
            data = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(data))
    packed.seek(0)
    return packed


@contextmanager
def _turn_to_build(tag: str) -> Iterator[None]:
    """Wait until nobody else on this machine builds this image. The lock is a name that vanishes with its holder."""
    deadline = time.monotonic() + BUILD_PATIENCE_S
    with socket.socket(socket.AF_UNIX) as lock:
        while True:
            try:
                lock.bind(f"\0{tag}")
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise UnfitMachine(
                        [f"another process has been building {tag} for {BUILD_PATIENCE_S:g} s"]
                    ) from error
                time.sleep(LOOK_AGAIN_S)
        yield
