"""What c_root and rooted c_leaf have in common: a TCP port to listen on, requests at the door, accepting them.

May not know: what a session is, or which end of it this is; ``rootsocket`` and ``leafsocket`` say.
"""

import contextlib
import socket
from abc import abstractmethod
from typing import TYPE_CHECKING

from multipoint import binding, constants, kernel, threads
from multipoint.addresses import is_one_host
from multipoint.binding import WILDCARDS
from multipoint.catalogue import Entry
from multipoint.connection import Connection, Listener
from multipoint.counters import Cause
from multipoint.door import MAX_BACKLOG, Door
from multipoint.errors import MultipointError, WouldBlock, error
from multipoint.events import NetworkEvent
from multipoint.flow_rules import check_reduced
from multipoint.kinds import Kind
from multipoint.link import Link
from multipoint.link_events import Event
from multipoint.link_states import State
from multipoint.parting import PartingSocket
from multipoint.sockets import MultipointSocket
from multipoint.values import Address, Caller, Condition, Verdict, as_address
from multipoint.wire import MAX_CONNECT_DATA, Endpoint

if TYPE_CHECKING:
    from multipoint.stack import Stack


# Callers who have not asked yet, wait for the program, or were refused and still hold the line. More are turned away
# unheard, lest strangers use up our descriptors; those who say nothing are dropped after a few seconds anyway.
MAX_UNDECIDED = 2 * MAX_BACKLOG
# Those from one host, save who waits for the program: no host can keep all others out by saying nothing.
MAX_UNASKED = MAX_UNDECIDED // 4
# What is decided without a condition function.
ADMITTED = Verdict()


