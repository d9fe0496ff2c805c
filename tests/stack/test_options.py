"""Options of SOL_SOCKET: kept by the stack, or carried out by the kernel. Those of groups are in ``test_groups``."""

import pytest
from tests.stack.calls import ANYWHERE, a_socket, failure, number, start, switch
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.layouts import LINGER
from multipoint.values import Ref, sockaddr


@pytest.mark.requirement("SK-38", "SK-39")
@isolated
def test_options_that_are_kept() -> None:
    start()
    root = a_socket(ROOT)
    linger = bytearray(4)
    assert ws.getsockopt(root, c.SOL_SOCKET, c.SO_LINGER, linger, Ref(4)) == 0
    assert LINGER.unpack(linger) == LINGER(0, 0)
    assert number(root, c.SO_DONTLINGER) == 1
    assert ws.setsockopt(root, c.SOL_SOCKET, c.SO_LINGER, LINGER(1, 7).pack(), 4) == 0
    assert number(root, c.SO_DONTLINGER) == 0
    switch(root, c.SO_DONTLINGER)
    assert ws.getsockopt(root, c.SOL_SOCKET, c.SO_LINGER, linger, Ref(4)) == 0
    assert LINGER.unpack(linger) == LINGER(0, 7)
    assert number(root, c.SO_CONDITIONAL_ACCEPT) == 0
    switch(root, c.SO_CONDITIONAL_ACCEPT)
    assert number(root, c.SO_CONDITIONAL_ACCEPT) == 1
    assert ws.bind(root, ANYWHERE, 16) == ws.listen(root, 5) == 0
    assert number(root, c.SO_ACCEPTCONN) == 1
    assert failure(ws.setsockopt(root, c.SOL_SOCKET, c.SO_CONDITIONAL_ACCEPT, bytes(4), 4)) == c.WSAEINVAL


@pytest.mark.requirement("SK-35", "SK-26")
@isolated
def test_options_that_the_kernel_carries_out() -> None:
    start()
    s, peer = a_socket(LEAF, 17), ws.socket(c.AF_INET, c.SOCK_DGRAM, 17)
    assert ws.bind(peer, sockaddr("0.0.0.0", 6000), 16) == 0
    everybody = sockaddr("127.255.255.255", 6000)
    assert failure(ws.sendto(s, b"all", 3, 0, everybody, 16)) == c.WSAEACCES
    switch(s, c.SO_BROADCAST)
    assert number(s, c.SO_BROADCAST) == 1
    assert ws.sendto(s, b"all", 3, 0, everybody, 16) == 3
    assert ws.recv(peer, bytearray(9), 9, 0) == 3
    for option in (c.SO_RCVBUF, c.SO_SNDBUF):
        switch(s, option, 30_000)
        assert number(s, option) == 30_000
    # So small a buffer holds few messages.
    switch(peer, c.SO_RCVBUF, 1)
    assert ws.ioctlsocket(peer, c.FIONBIO, Ref(1)) == 0
    for _ in range(100):
        assert ws.sendto(s, bytes(1000), 1000, 0, sockaddr("127.0.0.1", 6000), 16) == 1000
    received = 0
    while ws.recv(peer, bytearray(1000), 1000, 0) == 1000:
        received += 1
    assert received < 100
