"""Marks on what a run starts outside its own processes: whose it is, so that it can be found when the owner is gone.

Containers carry labels, processes an environment variable, run directories a file. Each names the owner: the harness
process, by everything that tells it from a later process with the same number.

May not know: Docker, labs. Standard library only, because the reaper and the keeper import it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

LABEL_RUN = "joinlab.run"
LABEL_OWNER = "joinlab.owner"  # user id
LABEL_PROCESS = "joinlab.pid"  # str(ProcessMark)
LABEL_NODE = "joinlab.node"
LABEL_ROLE = "joinlab.role"
LABEL_CONTENT = "joinlab.content"  # on images: the hash of what is in them

ROLE_NODE = "node"
ROLE_KEEPER = "keeper"

# In the environment of every process that joinlab starts and that must not outlive the harness.
PROCESS_VARIABLE = "JOINLAB_OWNER_PROCESS"


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process, told from any other: this boot, this PID namespace, its number and when it started."""

    boot: str
    namespace: int
    pid: int
    started: int  # clock ticks since boot

    @classmethod
    def of(cls, pid: int) -> Self:
        """Mark a process of this PID namespace. Raises FileNotFoundError or ProcessLookupError when it is gone."""
        return cls(_boot(), _namespace(), pid, _start_ticks(pid))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` wrote. Raises ValueError."""
        boot, namespace, pid, started = text.split("/")
        return cls(boot, int(namespace), int(pid), int(started))

    def __str__(self) -> str:
        return f"{self.boot}/{self.namespace}/{self.pid}/{self.started}"

    @property
    def is_of_here(self) -> bool:
        """Tell whether this process can judge: a process of another boot or PID namespace may be alive elsewhere."""
        return (self.boot, self.namespace) == (_boot(), _namespace())

    @property
    def is_gone(self) -> bool:
        """Tell whether the process has ended for certain."""
        if not self.is_of_here:
            return False
        try:
            return _start_ticks(self.pid) != self.started
        except (FileNotFoundError, ProcessLookupError):
            return True


def this_process() -> ProcessMark:
    """Mark the calling process."""
    return ProcessMark.of(os.getpid())


def marked_environment() -> dict[str, str]:
    """Return the environment for a process that must not outlive this one."""
    return os.environ | {PROCESS_VARIABLE: str(this_process())}


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat; a zombie counts as gone. The name, field 2, may hold blanks and parentheses."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] in "ZX":
        raise ProcessLookupError(pid)
    return int(fields[19])