class RootedSocket(PartingSocket):
    """A socket of a rooted control plane that binds, and may listen."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind) -> None:
        super().__init__(stack, entry, kind)
        # Holds the bound port until it listens or dials.
        self._reserved: socket.socket | None = None
        self._listener: Listener | None = None
        self._connections: dict[Link, Connection] = {}
        # Those that were taken, until they are let in or over.
        self._callers: set[Connection] = set()
        self._deciding: Link | None = None

    @property
    @abstractmethod
    def door(self) -> Door:
        """The queue of requests."""

    @abstractmethod
    def handle(self, link: Link, event: Event) -> None:
        """Do what an event of a link that is not yet somebody else's means."""

    @abstractmethod
    def enter(self, peer: Endpoint) -> Link:
        """Return a link for a connection that was taken."""

    @abstractmethod
    def admit(self, connection: Connection, verdict: Verdict) -> MultipointSocket:
        """Let in the request of this connection; return the new socket."""

    @abstractmethod
    def refuse(self, link: Link) -> None:
        """Turn a request away."""

    @abstractmethod
    def check_may_listen(self) -> None:
        """Raise what keeps the core from listening."""

    @abstractmethod
    def begin_listening(self, backlog: int) -> None:
        """Let the core listen."""

    # Binding and listening

    def _bind(self, address: Endpoint) -> None:
        try:
            sock = kernel.stream_socket(self.family)
            try:
                self.bound = binding.bind(sock, address, self.options, self.stack.settings, self._is_reserved)
            except (OSError, MultipointError):
                sock.close()
                raise
        except OSError as reason:
            raise self.translated(reason) from reason
        self._reserved = sock

    def _is_reserved(self, port: int) -> bool:
        """Tell whether a socket of this stack holds a port and neither listens nor talks: no table shows those."""
        others = (sock for sock in self.stack.sockets if isinstance(sock, RootedSocket) and sock._reserved)
        return any(other.bound and other.bound.port == port for other in others)

    def bind_if_needed(self) -> None:
        """JL-20: wildcard address, free port."""
        if self.bound is None:
            self._bind(Endpoint(WILDCARDS[self.family], 0))

    def listen(self, backlog: int = constants.SOMAXCONN) -> None:
        """Wait for requests; a second call changes nothing (AC-05)."""
        with self.stack.lock:
            self.check_idle()
            if self.bound is None:
                raise error(constants.WSAEINVAL, "is not bound")
            self.check_may_listen()
            if self._listener is None:
                self._listener = self._listen()
            self.begin_listening(backlog)

    def _listen(self) -> Listener:
        """Here the kernel commits a shared address: a second listener on it is refused (SK-32)."""
        assert self.bound
        try:
            # A join that failed has taken the reserved port with it.
            self._reserved = self._reserved or self.dialling_socket(self.bound.port, reuses_port=True)
            listener = Listener(self.stack, self._reserved, self._taken)
        except OSError as reason:
            raise self.translated(reason) from reason
        self._reserved = None
        return listener

    @property
    def is_listening(self) -> bool:
        """Tell whether requests are taken."""
        return self._listener is not None

    @property
    def may_receive(self) -> bool:
        """Tell whether a request waits (EV-49), or a message."""
        return self.door.first() is not None or super().may_receive

    def _taken(self, sock: socket.socket, peer: Endpoint) -> None:
        if len(self._callers) >= MAX_UNDECIDED or self._unasked_from(peer.host) >= MAX_UNASKED:
            self.stack.count(Cause.CROWDED)
            sock.close()
            return
        link = self.enter(peer)
        connection = Connection(self.stack, sock, link, lambda event: self.handle(link, event))
        connection.on_end = lambda: self._forget(connection)
        self._connections[link] = connection
        self._callers.add(connection)
        connection.pump()

    def _unasked_from(self, host: str) -> int:
        links = (caller.link for caller in self._callers if caller.link.peer.host == host)
        return sum(link.state is not State.QUEUED or link.owes_answer for link in links)

    def _forget(self, caller: Connection) -> None:
        """The connection of a caller has ended; if he never asked, nothing else tells."""
        self._callers.discard(caller)
        self._connections.pop(caller.link, None)

    def check_idle(self) -> None:
        """Raise WSAENOTSOCK if closed, WSAEINPROGRESS while a condition function of this socket runs (AC-29)."""
        self.check_open()
        if self._deciding:
            raise error(constants.WSAEINPROGRESS, "its condition function is running")

    # Requests

    def note_door(self) -> None:
        """Tell the event memory and who waits in accept whether a request is there."""
        self.record(self.memory.tell(NetworkEvent.ACCEPT, self.door.is_calling))
        self.wake()

    def noted(self, link: Link, waits: bool) -> None:
        """The core has looked at a request: it waits for the program, or was refused."""
        if waits:
            self.note_door()
        else:
            self._connections.pop(link, None)

    def accept(self, condition: Condition | None = None) -> MultipointSocket:
        """Return the socket for the first request, if the condition function lets it in (AC-10 to AC-30)."""
        with self.stack.lock:
            link = self._first()
            if condition is None:
                return self._decide(link, ADMITTED)
            caller = self._caller(link)
            self._deciding = link
        try:
            with threads.current().in_callback():
                verdict = condition(caller)
        except BaseException:
            with self.stack.lock:
                self._end_decision()
                self.reenable_accept()
            raise
        with self.stack.lock:
            self._end_decision()
            self.check_open()
            self._check_still_here(link)
            return self._decide(link, verdict, caller)

    def _end_decision(self) -> None:
        """Let those look again who wait in an accept of their own; the lock is held."""
        self._deciding = None
        self.wake()

    def _undecided(self) -> Link | None:
        """Return the first request, unless the condition function of another thread looks at it."""
        return None if self._deciding else self.door.first()

    def _first(self) -> Link:
        self.check_idle()
        if not self.is_listening:
            raise error(constants.WSAEINVAL, "is not listening")
        link = self.wait_until(self._undecided) if self.is_blocking else self.door.first()
        if link is None:
            self.reenable_accept()
            raise WouldBlock(constants.WSAEWOULDBLOCK, "no request is here")
        if self.door.was_reset(link):
            self.door.take(link)
            self.reenable_accept()
            raise error(constants.WSAECONNRESET, "the connection of the request was reset")
        return link

    def _caller(self, link: Link) -> Caller:
        assert link.request
        capacity = min(link.request.capacity, MAX_CONNECT_DATA)
        local = self._connections[link].local
        # A copy, for the function may change it (AC-27).
        qos = link.request.qos and link.request.qos.copy()
        return Caller(link.peer, link.request.caller_data, qos, local, capacity)

    def _check_still_here(self, link: Link) -> None:
        """AC-18: it gave up while the condition function ran."""
        if link not in self._connections:
            self.reenable_accept()
            raise error(constants.WSAEACCES, "the request was withdrawn")

    def _decide(self, link: Link, verdict: Verdict, caller: Caller | None = None) -> MultipointSocket:
        if verdict.action == constants.CF_DEFER:
            self.door.is_deferred = True
            self.memory.tell(NetworkEvent.ACCEPT, False)
            raise error(constants.WSATRY_AGAIN, "the request is put off")
        try:
            return self._decided(link, verdict, caller)
        finally:
            self.reenable_accept()

    def _decided(self, link: Link, verdict: Verdict, caller: Caller | None) -> MultipointSocket:
        if verdict.action not in (constants.CF_ACCEPT, constants.CF_REJECT):
            raise error(constants.WSAEINVAL, "no verdict", value=verdict.action)
        if verdict.action == constants.CF_REJECT:
            self._turn_away(link)
            raise error(constants.WSAECONNREFUSED, "the condition function rejected it")
        if caller and len(verdict.callee_data) > caller.capacity:
            self._turn_away(link)
            raise error(constants.WSAEFAULT, "more callee data than the caller takes", most=caller.capacity)
        if verdict.qos and link.request and link.request.qos:
            # QS-20: what is asked for may be reduced, not raised; the request stays queued.
            check_reduced(link.request.qos, verdict.qos)
        connection = self._connections.pop(link)
        self._callers.discard(connection)
        accepted = self.admit(connection, verdict)
        # AC-28
        with contextlib.suppress(MultipointError):
            accepted.group_id = self.stack.socket_groups.enter(verdict.group)
        return accepted

    def _turn_away(self, link: Link) -> None:
        self.refuse(link)
        connection = self._connections.pop(link)
        connection.pump()

    def reenable_accept(self) -> None:
        """Re-enable FD_ACCEPT: an accept was tried, well or not (EV-25)."""
        with self.stack.lock:
            self.record(self.memory.enable(NetworkEvent.ACCEPT, self.door.is_calling))

    def withdrawn(self, link: Link, code: int) -> None:
        """A request is gone; if its connection was reset, the next accept tells (AC-18)."""
        if code and link is not self._deciding:
            self.door.reset(link)
        else:
            self.door.withdraw(link)
        self._connections.pop(link, None)
        self.note_door()

    # Joining

    def check_target(self, address: Address) -> Endpoint:
        """Return the address a join goes to. Raises WSAEADDRNOTAVAIL for one that no host can have (JL-10, JL-11)."""
        target = as_address(address, self.entry.family, constants.WSAEAFNOSUPPORT)
        if not is_one_host(target.host) or not target.port:
            raise error(constants.WSAEADDRNOTAVAIL, "is no address of a host", address=target)
        return target

    def dialling_socket(self, port: int, *, reuses_port: bool) -> socket.socket:
        """Return a socket bound to our address, and to ``port`` if that is not 0. Raises OSError."""
        assert self.bound
        sock = kernel.stream_socket(self.family)
        try:
            if reuses_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(kernel.socket_name(self.bound.host, port))
        except OSError:
            sock.close()
            raise
        return sock

    def release(self) -> None:
        """Give up the port and the listener."""
        for held in (self._reserved, self._listener):
            if held:
                held.close()
        self._reserved = self._listener = None
