"""What becomes of the stack in a forked child: it is lost there, and the parent notices nothing.

A child has the parent's memory and copies of its descriptors, but none of its threads: a stack that went on there would
speak on the parent's connections, or wait for ever for a lock that nobody gives back. So in the child everything that
was started before the fork is marked lost, each call on it says so (WSANOTINITIALISED), and the copies of the
descriptors are closed, without a word: else the child would keep open what the parent closes. The child may start a
stack of its own. May not know: who is told.
"""

import os
import socket
from typing import Protocol
from weakref import WeakSet


class Losable(Protocol):
    """What has to know that it lives on in a child."""

    def lose(self) -> None:
        """Be lost: touch nothing that is shared with the parent; fresh locks, for those of the parent may be held."""


_told: WeakSet[Losable] = WeakSet()
_sockets: WeakSet[socket.socket] = WeakSet()


def tell_child(losable: Losable) -> None:
    """Have it told in each child that is forked from now on."""
    _told.add(losable)


def close_in_child(sock: socket.socket) -> socket.socket:
    """Have the kernel's socket closed in each child that is forked from now on; return it."""
    _sockets.add(sock)
    return sock


def _after_fork() -> None:
    told, sockets = list(_told), list(_sockets)
    # Who can be of use again says so when it is told.
    _told.clear()
    _sockets.clear()
    for losable in told:
        losable.lose()
    for sock in sockets:
        sock.close()


os.register_at_fork(after_in_child=_after_fork)
