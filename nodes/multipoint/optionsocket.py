"""Options of the data plane: kept in ``choices``, and put into force on the kernel's socket as soon as there is one.

May not know: the numbers of options (``sockopts``, ``ioctls``); how the kernel's socket is made.
"""

import socket
from typing import TYPE_CHECKING

from multipoint import constants, kernel
from multipoint.choices import Choices
from multipoint.errors import error
from multipoint.eventsocket import EventSocket
from multipoint.kinds import Kind

if TYPE_CHECKING:
    from multipoint.stack import Stack


class OptionSocket(EventSocket):
    """A socket with options."""

    def __init__(self, stack: "Stack", kind: Kind | None) -> None:
        super().__init__(stack, kind)
        self.options = Choices()

    def data_socket(self) -> socket.socket | None:
        """Return the kernel's socket of the data plane, if there is one by now."""
        return None

    @property
    def has_rooted_data(self) -> bool:
        """Tell whether the provider's data plane is rooted."""
        return False

    def set_scope(self, scope: int) -> None:
        """Set how many routed segments multicast data crosses, 0 to 255 (IO-13, D-49)."""
        if not 0 <= scope <= 255:
            raise error(constants.WSAEINVAL, "scope is 0 to 255", scope=scope)
        with self.stack.lock:
            self.check_open()
            self.options.scope = scope
            sock = self.data_socket()
            if sock:
                kernel.set_multicast_scope(sock, scope)

    def set_interface(self, index: int) -> None:
        """Choose the interface for multicast by its index; 0 leaves it to the system (DP-05)."""
        with self.stack.lock:
            self.check_open()
            self.options.interface = index
            sock = self.data_socket()
            if sock:
                kernel.set_multicast_interface(sock, index)

    def set_sizes_and_broadcast(self, **chosen: int) -> None:
        """Choose the fields of ``Choices`` named; the kernel's socket gets them now, or when it is made."""
        with self.stack.lock:
            self.check_open()
            for name, value in chosen.items():
                setattr(self.options, name, value)
            sock, options = self.data_socket(), self.options
            if sock:
                kernel.set_sizes_and_broadcast(
                    sock, options.receive_buffer, options.send_buffer, bool(options.broadcast)
                )

    def set_loopback(self, is_on: bool) -> None:
        """Say whether this socket receives what this host sends to the session (IO-08 to IO-11, D-48)."""
        if self.has_rooted_data:
            raise error(constants.WSAEINVAL, "only for nonrooted data planes")
        with self.stack.lock:
            self.check_open()
            self.options.loopback = is_on
            sock = self.data_socket()
            if sock:
                kernel.set_loopback(sock, is_on, self.only_address)

    @property
    def only_address(self) -> str | None:
        """The one address that a filter lets unicast through to; None: what the kernel's socket is bound to decides."""
        return None
