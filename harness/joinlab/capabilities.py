"""Give up what root may do, but for what is named: for a node of the netns runtime, which sees the host's files.

May not know: nodes, namespaces.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Collection
from enum import IntEnum


class Capability(IntEnum):
    """Those that are named here, with the kernel's numbers (capabilities(7))."""

    DAC_READ_SEARCH = 2
    KILL = 5
    SETGID = 6
    SETUID = 7
    NET_BIND_SERVICE = 10
    NET_ADMIN = 12
    NET_RAW = 13


PR_CAPBSET_DROP = 24
# The kernel's sets are two words wide; it refuses the numbers that it does not know.
NUMBERS = range(64)
VERSION = 0x20080522
HEADER = struct.Struct("=Ii")  # version, process (0: this one)
SETS = struct.Struct("=6I")  # effective, permitted, inheritable: of the numbers below 32, then of the others

_libc = ctypes.CDLL(None, use_errno=True)


def keep_only(kept: Collection[Capability]) -> None:
    """Drop all other capabilities from this process, and from what it will ever execute. Raises OSError."""
    # A root that was not given the right to narrow this set has been narrowed by somebody else.
    with contextlib.suppress(PermissionError):
        _narrow_what_can_be_gained(kept)
    header, sets = HEADER.pack(VERSION, 0), ctypes.create_string_buffer(SETS.size)
    _check(_libc.capget(header, sets), "capget")
    _, permitted, *_ = SETS.unpack(sets.raw)
    left = permitted & mask(kept)
    _check(_libc.capset(header, SETS.pack(left, left, 0, 0, 0, 0)), "capset")


def mask(capabilities: Collection[Capability]) -> int:
    """Return a set as the kernel writes it."""
    return sum(1 << capability for capability in capabilities)


def _narrow_what_can_be_gained(kept: Collection[int]) -> None:
    """Without this, root gains everything again with the next program that it executes."""
    for number in NUMBERS:
        if number not in kept and _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            code = ctypes.get_errno()
            if code == errno.EINVAL:  # the kernel has no more
                return
            raise OSError(code, f"prctl PR_CAPBSET_DROP: {os.strerror(code)}")


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
