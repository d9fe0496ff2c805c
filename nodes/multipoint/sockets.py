"""What all sockets of the stack have in common: the calls of the Python face, life, binding.

Waiting is in ``waiting``, blocking mode and events are in ``eventsocket``, options in ``optionsocket``.

A socket is made by ``Stack.socket`` and is one of the kinds in ``plain``, ``rootsocket``, ``leafsocket``, ``leg``.
State changes under the stack's lock; data goes past it, from the program's thread to the kernel. Failures are
exceptions of ``errors`` with the WSA code in ``code``.

May not know: which kinds there are; how control connections work.
"""

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from multipoint import constants, kernel, threads
from multipoint.catalogue import Entry
from multipoint.dialects import join_code
from multipoint.errors import MultipointError, WouldBlock, error, from_kernel
from multipoint.flow import QOS
from multipoint.kinds import JoinRole, Kind
from multipoint.optionsocket import OptionSocket
from multipoint.values import Address, Condition, JoinRequest, as_address
from multipoint.wire import MAX_CONNECT_DATA, Endpoint

if TYPE_CHECKING:
    from multipoint.stack import Stack


class MultipointSocket(OptionSocket):
    """One socket. Each method raises WSAEOPNOTSUPP where the kind of socket has no such call."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind | None) -> None:
        super().__init__(stack, kind)
        self.entry = entry
        self.family = kernel.FAMILIES[entry.family]
        self.max_message = entry.max_message
        # SK-16: what WSASocket was asked for
        self.is_overlapped = False
        # SK-07; 0 is none
        self.group_id = 0
        # Whether the group came to be with this socket
        self.is_group_creator = False
        self.role = JoinRole.BOTH
        self.last_error = 0
        self.bound: Endpoint | None = None
        stack.sockets.add(self)

    @property
    def has_rooted_data(self) -> bool:
        """Tell whether the provider's data plane is rooted."""
        return self.entry.provider.is_data_rooted

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
            if lingers and seconds:
                if not self.is_blocking:
                    raise WouldBlock(constants.WSAEWOULDBLOCK, "lingering would block")
                threads.current().check_may_block()
            self.is_closed = True
            self.memory.forget()
            self.signal = self.post = None
            self.stack.socket_groups.leave(self.group_id)
            self.release_flows()
            self.cancel_pending()
            self._end(is_abortive=lingers and not seconds)
            self.wake()
            try:
                if lingers and seconds:
                    self.linger(seconds)
            finally:
                self.stack.sockets.discard(self)

    def abort(self) -> None:
        """Close as the last WSACleanup does: peers see a reset, the network the leaves (SU-11)."""
        with self.stack.lock:
            if self.is_closed:
                self.break_off()
                return
            self.is_closed = True
            self.release_flows()
            self._end(is_abortive=True)
            self.wake()

    def fall_silent(self) -> None:
        """Tell the program nothing any more, and end what is pending: the stack ends (SU-09, SU-10)."""
        self.memory.forget()
        self.signal = self.post = None
        self.cancel_pending()

    def cancel_pending(self) -> None:
        """End overlapped operations that wait (CL-24, SU-10)."""
        self.stack.changes.cancel(self)

    def linger(self, seconds: float) -> None:
        """Wait for the graceful end of a socket that was just closed, if there is somebody to wait for (CL-22).

        Raises WSAEINTR if cancelled; the end is abortive then.
        """

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
            wanted = as_address(address, self.entry.family, constants.WSAEFAULT)
            if self.bound:
                raise error(constants.WSAEINVAL, "is bound already", address=self.bound)
            self._bind(wanted)

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
        refusal = join_code(self.stack.dialect, self.entry.provider)
        if refusal:
            raise error(refusal, "this dialect's provider has no multipoint", dialect=self.stack.dialect.name)
        self.check_idle()
        if self.entry.provider.is_control_rooted:
            # Others have nobody to wait for.
            self.check_may_block()
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
        if not isinstance(data, bytes | bytearray | memoryview):
            raise error(constants.WSAEFAULT, "caller data are bytes")
        if self.entry.provider.has_connect_data and len(data) > MAX_CONNECT_DATA:
            raise error(constants.WSAEFAULT, "too much caller data", length=len(data), most=MAX_CONNECT_DATA)

    def reenable_accept(self) -> None:
        """Re-enable FD_ACCEPT: an accept was tried, well or not (EV-25)."""

    def reenable_read(self) -> None:
        """Re-enable FD_READ: a receive was tried, well or not (EV-25)."""

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
    def group_flows(self) -> QOS | None:
        """The flows of the socket's group, kept in the dialect ``spec1990`` when its creator joined (DI-15)."""
        return self.stack.socket_groups.flows(self.group_id)

    @property
    def is_listening(self) -> bool:
        """Tell whether requests are taken."""
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

    def bytes_queued(self) -> int:
        """Return how many bytes a receive could give (IO-17)."""
        self.check_open()
        return 0

    # Helpers for the kinds

    def inherit_from(self, parent: "MultipointSocket") -> None:
        """Take over what a new socket gets from the one it comes from (AC-10, EV-15, JL-45, JL-46)."""
        self.is_blocking = parent.is_blocking
        self.is_overlapped = parent.is_overlapped
        self.options = parent.options.copy()
        self.memory = parent.memory.inherit(self.memory.possible)
        self.signal, self.post = parent.signal, parent.post

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
