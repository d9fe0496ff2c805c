"""Make room for a large lab's descriptors: each node needs a few, and many systems begin with a limit of 1,024.

May not know: what they are for.
"""

import resource

from joinlab.errors import UnfitMachine

# For what a process has open besides: its modules, logs, the run's sockets.
OTHERS = 256


def make_room(count: int) -> None:
    """Let this process have ``count`` more descriptors open than usual. Raises UnfitMachine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + OTHERS
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UnfitMachine([f"{needed} open files are needed, {hard} are allowed: ulimit -Hn {needed} (as root)"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
