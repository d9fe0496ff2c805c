"""Changes of this host's addresses, and of the way to a destination, told to the sockets that asked (IO-22).

The kernel says only that something has changed; so what a socket asked about is looked at again, and a wish is granted
once, when it looks otherwise. Every method is called under the stack's lock. May not know: ioctls; what telling does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from multipoint import constants, kernel
from multipoint.errors import from_kernel
from multipoint.events import NetworkEvent
from multipoint.interfaces import Notices
from multipoint.reactor import READABLE, Reactor
from multipoint.sockets import MultipointSocket

# RTMGRP_LINK, and addresses and routes of both families
GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

# What is there now, and the code that goes with it.
View: TypeAlias = tuple[int, object]
Look: TypeAlias = Callable[[], View]


@dataclass(eq=False)
class Wish:
    """To be told, with a code, when what is looked at has changed."""

    look: Look
    seen: View
    tell: Callable[[int], None]


class Changes:
    """The wishes of all sockets of a stack; nobody listens to the kernel before there is one."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._notices: Notices | None = None
        self._wishes: dict[MultipointSocket, list[Wish]] = {}

    def ask(self, sock: MultipointSocket, event: NetworkEvent, look: Look, tell: Callable[[int], None]) -> Wish:
        """Arm the event, and call ``tell`` at the next change, after the event was recorded."""
        self._listen()
        sock.memory.enable(event)

        def changed(code: int) -> None:
            sock.record(sock.memory.change(event, code))
            tell(code)
            sock.wake()

        wish = Wish(look, look(), changed)
        self._wishes.setdefault(sock, []).append(wish)
        return wish

    def take_back(self, sock: MultipointSocket, wish: Wish) -> None:
        """Forget a wish, if it has not come true meanwhile."""
        wishes = self._wishes.get(sock, [])
        if wish in wishes:
            wishes.remove(wish)
        if not wishes:
            self._wishes.pop(sock, None)

    def arm(self, sock: MultipointSocket, event: NetworkEvent, look: Look) -> None:
        """Arm the event alone; armed already, it is one wish all the same."""
        if not sock.memory.is_armed(event):
            self.ask(sock, event, look, lambda _: None)

    def cancel(self, sock: MultipointSocket) -> None:
        """Forget the wishes of a socket that is closed; who waits is told so (CL-24)."""
        for wish in self._wishes.pop(sock, []):
            wish.tell(constants.WSA_OPERATION_ABORTED)

    def close(self) -> None:
        """Listen no longer."""
        if self._notices:
            self._notices.sock.close()

    def _listen(self) -> None:
        if self._notices is None:
            self._notices = Notices(lambda _: self._compare(), GROUPS)
            self._reactor.watch(self._notices.sock.fileno(), READABLE, self._notices.ready)

    def _compare(self) -> None:
        # The notice may come while the change is still under way; this question is answered after it.
        kernel.is_any_up()
        for sock, wishes in list(self._wishes.items()):
            for wish in list(wishes):
                now = wish.look()
                if now[1] != wish.seen[1]:
                    wishes.remove(wish)
                    wish.tell(now[0])
            if not wishes:
                self._wishes.pop(sock, None)


def addresses(family: int) -> View:
    """The local addresses of a family; WSAENETDOWN while no interface is up."""
    return (0 if kernel.is_any_up() else constants.WSAENETDOWN), kernel.local_addresses(family)


def way(family: int, host: str, port: int) -> View:
    """The local address from which a destination is reached; none, and why, if it is not."""
    try:
        return 0, kernel.source_towards(family, host, port or 1)
    except OSError as reason:
        return (from_kernel(reason.errno) if kernel.is_any_up() else constants.WSAENETDOWN), None
