"""What every function says before WSAStartup, and what every call on a socket says of something that is none."""

from collections.abc import Callable
from inspect import isfunction

import pytest
from tests.stack.calls import a_socket, start
from tests.stack.network import isolated
from tests.stack.test_bad_input import calls

from multipoint import constants as c
from multipoint import winsock as ws

NEVER_GIVEN_OUT = 12344
# SU-06 leaves these free.
FREE = {"WSAStartup", "WSAGetLastError", "WSASetLastError"}
# Macros and tools of ours, which are no functions of the documentation.
TOOLS = {"FD_CLR", "FD_ISSET", "FD_SET", "FD_ZERO", "WSAGETSELECTERROR", "WSAGETSELECTEVENT"}
TOOLS |= {"address", "create_queue", "get_message", "sockaddr"}


def every_call(s: int, event: int) -> dict[Callable[..., object], tuple[object, ...]]:
    """Return parameters for each function, right but for the handles given."""
    return calls(s, event) | {
        ws.WSACancelBlockingCall: (),
        ws.WSACleanup: (),
        ws.WSACloseEvent: (event,),
        ws.WSACreateEvent: (),
        ws.WSAIsBlocking: (),
        ws.WSAResetEvent: (event,),
        ws.WSASetEvent: (event,),
        ws.closesocket: (s,),
    }


def code_of(function: Callable[..., object], arguments: tuple[object, ...]) -> int:
    ws.WSASetLastError(0)
    function(*arguments)
    return ws.WSAGetLastError()


def test_no_function_is_forgotten_here() -> None:
    functions = {name for name in ws.__all__ if isfunction(getattr(ws, name))}
    assert {function.__name__ for function in every_call(0, 0)} == functions - FREE - TOOLS


@pytest.mark.requirement("SU-06", "SU-08")
@pytest.mark.parametrize("when", ["before WSAStartup", "after the last WSACleanup"])
@isolated
def test_every_function_wants_a_started_stack(when: str) -> None:
    s = event = NEVER_GIVEN_OUT
    if when == "after the last WSACleanup":
        start()
        s, event = a_socket(), ws.WSACreateEvent()
        assert ws.WSACleanup() == 0
    for function, arguments in every_call(s, event).items():
        assert code_of(function, arguments) == c.WSANOTINITIALISED, function.__name__


@pytest.mark.requirement("SK-22")
@pytest.mark.parametrize("what", ["never given out", "closed", "INVALID_SOCKET", "negative"])
@isolated
def test_every_call_on_a_socket_wants_an_open_one(what: str) -> None:
    start()
    # The second event has a handle that no socket had.
    closed, _, event = a_socket(), ws.WSACreateEvent(), ws.WSACreateEvent()
    assert ws.closesocket(closed) == 0
    s = {"closed": closed, "INVALID_SOCKET": c.INVALID_SOCKET, "negative": -4}.get(what, NEVER_GIVEN_OUT)
    for function, arguments in every_call(s, event).items():
        if s in arguments or function is ws.select:
            assert code_of(function, arguments) == c.WSAENOTSOCK, function.__name__
