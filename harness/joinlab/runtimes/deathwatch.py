"""Notices on the loop that a container did not start, or ended while the others still start.

Threads start containers; they only hand over here. A container's process is watched by its pidfd, which needs no
privileges and no thread.

May not know: what a container does.
"""

import os
from concurrent.futures import Future
from types import TracebackType
from typing import NamedTuple, Self

from joinlab.containers import Started
from joinlab.loop import Loop


class _Descriptor(NamedTuple):
    number: int

    def fileno(self) -> int:
        return self.number


class Deathwatch:
    """``failed``: starts that raised; ``ended``: containers whose process is gone. Both by node name."""

    def __init__(self, loop: Loop, *, sees_processes: bool) -> None:
        """Watch on ``loop``. ``sees_processes`` False: their numbers mean nothing here, so only silence tells."""
        self._sees_processes = sees_processes
        self.failed: dict[str, BaseException] = {}
        self.ended: set[str] = set()
        self._loop = loop
        self._starting: dict[str, Future[Started]] = {}
        self._processes: set[_Descriptor] = set()
        self._nudge = _Descriptor(os.eventfd(0, os.EFD_CLOEXEC))
        loop.watch(self._nudge, self._look)

    def add(self, name: str, starting: Future[Started]) -> None:
        """Watch one more container."""
        self._starting[name] = starting
        starting.add_done_callback(lambda _: os.eventfd_write(self._nudge.number, 1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop watching. The starts must be over, since they nudge."""
        for descriptor in (self._nudge, *self._processes):
            self._loop.unwatch(descriptor)
            os.close(descriptor.number)

    def _look(self) -> None:
        os.eventfd_read(self._nudge.number)
        for name in [name for name, starting in self._starting.items() if starting.done()]:
            starting = self._starting.pop(name)
            if (error := starting.exception()) is not None:
                self.failed[name] = error
            else:
                self._watch(name, starting.result().pid)

    def _watch(self, name: str, pid: int) -> None:
        if pid == 0:
            self.ended.add(name)
            return
        if not self._sees_processes:
            return
        try:
            process = _Descriptor(os.pidfd_open(pid))
        except ProcessLookupError:
            self.ended.add(name)
            return
        self._processes.add(process)
        self._loop.watch(process, lambda: self._ended(name, process))

    def _ended(self, name: str, process: _Descriptor) -> None:
        self._loop.unwatch(process)
        self._processes.discard(process)
        os.close(process.number)
        self.ended.add(name)
