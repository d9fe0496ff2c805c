"""What every Winsock-shaped function does: find its handles in the process, turn an exception into a code.

May not know: the functions.
"""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from multipoint import constants, pointers, threads
from multipoint.errors import MultipointError, error
from multipoint.handles import Process
from multipoint.sockets import MultipointSocket
from multipoint.wire import Endpoint

P = ParamSpec("P")
R = TypeVar("R")

HANDLES = ("s", "hEvent")

process = Process()


def call(failure: R, *, may_nest: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Turn an exception into ``failure`` and the thread's last error; refuse before WSAStartup (SU-06, SU-13).

    ``may_nest``: also with version 1.x inside a blocking call or a callback (DI-08).
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        numbers = _numbers(function)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                _ = process.stack
                if not may_nest and threads.current().is_busy:
                    process.check_nesting()
                for at in numbers:
                    if at < len(args) and not isinstance(args[at], int):
                        raise error(constants.WSAEFAULT, "is no number", parameter=at)
                return function(*args, **kwargs)
            except MultipointError as reason:
                process.last_error = reason.code
                return failure

        return called

    return decorate


def _numbers(function: Callable[..., object]) -> tuple[int, ...]:
    """Return the places of the parameters that C declares as numbers; handles are looked up, and so checked, anyway."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(
        at
        for at, parameter in enumerate(parameters)
        if parameter.annotation is int and parameter.name not in HANDLES and not parameter.kind.name.startswith("KEY")
    )


def seconds(milliseconds: int) -> float | None:
    """Return a time limit that C takes as a DWORD; None is none."""
    dword = milliseconds & 0xFFFFFFFF
    return None if dword == constants.WSA_INFINITE else dword / 1000


def name_of(sock: MultipointSocket, name: object, namelen: object) -> Endpoint:
    """Return the address in a name of a call other than a join."""
    try:
        return pointers.read_name(name, namelen, sock.entry.family)
    except MultipointError as reason:
        # SK-26: outside joins, a wrong family is a wrong pointer.
        raise error(constants.WSAEFAULT, str(reason)) from reason
