"""Plain multicast sockets (MCAST, SSM) and ordinary datagram sockets: one UDP socket of the kernel, nothing added.

Any multicast program can be the other side. Membership is the kernel's: a join is done when the kernel has taken it
(JL-30). May not know: sessions, control connections.
"""

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multipoint import binding, constants, joincodes, kernel
from multipoint.addresses import is_group, is_one_host
from multipoint.binding import WILDCARDS
from multipoint.catalogue import MAX_SOURCES, Entry
from multipoint.codec import as_endpoint
from multipoint.data import RECEIVER_ONLY, SENDER_ONLY, Buffer, DataSocket, Message, cut
from multipoint.errors import MultipointError, error
from multipoint.events import NONE, possible_events
from multipoint.filters import Mode
from multipoint.flow import FLOWSPEC, QOS
from multipoint.kinds import JoinRole, Kind, ProviderClass
from multipoint.memberships import Change, Memberships, Place
from multipoint.values import Address, JoinRequest, as_address
from multipoint.wire import Endpoint

if TYPE_CHECKING:
    from multipoint.stack import Stack


class PlainSocket(DataSocket):
    """A UDP socket; with a kind, one that can join a group by WSAJoinLeaf."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind | None) -> None:
        # First what may fail (SK-20): a socket that did not come to be is none of the stack's.
        self._sock = kernel.datagram_socket(kernel.FAMILIES[entry.family])
        super().__init__(stack, entry, kind)
        self.group: Endpoint | None = None
        # DP-37: ICMP errors are reported, and one waits for the next receive
        self._minds_refusals = self._is_refused = False
        self._peer: Endpoint | None = None
        # The last sender as the kernel named it and as we do: mostly the next one is the same.
        self._heard: tuple[tuple[Any, ...], Endpoint] = (), Endpoint("", 0)
        self._memberships = Memberships(self._sock)
        if kind is None:
            # No join has to come first.
            self.memory.open()

    # Binding

    def _bind(self, address: Endpoint) -> None:
        try:
            if self.kind and address.host != WILDCARDS[self.family]:
                self._bind_wide(address)
            else:
                self.bound = binding.bind(self._sock, address, self.options, self.stack.settings)
        except OSError as reason:
            raise self.translated(reason) from reason

    def _bind_wide(self, address: Endpoint) -> None:
        """JL-22: a socket that is bound to one address hears no group on Linux, so the kernel's is bound to all."""
        binding.check_local(address, self.options)
        kernel.check_own(self.family, address.host)
        wide = Endpoint(WILDCARDS[self.family], address.port)
        port = binding.bind(self._sock, wide, self.options, self.stack.settings).port
        self.bound = Endpoint(address.host, port)
        kernel.set_loopback(self._sock, self.options.loopback, self.only_address)
        if self.family == socket.AF_INET6:
            kernel.send_from(self._sock, address.host)

    @property
    def only_address(self) -> str | None:
        """What the program has bound a group socket to, if that is one address."""
        is_wide = self.kind is None or self.bound is None or self.bound.host == WILDCARDS[self.family]
        return None if is_wide or self.bound is None else self.bound.host

    def connect(self, address: Address) -> None:
        """Send to this address, and hear nobody else, as UDP sockets do."""
        with self.stack.lock:
            self.check_open()
            peer = as_address(address, self.entry.family, constants.WSAEFAULT)
            try:
                self._sock.connect(kernel.socket_name(*peer))
            except OSError as reason:
                raise self.translated(reason) from reason
            self._peer = peer
            if self.only_address is None:
                self.bound = as_endpoint(self._sock.getsockname())

    # Joining

    def join(self, address: Address, request: JoinRequest = JoinRequest()) -> "PlainSocket":  # noqa: B008 - frozen
        """Join the group; the result is this socket."""
        with self.stack.lock:
            self.check_open()
            self.check_join(request.role)
            self._check_sources(request)
            if request.caller_data:
                raise error(constants.WSAEPROTONOSUPPORT, "a group takes no caller data")
            if self.group:
                raise error(constants.WSAEISCONN, "has joined already", group=self.group)
            group = as_address(address, self.entry.family, constants.WSAEAFNOSUPPORT)
            if not is_group(group.host) or not group.port:
                raise error(constants.WSAEADDRNOTAVAIL, "is no group and port", address=group)
            for source in request.sources:
                if not is_one_host(as_address((source, 0), self.entry.family, constants.WSAEAFNOSUPPORT).host):
                    raise error(constants.WSAEADDRNOTAVAIL, "is no source", source=source)
            self.overriding(request, group.host, lambda: self._bind_for(group, request.role))
            return self._join(group, request)

    def _bind_for(self, group: Endpoint, role: JoinRole) -> None:
        """JL-20: a receiver that is not bound takes the group's port, for another could never hear it."""
        if self.bound is None:
            self._bind(Endpoint(WILDCARDS[self.family], group.port if role.receives else 0))

    def _join(self, group: Endpoint, request: JoinRequest) -> "PlainSocket":
        self.memory.start_join()
        code = self._take_membership(group, request)
        request.deliver(b"")
        if code == 0:
            self.group, self.role = group, request.role
            assert self.kind
            self.memory.possible = possible_events(self.kind, request.role)
        self.end_override(code)
        self.last_error = code
        self.record(self.memory.end_join(code, is_leaf=True))
        self.attend()
        if code and self.is_blocking:
            self.memory.forget_join()
            raise error(code, "the kernel did not take the membership", group=group)
        return self

    def _check_sources(self, request: JoinRequest) -> None:
        """JL-17: an SSM receiver names 1 to 10 sources, nobody else names any."""
        assert self.kind
        wants = self.kind.provider is ProviderClass.SSM and request.role.receives
        if len(request.sources) > (MAX_SOURCES if wants else 0) or (wants and not request.sources):
            raise error(constants.WSAEFAULT, "sources are for SSM receivers, 1 to 10", count=len(request.sources))

    def _take_membership(self, group: Endpoint, request: JoinRequest) -> int:
        """Return 0, or the code with which the join fails."""
        try:
            interface = self._interface(group)
            if interface:
                if not kernel.is_up(interface):
                    # JL-68: the kernel would take the membership all the same.
                    return constants.WSAENETDOWN
                kernel.set_multicast_interface(self._sock, interface, self.only_address)
            kernel.set_multicast_scope(self._sock, self.options.scope)
            kernel.set_loopback(self._sock, self.options.loopback, self.only_address)
            if request.role.receives:
                self._hear(Place(group.host.partition("%")[0], interface), request.sources)
        except MultipointError:
            # JL-71: an option has joined it already.
            return constants.WSAEISCONN
        except OSError as reason:
            assert self.bound
            return joincodes.code_of(reason.errno, self.bound.host)
        return 0

    def _hear(self, place: Place, sources: tuple[str, ...]) -> None:
        if not sources:
            self._memberships.change(Change.ADD, place)
        for source in sources:
            self._memberships.change(Change.ADD_SOURCE, place, source)

    def change_group(self, change: Change, place: Place, source: str | None = None) -> None:
        """Change what is heard of a group, by an option (SK-40)."""
        with self.stack.lock:
            self.check_open()
            try:
                self._memberships.change(change, place, source)
            except MultipointError:
                raise
            except OSError as reason:
                raise self.translated(reason) from reason

    def replace_filter(self, place: Place, mode: Mode, sources: Sequence[str]) -> None:
        """Replace all that is heard of a group, by an ioctl (IO-24)."""
        with self.stack.lock:
            self.check_open()
            try:
                self._memberships.replace(place, mode, sources)
            except OSError as reason:
                raise self.translated(reason) from reason

    def group_filter(self, place: Place) -> tuple[Mode, list[str]]:
        """Return how a group is heard. Raises WSAEADDRNOTAVAIL for one that is not joined."""
        with self.stack.lock:
            self.check_open()
            found = self._memberships.filter_of(place)
            if not found.is_joined:
                raise error(constants.WSAEADDRNOTAVAIL, "is not joined", group=place.group)
            return found.mode, sorted(found.sources)

    def _interface(self, group: Endpoint) -> int:
        """DP-05, D-31: from special to general; 0 is the system's choice."""
        scope = group.host.partition("%")[2]
        if scope:
            return int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
        assert self.bound
        return self.options.interface or kernel.interface_of(self.family, self.bound.host) or 0

    # Quality of service

    @property
    def is_joined(self) -> bool:
        """Tell whether it has joined a group."""
        return self.group is not None

    def promised_flows(self, flows: QOS) -> tuple[FLOWSPEC, FLOWSPEC]:
        """QS-40: only what is sent is promised, for the senders know nothing of us."""
        return flows.SendingFlowspec, FLOWSPEC()

    # Data

    def data_socket(self) -> socket.socket:
        """Return the kernel's socket."""
        return self._sock

    def check_data(self) -> None:
        """Receiving needs a binding (DP-17); a send without address needs a group, which ``send_now`` checks."""

    def take_now(self) -> Message:
        """Return a datagram, whoever sent it (DP-03)."""
        try:
            data, sender = self._sock.recvfrom(65536)
        except OSError as reason:
            self._note_refusal(reason)
            raise BlockingIOError from reason
        return data, as_endpoint(sender)

    def _note_refusal(self, reason: OSError) -> None:
        """DP-37: keep what ICMP said for the next receive; raise what is nothing of the kind."""
        was_reported = self._minds_refusals and kernel.take_errors(self._sock)
        is_refusal = isinstance(reason, ConnectionRefusedError)
        if not (was_reported or is_refusal):
            raise reason
        self._is_refused |= is_refusal

    @property
    def is_readable(self) -> bool:
        """Tell whether a message is here, or a refusal, which ends the next receive as well (DP-37)."""
        return self.has_message or (self._is_refused and not self.is_receive_shut and self.role is not SENDER_ONLY)

    def next_message(self, is_peek: bool) -> Message | None:
        """As all sockets do, but a refusal comes first (DP-37)."""
        with self.stack.lock:
            self.check_refusal()
        return super().next_message(is_peek)

    def _check_end(self) -> None:
        """Nothing is here: perhaps because a refusal has come just now."""
        with self.stack.lock:
            self.check_refusal()
        super()._check_end()

    def check_refusal(self) -> None:
        """Raise WSAECONNRESET if an earlier datagram was refused (DP-37)."""
        if self._is_refused:
            self._is_refused = False
            self.reenable_read()
            raise error(constants.WSAECONNRESET, "nobody was at the port of a datagram")

    def check_receive(self, flags: int) -> None:
        """Raise WSAEINVAL if the socket is not bound (DP-17), and what any socket raises."""
        self.check_open()
        if self.bound is None:
            raise error(constants.WSAEINVAL, "is not bound")
        super().check_receive(flags)

    # Between plain sockets and these lie few steps: in the common case the kernel is asked at once, and whatever is not
    # common, also each error, is left to the way that all sockets take.

    def receive(self, size: int = 65536, flags: int = 0) -> Message:
        """Return one datagram and its sender."""
        if not (
            flags or self.inbox or self._minds_refusals or self.is_receive_shut or self.memory.mask is not NONE
        ) and (self.role is not SENDER_ONLY and self.bound):
            try:
                data, sender = self._sock.recvfrom(65536)
            except (BlockingIOError, ConnectionRefusedError):
                return super().receive(size, flags)
            except OSError as reason:
                self.check_open()
                raise self.translated(reason) from reason
            heard, endpoint = self._heard
            if sender != heard:
                endpoint = as_endpoint(sender)
                self._heard = sender, endpoint
            return (data, endpoint) if len(data) <= size else cut((data, endpoint), size)
        if self._is_refused:
            self.check_receive(flags)
            with self.stack.lock:
                self.check_refusal()
        return super().receive(size, flags)

    def send(self, data: Buffer, to: Address | None = None) -> int:
        """Send one datagram to ``to``, or to the group joined."""
        target = to or self.group
        if (
            target
            and not (self.is_send_shut or self.quality.shaper or len(data) > self.max_message)
            and (self.role is not RECEIVER_ONLY and self.bound and to is None and not self._minds_refusals)
        ):
            try:
                return self._sock.sendto(data, target)
            except BlockingIOError:
                return super().send(data, to)
            except OSError as reason:
                self.check_open()
                raise self.translated(reason) from reason
        return super().send(data, to)

    def send_now(self, data: Buffer, to: Address | None) -> int:
        """Send to ``to``, or to the group joined (DP-01, DP-02)."""
        target = to or self.group or self._peer
        if target is None:
            raise error(constants.WSAENOTCONN, "no address given, no group joined")
        name = kernel.socket_name(*target[:2])
        if to is not None and not self._minds_refusals:
            kernel.report_refusals(self._sock)
            self._minds_refusals = True
        try:
            sent = self._sock.sendto(data, name)
        except BlockingIOError:
            raise
        except OSError as reason:
            # Said of an earlier datagram; this one was not sent.
            self._note_refusal(reason)
            with self.stack.lock:
                self.note_data()
                self.wake()
            sent = self._sock.sendto(data, name)
        if self.bound is None:
            self.bound = as_endpoint(self._sock.getsockname())
        return sent

    def shutdown(self, how: int, data: bytes | None = None) -> None:
        """Stop receiving or sending; the membership stays until the socket is closed (CL-33)."""
        with self.stack.lock:
            self.check_open()
            self.check_how(how)
            if data is not None:
                raise error(constants.WSAENOPROTOOPT, "a group takes no disconnect data")
            self.is_receive_shut |= how != constants.SD_SEND
            self.is_send_shut |= how != constants.SD_RECEIVE
            self.serve_pending()
            self.attend()

    def receive_disconnect(self, room: int | None) -> bytes:
        """Stop receiving. Raises WSAENOPROTOOPT if disconnect data is wanted: there is never any (CL-36)."""
        self.check_open()
        if room is not None:
            raise error(constants.WSAENOPROTOOPT, "a group gives no disconnect data")
        self.shutdown(constants.SD_RECEIVE)
        return b""

    @property
    def peer_address(self) -> Endpoint:
        """The group (SK-34, D-35), or whom the socket is connected to."""
        return self.group or self._peer or super().peer_address

    def _end(self, *, is_abortive: bool) -> None:
        # The kernel gives up the memberships and reports the leave (CL-17).
        self.stack.reactor.unwatch(self._sock.fileno())
        self._sock.close()
