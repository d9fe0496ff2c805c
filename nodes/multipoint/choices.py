"""What a program has chosen for a socket with setsockopt and ioctls, kept until the kernel's sockets are made.

May not know: the kernel; numbers of options.
"""

from dataclasses import dataclass
from typing import Self


@dataclass
class Choices:
    """A socket's options; a socket that comes from another gets a copy (JL-45)."""

    reuse_address: bool = False
    exclusive_address: bool = False
    linger: tuple[bool, float] = (False, 0)
    broadcast: bool = False
    receive_timeout_s: float | None = None
    send_timeout_s: float | None = None
    receive_buffer: int | None = None
    send_buffer: int | None = None
    conditional_accept: bool = False
    # DP-07: scope 1 and loopback on
    scope: int = 1
    loopback: bool = True
    # DP-05: the index of the interface for multicast; 0 is the system's choice
    interface: int = 0

    def copy(self) -> Self:
        """Return the same choices for another socket."""
        return type(self)(**vars(self))
