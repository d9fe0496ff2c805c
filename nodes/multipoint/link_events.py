"""What a link tells: events for whoever holds it, as plain data.

May not know: links, states, sockets.
"""

from dataclasses import dataclass

from multipoint import wire
from multipoint.flow import QOS

Request = wire.Join | wire.Invite


@dataclass(frozen=True)
class Requested:
    """A peer asks to be let in, or invites us; decide with ``admit`` or ``refuse``."""

    request: Request


@dataclass(frozen=True)
class Withdrawn:
    """The peer gave up before it was answered; ``code`` is 0, or WSAECONNRESET if its connection broke."""

    code: int


@dataclass(frozen=True)
class Agreed:
    """The leaf has accepted our invitation; confirm it."""

    answer: wire.Accept


@dataclass(frozen=True)
class Joined:
    """The root has confirmed us; ``answer`` is what it answered, if it was we who asked."""

    membership: wire.Membership
    answer: wire.Accept | None


@dataclass(frozen=True)
class Refused:
    """The join failed; ``code`` says how."""

    code: int


@dataclass(frozen=True)
class Parted:
    """The membership has ended: 0 in order, WSAECONNRESET by a crash, WSAECONNABORTED by silence (D-41).

    Of a connection whose own interface is lost: WSAENETDOWN.
    """

    code: int
    data: bytes = b""


@dataclass(frozen=True)
class Chatted:
    """A message of the side chat has come."""

    data: bytes


@dataclass(frozen=True)
class FlowsAsked:
    """The peer wants other flows; answer with ``answer_flows``."""

    number: int
    qos: QOS


@dataclass(frozen=True)
class FlowsAnswered:
    """The peer agrees (``code`` 0) or not to the flows of this number."""

    number: int
    code: int
    qos: QOS


Event = Requested | Withdrawn | Agreed | Joined | Refused | Parted | Chatted | FlowsAsked | FlowsAnswered
