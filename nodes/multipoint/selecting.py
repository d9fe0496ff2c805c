"""select: which of many sockets could receive or send now, or the first that can (EV-46 to EV-49).

It looks at the sockets' states and touches no event memory (EV-47). A join is none of its business: a socket whose join
is outstanding or has failed is in no set, for there is nothing yet that it could receive or send (EV-48).

May not know: handles, sets.
"""

import os
import select as kernel_select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack
from multipoint.threads import Wait
from multipoint.waiting import make_waker, milliseconds

Sockets = Sequence[MultipointSocket]


def select(
    stack: Stack, reads: Sockets, writes: Sockets, exceptions: Sockets, timeout_s: float | None
) -> tuple[list[int], list[int]]:
    """Return the places of those that are ready, in ``reads`` and in ``writes``; none when the time is over.

    Nothing is ever exceptional, but the end of a socket in ``exceptions`` ends the call too.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with _watching(stack, {*reads, *writes, *exceptions}) as (waker, wake):
        wait = Wait(wake)
        with stack.lock:
            for sock in (*reads, *writes, *exceptions):
                sock.check_open()
        while True:
            ready = _look(stack, reads, writes, exceptions)
            left = None if deadline is None else deadline - time.monotonic()
            if any(ready) or (left is not None and left <= 0):
                return ready
            with wait:
                _wait(waker, reads, writes, left)
            wait.check()


def _look(stack: Stack, reads: Sockets, writes: Sockets, exceptions: Sockets) -> tuple[list[int], list[int]]:
    with stack.lock:
        for sock in (*reads, *writes, *exceptions):
            if sock.is_closed:
                raise sock.closed_elsewhere()
        return (
            [at for at, sock in enumerate(reads) if sock.may_receive],
            [at for at, sock in enumerate(writes) if sock.may_send],
        )


def _wait(waker: int, reads: Sockets, writes: Sockets, timeout_s: float | None) -> None:
    """Wait until the kernel has something for one of them, or one of them is woken."""
    poll = kernel_select.poll()
    poll.register(waker, kernel_select.POLLIN)
    wanted: dict[int, int] = {}
    for sockets, event in ((reads, kernel_select.POLLIN), (writes, kernel_select.POLLOUT)):
        for descriptor in _descriptors(sockets):
            wanted[descriptor] = wanted.get(descriptor, 0) | event
    for descriptor, events in wanted.items():
        poll.register(descriptor, events)
    found = poll.poll(milliseconds(timeout_s))
    if any(descriptor == waker for descriptor, _ in found):
        os.eventfd_read(waker)


def _descriptors(sockets: Sockets) -> Iterable[int]:
    """Return the kernel's descriptors of those that could be ready but for the kernel."""
    found = (sock.kernel_descriptor for sock in sockets)
    return [descriptor for descriptor in found if descriptor is not None]


@contextmanager
def _watching(stack: Stack, sockets: set[MultipointSocket]) -> Iterator[tuple[int, Callable[[], None]]]:
    """Give a descriptor that is written to when one of the sockets has changed, and what else does that."""
    waker, is_over = make_waker(), False

    def wake() -> None:
        # Who calls may come too late: then the descriptor is nobody's, or another one's.
        with stack.lock:
            if not is_over:
                os.eventfd_write(waker, 1)

    try:
        with stack.lock:
            for sock in sockets:
                sock.add_waker(waker)
        yield waker, wake
    finally:
        with stack.lock:
            is_over = True
            for sock in sockets:
                sock.remove_waker(waker)
            os.close(waker)
