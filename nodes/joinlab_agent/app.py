"""An app: a process in a node that uses the stack, driven over a channel of its own.

It makes the calls that it is asked for, each in a thread of a pool, so that one that blocks holds up nobody; and it
puts each call, return and network event on record, with the time at which it happened here. When the channel closes
the process ends at once and leaves its sockets to the kernel: that is what a crash looks like to its peers.

May not know: what a call means (``calls.py`` does).
"""

import os
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from joinlab_agent.calls import CallFailed, Calls
from joinlab_agent.channel import Channel, ChannelClosed, Message

# One for each call that blocks at the same time; a thread exists only once it was needed.
MOST_THREADS = 64


def main(channel: Channel) -> NoReturn:
    """Serve calls until the channel closes, then end the process."""
    try:
        App(channel).serve()
    except ChannelClosed:
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


class App:
    """The calls of one channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._calls: Mapping[str, Callable[..., Any]] = Calls(self._record).table()
        self._pool = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="call")

    def serve(self) -> NoReturn:
        """Hand each request to a thread. Raises ChannelClosed."""
        while True:
            body, _ = self._channel.receive()
            self._pool.submit(self._serve_one, body)

    def _serve_one(self, body: Message) -> None:
        try:
            self._channel.send(self._reply(body.pop("id"), body.pop("do"), body))
        except ChannelClosed:
            os._exit(0)

    def _reply(self, number: int, name: str, arguments: Message) -> Message:
        if name not in self._calls:
            return _error(number, {"type": "LookupError", "text": f"an app has no call {name!r}"})
        self._record("call", name, {"call": number, **arguments})
        try:
            value = self._calls[name](**arguments)
        except CallFailed as failure:
            self._record("return", name, {"call": number, "error": failure.name})
            return _error(number, {"type": failure.name, "code": failure.code, "text": f"{name}: {failure.name}"})
        except Exception as error:
            # Not the stack's way to fail, so a fault of the stack or of the request: told in full.
            self._record("return", name, {"call": number, "error": repr(error)})
            return _error(number, {"type": type(error).__name__, "text": traceback.format_exc()})
        self._record("return", name, {"call": number, "value": value})
        return {"re": number, "value": value}

    def _record(self, kind: str, name: str, facts: Message) -> None:
        self._channel.send({"record": kind, "ns": time.time_ns(), "name": name, "facts": facts})


def _error(number: int, error: Message) -> Message:
    return {"re": number, "error": error}
