"""Control connections on TCP: carry what a link says and hears, and obey it.

A decision about the protocol that is found here belongs in ``link``. May not know: what the events mean.
"""

import errno
import socket
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from multipoint import constants, joincodes, kernel
from multipoint.codec import as_endpoint
from multipoint.errors import MultipointError, from_kernel_at_join
from multipoint.forks import close_in_child
from multipoint.link import NEVER, Link
from multipoint.link_events import Event, Parted
from multipoint.reactor import READABLE, WRITABLE, Timer
from multipoint.wire import NONCE_SIZE, Endpoint

if TYPE_CHECKING:
    from multipoint.stack import Stack

READ_SIZE = 65536
# A connection that ends with linger 0 is reset.
RESETTING = struct.pack("ii", 1, 0)
LISTEN_BACKLOG = 1024
# Who does not take our answers is not asked for more questions; far above what side chats may leave unsent.
MAX_UNSENT = 1 << 21
# Without room for one more descriptor the listener would be ready for ever; it looks away for a while.
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE_S = 0.1


class Connection:
    """A link and its TCP connection; every method is called under the stack's lock."""

    def __init__(self, stack: "Stack", sock: socket.socket, link: Link, on_event: Callable[[Event], None]) -> None:
        """Carry a link over a socket that is connected, or that ``open`` connects."""
        self.link = link
        self.on_event = on_event
        # Called when the connection stands; a MultipointError keeps the request from being made.
        self.check_way: Callable[[], None] = lambda: None
        # Called once, when the connection is closed for good.
        self.on_end: Callable[[], None] = lambda: None
        self._stack = stack
        self._sock: socket.socket | None = sock
        # Nothing is read while the program does not take what has come: then the peer's kernel holds back.
        self.is_held = False
        # Whom to connect to, until the connection stands.
        self._opening: tuple[str, int] | None = None
        self._has_hung_up = False
        self._timer: Timer | None = None
        self._timer_at = NEVER
        link.introduce(stack.settings.key, stack.random_bytes(NONCE_SIZE))
        link.blame = stack.count
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stack.connections.add(self)
        self.local = as_endpoint(sock.getsockname())

    @property
    def is_over(self) -> bool:
        """Tell whether the connection is closed for good."""
        return self._sock is None

    def open(self, peer: Endpoint) -> None:
        """Connect; whatever comes of it is told to the link."""
        self._opening = peer.host, peer.port
        self._connect()
        if self._opening:
            # On a near network it stands by now; then there is no need to wait for the kernel to say so.
            self._connect()
        if self._opening:
            self.pump()

    def one_way_us(self) -> int:
        """Return how long the way to the peer takes, as far as the kernel has seen (QS-41)."""
        return kernel.round_trip_us(self._sock) // 2 if self._sock else 0

    def pump(self) -> None:
        """Do what the link wants: send, tell, arm the timer, hang up, break off, be closed. After each call on it."""
        self._flush()
        events = self.link.events()
        if events:
            for event in events:
                self.on_event(self._seen_from_here(event))
            self._flush()
        self._arm()
        if self._sock:
            self._obey()

    def mute(self) -> None:
        """Tell nobody what comes of the link from now on, not even what has been heard already."""
        self.on_event = lambda _: None

    def cut(self) -> None:
        """Be closed, whatever is still to be said or heard: the stack ends."""
        self.mute()
        self._close()

    def resume(self) -> None:
        """Read on."""
        if self.is_held:
            self.is_held = False
            self.pump()

    def _ready(self, events: int) -> None:
        if self._opening:
            self._connect()
        elif events & ~WRITABLE:
            self._read()
        else:
            self.pump()

    def _connect(self) -> None:
        """Begin to connect, or ask what has come of it: the kernel's call is the same."""
        assert self._sock
        assert self._opening
        try:
            reason = self._sock.connect_ex(kernel.socket_name(*self._opening))
        except OSError as fault:
            # A host that is no address, or behind an interface that is not there.
            reason = fault.errno or errno.EINVAL
        if reason in (errno.EINPROGRESS, errno.EALREADY):
            return
        self._opening = None
        if reason:
            self.link.broken(joincodes.code_of(reason, self.local.host), time.monotonic())
            self.pump()
        else:
            self._opened()

    def _opened(self) -> None:
        assert self._sock
        self.local = as_endpoint(self._sock.getsockname())
        try:
            self.check_way()
        except MultipointError as reason:
            self.link.broken(reason.code, time.monotonic())
        else:
            self.link.opened(time.monotonic())
        self.pump()

    def _read(self) -> None:
        assert self._sock
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as reason:
            self._broken(reason.errno)
            return
        if data:
            self.link.receive(data, time.monotonic())
        else:
            self.link.hung_up(time.monotonic())
        self.pump()

    def _flush(self) -> None:
        if not self._sock or self._opening or not self.link.outgoing:
            return
        try:
            del self.link.outgoing[: self._sock.send(self.link.outgoing)]
        except BlockingIOError:
            pass
        except OSError as reason:
            self.link.outgoing.clear()
            self.link.broken(from_kernel_at_join(reason.errno), time.monotonic())

    def _broken(self, reason: int | None) -> None:
        self.link.broken(from_kernel_at_join(reason), time.monotonic())
        self.pump()

    def _obey(self) -> None:
        assert self._sock
        if self.link.has_ended:
            self._close()
            return
        if self.link.hangs_up and not self.link.outgoing and not self._has_hung_up:
            self._has_hung_up = True
            try:
                self._sock.shutdown(socket.SHUT_WR)
            except OSError as reason:
                self._broken(reason.errno)
                return
        wants_room = self._opening or self.link.outgoing
        is_deaf = (self.is_held and self.link.is_joined) or len(self.link.outgoing) > MAX_UNSENT
        events = (0 if is_deaf else READABLE) | (WRITABLE if wants_room else 0)
        self._stack.reactor.watch(self._sock.fileno(), events, self._ready)

    def _close(self) -> None:
        assert self._sock
        self._stack.reactor.unwatch(self._sock.fileno())
        if self.link.breaks_off:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
        self._sock.close()
        self._sock = None
        self._stack.connections.discard(self)
        self.on_end()

    def _seen_from_here(self, event: Event) -> Event:
        """EV-42, D-41: an end without farewell is nobody's doing where our own interface is lost."""
        if isinstance(event, Parted) and event.code and not kernel.is_reachable(self.local.host):
            return Parted(constants.WSAENETDOWN)
        return event

    def _arm(self) -> None:
        """Keep one timer, not later than the link wants it; one that comes too early asks the link again."""
        when = self.link.wake_at() if self._sock else NEVER
        if self._timer and (when == NEVER or when < self._timer_at):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and when != NEVER:
            self._timer, self._timer_at = self._stack.reactor.call_at(when, self._wake), when

    def _wake(self) -> None:
        self._timer = None
        if self.is_held:
            self.link.still_there(time.monotonic())
        self.link.wake(time.monotonic())
        self.pump()


