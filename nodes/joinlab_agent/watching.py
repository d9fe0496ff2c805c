"""Watching sockets for network events, as a program does: WSAEventSelect, wait, WSAEnumNetworkEvents.

Each watch is an event object and a thread that waits for it. Sockets that inherit the registration (from
WSAAccept, and the legs of WSAJoinLeaf) share the event object, so the watch asks each of them. What it finds goes on
record; FD_READ also makes it receive, so that a test waits for data on record and never for time to pass.

May not know: channels.
"""

import threading
from collections.abc import Callable
from typing import Any

from joinlab_agent.addresses import from_sockaddr, room_for_address
from joinlab_agent.names import code_name
from multipoint import constants, winsock
from multipoint.layouts import WSANETWORKEVENTS

LARGEST_MESSAGE = 65535

_EVENT_NAMES: dict[int, str] = {
    getattr(constants, name): name
    for name in (
        "FD_READ",
        "FD_WRITE",
        "FD_OOB",
        "FD_ACCEPT",
        "FD_CONNECT",
        "FD_CLOSE",
        "FD_QOS",
        "FD_GROUP_QOS",
        "FD_ROUTING_INTERFACE_CHANGE",
        "FD_ADDRESS_LIST_CHANGE",
    )
}

Record = Callable[[str, str, dict[str, Any]], None]


class Watchers:
    """The watches of one app, by socket."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._watches: dict[int, Watch] = {}

    def watch(self, socket: int, mask: int, drain: bool) -> bool:
        """Watch a socket; a new watch takes the place of an old one. False: WSAGetLastError tells."""
        watch = Watch(self._record, drain)
        if winsock.WSAEventSelect(socket, watch.event, mask):
            watch.end()
            return False
        self.forget(socket)
        self._add(socket, watch)
        return True

    def adopt(self, parent: int, child: int) -> None:
        """Watch what has inherited its registration from ``parent``, if that is watched."""
        if (watch := self._watches.get(parent)) is not None:
            self._add(child, watch)

    def forget(self, socket: int) -> None:
        """Stop watching a socket, before it is closed."""
        if (watch := self._watches.pop(socket, None)) is not None:
            watch.remove(socket)

    def _add(self, socket: int, watch: "Watch") -> None:
        self._watches[socket] = watch
        watch.add(socket)


class Watch:
    """One event object and the thread that waits for it."""

    def __init__(self, record: Record, drain: bool) -> None:
        self.event = winsock.WSACreateEvent()
        self._record = record
        self._drain = drain
        self._sockets: tuple[int, ...] = ()
        self._ended = False
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def add(self, socket: int) -> None:
        """Ask this socket too; what it had recorded before is found now."""
        self._sockets = (*self._sockets, socket)
        winsock.WSASetEvent(self.event)

    def remove(self, socket: int) -> None:
        """Ask this socket no more; the last one ends the watch."""
        self._sockets = tuple(other for other in self._sockets if other != socket)
        if not self._sockets:
            self.end()

    def end(self) -> None:
        """End the thread, which closes the event object."""
        self._ended = True
        winsock.WSASetEvent(self.event)

    def _run(self) -> None:
        while winsock.WSAWaitForMultipleEvents(1, [self.event], False, constants.WSA_INFINITE, False) == 0:
            # Reset first and ask afterwards: what is recorded in between sets the event again.
            winsock.WSAResetEvent(self.event)
            for socket in self._sockets:
                self._ask(socket)
            if self._ended:
                break
        winsock.WSACloseEvent(self.event)

    def _ask(self, socket: int) -> None:
        found = WSANETWORKEVENTS()
        if winsock.WSAEnumNetworkEvents(socket, None, found):
            return  # closed in the meantime
        for bit in range(constants.FD_MAX_EVENTS):
            if found.lNetworkEvents & 1 << bit:
                facts = {"socket": socket, "error": code_name(found.iErrorCode[bit]) or 0}
                self._record("event", _EVENT_NAMES[1 << bit], facts)
        if found.lNetworkEvents & constants.FD_READ and self._drain:
            self._receive(socket)

    def _receive(self, socket: int) -> None:
        """Receive one message. If there are more, that records FD_READ again, and we come back."""
        data = bytearray(LARGEST_MESSAGE)
        sender, size = room_for_address()
        received = winsock.recvfrom(socket, data, LARGEST_MESSAGE, 0, sender, size)
        if received != constants.SOCKET_ERROR:
            facts = {"socket": socket, "from": from_sockaddr(sender), "data": bytes(data[:received])}
            self._record("data", "data", facts)
