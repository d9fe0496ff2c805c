"""Enter and make Linux namespaces; Python 3.11 has neither ``os.unshare`` nor ``os.setns``.

May not know: labs, nodes, netlink.
"""

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from enum import IntFlag
from pathlib import Path


class Namespace(IntFlag):
    """The CLONE_NEW... numbers."""

    MOUNT = 0x00020000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NET = 0x40000000


PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x4000, 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(kinds: Namespace) -> None:
    """Put this process into new namespaces (PID: its next children). Raises OSError."""
    _check(_libc.unshare(int(kinds)), f"unshare {kinds!r}")


def enter(descriptor: int, kind: Namespace) -> None:
    """Enter the namespace of an open /proc/PID/ns file. Raises OSError."""
    _check(_libc.setns(descriptor, int(kind)), f"enter {kind!r}")


def open_namespace(pid: int | str, kind: str) -> int:
    """Open a process's namespace (``net``, ``pid`` ...); the caller closes the descriptor."""
    return os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def inside(descriptor: int, home: int) -> Iterator[None]:
    """Be in a network namespace for a while, then back in ``home``. Only for a process with one thread."""
    enter(descriptor, Namespace.NET)
    try:
        yield
    finally:
        enter(home, Namespace.NET)


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends, however it ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def name_process(name: str) -> None:
    """Give this process the name that ps and top show; the kernel keeps 15 bytes of it."""
    _check(_libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0), "prctl PR_SET_NAME")


def keep_mounts_private() -> None:
    """Let no mount of this mount namespace reach another."""
    mount(b"none", b"/", None, MS_REC | MS_PRIVATE)


def mount_proc() -> None:
    """Mount a /proc of this PID namespace. Raises OSError where the machine's own /proc is masked (in a container)."""
    mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def mount_sys() -> None:
    """Mount a /sys that shows this network namespace's interfaces. Raises OSError."""
    mount(b"sysfs", b"/sys", b"sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def mount(source: bytes, target: bytes, kind: bytes | None, flags: int) -> None:
    """Call mount(2). Raises OSError."""
    _check(_libc.mount(source, target, kind, ctypes.c_ulong(flags), None), f"mount {target.decode()}")


def become_root_of_new_user_namespace(others: Namespace) -> None:
    """Enter a user namespace of our own, as its root, and ``others`` with it. Raises OSError."""
    user, group = os.geteuid(), os.getegid()
    unshare(Namespace.USER | others)
    # The kernel lets an unprivileged process map its group only after it gave up setgroups.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
