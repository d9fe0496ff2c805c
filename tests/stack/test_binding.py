"""Binding, sharing addresses, choosing whom a plain socket talks to."""

from collections.abc import Callable

import pytest
from tests.stack.calls import ANYWHERE, GROUP, a_socket, failure, name_of, number, start, switch
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile
from tests.stack.test_winsock import a_listening

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.flow import QOS
from multipoint.layouts import SOCKADDR_IN6, WSABUF
from multipoint.values import Ref, Settings, sockaddr


@pytest.mark.requirement("SK-26", "SK-28", "DI-16")
@pytest.mark.parametrize("protocol", [17, 302])
@isolated
def test_names_that_can_not_be_bound(protocol: int) -> None:
    start()
    s = a_socket(LEAF, protocol)
    bind: Callable[..., int] = ws.bind
    for name, length, code in (
        (None, 16, c.WSAEFAULT),
        (ANYWHERE, 15, c.WSAEFAULT),
        (ANYWHERE.pack()[:8], 16, c.WSAEFAULT),
        (SOCKADDR_IN6(0, "::1"), 28, c.WSAEFAULT),
        (GROUP, 16, c.WSAEADDRNOTAVAIL),
        (sockaddr("192.0.2.1", 0), 16, c.WSAEADDRNOTAVAIL),
        (sockaddr("255.255.255.255", 5), 16, c.WSAEACCES),
    ):
        assert failure(bind(s, name, length)) == code
    assert ws.bind(s, ANYWHERE, 16) == 0
    assert failure(ws.bind(s, ANYWHERE, 16)) == c.WSAEINVAL
    assert failure(ws.bind(a_socket(LEAF, protocol), sockaddr(*name_of(s)), 16)) == c.WSAEADDRINUSE


@pytest.mark.requirement("SK-27", "SK-33")
@pytest.mark.parametrize("protocol", [17, 302])
@isolated
def test_port_0_takes_one_from_the_range(protocol: int) -> None:
    start(first_port=50000, last_port=50003)
    sockets = [a_socket(LEAF, protocol) for _ in range(4)]
    for s in sockets:
        assert ws.bind(s, sockaddr("0.0.0.0", 0), 16) == 0
    assert {name_of(s)[1] for s in sockets} == {50000, 50001, 50002, 50003}
    assert {name_of(s)[0] for s in sockets} == {"0.0.0.0"}
    assert failure(ws.bind(a_socket(LEAF, protocol), sockaddr("0.0.0.0", 0), 16)) == c.WSAEADDRINUSE
    assert failure(ws.getsockname(sockets[0], bytearray(15), Ref(16))) == c.WSAEFAULT
    assert failure(ws.getsockname(sockets[0], bytearray(16), Ref(15))) == c.WSAEFAULT
    default = Settings()
    assert (default.first_port, default.last_port) == (49152, 65535)


SHARING = [
    # options of the first, of the second, what the second bind gives
    ((), (), c.WSAEADDRINUSE),
    ((c.SO_REUSEADDR,), (), c.WSAEADDRINUSE),
    ((), (c.SO_REUSEADDR,), 0),
    ((c.SO_REUSEADDR,), (c.SO_REUSEADDR,), 0),
    ((c.SO_EXCLUSIVEADDRUSE,), (c.SO_REUSEADDR,), c.WSAEACCES),
    ((c.SO_EXCLUSIVEADDRUSE,), (), c.WSAEADDRINUSE),
    ((), (c.SO_EXCLUSIVEADDRUSE,), c.WSAEADDRINUSE),
]


@pytest.mark.requirement("SK-29", "SK-30", "JL-23", "DI-17")
@pytest.mark.parametrize("protocol", [17, 302])
@pytest.mark.parametrize(("first", "second", "code"), SHARING)
@isolated
def test_who_may_share_an_address(protocol: int, first: tuple[int, ...], second: tuple[int, ...], code: int) -> None:
    start()
    owner, other = a_socket(LEAF, protocol), a_socket(LEAF, protocol)
    for s, options in ((owner, first), (other, second)):
        for option in options:
            switch(s, option)
    assert ws.bind(owner, ANYWHERE, 16) == 0
    # Too late to change anything: the owner's mind is made up.
    switch(owner, c.SO_EXCLUSIVEADDRUSE, int(c.SO_EXCLUSIVEADDRUSE not in first))
    result = ws.bind(other, sockaddr(*name_of(owner)), 16)
    assert (failure(result) if code else result) == code


