"""Receiving and sending messages, as all sockets with a data plane do it: now, or by waiting; and the events of it.

May not know: whether datagrams are plain or sealed, what a session is.
"""

import contextlib
import select
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from multipoint import constants
from multipoint.catalogue import Entry
from multipoint.errors import MultipointError, WouldBlock, error
from multipoint.events import NONE, NetworkEvent
from multipoint.flowing import FlowSocket
from multipoint.kinds import JoinRole, Kind
from multipoint.pending import Pending
from multipoint.reactor import READABLE, WRITABLE
from multipoint.values import Address
from multipoint.wire import Endpoint

if TYPE_CHECKING:
    from multipoint.stack import Stack

Message = tuple[bytes, Endpoint]
Buffer = bytes | bytearray | memoryview
MAX_COUNTED = 1 << 18
# Looked up for each message; members of an Enum are slow to reach.
SENDER_ONLY, RECEIVER_ONLY = JoinRole.SENDER_ONLY, JoinRole.RECEIVER_ONLY


class DataSocket(FlowSocket):
    """A socket that messages go through."""

    def __init__(self, stack: "Stack", entry: Entry, kind: Kind | None) -> None:
        super().__init__(stack, entry, kind)
        # What is here and was taken from the kernel, or came over a control connection.
        self.inbox: deque[Message] = deque()
        # The data plane has ended: 0 in order, or a WSA code. None: it goes on.
        self.ended: int | None = None
        self.is_send_shut = False
        self.is_receive_shut = False
        self._lacks_room = False
        # Made for the first overlapped operation.
        self._pending: Pending | None = None

    @abstractmethod
    def take_now(self) -> Message:
        """Return a message from the kernel. Raises BlockingIOError if there is none, OSError if there never will be."""

    @abstractmethod
    def send_now(self, data: Buffer, to: Address | None) -> int:
        """Hand a message to the kernel. Raises BlockingIOError if there is no room now."""

    @abstractmethod
    def check_data(self) -> None:
        """Raise what keeps data from flowing at all: not bound, not joined, spent."""

    @property
    def kernel_descriptor(self) -> int | None:
        """Return the descriptor of the kernel's socket, None if there is none yet, or any more."""
        sock = None if self.is_closed else self.data_socket()
        # Another thread may close it at any time.
        descriptor = sock.fileno() if sock else -1
        return descriptor if descriptor >= 0 else None

    def bytes_queued(self) -> int:
        """Return how many bytes all messages have that are here (IO-17); the kernel tells of the first one only."""
        self.check_open()
        with self.stack.lock:
            if not self.has_message:
                return 0
            queued = sum(len(data) for data, _ in self.inbox)
            # A program that asks and never reads must not fill our memory in place of the kernel's.
            with contextlib.suppress(OSError):
                while queued < MAX_COUNTED:
                    self.inbox.append(self.take_now())
                    queued += len(self.inbox[-1][0])
            self._note_found()
            return queued

    # For select (EV-46 to EV-48)

    @property
    def may_receive(self) -> bool:
        """Tell whether a receive would end at once: a message is here, or the session has ended."""
        if self.is_readable:
            self._note_found()
            return True
        return self.ended is not None

    def _note_found(self) -> None:
        """Tell the event memory of data that somebody found: to the reactor it is no news any more (EV-17)."""
        if self.memory.mask is not NONE:
            self.record(self.memory.tell(NetworkEvent.READ, True))

    @property
    def may_send(self) -> bool:
        """Tell whether a send would end at once, and well."""
        try:
            self.check_send(b"")
        except MultipointError:
            return False
        return self.has_room

    @property
    def has_room(self) -> bool:
        """Tell whether the kernel, or a control connection, takes a message."""
        descriptor = self.kernel_descriptor
        if descriptor is None:
            return False
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return bool(poll.poll(0))

    # Receiving

    def receive(self, size: int = 65536, flags: int = 0) -> Message:
        """Return one message, cut to ``size`` with WSAEMSGSIZE (``data`` in its facts), and its sender."""
        # The common case first, with the fewest steps; whatever is not common is found out below.
        if not (flags or self.is_closed or self.is_receive_shut or self.inbox or self.memory.mask is not NONE) and (
            self.ended is None and self.role is not SENDER_ONLY
        ):
            try:
                at_once = self.take_now()
            except BlockingIOError:
                pass
            except OSError as reason:
                raise self.translated(reason) from reason
            else:
                return at_once if len(at_once[0]) <= size else cut(at_once, size)
        self.try_receive(flags)
        deadline = self._deadline(self.options.receive_timeout_s)
        while True:
            message = self.next_message(is_peek=bool(flags & constants.MSG_PEEK))
            if message is not None:
                return cut(message, size)
            if not self.is_blocking:
                raise WouldBlock(constants.WSAEWOULDBLOCK, "no message is here")
            self._wait(select.POLLIN, deadline, lambda: bool(self.inbox) or self.ended is not None)

    @property
    def is_readable(self) -> bool:
        """Tell whether a receive would end at once."""
        return self.has_message

    @property
    def has_message(self) -> bool:
        """Tell whether a message is here for who asks next: those who wait already come first."""
        return not (self._pending and self._pending.wants_data) and self.take_in()

    def take_in(self) -> bool:
        """Tell whether a message is here; one that is genuine, which may mean to take it from the kernel."""
        if not (self.inbox or self.is_receive_shut or self.ended):
            try:
                self.inbox.append(self.take_now())
            except OSError:
                return False
        return bool(self.inbox)

    def next_message(self, is_peek: bool) -> Message | None:
        """Return the next message, None to wait for one. Raises how the data plane ended."""
        try:
            if is_peek or self.inbox:
                with self.stack.lock:
                    if self.has_message:
                        return self.inbox[0] if is_peek else self.pop()
                raise BlockingIOError
            return self.take_now()
        except BlockingIOError:
            self._check_end()
            return None
        except OSError as reason:
            raise self.translated(reason) from reason
        finally:
            self.reenable_read()

    def check_refusal(self) -> None:
        """Raise, once, what the network has told of an earlier send; the lock is held."""

    def pop(self) -> Message:
        """Take the first message out of the inbox; the lock is held."""
        message = self.inbox.popleft()
        self.note_room()
        return message

    def note_room(self) -> None:
        """A message was taken from the inbox; the lock is held."""

    def _check_end(self) -> None:
        """Nothing is here: raise how the data plane ended; return to wait."""
        self.check_open()
        if self.ended is not None:
            raise error(self.ended or constants.WSAEDISCON, "the session has ended")

    def try_receive(self, flags: int) -> None:
        """Raise what keeps a receive from beginning; to have tried counts (EV-25)."""
        try:
            self.check_receive(flags)
        except MultipointError:
            self.reenable_read()
            raise

    def check_receive(self, flags: int) -> None:
        """Raise what keeps a receive from beginning."""
        self.check_open()
        if flags & (constants.MSG_OOB | constants.MSG_WAITALL):
            raise error(constants.WSAEOPNOTSUPP, "no urgent data, no waiting for all", flags=flags)
        if flags & ~constants.MSG_PEEK:
            raise error(constants.WSAEINVAL, "unknown flags", flags=flags)
        if self.role is SENDER_ONLY:
            raise error(constants.WSAEOPNOTSUPP, "joined with JL_SENDER_ONLY")
        if self.is_receive_shut:
            raise error(constants.WSAESHUTDOWN, "receiving was shut down")
        if self.ended:
            # CL-13: what was queued is lost with it.
            raise error(self.ended, "the session has ended")
        if self.ended is None:
            self.check_data()

    # Sending

    def send(self, data: Buffer, to: Address | None = None) -> int:
        """Send one message; return its length."""
        # As in receive: the common case first.
        if not (self.is_closed or self.is_send_shut or self.quality.shaper or len(data) > self.max_message) and (
            self.ended is None and self.role is not RECEIVER_ONLY
        ):
            try:
                return self.send_now(data, to)
            except BlockingIOError:
                pass
            except MultipointError:
                raise
            except OSError as reason:
                raise self.translated(reason) from reason
        self.check_send(data)
        deadline = self._deadline(self.options.send_timeout_s)
        if not self.conforms(len(data), deadline):
            self.check_send(data)
            return len(data)
        while True:
            try:
                return self.send_now(data, to)
            except BlockingIOError as reason:
                self._note_no_room()
                if not self.is_blocking:
                    raise WouldBlock(constants.WSAEWOULDBLOCK, "no room to send") from reason
            except MultipointError:
                raise
            except OSError as reason:
                raise self.translated(reason) from reason
            self._wait(select.POLLOUT, deadline, lambda: self.ended is not None)
            self.check_data()

    @property
    def has_ended(self) -> bool:
        """Tell whether the data plane has ended."""
        return self.ended is not None

    def check_send(self, data: Buffer) -> None:
        """Raise what keeps the socket from sending this."""
        self.check_open()
        if self.is_send_shut:
            raise error(constants.WSAESHUTDOWN, "sending was shut down")
        if self.role is RECEIVER_ONLY:
            raise error(constants.WSAEOPNOTSUPP, "joined with JL_RECEIVER_ONLY")
        if self.ended is not None:
            raise error(self.ended or constants.WSAENOTCONN, "the session has ended")
        self.check_data()
        if len(data) > self.max_message:
            raise error(constants.WSAEMSGSIZE, "too long", length=len(data), most=self.max_message)

    def check_how(self, how: int) -> None:
        """Raise WSAEINVAL for no direction, or for one that the socket's role does not have (CL-29)."""
        if how not in (constants.SD_RECEIVE, constants.SD_SEND, constants.SD_BOTH):
            raise error(constants.WSAEINVAL, "how is SD_RECEIVE, SD_SEND or SD_BOTH", how=how)
        if (how, self.role) in ((constants.SD_SEND, RECEIVER_ONLY), (constants.SD_RECEIVE, SENDER_ONLY)):
            raise error(constants.WSAEINVAL, "the socket has no such direction", how=how, role=self.role.name)

    # Overlapped

    @property
    def pending(self) -> Pending:
        """Overlapped operations that wait."""
        if self._pending is None:
            self._pending = Pending(self)
        return self._pending

    def serve_pending(self) -> None:
        """Let overlapped operations go on that can by now."""
        if self._pending:
            self._pending.serve()

    def flush(self) -> None:
        """Drop messages that are held back, as if they had been sent (IO-18)."""
        super().flush()
        with self.stack.lock:
            self.pending.flush()

    def cancel_pending(self) -> None:
        """End overlapped operations (CL-24)."""
        super().cancel_pending()
        if self._pending:
            self._pending.cancel()

    # Events: the reactor looks at the kernel's socket only while a registration wants to know what it can't know yet

    def attend(self) -> None:
        """Watch for data while FD_READ is selected and none is known, for room after a send that found none."""
        descriptor = self.kernel_descriptor
        if descriptor is None:
            return
        wants_read, wants_room = self.memory.wants_read and not self.inbox, self._lacks_room
        if self._pending:
            wants_read |= self._pending.wants_data
            wants_room |= self._pending.wants_room
        wants_read &= not self.is_receive_shut
        events = (READABLE if wants_read else 0) | (WRITABLE if wants_room else 0)
        if events:
            self.stack.reactor.watch(descriptor, events, self._ready)
        else:
            self.stack.reactor.unwatch(descriptor)

    def note_data(self) -> None:
        """Give data that is here to who waits for it, and tell the event memory whether there is more."""
        self.serve_pending()
        self.record(self.memory.tell(NetworkEvent.READ, self.is_readable))
        self.attend()

    def note_end(self, code: int) -> None:
        """Tell the event memory and who waits that the data plane has ended; what is queued stays to be read first."""
        if self.ended is not None:
            return
        if code:
            self.inbox.clear()
        self.memory.tell(NetworkEvent.READ, self.is_readable if code == 0 else False)
        self.ended = code
        self.release_flows()
        self.serve_pending()
        self.record(self.memory.close(code))
        self.attend()
        self.wake()

    def _ready(self, events: int) -> None:
        if events & WRITABLE and self._lacks_room:
            self._lacks_room = False
            self.record(self.memory.tell(NetworkEvent.WRITE, True))
        self.note_data()

    def reenable_read(self) -> None:
        """Re-enable FD_READ: a receive was tried, well or not (EV-25)."""
        # Without a registration nobody is to be told; select_events looks anew (EV-18).
        if self.memory.mask:
            with self.stack.lock:
                self.record(self.memory.enable(NetworkEvent.READ, self.is_readable))
                self.attend()

    def _note_no_room(self) -> None:
        if self.memory.mask:
            with self.stack.lock:
                self._lacks_room = True
                self.memory.enable(NetworkEvent.WRITE)
                self.attend()

    # Waiting

    def _wait(self, events: int, deadline: float | None, is_over: Callable[[], bool]) -> None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        descriptor = self.kernel_descriptor

        def is_enough() -> bool:
            # Asked under the lock: a data plane that has opened since we looked will not wake us any more.
            return is_over() or (descriptor is None and self.data_socket() is not None)

        if not self.wait_for_kernel(descriptor, events, left, is_enough):
            raise error(constants.WSAETIMEDOUT, "nothing came in time")
        if self.is_closed:
            raise self.closed_elsewhere()

    def _deadline(self, timeout_s: float | None) -> float | None:
        # SK-17: the time limits count on overlapped sockets only.
        return None if timeout_s is None or not self.is_overlapped else time.monotonic() + timeout_s


def cut(message: Message, size: int) -> Message:
    """Return the message if it fits. Raises WSAEMSGSIZE with what fits."""
    data, sender = message
    if len(data) > size:
        raise error(constants.WSAEMSGSIZE, "the buffer is too small", data=data[:size], sender=sender)
    return message
