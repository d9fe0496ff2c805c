"""Message queues, in place of Windows' windows: what WSAAsyncSelect posts to (EV-23, D-65).

May not know: sockets, events.
"""

from collections import deque
from dataclasses import dataclass

from multipoint.signals import announce, wait_for


@dataclass(frozen=True)
class MSG:
    """One message: of which socket, low word which event, high word which error."""

    hwnd: int
    message: int
    wParam: int
    lParam: int


class MessageQueue:
    """Messages in the order in which they were posted."""

    def __init__(self) -> None:
        self._messages: deque[MSG] = deque()

    def post(self, message: MSG) -> None:
        """Add a message, from any thread."""
        self._messages.append(message)
        announce()

    def get(self, timeout_s: float | None) -> MSG | None:
        """Take the first message out, waiting at most ``timeout_s``; None when the time is over."""
        while wait_for(timeout_s, lambda: 0 if self._messages else None) is not None:
            try:
                return self._messages.popleft()
            except IndexError:
                # Another thread was quicker.
                continue
        return None
