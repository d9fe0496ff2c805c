"""The stack: one thread, one lock, the settings, and the sockets that are open.

May not know: handles, and what the Winsock-shaped functions are called.
"""

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from multipoint import catalogue, constants, forks
from multipoint.admission import Admission, is_promise
from multipoint.catalogue import Entry
from multipoint.changes import Changes
from multipoint.connection import Connection
from multipoint.counters import Cause, Counters
from multipoint.dialects import DIALECTS
from multipoint.errors import error, from_kernel
from multipoint.flow import FLOWSPEC
from multipoint.flowing import FlowSocket
from multipoint.interfaces import Interfaces, Notices
from multipoint.kinds import Kind, Plane
from multipoint.layouts import WSAPROTOCOL_INFO
from multipoint.leafsocket import LeafSocket
from multipoint.link import Patience
from multipoint.plain import PlainSocket
from multipoint.reactor import READABLE, Reactor
from multipoint.rootsocket import RootSocket
from multipoint.signals import announce
from multipoint.socketgroups import NEW_GROUP, SocketGroups
from multipoint.sockets import MultipointSocket
from multipoint.templates import TEMPLATES
from multipoint.values import Settings
from multipoint.wire import Endpoint


class Stack:
    """A started stack. Closing it closes its sockets without a word to their peers (SU-11)."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.dialect = DIALECTS[self.settings.dialect]
        # What did not belong, by cause.
        self.counters = Counters()
        self.lock = threading.RLock()
        self.interfaces = Interfaces(self.settings)
        try:
            self.reactor = Reactor(self.lock)
        except OSError:
            self.interfaces.close()
            raise
        # In a forked child (forks): what was the parent's can't be used.
        self.is_lost = False
        self.is_closed = False
        self.sockets: set[MultipointSocket] = set()
        # Those that closed sockets have left to end in their own time are here too.
        self.connections: set[Connection] = set()
        self.socket_groups = SocketGroups()
        # DP-41: the data groups of the sessions whose root is here
        self.groups: set[Endpoint] = set()
        self.admission: Admission[FlowSocket] = Admission(self.interfaces.look)
        self._notices: Notices | None = None
        self.changes = Changes(self.reactor)
        self.templates = {**TEMPLATES, **self.settings.flow_templates}
        self.patience = Patience(self.settings.join_timeout_s, self.settings.silence_s)
        # Keys and numbers of sessions; a test may pass something predictable.
        self.random_bytes = os.urandom
        forks.tell_child(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def socket(
        self,
        family: int = constants.AF_INET,
        socket_type: int = 0,
        protocol: int = 0,
        entry: WSAPROTOCOL_INFO | None = None,
        flags: int = 0,
        group: int = 0,
    ) -> MultipointSocket:
        """Return a new socket: what WSASocket does (SK-01 to SK-20)."""
        self.check_running()
        chosen = catalogue.choose(family, socket_type, protocol, entry, flags)
        kind = catalogue.kind(chosen.provider, flags)
        with self.lock:
            self.check_running()
            group_id = self.socket_groups.enter(group)
            try:
                sock = self._new_socket(chosen, kind)
            except OSError as reason:
                self.socket_groups.leave(group_id)
                raise error(from_kernel(reason.errno), str(reason)) from reason
            sock.group_id, sock.is_group_creator = group_id, group in NEW_GROUP
            sock.is_overlapped = bool(flags & constants.WSA_FLAG_OVERLAPPED)
            return sock

    def _new_socket(self, entry: Entry, kind: Kind | None) -> MultipointSocket:
        if not entry.provider.is_control_rooted:
            return PlainSocket(self, entry, kind)
        if kind is None:
            # SK-15: it is there and can be closed; connections between two are no subject of this stack.
            return MultipointSocket(self, entry, None)
        if kind.control is Plane.ROOT:
            return RootSocket(self, entry, kind)
        return LeafSocket(self, entry, kind)

    # Promises of interfaces

    def admit(self, holder: FlowSocket, interface: Callable[[], int], sending: FLOWSPEC, receiving: FLOWSPEC) -> None:
        """Promise flows to a socket, of the interface it uses; raises WSAEOPNOTSUPP (QS-34)."""
        if not is_promise(sending) and not is_promise(receiving):
            self.admission.release(holder)
            return
        self.admission.reserve(holder, interface(), sending, receiving)
        if self._notices is None:
            self._notices = Notices(self._interface_changed)
            self.reactor.watch(self._notices.sock.fileno(), READABLE, self._notices.ready)

    def readmit(self, holder: FlowSocket, interface: Callable[[], int], sending: FLOWSPEC, receiving: FLOWSPEC) -> None:
        """Promise flows again that a socket had; if others have taken what they need, it can have the rest (QS-39)."""
        self.admission.release(holder)
        if is_promise(sending) or is_promise(receiving):
            place = interface()
            self.admission.restore(holder, place, sending, receiving)
            self._interface_changed(place)

    def set_capacity(self, interface: str, capacity: int | None) -> None:
        """Say how many bytes a second an interface can carry from now on; None: what its link says (QS-39)."""
        with self.lock:
            self.check_running()
            try:
                index = self.interfaces.configure(interface, capacity)
            except OSError as reason:
                raise error(constants.WSAEADDRNOTAVAIL, str(reason), interface=interface) from reason
            self._interface_changed(index)

    def _interface_changed(self, index: int | None) -> None:
        for interface in self.admission.interfaces:
            if index in (interface, None):
                for holder, limit in self.admission.refresh(interface).items():
                    holder.limit_flows(limit)

    def count(self, cause: Cause) -> None:
        """Count one who does not belong, from any thread."""
        with self.lock:
            self.counters.count(cause)

    def check_own(self) -> None:
        """Raise WSANOTINITIALISED in a child that was forked after the start."""
        if self.is_lost:
            raise error(constants.WSANOTINITIALISED, "the stack belongs to the process that forked this one")

    def check_running(self) -> None:
        """Raise WSANOTINITIALISED on a stack that is closed, or another process's."""
        self.check_own()
        if self.is_closed:
            raise error(constants.WSANOTINITIALISED, "the stack is closed")

    def lose(self) -> None:
        """Be of no use in a forked child."""
        self.is_lost = True
        # The same one, for a call may be under way that will give it back: it has run the routine that has forked.
        self.lock._at_fork_reinit()  # type: ignore[attr-defined]  # what threading does with its own locks
        for sock in self.sockets:
            sock.lose()

    def close(self) -> None:
        """End everything: blocking calls, sockets, the thread (SU-09, SU-11). Nothing in a forked child."""
        if self.is_lost:
            return
        with self.lock:
            if self.is_closed:
                return
            self.is_closed = True
            # First all of them, for the end of one is news for others.
            for sock in self.sockets:
                sock.fall_silent()
            for sock in list(self.sockets):
                sock.abort()
            self.sockets.clear()
            for connection in list(self.connections):
                connection.cut()
        announce()
        self.reactor.close()
        self.interfaces.close()
        if self._notices:
            self._notices.sock.close()
        self.changes.close()
