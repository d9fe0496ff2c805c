"""The c_root socket: invites leaves, lets them in, sends to all of them, ends the session.

What is decided about the session is decided in ``root``. May not know: the states of control connections.
"""

import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from multipoint import constants, kernel, planes
from multipoint.binding import WILDCARDS
from multipoint.catalogue import Entry
from multipoint.connection import Connection
from multipoint.data import Buffer, Message
from multipoint.datagram import Authenticator
from multipoint.door import Door
from multipoint.errors import MultipointError, error, from_kernel_at_join
from multipoint.kinds import Kind, Plane
from multipoint.leg import LegSocket
from multipoint.link import Link
from multipoint.link_events import Agreed, Event, FlowsAnswered, Refused, Requested, Withdrawn
from multipoint.root import Member, Root, Session
from multipoint.rootflows import RootFlowSocket
from multipoint.sealed import SealedSocket, Source
from multipoint.values import Address, JoinRequest, Verdict
from multipoint.wire import KEY_SIZE, Accept, Endpoint

if TYPE_CHECKING:
    from multipoint.stack import Stack


class RootSocket(RootFlowSocket):
    """The root of a session, which lives as long as this socket (CL-10)."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind) -> None:
        # First what may fail: a socket that did not come to be is none of the stack's.
        self._group = planes.choose_group(kernel.FAMILIES[entry.family], stack.settings, stack.groups)
        super().__init__(stack, entry, kind)
        number = int.from_bytes(stack.random_bytes(8), "big")
        self._core = Root(kind, stack.patience, number, lambda: stack.random_bytes(KEY_SIZE))
        self._plane: SealedSocket | None = None
        self._group_key = stack.random_bytes(KEY_SIZE)
        self._authenticator = Authenticator(self._group_key)
        self._legs: dict[Link, LegSocket] = {}
        self._joining: tuple[LegSocket, JoinRequest] | None = None
        stack.groups.add(self._group)

    @property
    def door(self) -> Door:
        """The queue of leaves that ask."""
        return self._core.door

    def set_group(self, address: Address) -> None:
        """Choose group and port of the session's data, before listen and the first join (DP-41)."""
        group = Endpoint(*address[:2])
        with self.stack.lock:
            self.check_idle()
            if self.is_listening or self._joining or self._core.session:
                raise error(constants.WSAEINVAL, "the session has its group already", group=self._group)
            planes.check_group(self.family, group)
            if group in self.stack.groups - {self._group}:
                raise error(constants.WSAEADDRINUSE, "another session has it", group=group)
            self.stack.groups.discard(self._group)
            self.stack.groups.add(group)
            self._group = group

    # Inviting

    def join(self, address: Address, request: JoinRequest = JoinRequest()) -> LegSocket:  # noqa: B008 - frozen
        """Invite one leaf; return its leg (JL-44). Nonblocking: FD_CONNECT comes on this socket."""
        with self.stack.lock:
            self.check_idle()
            self.check_join(request.role)
            self.check_caller_data(request.caller_data)
            self._core.check_invitation()
            leaf = self.check_target(address)
            self._core.check_leaf(leaf)
            if self.has_flows:
                # QS-35: they are those of the first join.
                request = replace(request, qos=None)
            self.overriding(request, leaf.host, self.bind_if_needed)
            leg = self._invite(leaf, request.negotiating(self.quality.signalled))
            return self._wait_for(leg) if self.is_blocking else leg

    def _invite(self, leaf: Endpoint, request: JoinRequest) -> LegSocket:
        link = self._core.invite(leaf, request.role, request.caller_data, request.room, request.qos, time.monotonic())
        leg = LegSocket(self)
        self._legs[link] = leg
        self._joining = leg, request
        self.memory.start_join()
        try:
            sock = self.dialling_socket(0, reuses_port=False)
        except OSError as reason:
            self._core.failed(link)
            self._finish_join(link, from_kernel_at_join(reason.errno))
        else:
            # Registered before it opens: the connection may fail at once.
            connection = Connection(self.stack, sock, link, lambda event: self.handle(link, event))
            self._connections[link] = connection
            connection.check_way = lambda: self.check_way(connection.one_way_us)
            connection.open(leaf)
        return leg

    def _wait_for(self, leg: LegSocket) -> LegSocket:
        try:
            code = self.wait_until(lambda: leg.join_code, is_alertable=True)
        except BaseException:
            # JL-73: cancelled, or the program's own: a routine that raises. A c_root that was closed has dealt with it.
            if not leg.is_closed:
                leg.close()
            raise
        self.memory.forget_join()
        if code:
            leg.close()
            raise error(code, "the leaf did not join")
        return leg

    def cancel(self, leg: LegSocket) -> None:
        """Take back the invitation: its leg was closed (JL-39, JL-40)."""
        link = self._link_of(leg)
        if link and link is self._core.inviting:
            assert self._joining
            link.close(time.monotonic())
            self._core.failed(link)
            self._joining[1].deliver(b"")
            self._joining = None
            self.end_override(constants.WSAECONNABORTED)
            self._legs.pop(link)
            self._drop(link)

    def _finish_join(self, link: Link, code: int, callee_data: bytes = b"") -> None:
        assert self._joining
        leg, request = self._joining
        self._joining = None
        request.deliver(callee_data)
        self.end_override(code)
        if code:
            self._legs.pop(link, None)
            leg.failed(code)
        self.last_error = code
        self.record(self.memory.end_join(code, is_leaf=False))
        self.wake()

    # What links tell

    def handle(self, link: Link, event: Event) -> None:
        """Do what an event of a link that is not a leg's yet means."""
        match event:
            case Requested(request):
                offer = self.offer() if request.role.receives else None
                self.noted(link, self._core.requested(link, time.monotonic(), offer))
            case FlowsAnswered(_, code, _):
                self.noted(link, self._core.answered(link, code, time.monotonic()))
            case Withdrawn(code):
                self._core.withdrawn(link)
                self.withdrawn(link, code)
            case Agreed(answer):
                self._agreed(link, answer)
            case Refused(code):
                self._core.failed(link)
                self._connections.pop(link, None)
                self._finish_join(link, code)

    def _agreed(self, link: Link, answer: Accept) -> None:
        connection = self._connections.pop(link)
        try:
            self.take_answer(link, answer.qos)
            self._ensure_session(connection)
        except OSError as reason:
            code = reason.code if isinstance(reason, MultipointError) else from_kernel_at_join(reason.errno)
            connection.mute()
            link.close(time.monotonic())
            self._core.failed(link)
            self._finish_join(link, code)
            return
        member = self._core.agreed(link, answer, time.monotonic())
        if member is None:
            connection.mute()
            self._finish_join(link, constants.WSAECONNREFUSED)
            return
        self._welcome(self._legs[link], connection, member)
        self._finish_join(link, 0, answer.callee_data)

    def _welcome(self, leg: LegSocket, connection: Connection, member: Member) -> None:
        assert self._plane
        self.has_flows = True
        self._legs[connection.link] = leg
        if self._plane.anyone is None:
            # In a conference all speak with the group's key.
            self._plane.welcome(member.number, Source(Authenticator(member.key), member.peer))
        leg.joined(connection, member)

    def forget(self, leg: LegSocket) -> None:
        """A leaf is no member any more."""
        link = self._link_of(leg)
        if link:
            self._legs.pop(link)
            self._core.parted(link)
            self.peer_gone(link)
        if leg.member and self._plane:
            self._plane.forget(leg.member.number)

    def _link_of(self, leg: LegSocket) -> Link | None:
        return next((link for link, known in self._legs.items() if known is leg), None)

    # Accepting

    def enter(self, peer: Endpoint) -> Link:
        """Return the link for a leaf that has connected."""
        return self._core.enter(peer, time.monotonic())

    def check_may_listen(self) -> None:
        """Raise WSAEINVAL when the session has ended (CL-06)."""
        if self._core.is_spent:
            raise error(constants.WSAEINVAL, "the session has ended")

    def begin_listening(self, backlog: int) -> None:
        """The session begins (DP-27)."""
        self.door.open(backlog)
        self.record(self.memory.open())

    def admit(self, connection: Connection, verdict: Verdict) -> LegSocket:
        """Let a leaf in; return its leg."""
        try:
            self._ensure_session(connection)
        except OSError as reason:
            # Nobody can be a member of a session that can't carry data.
            self._core.refuse(connection.link, time.monotonic())
            connection.pump()
            raise self.translated(reason) from reason
        leg = LegSocket(self)
        try:
            granted = self.grant(leg, connection, verdict.qos)
            member = self._core.admit(connection.link, verdict.callee_data, granted, time.monotonic())
        except MultipointError as reason:
            leg.discard()
            if reason.code == constants.WSAEOPNOTSUPP:
                self._core.refuse(connection.link, time.monotonic(), reason.code)
            connection.pump()
            raise
        self._welcome(leg, connection, member)
        connection.pump()
        return leg

    def refuse(self, link: Link) -> None:
        """Turn a leaf away."""
        self._core.refuse(link, time.monotonic())

    # Quality of service

    @property
    def has_ended(self) -> bool:
        """Tell whether the session has ended."""
        return self._core.is_spent

    @property
    def is_joined(self) -> bool:
        """Tell whether there is a session."""
        return self._core.session is not None

    def peers(self) -> list[Connection]:
        """Return the connections to the members."""
        return [leg.connection for leg in self._legs.values() if leg.connection]

    # Data

    def _ensure_session(self, connection: Connection) -> None:
        """Open the data plane. A root on a wildcard address takes the one at which its first leaf is reached."""
        if self._core.session:
            return
        assert self.bound
        assert self.kind
        host = self.bound.host
        if host == WILDCARDS[self.family]:
            host = self._default_host() or connection.local.host
        self._plane, root = planes.open_root(self.kind, self._core.number, host, self._group, self.options)
        self._plane.on_drop = self.stack.count
        if self.kind.data is Plane.LEAF:
            self._plane.anyone = self._authenticator
        has_chats, mark = self.stack.settings.side_chats, self._plane.mark
        self._core.session = Session(self._core.number, self._group, root, self._group_key, has_chats, mark)
        self.attend()
        self.wake()

    def _default_host(self) -> str | None:
        """DP-05: the system's choice of interface, if it has one for groups."""
        try:
            return kernel.source_towards(self.family, self._group.host, self._group.port)
        except OSError:
            return None

    def data_socket(self) -> socket.socket | None:
        """Return the kernel's socket, once there has been a leaf."""
        return self._plane.sock if self._plane else None

    def check_data(self) -> None:
        """Raise WSAENOTCONN before the session exists (DP-27)."""
        if not self.is_listening and self._core.session is None:
            raise error(constants.WSAENOTCONN, "there is no session yet")

    @property
    def has_room(self) -> bool:
        """Tell whether a message would go; without members it is gone at once (DP-27)."""
        return self._plane is None or super().has_room

    def take_now(self) -> Message:
        """Return a message of a member (DP-21)."""
        if self._plane is None:
            raise BlockingIOError
        return self._plane.receive()

    def send_now(self, data: Buffer, to: Address | None) -> int:
        """Send to every member; without members the message is gone (DP-20, DP-27)."""
        if self._plane is None or not self._core.members:
            self.check_data()
            return len(data)
        return self._plane.send(data, self._group, self._authenticator)

    # Ending

    def check_joined(self) -> None:
        """Raise WSAENOTCONN before there is a session (CL-30)."""
        self.check_data()

    def part(self, data: bytes) -> None:
        """Dismantle the session (CL-02); every leaf gets the data (D-83)."""
        self._dismantle(data, is_abortive=False)

    def _dismantle(self, data: bytes = b"", *, is_abortive: bool) -> None:
        """Every leg and every member records FD_CLOSE (CL-01)."""
        now = time.monotonic()
        self.release_flows()
        joining, self._joining = self._joining, None
        if joining:
            # JL-41, D-16: the descriptor was given out already, so it learns of the end.
            joining[1].deliver(b"")
            joining[0].failed(constants.WSAECONNABORTED)
            joining[0].note_end(constants.WSAECONNABORTED)
        waiting, legs = list(self._connections.values()), list(self._legs.values())
        self.parting += tuple(leg.connection for leg in legs if leg.connection)
        self._connections.clear()
        self._legs.clear()
        for link in self._core.dismantle(now, data):
            if is_abortive:
                link.abort(now)
        for connection in waiting:
            # Who has connected and not asked yet is not behind the core's door.
            connection.mute()
            (connection.link.abort if is_abortive else connection.link.close)(now)
            connection.pump()
        for leg in legs:
            leg.session_ended(constants.WSAECONNRESET if is_abortive else 0)
        self.release()

    def _drop(self, link: Link) -> None:
        connection = self._connections.pop(link, None)
        if connection:
            connection.mute()
            connection.pump()

    def _end(self, *, is_abortive: bool) -> None:
        self._dismantle(is_abortive=is_abortive)
        self.stack.groups.discard(self._group)
        if self._plane:
            self.stack.reactor.unwatch(self._plane.sock.fileno())
            self._plane.sock.close()
