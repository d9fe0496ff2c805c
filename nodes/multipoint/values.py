"""Small values that both faces share: boxes for results, settings, what counts as readable memory.

May not know: sockets, states.
"""

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from multipoint.flow import QOS
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6

T = TypeVar("T")

Readable: TypeAlias = bytes | bytearray | memoryview
Writable: TypeAlias = bytearray | memoryview
Name: TypeAlias = SOCKADDR_IN | SOCKADDR_IN6 | Readable
Qos: TypeAlias = QOS


@dataclass
class Ref(Generic[T]):
    """A box for a result: what C takes as a pointer to a number."""

    value: T


@dataclass(frozen=True)
class Settings:
    """What can be chosen when the stack is started; times in seconds."""

    # JL-43, D-28
    join_timeout_s: float = 30.0
    # CL-21, D-60
    silence_s: float = 10.0
    # DP-41, D-88
    groups_ipv4: str = "239.255.0.0/16"
    groups_ipv6: str = "ff15::/16"
    # SK-27, also the range of session data ports
    first_port: int = 49152
    last_port: int = 65535
    side_chats: bool = True
