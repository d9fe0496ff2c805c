"""Addresses that are good on one link only, which come with a scope id: binding, joining, talking."""

import pytest
from tests.stack.network import IFA_F_NODAD, Pair, Place, isolated
from tests.stack.people import CONFERENCE_ROOT, LEAF, ROOT, Meanwhile, code_of

from multipoint import constants as c
from multipoint.sockets import MultipointSocket
from multipoint.stack import Stack

REFUSALS = (c.WSAEADDRNOTAVAIL, c.WSAEINVAL, c.WSAENETUNREACH)
SESSIONS = pytest.mark.parametrize(("protocol", "flags"), [(302, ROOT), (303, CONFERENCE_ROOT)])


def give_address(place: Place) -> str:
    """Give eth0 a link-local address that may be used at once; return it with its scope id."""
    from pyroute2 import IPRoute

    address = f"fe80::9:{place.address.rpartition('.')[2]}"
    with place, IPRoute() as routes:
        (index,) = routes.link_lookup(ifname="eth0")
        routes.addr("add", index=index, address=address, prefixlen=64, flags=IFA_F_NODAD)
    return f"{address}%{index}"


def bound(stack: Stack, protocol: int, flags: int, address: str) -> MultipointSocket:
    sock = stack.socket(c.AF_INET6, 0, protocol, flags=flags)
    sock.bind((address, 0))
    return sock


def next_from(sock: MultipointSocket, wanted: bytes) -> str | None:
    """Wait for a message; return the link-local sender. In a conference the system chooses from where it is sent."""
    while (message := sock.receive())[0] != wanted:
        pass
    host = message[1].host
    return host if host.startswith("fe80") else None


@pytest.mark.requirement("JL-22", "JL-36", "SK-26", "SK-33", "SK-34", "DP-16", "DP-31", "DP-32")
@SESSIONS
@pytest.mark.parametrize("way", ["asks", "is invited"])
@isolated
def test_session_on_a_link(protocol: int, flags: int, way: str) -> None:
    pair = Pair()
    here, there = give_address(pair.left), give_address(pair.right)
    with pair.right, Stack() as far:
        leaf = bound(far, protocol, LEAF, there)
        if way == "is invited":
            leaf.listen()
        with pair.left, Stack() as near:
            root = bound(near, protocol, flags, here)
            assert root.local_address.host == here
            root.listen()
            accepting = Meanwhile(root.accept if way == "asks" else lambda: root.join(leaf.local_address))
            with pair.right:
                member = leaf.join(root.local_address) if way == "asks" else leaf.accept()
            leg = accepting.result()
            assert leg.peer_address == member.local_address
            assert member.peer_address.host == here
            if way == "is invited":
                assert code_of(lambda: root.join(leaf.local_address)) == c.WSAEISCONN
            member.send(b"up")
            assert next_from(root, b"up") == (there if protocol == 302 else None)
            root.send(b"down")
            assert next_from(member, b"down") == (here if protocol == 302 else None)
            member.send(b"chat", member.peer_address)
            assert leg.receive() == (b"chat", leg.peer_address)


@pytest.mark.requirement("SK-24", "SK-26", "DP-03", "DP-16")
@isolated
def test_datagrams_on_a_link() -> None:
    pair = Pair()
    here, there = give_address(pair.left), give_address(pair.right)
    with pair.left, Stack() as near, pair.right, Stack() as far:
        peer = bound(far, 17, 0, there)
        with pair.left:
            sock, connected = bound(near, 17, LEAF, here), near.socket(c.AF_INET6, 0, 17)
            assert sock.send(b"hello", peer.local_address) == 5
            data, sender = peer.receive()
            assert (data, sender) == (b"hello", sock.local_address)
            connected.connect(peer.local_address)
            assert connected.send(b"again") == 5
            assert peer.receive()[0] == b"again"


@pytest.mark.requirement("SK-33", "SK-26")
@isolated
def test_interface_may_be_named() -> None:
    pair = Pair()
    here = give_address(pair.left)
    bare, _, index = here.partition("%")
    with pair.left, Stack() as stack:
        assert bound(stack, 302, ROOT, f"{bare}%eth0").local_address.host == here
        for elsewhere in (f"{bare}%nosuch", f"{bare}%{int(index) + 7}"):
            for protocol in (17, 302):
                assert code_of(lambda p=protocol, h=elsewhere: bound(stack, p, LEAF, h)) in REFUSALS  # type: ignore[misc]
                leaf = stack.socket(c.AF_INET6, 0, 302, flags=LEAF)
                assert code_of(lambda s=leaf, h=elsewhere: s.join((h, 5))) == c.WSAENETUNREACH  # type: ignore[misc]
