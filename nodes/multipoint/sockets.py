"""What all sockets of the stack have in common: life, binding, blocking mode, events. The Python face.

A socket is made by ``Stack.socket`` and is one of the kinds in ``plain``, ``rootsocket``, ``leafsocket``, ``leg``.
State changes under the stack's lock; data goes past it, from the program's thread to the kernel. Failures are
exceptions of ``errors`` with the WSA code in ``code``.

May not know: which kinds there are; how control connections work.
"""

import socket
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from multipoint import constants, kernel, threads
from multipoint.catalogue import Entry
from multipoint.choices import Choices
from multipoint.dialects import join_code
from multipoint.errors import MultipointError, WouldBlock, error, from_kernel
from multipoint.events import NONE, EventMemory, NetworkEvent, possible_events
from multipoint.flow import QOS
from multipoint.kinds import JoinRole, Kind
from multipoint.signals import Signal
from multipoint.values import Address, Condition, JoinRequest
from multipoint.waiting import WaitingSocket
from multipoint.wire import MAX_CONNECT_DATA, Endpoint

if TYPE_CHECKING:
    from multipoint.stack import Stack


# Called under the stack's lock: which socket, which event, its error code.
Post: TypeAlias = Callable[["MultipointSocket", NetworkEvent, int], None]


