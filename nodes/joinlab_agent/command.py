"""A command that runs in the node, and what it prints.

May not know: channels, apps.
"""

import contextlib
import os
import subprocess
import time
from typing import Any

READ_SIZE = 64 * 1024


class Command:
    """A running command. The agent reaps it, for pid 1 reaps everybody, and tells it its status."""

    def __init__(self, number: int, argv: list[str], timeout_s: float | None, name: str) -> None:
        self.number = number
        self.name = name  # by which it can be sent signals; empty: it can't
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdout = self._process.stdout.fileno()
        self._stderr = self._process.stderr.fileno()
        self._output = {self._stdout: bytearray(), self._stderr: bytearray()}
        self.pipes = {self._stdout, self._stderr}
        for pipe in self.pipes:
            os.set_blocking(pipe, False)

    def read(self, pipe: int) -> bool:
        """Take what the pipe holds; False once it has ended, and it is then no longer one of ``pipes``."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(pipe, READ_SIZE):
                self._output[pipe] += data
            self.pipes.discard(pipe)
            return False
        return True

    def result(self, status: int) -> dict[str, Any]:
        """Take what is left and close up. A daemon that still holds a pipe isn't waited for."""
        for pipe in tuple(self.pipes):
            self.read(pipe)
        self._process.returncode = status
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        return {
            "status": status,
            "stdout": self._output[self._stdout].decode(errors="replace"),
            "stderr": self._output[self._stderr].decode(errors="replace"),
        }
