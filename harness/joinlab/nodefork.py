"""Fork a node from the warm nursery: a process in namespaces of its own, pid 1 there, running the agent.

A fork of a warm parent costs 1 ms and 1 MB, a fresh interpreter 54 ms and 11 MB. The node has no name anywhere: when
its process ends, the kernel removes its namespaces and all that is in them.

May not know: the fabric, links, plans.
"""

import os
import signal
import socket
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from joinlab import namespaces
from joinlab.capabilities import Capability, keep_only
from joinlab.namespaces import Namespace
from joinlab_agent.channel import Channel

# Above the descriptors of stdin, stdout and stderr.
FIRST_DESCRIPTOR = 3
# What an app needs is none of them. The others are for the tools that one runs in a node: its network is its own, and
# tcpdump changes its user. Not: mounts, devices, modules, the clock, and writing where root has no business; a node
# sees the files of the host. Reading stays: the programs under test may lie in a home that is closed to others.
CAPABILITIES = frozenset(Capability)


class Forked(NamedTuple):
    """A node that is coming up. ``channel`` is the harness's end; ``report`` gives "" once it is up, or why not."""

    pid: int
    channel: int
    report: int


def fork(name: str, agent: Callable[[Channel], NoReturn], own_pid_namespace: int) -> Forked:
    """Fork a node called ``name``; the caller owns the descriptors and reads ``report`` to its end."""
    ours, theirs = socket.socketpair()
    report, report_end = os.pipe()
    pid = _fork_into_new_pid_namespace(own_pid_namespace)
    if pid == 0:
        _run(name, agent, theirs.detach(), report_end)
    os.close(report_end)
    theirs.close()
    return Forked(pid, ours.detach(), report)


def _fork_into_new_pid_namespace(own: int) -> int:
    """Fork a child that is pid 1 of a namespace of its own, and our child: no process stands between."""
    namespaces.unshare(Namespace.PID)
    try:
        pid = os.fork()
    except OSError:
        namespaces.enter(own, Namespace.PID)
        raise
    if pid != 0:
        namespaces.enter(own, Namespace.PID)
    return pid


def _run(name: str, agent: Callable[[Channel], NoReturn], channel: int, report: int) -> NoReturn:
    try:
        _become_node(name)
        channel, report = _close_all_but(channel, report)
        os.close(report)
        agent(Channel(socket.socket(fileno=channel)))
    except BaseException as error:
        # The report is still open if it was the set-up that failed; the agent speaks for itself.
        try:
            os.write(report, (str(error) or type(error).__name__).encode())
        finally:
            os._exit(1)
    os._exit(0)


def _become_node(name: str) -> None:
    namespaces.die_with_parent()
    for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    namespaces.unshare(Namespace.NET | Namespace.MOUNT | Namespace.UTS | Namespace.IPC)
    namespaces.keep_mounts_private()
    namespaces.mount_proc()
    namespaces.mount_sys()
    socket.sethostname(name)
    namespaces.name_process(f"node {name}")
    keep_only(CAPABILITIES)


def _close_all_but(channel: int, report: int) -> tuple[int, int]:
    """Close every other descriptor: one that stayed open could keep another node's channel alive."""
    low, high = sorted((channel, report))
    os.closerange(FIRST_DESCRIPTOR, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel, report
