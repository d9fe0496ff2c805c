"""Binding a kernel's socket by Winsock's rules of what may share an address (SK-26 to SK-32).

Linux lets two sockets have one address if both ask for it with SO_REUSEADDR. Winsock asks only the one that comes
second; the first can forbid it with SO_EXCLUSIVEADDRUSE. So here the kernel's option is set after a bind as well,
unless the program wants the address for itself. May not know: sockets of the stack.
"""

import errno
import random
import socket
from collections.abc import Callable

from multipoint import constants, kernel
from multipoint.addresses import BROADCAST, is_group
from multipoint.choices import Choices
from multipoint.codec import as_endpoint
from multipoint.errors import error
from multipoint.values import Settings
from multipoint.wire import Endpoint

WILDCARDS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
BIND_ATTEMPTS = 100


def check_local(address: Endpoint, options: Choices) -> None:
    """Raise what makes an address none to bind to, whatever the kernel would say."""
    if is_group(address.host):
        # SK-28: Windows refuses it; Linux would allow it.
        raise error(constants.WSAEADDRNOTAVAIL, "a group is no local address", address=address)
    if address.host == BROADCAST and not options.broadcast:
        raise error(constants.WSAEACCES, "broadcast needs SO_BROADCAST", address=address)


def bind(
    sock: socket.socket,
    address: Endpoint,
    options: Choices,
    settings: Settings,
    is_ours: Callable[[int], bool] = lambda _: False,
) -> Endpoint:
    """Bind and return where. Raises WSAEACCES if an owner does not share (SK-30), else OSError.

    ``is_ours`` tells whether a socket of the stack holds a port, which then is not up for a new owner.
    """
    check_local(address, options)
    if options.reuse_address and not options.exclusive_address:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound = _bind_in_range(sock, address, settings)
    except OSError as reason:
        if reason.errno == errno.EADDRINUSE and options.reuse_address:
            raise error(constants.WSAEACCES, "whoever has the address does not share it", address=address) from reason
        if reason.errno != errno.EADDRINUSE or is_ours(address.port) or not _is_only_remembered(sock, address.port):
            raise
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound = _bind_in_range(sock, address, settings)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, not options.exclusive_address)
    return bound


def _is_only_remembered(sock: socket.socket, port: int) -> bool:
    """Tell whether it is nobody but ended connections that keep a port: they do so on Linux, not on Windows."""
    if sock.type != socket.SOCK_STREAM:
        return False
    states = kernel.tcp_states(port)
    return bool(states) and states <= kernel.ENDED_STATES


def _bind_in_range(sock: socket.socket, address: Endpoint, settings: Settings) -> Endpoint:
    """Port 0 takes a free port of the stack's range (SK-27)."""
    attempts = 1 if address.port else BIND_ATTEMPTS
    ports = settings.last_port - settings.first_port + 1
    for attempt in range(attempts):
        # Any will do, and randint takes longer than the kernel's bind.
        port = address.port or settings.first_port + int(random.random() * ports)
        try:
            sock.bind(kernel.socket_name(address.host, port))
        except OSError as reason:
            if attempt == attempts - 1 or reason.errno != errno.EADDRINUSE:
                raise
        else:
            return as_endpoint(sock.getsockname())
    raise AssertionError("the loop returns or raises")
