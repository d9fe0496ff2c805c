"""multipoint: the multipoint semantics of Windows Sockets 2 over real IP, for Linux, on the standard library alone.

``Stack`` and the sockets it makes are the Python face; ``multipoint.winsock`` has the functions that Winsock programs
know. ``multipoint.constants`` has the numbers.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multipoint.errors import CallerError, MultipointError, NetworkError, PeerError, WouldBlock
    from multipoint.kinds import JoinRole
    from multipoint.signals import Signal
    from multipoint.sockets import MultipointSocket
    from multipoint.stack import Stack
    from multipoint.values import Caller, JoinRequest, Settings, Verdict

# Where each public name lives. Loaded when asked for: who only reads packets imports ``multipoint.wire`` and should
# not pay for a stack.
_HOMES = {
    "CallerError": "errors",
    "Caller": "values",
    "JoinRequest": "values",
    "JoinRole": "kinds",
    "MultipointError": "errors",
    "MultipointSocket": "sockets",
    "NetworkError": "errors",
    "PeerError": "errors",
    "Settings": "values",
    "Signal": "signals",
    "Stack": "stack",
    "Verdict": "values",
    "WouldBlock": "errors",
}

__all__ = [
    "Caller",
    "CallerError",
    "JoinRequest",
    "JoinRole",
    "MultipointError",
    "MultipointSocket",
    "NetworkError",
    "PeerError",
    "Settings",
    "Signal",
    "Stack",
    "Verdict",
    "WouldBlock",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"multipoint.{_HOMES[name]}"), name)
