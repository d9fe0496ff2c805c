"""The Winsock-shaped functions in a test's words, where a test is not about how they are called."""

from tests.stack.people import LEAF

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.layouts import WSADATA
from multipoint.values import Ref, Settings, sockaddr

GROUP = sockaddr("239.1.2.3", 6000)
ANYWHERE = sockaddr("127.0.0.1", 0)


def start(**settings: object) -> None:
    """Start the stack of the process."""
    assert ws.WSAStartup(0x0202, WSADATA(), settings=Settings(**settings)) == 0  # type: ignore[arg-type]


def a_socket(flags: int = LEAF, protocol: int = 302, g: int = 0) -> int:
    """Return a new socket, a P2MP leaf unless said otherwise."""
    s = ws.WSASocket(c.AF_INET, 0, protocol, None, g, flags)
    assert s != c.INVALID_SOCKET
    return s


def name_of(s: int) -> tuple[str, int]:
    """Return where a socket is bound."""
    name = bytearray(16)
    assert ws.getsockname(s, name, Ref(16)) == 0
    return ws.address(name)


def number(s: int, option: int, level: int = c.SOL_SOCKET) -> int:
    """Return an option that is a number."""
    value, length = bytearray(4), Ref(4)
    assert ws.getsockopt(s, level, option, value, length) == 0
    return int.from_bytes(value, "little")


def switch(s: int, option: int, value: int = 1) -> None:
    """Set an option that is a number."""
    assert ws.setsockopt(s, c.SOL_SOCKET, option, value.to_bytes(4, "little"), 4) == 0


def failure(result: int) -> int:
    """Return the code of a call that has failed."""
    assert result in (c.INVALID_SOCKET, c.SOCKET_ERROR)
    return ws.WSAGetLastError()
