"""The leg: the c_leaf socket that a root holds for one leaf (JL-44 to JL-48).

It tells when its leaf goes, and carries the side chat with it; the session's data never comes here (DP-33).
May not know: how the leaf came in.
"""

import time
from typing import TYPE_CHECKING

from multipoint import constants
from multipoint.chatting import MAX_UNSENT
from multipoint.connection import Connection
from multipoint.data import Buffer, Message
from multipoint.errors import error
from multipoint.events import possible_events
from multipoint.flow import FLOWSPEC, QOS
from multipoint.link_events import Chatted, Event, FlowsAnswered, FlowsAsked, Parted
from multipoint.parting import PartingSocket
from multipoint.root import Member
from multipoint.sockets import MultipointSocket
from multipoint.values import Address, Condition, JoinRequest
from multipoint.wire import Endpoint

if TYPE_CHECKING:
    from multipoint.rootsocket import RootSocket


class LegSocket(PartingSocket):
    """One leaf of a session, at the root. Until its join is complete it is of no use but to be closed (JL-28)."""

    def __init__(self, root: "RootSocket") -> None:
        super().__init__(root.stack, root.entry, root.kind)
        self.root = root
        self.member: Member | None = None
        # How the join ended: None while it is outstanding, 0, or a WSA code, and then the leg is dead (JL-42).
        self.join_code: int | None = None
        self.connection: Connection | None = None
        assert root.kind
        self.memory.possible = possible_events(root.kind, is_leg=True, has_side_chats=self._has_chats)
        self.inherit_from(root)
        self.bound = root.bound

    def joined(self, connection: Connection, member: Member) -> None:
        """The leaf is a member."""
        self.join_code = 0
        self.member = member
        self.connection = connection
        self.bound = connection.local
        connection.on_event = self.handle
        self.record(self.memory.open())

    def failed(self, code: int) -> None:
        """The join came to nothing."""
        self.join_code = code

    def session_ended(self, code: int) -> None:
        """The root has ended the session (CL-01)."""
        if self.connection:
            self.connection.mute()
            self.connection.pump()
        if self.member:
            self.note_end(code)

    def handle(self, event: Event) -> None:
        """Do what an event of the link means."""
        match event:
            case Chatted(data):
                assert self.member
                self.hear_chat(data, self.member.peer)
            case FlowsAsked(number, qos):
                self._flows_asked(number, qos)
            case FlowsAnswered():
                assert self.connection
                self.root.flows_answered(self.connection.link, event)
            case Parted(code, data):
                self.disconnect_data = data
                self.root.forget(self)
                self.note_end(code)

    def join(self, address: Address, request: JoinRequest = JoinRequest()) -> "LegSocket":  # noqa: B008 - frozen
        """Raise WSAEISCONN: it is connected already (JL-78)."""
        self.check_open()
        self.check_join(request.role)
        raise error(constants.WSAEISCONN, "is a leg")

    def listen(self, backlog: int = constants.SOMAXCONN) -> None:
        """Raise WSAEISCONN, as any joined c_leaf does (AC-03)."""
        self.check_open()
        raise error(constants.WSAEISCONN, "is a leg", backlog=backlog)

    def accept(self, condition: Condition | None = None) -> MultipointSocket:
        """Raise WSAEINVAL: it never listens (AC-10, AC-14)."""
        self.check_open()
        raise error(constants.WSAEINVAL, "is a leg", condition=condition)

    # Quality of service: what we send is the session's, what we receive is this leaf's

    @property
    def is_joined(self) -> bool:
        """Tell whether the leaf is a member."""
        return self.member is not None

    def promised_flows(self, flows: QOS) -> tuple[FLOWSPEC, FLOWSPEC]:
        """Return what is promised for this leaf alone."""
        return FLOWSPEC(), flows.ReceivingFlowspec

    def set_qos(self, qos: QOS) -> None:
        """Raise WSAEOPNOTSUPP: the flows are the session's, set on its c_root (D-51)."""
        self.check_open()
        raise error(constants.WSAEOPNOTSUPP, "a leg has its session's flows")

    def get_qos(self) -> QOS:
        """Return the flows between the session and this leaf."""
        own, session = super().get_qos(), self.root.quality.in_force
        return QOS.of(session.SendingFlowspec, own.ReceivingFlowspec, own.objects)

    def _flows_asked(self, number: int, qos: QOS) -> None:
        assert self.connection
        flows = self.quality.granted
        flows.ReceivingFlowspec = qos.SendingFlowspec
        self.connection.link.answer_flows(number, self.take_flows(flows), qos, time.monotonic())

    # Data: the side chat

    def check_data(self) -> None:
        """Raise WSAENOTCONN before the join is complete, WSAEOPNOTSUPP without side chats (DP-34)."""
        if self.member is None:
            raise error(constants.WSAENOTCONN, "its join is not complete")
        if not self._has_chats:
            raise error(constants.WSAEOPNOTSUPP, "side chats are switched off")

    @property
    def has_room(self) -> bool:
        """Tell whether the control connection takes a chat."""
        return self.connection is not None and len(self.connection.link.outgoing) <= MAX_UNSENT

    def take_now(self) -> Message:
        """Raise BlockingIOError: what has come lies in the inbox."""
        raise BlockingIOError

    def send_now(self, data: Buffer, to: Address | None) -> int:
        """Send to this leaf only (DP-30)."""
        self.check_data()
        return self.say_chat(bytes(data))

    @property
    def chat_connection(self) -> Connection | None:
        """The connection to the leaf."""
        return self.connection

    def check_joined(self) -> None:
        """Raise WSAENOTCONN before the join is complete."""
        if self.member is None:
            raise error(constants.WSAENOTCONN, "its join is not complete")

    def part(self, data: bytes) -> None:
        """Send this leaf away (CL-08)."""
        assert self.connection
        # EV-44: FD_CLOSE comes when the leaf's end has come.
        self.connection.on_end = lambda: self.note_end(0)
        self._part(data)
        if self.connection.is_over:
            self.note_end(0)

    @property
    def peer_address(self) -> Endpoint:
        """The leaf's control address."""
        if self.member is None:
            return super().peer_address
        return self.member.peer

    @property
    def _has_chats(self) -> bool:
        return self.stack.settings.side_chats

    def _part(self, data: bytes = b"", *, is_abortive: bool = False) -> None:
        assert self.connection
        self.parting = (self.connection,)
        now = time.monotonic()
        self.root.forget(self)
        self.connection.mute()
        if is_abortive:
            self.connection.link.abort(now)
        else:
            self.connection.link.close(now, data)
        self.connection.pump()

    def _end(self, *, is_abortive: bool) -> None:
        if self.connection:
            self._part(is_abortive=is_abortive)
        elif self.join_code is None:
            self.root.cancel(self)
