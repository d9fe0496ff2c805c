"""The states of a control connection, and what can happen to it.

May not know: what follows from what (``moves``), how a link is held (``link``).
"""

from collections.abc import Mapping
from enum import Enum, auto

from multipoint import wire


class State(Enum):
    """Where a link stands."""

    # There is one of each; the usual hash goes by the name and is slow, and each move looks things up.
    __hash__ = object.__hash__

    DIALLING = auto()
    ASKING = auto()
    GREETING = auto()
    QUEUED = auto()
    AGREED = auto()  # both want it; the root's Confirm is missing
    JOINED = auto()
    PARTING = auto()  # we have said that we leave, and still hear the other side
    PARTED = auto()  # the other side has said that it leaves; this side is still open
    CLOSING = auto()  # all is said; waiting for the other side to hang up, lest a reset destroys what it has not read
    ENDED = auto()


class Input(Enum):
    """What can happen to a link: from the network, from the clock, from the program."""

    # As in State
    __hash__ = object.__hash__

    OPENED = auto()
    REQUEST = auto()
    ACCEPT = auto()
    REJECT = auto()
    CONFIRM = auto()
    CANCEL = auto()
    LEAVE = auto()
    CLOSE = auto()
    CHAT = auto()
    HEARTBEAT = auto()
    FLOWS = auto()
    GARBAGE = auto()
    HUNG_UP = auto()
    BROKEN = auto()
    LATE = auto()
    ADMIT = auto()
    REFUSE = auto()
    DO_CONFIRM = auto()
    SAY_CHAT = auto()
    SAY_FLOWS = auto()
    DO_LEAVE = auto()
    DO_CLOSE = auto()
    ABORT = auto()


# A membership stands, or one side is still on its way out: heartbeats go, silence counts.
LIVE = frozenset({State.JOINED, State.PARTING, State.PARTED})
# From the program's side: at the wrong time they are a fault of the stack itself.
OWN = frozenset(
    {
        Input.OPENED,
        Input.ADMIT,
        Input.REFUSE,
        Input.DO_CONFIRM,
        Input.SAY_CHAT,
        Input.SAY_FLOWS,
        Input.DO_LEAVE,
        Input.DO_CLOSE,
        Input.ABORT,
    }
)
# What a message of the peer is.
INPUTS: Mapping[type, Input] = {
    wire.Join: Input.REQUEST,
    wire.Invite: Input.REQUEST,
    wire.Accept: Input.ACCEPT,
    wire.Reject: Input.REJECT,
    wire.Confirm: Input.CONFIRM,
    wire.Cancel: Input.CANCEL,
    wire.Leave: Input.LEAVE,
    wire.Close: Input.CLOSE,
    wire.Chat: Input.CHAT,
    wire.Heartbeat: Input.HEARTBEAT,
    wire.FlowRequest: Input.FLOWS,
    wire.FlowAnswer: Input.FLOWS,
}
