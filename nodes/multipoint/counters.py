"""What did not belong, counted by cause since the stack was started (``Stack.counters``).

May not know: sockets, links, datagrams.
"""

from dataclasses import dataclass
from enum import Enum


class Cause(Enum):
    """Why a peer or a datagram was not welcome; the value is the name of its counter."""

    CROWDED = "crowded"
    UNASKED = "unasked"
    GARBAGE = "garbage"
    UNTRUSTED = "untrusted"
    MISPLACED = "misplaced"
    REFUSED = "refused"
    SILENT = "silent"
    NO_DATAGRAM = "no_datagram"
    STRANGER = "stranger"
    FORGED = "forged"
    REPLAYED = "replayed"


@dataclass
class Counters:
    """Read it at any time; numbers only grow."""

    # Control connections: there were too many callers, one let the time pass or went before he asked, bytes were no
    # message, the key was missing or wrong, a message was out of place, a request had no room or did not fit, a member,
    # or a leaf that was told the session's flows, was silent for too long.
    crowded: int = 0
    unasked: int = 0
    garbage: int = 0
    untrusted: int = 0
    misplaced: int = 0
    refused: int = 0
    silent: int = 0
    # Datagrams: not of our form, of another session or sender, from another host than the sender's, with a wrong tag,
    # seen before.
    no_datagram: int = 0
    stranger: int = 0
    forged: int = 0
    replayed: int = 0

    def count(self, cause: Cause) -> None:
        """Count one more; not for two threads at once."""
        setattr(self, cause.value, getattr(self, cause.value) + 1)
