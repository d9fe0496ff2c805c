"""Measuring in a network of its own, and with the other side in another process."""

import json
import os
import resource
import signal
import tempfile
from collections.abc import Callable
from typing import Any

from tests.stack.network import Place, isolated

from multipoint.wire import Endpoint


def in_namespace(measure: Callable[[], Any]) -> Any:
    """Return what ``measure`` returns in a child with a network of its own."""
    with tempfile.TemporaryFile() as file:

        @isolated
        def body() -> None:
            signal.alarm(0)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
            file.write(json.dumps(measure()).encode())
            file.flush()

        body()
        file.seek(0)
        return json.load(file)


def on_processor(number: int) -> None:
    """Run on one processor from now on: 0 is the first that we may use, -1 the last."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number]})


class process:
    """A forked process that serves in a place; ``with`` gives what it tells first."""

    told: Callable[[], Any]

    def __init__(self, place: Place, serve: Callable[[Callable[[Any], None]], None]) -> None:
        reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            with place, os.fdopen(writing, "w") as telling:
                serve(lambda what: print(json.dumps(what), file=telling, flush=True))
            os._exit(0)
        self._reading = os.fdopen(reading)
        os.close(writing)

    def __enter__(self) -> Endpoint:
        process.told = staticmethod(lambda: json.loads(self._reading.readline()))
        return Endpoint(*process.told()[:2])

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