class Listener:
    """Takes control connections on a bound socket and hands each to ``on_connection``."""

    def __init__(
        self, stack: "Stack", sock: socket.socket, on_connection: Callable[[socket.socket, Endpoint], None]
    ) -> None:
        """Listen on ``sock``, which becomes ours. Raises OSError."""
        self._stack = stack
        self._sock = sock
        self._on_connection = on_connection
        self._pausing: Timer | None = None
        # Connections that ended a moment ago don't keep a new listener from this port; set only now, so that two
        # bound sockets on one port still exclude each other (SK-30).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.listen(LISTEN_BACKLOG)
        stack.reactor.watch(sock.fileno(), READABLE, self._ready)

    def close(self) -> None:
        """Stop listening."""
        if self._pausing:
            self._pausing.cancel()
        self._stack.reactor.unwatch(self._sock.fileno())
        self._sock.close()

    def _ready(self, _: int) -> None:
        try:
            sock, peer = self._sock.accept()
        except OSError as reason:
            if reason.errno in NO_ROOM:
                self._pause()
            return
        close_in_child(sock).setblocking(False)
        self._on_connection(sock, as_endpoint(peer))

    def _pause(self) -> None:
        self._stack.reactor.unwatch(self._sock.fileno())
        self._pausing = self._stack.reactor.call_at(time.monotonic() + PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._pausing = None
        self._stack.reactor.watch(self._sock.fileno(), READABLE, self._ready)
