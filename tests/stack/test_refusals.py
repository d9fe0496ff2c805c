"""A datagram to a port where nobody is: the next receive tells, and the membership goes on."""

import socket

import pytest
from tests.stack.network import isolated
from tests.stack.people import LEAF, code_of, code_or_none

from multipoint import constants as c
from multipoint.stack import Stack


@pytest.mark.requirement("DP-37")
@pytest.mark.parametrize("is_blocking", [True, False])
@isolated
def test_refusal_shows_in_the_next_receive_and_ends_nothing(is_blocking: bool) -> None:
    with Stack() as stack, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        where = nobody.getsockname()
        nobody.close()
        sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_UDP, None, LEAF)
        sock.set_interface(1)
        sock.join(("239.1.1.1", 5000))
        sock.set_blocking(is_blocking)
        sock.send(b"lost", where)
        assert code_of(sock.receive) == c.WSAECONNRESET
        # What comes in between is sent all the same, and the refusal is not forgotten.
        sock.send(b"lost too", where)
        assert sock.send(b"group") == 5
        assert code_of(sock.receive) == c.WSAECONNRESET
        assert sock.receive()[0] == b"group"
        sock.set_blocking(False)
        assert code_or_none(sock.receive) == c.WSAEWOULDBLOCK
        assert sock.peer_address == ("239.1.1.1", 5000)
