"""The run of a lab that has containers: its directory, the socket they dial, and the reaper that outlives us.

A container is not our child, so nothing of it ends with us by itself. Hence: it dials the control socket, ends when
that channel closes, carries labels, and the reaper removes what is left.

May not know: Docker, images, what is said over a channel after the hello.
"""

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from joinlab.errors import LabBroken
from joinlab.loop import PATIENCE_S, Loop
from joinlab.marks import LABEL_OWNER, LABEL_PROCESS, LABEL_RUN, this_process
from joinlab.reaper import DONE
from joinlab.rundirectory import SOCKET_NAME, listen_in, make_run_directory, remove_run_directory, runs_directory
from joinlab_agent.channel import Channel, ChannelClosed, Message

# Where a container finds the socket.
SOCKET_IN_CONTAINER = "/run/joinlab/control.sock"

REAPER_PATIENCE_S = 10.0


class Control:
    """A run: ``id``, ``directory``, ``labels`` for its containers, and who has dialled in. Close it last."""

    def __init__(self, loop: Loop) -> None:
        self.id = secrets.token_hex(6)
        self.token = secrets.token_hex(16)
        self.directory = runs_directory() / self.id
        # First of all: from here on nothing survives our death, the directory included.
        self._engaged: set[str] = set()
        self._reaper: subprocess.Popen[bytes] | None = _start_reaper(self.id, self.directory)
        try:
            make_run_directory(self.directory)
        except BaseException:
            self._dismiss()
            raise
        self.socket_path = self.directory / SOCKET_NAME
        self.labels = {
            LABEL_RUN: self.id,
            LABEL_OWNER: str(os.getuid()),
            LABEL_PROCESS: str(this_process()),
        }
        self._loop = loop
        self._arrived: dict[str, Channel] = {}
        self._strangers: set[Channel] = set()
        self._listener = listen_in(self.directory)
        self._is_listening = True
        loop.watch(self._listener, self._accept)

    def engage(self, what: str) -> None:
        """Say that containers of a kind are about to be made."""
        self._engaged.add(what)

    def release(self, what: str) -> None:
        """Say that all containers of a kind are gone, seen to be so."""
        self._engaged.discard(what)

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

    def close(self) -> None:
        """Close the socket, remove the directory, let the reaper go. What was not released, the reaper removes."""
        if self._is_listening:
            self._is_listening = False
            self._loop.unwatch(self._listener)
            self._listener.close()
        for channel in (*self._strangers, *self._arrived.values()):
            self._drop(channel)
        self._arrived.clear()
        if not self._engaged:
            remove_run_directory(self.directory)
        self._dismiss()

    def _dismiss(self) -> None:
        reaper, self._reaper = self._reaper, None
        if reaper is None:
            return
        assert reaper.stdin is not None
        with contextlib.suppress(BrokenPipeError), reaper.stdin:
            if not self._engaged:
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
        name, token = body.get("hello"), body.get("token")
        if not isinstance(name, str) or not isinstance(token, str):
            return False
        return secrets.compare_digest(token.encode(), self.token.encode()) and name not in self._arrived

    def _drop(self, channel: Channel) -> None:
        if channel in self._strangers:
            self._strangers.discard(channel)
            self._loop.unwatch(channel)
        channel.close()


def _start_reaper(run: str, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "joinlab.reaper", run, str(directory)],
        stdin=subprocess.PIPE,
        # Not marked as ours: it works on when we are gone, and then ends by itself.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )
