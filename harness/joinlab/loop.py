"""The one event loop of the harness, and conversations over it.

Nothing runs in the background: whoever waits pumps the loop, and everything that has arrived (replies, records,
frames) is handed on by the thread that waits. So there is no lock, and a thousand nodes cost no thread.

May not know: labs, nodes, traces.
"""

import itertools
import selectors
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from joinlab.errors import JoinlabError, LabBroken
from joinlab_agent.channel import Channel, ChannelClosed, Message

T = TypeVar("T")

# Long enough for any step on a loaded machine; a step that takes longer hangs. Tests give their own deadlines.
PATIENCE_S = 30.0


class HasFileno(Protocol):
    """What a selector can wait for."""

    def fileno(self) -> int:
        """Return the descriptor."""


class Loop:
    """A selector, pumped by whoever waits."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, source: HasFileno, readable: Callable[[], None]) -> None:
        """Call ``readable`` while the loop is pumped, whenever ``source`` can be read."""
        self._selector.register(source, selectors.EVENT_READ, readable)

    def unwatch(self, source: HasFileno) -> None:
        """Stop watching ``source``; call this before it is closed."""
        self._selector.unregister(source)

    def pump(self, timeout_s: float = 0.0) -> bool:
        """Hand on what is there, waiting at most ``timeout_s`` for the first; tells whether there was anything."""
        ready = self._selector.select(timeout_s)
        for key, _ in ready:
            # An earlier callback of this round may have unwatched it.
            if self._selector.get_map().get(key.fd) is key:
                key.data()
        return bool(ready)

    def wait_for(self, question: Callable[[], T | None], timeout_s: float = PATIENCE_S) -> T | None:
        """Pump until ``question`` has an answer; None when the time is over. What is there already is read first."""
        deadline = time.monotonic() + timeout_s
        self.pump()
        while (answer := question()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.pump(left)
        return answer

    def close(self) -> None:
        """Forget all sources; they stay open."""
        self._selector.close()


class Pending(Generic[T]):
    """An answer that may still be on its way: a future of this loop."""

    def __init__(self, loop: Loop, what: str) -> None:
        self._loop = loop
        self._what = what
        self._outcome: Callable[[], T] | None = None

    @property
    def is_done(self) -> bool:
        """Tell whether the answer has come, reading what is there first."""
        self._loop.pump()
        return self._outcome is not None

    def resolve(self, outcome: Callable[[], T]) -> None:
        """Set the outcome: a function that returns the value or raises the error."""
        self._outcome = outcome

    def result(self, timeout_s: float = PATIENCE_S) -> T:
        """Wait for the answer. Raises what the call raised, TimeoutError when the time is over."""
        outcome = self._loop.wait_for(lambda: self._outcome, timeout_s)
        if outcome is None:
            raise TimeoutError(f"{self._what}: no answer in {timeout_s:g} s")
        return outcome()


def take_all(answers: Iterable[Callable[[], T]]) -> list[T]:
    """Take every answer, and only then raise the first that is an error.

    For answers that bring descriptors: one that nobody takes stays open, and keeps alive what it belongs to.
    """
    taken: list[T] = []
    failures: list[Exception] = []
    for answer in answers:
        try:
            taken.append(answer())
        except (JoinlabError, TimeoutError) as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return taken


class Conversation:
    """Requests and replies over one channel, and the records that the other end sends by itself.

    A request is ``{"id": n, "do": verb, **arguments}``; its reply ``{"re": n, "value": ...}`` or ``{"re": n, "error":
    {"type": ..., "text": ..., ...}}``. Anything else is a record, handed to ``on_record``.
    """

    def __init__(
        self,
        loop: Loop,
        channel: Channel,
        name: str,
        *,
        on_record: Callable[[Message], None] = lambda _: None,
        on_end: Callable[[], None] = lambda: None,
        to_error: Callable[[dict[str, Any]], Exception] = lambda error: LabBroken(error["text"]),
    ) -> None:
        self.name = name
        self.is_open = True
        self._loop = loop
        self._channel = channel
        self._on_record = on_record
        self._on_end = on_end
        self._to_error = to_error
        self._numbers = itertools.count(1)
        self._pending: dict[int, Pending[Any]] = {}
        loop.watch(channel, self._readable)

    def start(self, verb: str, /, **arguments: Any) -> Pending[Any]:
        """Send a request and return at once; a reply with descriptors gives ``(value, descriptors)``."""
        pending: Pending[Any] = Pending(self._loop, f"{verb} on {self.name}")
        if not self.is_open:
            pending.resolve(lambda: _raise(LabBroken(f"{self.name} has ended; it can't be asked to {verb}")))
            return pending
        number = next(self._numbers)
        self._pending[number] = pending
        try:
            self._channel.send({"id": number, "do": verb, **arguments})
        except ChannelClosed:
            self._end()
        return pending

    def call(self, verb: str, /, *, timeout_s: float = PATIENCE_S, **arguments: Any) -> Any:
        """Send a request and wait for its reply. Raises what ``to_error`` makes of an error, LabBroken at the end."""
        return self.start(verb, **arguments).result(timeout_s)

    def close(self) -> None:
        """Close this end; the other end sees it and ends."""
        if self.is_open:
            self._end()

    def _readable(self) -> None:
        try:
            messages = self._channel.take()
        except ChannelClosed:
            self._end()
            return
        for body, descriptors in messages:
            if "re" in body:
                self._reply(body, descriptors)
            else:
                self._on_record(body)

    def _reply(self, body: Message, descriptors: tuple[int, ...]) -> None:
        pending = self._pending.pop(body["re"])
        if "error" in body:
            error = self._to_error(body["error"])
            pending.resolve(lambda: _raise(error))
        else:
            value = (body.get("value"), descriptors) if descriptors else body.get("value")
            pending.resolve(lambda: value)

    def _end(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._loop.unwatch(self._channel)
        self._channel.close()
        for pending in self._pending.values():
            pending.resolve(lambda: _raise(LabBroken(f"{self.name} ended before it answered")))
        self._pending.clear()
        self._on_end()


def _raise(error: Exception) -> Any:
    raise error