@pytest.mark.requirement("SK-32", "AC-08", "AC-02")
@isolated
def test_shared_address_is_committed_by_listen() -> None:
    start()
    first, second = a_socket(ROOT), a_socket(ROOT)
    switch(second, c.SO_REUSEADDR)
    assert failure(ws.listen(first, 5)) == c.WSAEINVAL
    assert ws.bind(first, sockaddr("0.0.0.0", 0), 16) == 0
    assert ws.bind(second, sockaddr("0.0.0.0", name_of(first)[1]), 16) == 0
    assert ws.listen(first, 5) == 0
    assert failure(ws.listen(second, 5)) == c.WSAEADDRINUSE
    assert number(second, c.SO_ACCEPTCONN) == 0
    assert ws.closesocket(first) == ws.listen(second, 5) == 0


@pytest.mark.requirement("SK-32", "JL-20", "JL-23", "DI-17")
@isolated
def test_taken_port_shows_in_the_join_that_binds() -> None:
    start()
    owner, joiner = a_socket(LEAF, 17), a_socket(LEAF, 17)
    switch(owner, c.SO_EXCLUSIVEADDRUSE)
    assert ws.bind(owner, sockaddr("0.0.0.0", 6000), 16) == 0
    for share in (0, 1):
        switch(joiner, c.SO_REUSEADDR, share)
        code = failure(ws.WSAJoinLeaf(joiner, GROUP, 16, None, None, None, None, c.JL_BOTH))
        assert code == c.WSAEADDRINUSE
    assert failure(ws.getsockname(joiner, bytearray(16), Ref(16))) == c.WSAEINVAL


@pytest.mark.requirement("SK-34")
@isolated
def test_peer_name_is_the_other_end_and_a_root_has_none() -> None:
    start()
    (root, name), (leaf, leaf_name), asking = a_listening(ROOT), a_listening(LEAF), a_socket()
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert ws.WSAJoinLeaf(asking, name, 16, None, None, None, None, c.JL_BOTH) == asking
    leg = accepting.result()
    accepting = Meanwhile(lambda: ws.accept(leaf, None, None))
    invited = ws.WSAJoinLeaf(root, leaf_name, 16, None, None, None, None, c.JL_BOTH)
    member, found = accepting.result(), bytearray(16)
    for s, other in ((asking, ws.address(name)), (leg, name_of(asking)), (invited, ws.address(leaf_name))):
        assert ws.getpeername(s, found, Ref(16)) == 0
        assert ws.address(found) == other
        for room, length in ((found, Ref(15)), (bytearray(15), Ref(16)), (None, Ref(16)), (found, None)):
            assert failure(ws.getpeername(s, room, length)) == c.WSAEFAULT  # type: ignore[arg-type]
    # From where a root invites is its own affair; it is the root's host.
    assert ws.getpeername(member, found, Ref(16)) == 0
    assert ws.address(found).host == "127.0.0.1"
    for s in (root, leaf):
        assert failure(ws.getpeername(s, found, Ref(16))) == c.WSAENOTCONN


@pytest.mark.requirement("SK-24", "SK-34", "QS-08")
@pytest.mark.parametrize("protocol", [17, 301, 302, 303])
@isolated
def test_connecting_chooses_whom_a_plain_socket_talks_to(protocol: int) -> None:
    start()
    s, peer = a_socket(LEAF, protocol), ws.socket(c.AF_INET, c.SOCK_DGRAM, 17)
    assert ws.bind(peer, ANYWHERE, 16) == 0
    name = sockaddr(*name_of(peer))
    if protocol >= 302:
        assert failure(ws.connect(s, name, 16)) == c.WSAEOPNOTSUPP
        assert failure(ws.WSAConnect(s, name, 16, None, None, None, None)) == c.WSAEOPNOTSUPP
        return
    assert failure(ws.WSAConnect(s, name, 16, None, None, None, QOS())) == c.WSAEINVAL
    assert ws.WSAConnect(s, name, 16, WSABUF(1, b"x"), None, None, None) == 0
    found = bytearray(16)
    assert ws.getpeername(s, found, Ref(16)) == 0
    assert ws.address(found) == name_of(peer)
    # As with UDP, whoever else sends is not heard.
    stranger = ws.socket(c.AF_INET, c.SOCK_DGRAM, 17)
    for sender, words in ((stranger, b"stranger"), (peer, b"peer")):
        assert ws.sendto(sender, words, len(words), 0, sockaddr("127.0.0.1", name_of(s)[1]), 16) == len(words)
    assert ws.recv(s, bytearray(9), 9, 0) == 4
    assert ws.send(s, b"hello", 5, 0) == 5
    assert ws.recvfrom(peer, bytearray(9), 9, 0, found, Ref(16)) == 5
    assert ws.address(found)[1] == name_of(s)[1]
