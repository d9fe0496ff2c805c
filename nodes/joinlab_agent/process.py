"""What a process does to itself: a forked child of the agent, signals as something to read.

May not know: requests, apps, sockets.
"""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
FIRST_FREE_DESCRIPTOR = 3

_libc = ctypes.CDLL(None, use_errno=True)


def watch_children() -> int:
    """Return a descriptor that can be read whenever a child has ended; SIGTERM ends this process."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Pid 1 ignores what it has no handler for: without this, a polite `docker stop` would take ten seconds.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # A Ctrl-C at the terminal is meant for the harness, which ends us by closing the channel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return reading


def become_child_of_agent(keep: int, output: int) -> None:
    """Shed what the fork inherited: all descriptors but ``keep``, the agent's signals; print into ``output``.

    The kernel kills us when the agent dies, even where the node has no process namespace of its own.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(FIRST_FREE_DESCRIPTOR, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))
