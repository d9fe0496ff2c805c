"""Event objects: manual reset, set by the stack or the program, waited for by up to 64 at once.

May not know: sockets.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence

# One condition for all: setting an event is rare and short, and a wait may span any of them.
_changed = threading.Condition()


def _renew() -> None:
    """In a forked child: whoever held it in the parent is not here."""
    global _changed
    _changed = threading.Condition()


os.register_at_fork(after_in_child=_renew)


class Signal:
    """What WSACreateEvent makes: stays set until it is reset (EV-01, EV-08)."""

    def __init__(self) -> None:
        self._is_set = False

    @property
    def is_set(self) -> bool:
        """Tell whether it is signalled."""
        return self._is_set

    def set(self) -> None:
        """Signal it and wake who waits."""
        with _changed:
            self._is_set = True
            _changed.notify_all()

    def reset(self) -> None:
        """Take the signal back."""
        self._is_set = False


def announce() -> None:
    """Let every wait look again: something else than an event object has changed."""
    with _changed:
        _changed.notify_all()


def first_set(signals: Sequence[Signal]) -> int | None:
    """Return the lowest index of a set signal."""
    return next((index for index, signal in enumerate(signals) if signal.is_set), None)


def all_set(signals: Sequence[Signal]) -> int | None:
    """Return 0 if all are set together (EV-04)."""
    return 0 if all(signal.is_set for signal in signals) else None


def wait_for_any(signals: Sequence[Signal], timeout_s: float | None) -> int | None:
    """Return the lowest index of a set signal, waiting at most ``timeout_s``; None when the time is over."""
    return wait_for(timeout_s, lambda: first_set(signals))


def wait_for(timeout_s: float | None, question: Callable[[], int | None]) -> int | None:
    """Return the answer once there is one; None when the time is over. ``question`` is asked at each change."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with _changed:
        while (answer := question()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            _changed.wait(left)
        return answer
