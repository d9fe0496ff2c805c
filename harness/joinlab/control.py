"""The run of a lab that has containers: its directory, the socket they dial, and the reaper that outlives us.

A container is not our child, so nothing of it ends with us by itself. Hence: it dials the control socket, ends when
that channel closes, carries labels, and the reaper removes what is left.

May not know: Docker, images, what is said over a channel after the hello.
"""

import contextlib
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from joinlab.errors import LabBroken, UnfitMachine
from joinlab.loop import PATIENCE_S, Loop
from joinlab.marks import LABEL_OWNER, LABEL_PROCESS, LABEL_RUN, marked_environment, this_process
from joinlab_agent.channel import Channel, ChannelClosed, Message

SOCKET_NAME = "control.sock"
OWNER_NAME = "owner"

# Where a container finds the socket.
SOCKET_IN_CONTAINER = "/run/joinlab/control.sock"

# Where the reaper reads that all is removed already.
DONE = b"done"
REAPER_PATIENCE_S = 10.0


def runs_directory() -> Path:
    """Return the directory of this user's runs. It may not be there."""
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime, "joinlab")
    return Path(tempfile.gettempdir(), f"joinlab-{os.getuid()}")


class Control:
    """A run: ``id``, ``directory``, ``labels`` for its containers, and who has dialled in. Close it last."""

    def __init__(self, loop: Loop) -> None:
        self.id = secrets.token_hex(6)
        self.token = secrets.token_hex(16)
        self.directory = _make_directory(self.id)
        self.socket_path = self.directory / SOCKET_NAME
        self.labels = {
            LABEL_RUN: self.id,
            LABEL_OWNER: str(os.getuid()),
            LABEL_PROCESS: str(this_process()),
        }
        self._loop = loop
        self._arrived: dict[str, Channel] = {}
        self._strangers: set[Channel] = set()
        self._reaper: subprocess.Popen[bytes] | None = None
        self._listener = _listen(self.directory)
        loop.watch(self._listener, self._accept)

    def guard(self) -> None:
        """Start the reaper, before the first container: from here on nothing survives our death."""
        if self._reaper is None:
            self._reaper = subprocess.Popen(
                [sys.executable, "-m", "joinlab.reaper", self.id, str(self.directory)],
                stdin=subprocess.PIPE,
                env=marked_environment(),
                start_new_session=True,
            )

    def take(self, name: str) -> Channel | None:
        """Hand over the channel of one who has said hello; None: not yet. It is the caller's from then on."""
        return self._arrived.pop(name, None)

    def wait_for(
        self, names: Iterable[str], problem: Callable[[], str | None] = lambda: None, timeout_s: float = PATIENCE_S
    ) -> Mapping[str, Channel]:
        """Wait until all have said hello. ``problem`` is asked whenever something arrives. Raises LabBroken."""
        missing = set(names)
        found: dict[str, Channel] = {}

        def answer() -> str | None:
            for name in sorted(missing & self._arrived.keys()):
                found[name] = self._arrived.pop(name)
                missing.discard(name)
            return problem() if missing else ""

        wrong = self._loop.wait_for(answer, timeout_s)
        if wrong == "":
            return found
        for channel in found.values():
            channel.close()
        raise LabBroken(wrong or f"no word from {', '.join(sorted(missing))} in {timeout_s:g} s")

    def close(self, *, is_clean: bool = True) -> None:
        """Close the socket, remove the directory, let the reaper go; ``is_clean`` False: let it look once more."""
        if not self._listener._closed:  # type: ignore[attr-defined]
            self._loop.unwatch(self._listener)
            self._listener.close()
        for channel in (*self._strangers, *self._arrived.values()):
            self._drop(channel)
        self._arrived.clear()
        if is_clean:
            remove_run_directory(self.directory)
        if self._reaper is not None:
            self._dismiss(self._reaper, is_clean)
            self._reaper = None

    def _dismiss(self, reaper: subprocess.Popen[bytes], is_clean: bool) -> None:
        assert reaper.stdin is not None
        with contextlib.suppress(BrokenPipeError), reaper.stdin:
            if is_clean:
                reaper.stdin.write(DONE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            reaper.wait(REAPER_PATIENCE_S)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        channel = Channel(connection)
        self._strangers.add(channel)
        self._loop.watch(channel, lambda: self._hear(channel))

    def _hear(self, channel: Channel) -> None:
        """Take the hello, and nothing after it: the rest is for whom the channel is handed to."""
        try:
            messages = channel.take()
        except ChannelClosed:
            self._drop(channel)
            return
        if not messages:
            return
        (body, _), *others = messages
        if others or not self._is_welcome(body):
            self._drop(channel)
            return
        self._strangers.discard(channel)
        self._loop.unwatch(channel)
        self._arrived[body["hello"]] = channel

    def _is_welcome(self, body: Message) -> bool:
        token = body.get("token")
        return isinstance(token, str) and secrets.compare_digest(token, self.token) and body["hello"] not in self._arrived

    def _drop(self, channel: Channel) -> None:
        if channel in self._strangers:
            self._strangers.discard(channel)
            self._loop.unwatch(channel)
        channel.close()


def remove_run_directory(directory: Path) -> None:
    """Remove a run's directory, and the directory of all runs when it was the last."""
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        directory.parent.rmdir()


def _make_directory(run: str) -> Path:
    runs = runs_directory()
    while True:
        runs.mkdir(mode=0o700, exist_ok=True)
        _check_is_ours(runs)
        directory = runs / run
        # Another run's end may have removed the empty directory in between.
        with contextlib.suppress(FileNotFoundError):
            directory.mkdir(mode=0o700)
            (directory / OWNER_NAME).write_text(str(this_process()))
            return directory


def _check_is_ours(runs: Path) -> None:
    """Refuse a directory that somebody else laid out in /tmp for us to walk into."""
    status = runs.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UnfitMachine([f"{runs} must be a directory of this user's, closed to others: remove it or mend its mode"])


def _listen(directory: Path) -> socket.socket:
    """Listen in the directory. Bound through its descriptor, because a socket's path holds 107 characters at most."""
    listener = socket.socket(socket.AF_UNIX)
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
    finally:
        os.close(descriptor)
    listener.listen(1024)
    return listener
