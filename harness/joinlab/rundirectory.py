"""The directory of a run that has containers: made, found, removed. In it: the control socket and the owner's mark.

May not know: Docker, channels. Standard library only, because the reaper starts with it.
"""

import contextlib
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from joinlab.errors import UnfitMachine
from joinlab.marks import ProcessMark, this_process

SOCKET_NAME = "control.sock"
OWNER_NAME = "owner"


class FoundDirectory(NamedTuple):
    """A run's directory that lies there, and the process it belongs to."""

    path: Path
    owner: ProcessMark


def runs_directory() -> Path:
    """Return the directory of this user's runs. It may not be there."""
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime, "joinlab")
    return Path(tempfile.gettempdir(), f"joinlab-{os.getuid()}")


def make_run_directory(directory: Path) -> None:
    """Make the directory of a run, closed to others. Raises UnfitMachine."""
    while not directory.is_dir():
        directory.parent.mkdir(mode=0o700, exist_ok=True)
        _check_is_ours(directory.parent)
        # Another run's end may have removed the empty directory of all runs in between.
        with contextlib.suppress(FileNotFoundError):
            directory.mkdir(mode=0o700)
            (directory / OWNER_NAME).write_text(str(this_process()))


def listen_in(directory: Path) -> socket.socket:
    """Listen in the directory. Bound through its descriptor, because a socket's path holds 107 characters at most."""
    listener = socket.socket(socket.AF_UNIX)
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
    finally:
        os.close(descriptor)
    listener.listen(1024)
    return listener


def find_run_directories() -> Iterator[FoundDirectory]:
    """Find this user's run directories, by the mark in them."""
    runs = runs_directory()
    for path in sorted(runs.iterdir()) if runs.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):
            yield FoundDirectory(path, ProcessMark.parse((path / OWNER_NAME).read_text()))


def remove_run_directory(directory: Path) -> None:
    """Remove a run's directory, and the directory of all runs when it was the last."""
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        directory.parent.rmdir()


def _check_is_ours(runs: Path) -> None:
    """Refuse a directory that somebody else laid out in /tmp for us to walk into."""
    status = runs.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UnfitMachine([f"{runs} must be a directory of this user's, closed to others: remove it or mend its mode"])
