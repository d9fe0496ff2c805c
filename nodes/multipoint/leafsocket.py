"""The rooted c_leaf socket: asks a root, or listens for invitations; as a member it takes part in the session.

What is decided about the session is decided in ``leaf``. May not know: the states of control connections.
"""

import socket
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from multipoint import constants, kernel, planes
from multipoint.binding import WILDCARDS
from multipoint.catalogue import Entry
from multipoint.connection import Connection
from multipoint.data import SENDER_ONLY, Buffer, Message
from multipoint.datagram import Authenticator
from multipoint.door import Door
from multipoint.errors import MultipointError, error, from_kernel_at_join
from multipoint.events import possible_events
from multipoint.kinds import Kind
from multipoint.leaf import Leaf, LeafState
from multipoint.leafflows import LeafFlowSocket
from multipoint.link import Link
from multipoint.link_events import (
    Chatted,
    Event,
    FlowsAnswered,
    FlowsAsked,
    Joined,
    Parted,
    Refused,
    Requested,
    Withdrawn,
)
from multipoint.sealed import SealedSocket, SocketName
from multipoint.values import Address, JoinRequest, Verdict
from multipoint.wire import Accept, Endpoint, Membership

if TYPE_CHECKING:
    from multipoint.stack import Stack


class LeafSocket(LeafFlowSocket):
    """A leaf, and once it has joined, the member itself (JL-49)."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind) -> None:
        super().__init__(stack, entry, kind)
        self._failed: Connection | None = None
        self._plane: SealedSocket | None = None
        # The kernel's socket for it, made while a blocking join waits.
        self._prepared: planes.Prepared | None = None
        self._authenticator: Authenticator | None = None
        self._target: SocketName | None = None
        self._request: JoinRequest | None = None
        # The code of the join that is outstanding, once it has one; each join has a list of its own, for who waits
        # may look when another thread has begun the next one.
        self._outcome: list[int] = []

    @property
    def door(self) -> Door:
        """The queue of invitations."""
        return self._core.door

    # Asking

    def join(self, address: Address, request: JoinRequest = JoinRequest()) -> "LeafSocket":  # noqa: B008 - frozen
        """Ask the root to be let in; the result is this socket. Nonblocking: FD_CONNECT follows."""
        with self.stack.lock:
            self.check_idle()
            self.check_join(request.role)
            self.check_caller_data(request.caller_data)
            self._core.check_join()
            root = self.check_target(address)
            self.overriding(request, root.host, self.bind_if_needed)
            self._ask(root, request.negotiating(self.quality.signalled))
            return self._wait_for_root() if self.is_blocking else self

    def _ask(self, root: Endpoint, request: JoinRequest) -> None:
        assert self.bound
        link = self._core.ask(
            root, self.bound, request.role, request.caller_data, request.room, request.qos, time.monotonic()
        )
        self.role, self._request, self._outcome = request.role, request, []
        self.memory.start_join()
        self._make_way()
        try:
            sock = self._reserved or self.dialling_socket(self.bound.port, reuses_port=True)
        except OSError as reason:
            self._core.failed()
            self._finish_join(from_kernel_at_join(reason.errno))
            return
        if self.options.exclusive_address:
            # Ours until now alone (SK-30); from here on a connection that is over must not keep the port from a retry.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved = None
        self._connection = Connection(self.stack, sock, link, lambda event: self.handle(link, event))
        connection = self._connection
        connection.check_way = lambda: self.check_way(connection.one_way_us)
        connection.open(root)

    def _make_way(self) -> None:
        """End the connection of a join that failed, if it still waits for the root: two ports connect only once."""
        if self._failed and not self._failed.is_over:
            self._failed.link.abort(time.monotonic())
            self._failed.pump()

    def _wait_for_root(self) -> "LeafSocket":
        outcome = self._outcome
        try:
            self._prepare()
            code = self.wait_until(lambda: outcome[0] if outcome else None, is_alertable=True)
        except BaseException:
            # Cancelled, or the program's own: a routine that raises, an interrupt.
            if not self.is_closed:
                self._withdraw()
            raise
        finally:
            if self._prepared:
                self._prepared.sock.close()
                self._prepared = None
        self.memory.forget_join()
        if code:
            raise error(code, "did not join")
        return self

    def _prepare(self) -> None:
        """Use the time until the root has decided, if it is known by now from where it is reached."""
        if self._connection and self._connection.local.host != WILDCARDS[self.family]:
            # What is amiss is found again, and told, if the root lets us in.
            with suppress(OSError):
                self._prepared = planes.prepare_member(self._connection.local.host, self.options)

    def _withdraw(self) -> None:
        """Take back the question: the blocking call was cancelled, the leaf may ask again (JL-73)."""
        assert self._connection
        connection, self._connection = self._connection, None
        connection.mute()
        connection.link.close(time.monotonic())
        connection.pump()
        self._failed = connection
        self._core.failed()
        self.end_override(constants.WSAEINTR)
        self._answer_nothing()

    def _answer_nothing(self) -> None:
        """A join ends without an outcome: what the program gave room for stays empty (JL-61)."""
        request, self._request = self._request, None
        if request:
            request.deliver(b"")

    def _finish_join(self, code: int, callee_data: bytes = b"") -> None:
        request, self._request = self._request, None
        assert request
        request.deliver(callee_data)
        self.end_override(code)
        self._outcome.append(code)
        self.last_error = code
        self.record(self.memory.end_join(code, is_leaf=True))
        self.attend()
        self.wake()

    # What the links tell

    def handle(self, link: Link, event: Event) -> None:
        """Do what an event of a link means."""
        match event:
            case Requested():
                self.noted(link, self._core.requested(link, time.monotonic()))
            case Withdrawn(code):
                self.withdrawn(link, code)
            case Joined(membership, answer):
                self._joined(membership, answer)
            case Refused(code):
                self._core.failed()
                self._failed, self._connection = self._connection, None
                self._finish_join(code)
            case Chatted(data):
                # DP-31: the root's control address tells a chat from the session's data.
                self.hear_chat(data, link.peer)
            case FlowsAsked(number, qos):
                self.flows_asked(link, number, qos)
            case FlowsAnswered():
                self.flows_answered(link, event)
            case Parted(code, data):
                self.disconnect_data = data
                self._parted(code)

    def _joined(self, membership: Membership, answer: Accept | None) -> None:
        assert self.kind
        assert self._connection
        membership = in_scope(membership, self._connection.local.host)
        try:
            self.take_grant(answer.qos if answer else None)
            self._plane = planes.open_member(self.kind, membership, self._take_prepared(), self.role)
            self._plane.on_drop = self.stack.count
        except MultipointError as reason:
            self._cannot_take_part(reason.code)
            return
        except OSError as reason:
            self._cannot_take_part(from_kernel_at_join(reason.errno))
            return
        rooted = self.kind.provider.is_data_rooted
        self._authenticator = Authenticator(membership.member_key if rooted else membership.group_key)
        self._target = kernel.socket_name(*membership.root) if rooted else membership.group
        self._core.joined(membership)
        self.bound = self._connection.local
        self.memory.possible = possible_events(self.kind, self.role)
        if self._request:
            self._finish_join(0, answer.callee_data if answer else b"")
        else:
            self.record(self.memory.open())
            self.attend()
            self.wake()

    def _take_prepared(self) -> planes.Prepared:
        """Return what was prepared, unless options were set meanwhile."""
        assert self._connection
        prepared, self._prepared = self._prepared, None
        if prepared and prepared.options == self.options:
            return prepared
        if prepared:
            prepared.sock.close()
        return planes.prepare_member(self._connection.local.host, self.options)

    def _cannot_take_part(self, code: int) -> None:
        """The root has let us in, but the kernel did not take the membership: go again (JL-69, JL-71)."""
        assert self._connection
        self._connection.mute()
        self._connection.link.close(time.monotonic())
        if self._request:
            self._core.failed()
            self._finish_join(code)
        else:
            self._parted(constants.WSAENETDOWN)

    def _parted(self, code: int) -> None:
        self._core.parted()
        if self._connection:
            self.peer_gone(self._connection.link)
        self._give_up_membership()
        self.note_end(code)

    def _give_up_membership(self) -> None:
        """CL-15: leave messages go out at once; what has come stays to be read."""
        membership = self._core.membership
        if self._plane is None or membership is None or not self.role.receives:
            return
        planes.give_up(self._plane)

    # Accepting invitations

    def enter(self, peer: Endpoint) -> Link:
        """Return the link for a root that has connected."""
        return self._core.enter(peer, time.monotonic())

    def check_may_listen(self) -> None:
        """Raise WSAEISCONN on a member."""
        self._core.check_listen()

    def begin_listening(self, backlog: int) -> None:
        """Listen for invitations."""
        self._core.listen(backlog)

    def admit(self, connection: Connection, verdict: Verdict) -> "LeafSocket":
        """Accept an invitation; return the member, which takes part once the root confirms."""
        assert self.kind
        member = LeafSocket(self.stack, self.entry, self.kind)
        member.inherit_from(self)
        try:
            granted = member.take_offer(connection, verdict.qos)
        except MultipointError as reason:
            member.discard()
            self._core.refuse(connection.link, time.monotonic(), reason.code)
            connection.pump()
            raise
        member.become(self._core, connection, replace(verdict, qos=granted))
        return member

    def become(self, listening: Leaf, connection: Connection, verdict: Verdict) -> None:
        """Be the member that accepts this invitation."""
        link = connection.link
        self._core = listening.admit(link, connection.local, verdict.callee_data, verdict.qos, time.monotonic())
        self.role = self._core.role
        self.bound = connection.local
        self._connection = connection
        connection.on_event = lambda event: self.handle(link, event)
        connection.pump()

    def refuse(self, link: Link) -> None:
        """Turn an invitation down."""
        self._core.refuse(link, time.monotonic())

    # Data

    def data_socket(self) -> socket.socket | None:
        """Return the kernel's socket, once the root has confirmed us."""
        return self._plane.sock if self._plane else None

    def check_data(self) -> None:
        """Raise WSAENOTCONN unless a member (DP-18)."""
        if self._core.state is not LeafState.MEMBER:
            raise error(constants.WSAENOTCONN, "is not joined")

    def take_now(self) -> Message:
        """Return a message of the session: the root's, or in a conference another participant's."""
        if self._plane is None or self.role is SENDER_ONLY:
            raise BlockingIOError
        return self._plane.receive()

    def send_now(self, data: Buffer, to: Address | None) -> int:
        """Send to the d_root, or to all others (DP-22, DP-24); to the root's control address: a side chat (DP-32)."""
        if self._plane is None or self._connection is None:
            raise BlockingIOError
        if to is not None and Endpoint(*to[:2]) == self._connection.link.peer:
            return self._chat(bytes(data))
        assert self._target
        assert self._authenticator
        return self._plane.send(data, self._target, self._authenticator)

    def _chat(self, data: bytes) -> int:
        membership = self._core.membership
        if membership and not membership.has_side_chats:
            raise error(constants.WSAEOPNOTSUPP, "side chats are switched off")
        return self.say_chat(data)

    @property
    def chat_connection(self) -> Connection | None:
        """The connection to the root."""
        return self._connection

    @property
    def peer_address(self) -> Endpoint:
        """The root (SK-34)."""
        if self._core.state not in (LeafState.MEMBER, LeafState.SPENT) or self._connection is None:
            return super().peer_address
        return self._connection.link.peer

    @property
    def peer_data_address(self) -> Endpoint:
        """Where session data comes from: what a receive gives as the sender of the root's data (DP-31)."""
        membership = self._core.membership
        if membership is None:
            raise error(constants.WSAENOTCONN, "is not joined")
        return membership.root

    # Ending

    def check_joined(self) -> None:
        """Raise WSAENOTCONN unless a member."""
        self.check_data()

    def part(self, data: bytes) -> None:
        """Ask to leave; the root may still speak until it closes the leg (CL-32)."""
        assert self._connection
        self._connection.link.leave(time.monotonic(), data)
        self._connection.pump()

    def _end(self, *, is_abortive: bool) -> None:
        now = time.monotonic()
        self._answer_nothing()
        self.parting = (self._connection,) if self._connection else ()
        connections = (*self._connections.values(), *self.parting)
        self._connections.clear()
        for connection in connections:
            connection.mute()
            if is_abortive:
                connection.link.abort(now)
            else:
                connection.link.close(now)
            connection.pump()
        self.release()
        if self._plane:
            self.stack.reactor.unwatch(self._plane.sock.fileno())
            self._plane.sock.close()


def in_scope(membership: Membership, own_host: str) -> Membership:
    """Return the membership with the scope id that the root's address has here: it is ours, and does not travel."""
    _, sign, scope = own_host.partition("%")
    if not sign:
        return membership
    return replace(membership, root=Endpoint(f"{membership.root.host}%{scope}", membership.root.port))