class MultipointSocket(WaitingSocket):
    """One socket. Each method raises WSAEOPNOTSUPP where the kind of socket has no such call."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind | None) -> None:
        super().__init__(stack)
        self.entry = entry
        self.kind = kind
        self.family = kernel.FAMILIES[entry.family]
        self.max_message = entry.max_message
        self.is_blocking = True
        # SK-16: what WSASocket was asked for
        self.is_overlapped = False
        # SK-07; 0 is none
        self.group_id = 0
        self.options = Choices()
        self.role = JoinRole.BOTH
        self.last_error = 0
        self.memory = EventMemory(possible_events(kind) if kind else NONE)
        # Who is told of events: one of the two, or neither (EV-10).
        self.signal: Signal | None = None
        self.post: Post | None = None
        self.bound: Endpoint | None = None
        stack.sockets.add(self)

    # Life

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self.stack.is_lost:
            self.close()

    def lose(self) -> None:
        """Be of no use in a forked child; what the parent's socket holds is the parent's."""
        self.is_closed = True
        self.signal = None
        self.forget_waiters()

    def close(self) -> None:
        """Close the descriptor; what that ends depends on the kind (A.2). Closing twice is an error (CL-27)."""
        with self.stack.lock:
            self.check_idle()
            lingers, seconds = self.options.linger
            if lingers and seconds and not self.is_blocking:
                raise WouldBlock(constants.WSAEWOULDBLOCK, "lingering would block")
            self.is_closed = True
            self.memory.forget()
            self.signal = self.post = None
            self.stack.socket_groups.leave(self.group_id)
            self.release_flows()
            self.cancel_pending()
            self._end(is_abortive=lingers and not seconds)
            self.wake()
            if lingers and seconds:
                self.linger(seconds)
            self.stack.sockets.discard(self)

    def abort(self) -> None:
        """Close as the last WSACleanup does: peers see a reset, the network the leaves (SU-11)."""
        with self.stack.lock:
            if self.is_closed:
                self.break_off()
                return
            self.is_closed = True
            self.memory.forget()
            self.release_flows()
            self.cancel_pending()
            self._end(is_abortive=True)
            self.wake()

    def cancel_pending(self) -> None:
        """End overlapped operations that wait (CL-24, SU-10)."""
        self.stack.changes.cancel(self)

    def linger(self, seconds: float) -> None:
        """Wait for the graceful end of a socket that was just closed, if there is somebody to wait for (CL-22)."""

    def break_off(self) -> None:
        """Wait no longer."""

    def discard(self) -> None:
        """Forget a socket that the program never got."""
        self.is_closed = True
        self.release_flows()
        self.stack.sockets.discard(self)

    def check_idle(self) -> None:
        """Raise WSAENOTSOCK if closed, WSAEINPROGRESS while a condition function of this socket runs (AC-29)."""
        self.check_open()

    # What kinds of sockets do

    def bind(self, address: Address) -> None:
        """Bind to an address of this host; port 0 takes a free one (SK-26 to SK-28)."""
        with self.stack.lock:
            self.check_open()
            if self.bound:
                raise error(constants.WSAEINVAL, "is bound already", address=self.bound)
            self._bind(Endpoint(*address[:2]))

    def listen(self, backlog: int = constants.SOMAXCONN) -> None:
        """Wait for requests (AC-01)."""
        raise self._not_here("listen")

    def accept(self, condition: Condition | None = None) -> "MultipointSocket":
        """Return the socket for the next request that the condition function lets in (AC-10, AC-19)."""
        raise self._not_here("accept")

    def check_may_block(self) -> None:
        """Raise WSAEINPROGRESS for a blocking join inside a routine that has interrupted one (JL-74)."""
        if self.is_blocking:
            threads.current().check_may_block()

    def check_join(self, flags: int) -> JoinRole:
        """Return the role that the flags of a join mean; raises what steps 3 to 5 of JL-16 say."""
        refusal = join_code(self.stack.dialect, self.kind.provider if self.kind else None)
        if refusal:
            raise error(refusal, "this dialect's provider has no multipoint", dialect=self.stack.dialect.name)
        self.check_idle()
        if self.kind is None:
            raise error(constants.WSAEINVAL, "is no multipoint socket")
        try:
            role = JoinRole(flags)
        except ValueError:
            raise error(
                constants.WSAEINVAL, "flags are JL_SENDER_ONLY, JL_RECEIVER_ONLY or JL_BOTH", flags=flags
            ) from None
        if role not in self.kind.roles:
            raise error(constants.WSAEINVAL, "this kind of socket can't play the role", role=role.name)
        return role

    def check_caller_data(self, data: bytes) -> None:
        """Raise WSAEFAULT for more than the provider takes (JL-13); one that takes none says so later (JL-14)."""
        if self.entry.provider.has_connect_data and len(data) > MAX_CONNECT_DATA:
            raise error(constants.WSAEFAULT, "too much caller data", length=len(data), most=MAX_CONNECT_DATA)

    def join(self, address: Address, request: JoinRequest = JoinRequest()) -> "MultipointSocket":  # noqa: B008 - frozen
        """Join a leaf to a session; return the leg (c_root) or this socket (c_leaf). Nonblocking: FD_CONNECT comes."""
        raise self._not_here("WSAJoinLeaf")

    def connect(self, address: Address) -> None:
        """Choose whom to send to and hear (SK-24)."""
        raise self._not_here("connect")

    def send(self, data: bytes | bytearray | memoryview, to: Address | None = None) -> int:
        """Send one message; return its length."""
        raise self._not_here("send")

    def receive(self, size: int = 65536, flags: int = 0) -> tuple[bytes, Endpoint]:
        """Return one message, cut to ``size``, and its sender. Raises WSAEDISCON after an orderly end."""
        raise self._not_here("recv")

    def shutdown(self, how: int, data: bytes | None = None) -> None:
        """End one direction or both (CL-01, CL-28 to CL-33); ``data`` goes to the other side with it (CL-34)."""
        raise self._not_here("shutdown")

    def receive_disconnect(self, room: int | None) -> bytes:
        """Stop receiving; return the other side's disconnect data, which must fit (CL-35); None: it is not wanted."""
        raise self._not_here("WSARecvDisconnect")

    @property
    def local_address(self) -> Endpoint:
        """Where the socket is bound. Raises WSAEINVAL if it isn't (SK-33)."""
        self.check_open()
        if self.bound is None:
            raise error(constants.WSAEINVAL, "is not bound")
        return self.bound

    @property
    def peer_address(self) -> Endpoint:
        """Whom the socket is joined to (SK-34). Raises WSAENOTCONN."""
        self.check_open()
        raise error(constants.WSAENOTCONN, "is not joined")

    @property
    def is_listening(self) -> bool:
        """Tell whether requests are taken."""
        return False

    @property
    def is_readable(self) -> bool:
        """Tell whether a receive would return something; for events and select."""
        return False

    @property
    def may_receive(self) -> bool:
        """Tell whether a receive, or an accept, would end at once; for select."""
        return False

    @property
    def may_send(self) -> bool:
        """Tell whether a send would end at once, and well; for select."""
        return False

    @property
    def kernel_descriptor(self) -> int | None:
        """Return the descriptor of the kernel's socket of the data plane, None if there is none yet, or any more."""
        return None

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
        if self.kind and self.kind.provider.is_data_rooted:
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

    def set_qos(self, qos: QOS) -> None:
        """Put flows into force (QS-09). Raises WSAENOPROTOOPT where the provider has no QoS (QS-11)."""
        self.check_open()
        raise error(constants.WSAENOPROTOOPT, "the provider has no QoS")

    def get_qos(self) -> QOS:
        """Return the flows in force (QS-10). Raises WSAENOPROTOOPT where the provider has no QoS (QS-11)."""
        self.check_open()
        raise error(constants.WSAENOPROTOOPT, "the provider has no QoS")

    def flush(self) -> None:
        """Drop what waits to be sent (IO-18)."""
        self.check_open()

    def release_flows(self) -> None:
        """Give back what was promised (QS-38)."""

    def data_socket(self) -> socket.socket | None:
        """Return the kernel's socket of the data plane, if there is one by now."""
        return None

    def bytes_queued(self) -> int:
        """Return how many bytes a receive could give (IO-17)."""
        self.check_open()
        return 0

    # Blocking mode and events

    def set_blocking(self, is_blocking: bool) -> None:
        """Choose the blocking mode; blocking is refused while events are selected (SK-41)."""
        with self.stack.lock:
            self.check_open()
            if is_blocking and self.memory.mask:
                raise error(constants.WSAEINVAL, "an event registration is active")
            self.is_blocking = is_blocking

    def select_events(self, signal: Signal | None, mask: int) -> None:
        """Set ``signal`` when an event of ``mask`` is recorded; mask 0 ends that (EV-09 to EV-12)."""
        self._register(signal, None, mask)

    def post_events(self, post: Post | None, mask: int) -> None:
        """Call ``post`` for each event of ``mask``, which is not recorded then (EV-23)."""
        self._register(None, post, mask)

    def _register(self, signal: Signal | None, post: Post | None, mask: int) -> None:
        with self.stack.lock:
            self.check_open()
            if mask & ~constants.FD_ALL_EVENTS or (mask and signal is None and post is None):
                raise error(constants.WSAEINVAL, "no such events, or no event object", mask=hex(mask))
            self.is_blocking = False
            self.signal, self.post = (signal, post) if mask else (None, None)
            if self.is_readable:
                self.memory.tell(NetworkEvent.READ, True)
            self.record(self.memory.select(NetworkEvent(mask)))
            self.attend()

    def enumerate_events(self, signal: Signal | None = None) -> dict[NetworkEvent, int]:
        """Return the recorded events with their error codes; clear them and reset ``signal``, as one step (EV-19)."""
        with self.stack.lock:
            self.check_open()
            if signal:
                signal.reset()
            return self.memory.take()

    def record(self, newly: NetworkEvent) -> None:
        """Set the event object if something was recorded, or post what was recorded."""
        if newly and self.signal:
            self.signal.set()
        elif newly and self.post:
            for event, code in self.memory.take().items():
                self.post(self, event, code)

    def inherit_from(self, parent: "MultipointSocket") -> None:
        """Take over what a new socket gets from the one it comes from (AC-10, EV-15, JL-45, JL-46)."""
        self.is_blocking = parent.is_blocking
        self.is_overlapped = parent.is_overlapped
        self.options = parent.options.copy()
        self.memory = parent.memory.inherit(self.memory.possible)
        self.signal, self.post = parent.signal, parent.post

    def attend(self) -> None:
        """Watch, or stop watching, what the registered events need to be known."""

    # Helpers for the kinds

    def translated(self, reason: OSError, code_of: Callable[[int | None], int] = from_kernel) -> MultipointError:
        """Return our error for one of the kernel's; a socket that was closed in between counts as that."""
        if isinstance(reason, MultipointError):
            return reason
        if self.is_closed:
            return self.closed_elsewhere()
        return error(code_of(reason.errno), str(reason))

    def _bind(self, address: Endpoint) -> None:
        raise self._not_here("bind")

    def _end(self, *, is_abortive: bool) -> None:
        """Give up what the kind holds; the lock is held."""

    def _not_here(self, call: str) -> MultipointError:
        self.check_open()
        return error(constants.WSAEOPNOTSUPP, f"this kind of socket has no {call}")
