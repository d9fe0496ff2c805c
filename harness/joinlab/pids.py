"""Find a process that another PID namespace numbers differently.

May not know: labs.
"""

from collections.abc import Iterator
from pathlib import Path


def outside(pid: int, ancestor: int) -> int | None:
    """Return our number of the process that its keeper calls ``pid``; ``ancestor`` started the keeper.

    None: there is none.
    """
    for facts in _statuses():
        numbers = facts["NSpid"].split()
        # The outermost number is ours, the last is that in the node; the keeper's stands before the last.
        if len(numbers) > 2 and numbers[-2] == str(pid) and _descends(int(facts["PPid"]), ancestor):
            return int(numbers[0])
    return None


def _descends(pid: int, ancestor: int) -> bool:
    """Tell whether a process was started by ``ancestor``, or by one that was."""
    parents = {int(facts["Pid"]): int(facts["PPid"]) for facts in _statuses()}
    while pid and pid != ancestor:
        pid = parents.get(pid, 0)
    return pid == ancestor


def _statuses() -> Iterator[dict[str, str]]:
    for file in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = file.read_text().splitlines()
        except OSError:  # it has ended meanwhile
            continue
        yield {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
