"""Ioctls about this host's addresses and routes, and those that are small, refused or unknown."""

import pytest
from tests.stack.flows import start
from tests.stack.network import Pair, isolated
from tests.stack.people import LEAF, a_leaf, a_root, admit

from multipoint import constants as c
from multipoint import ioctls
from multipoint import winsock as ws
from multipoint.kinds import ProviderClass
from multipoint.layouts import SOCKADDR_IN, SOCKADDR_IN6
from multipoint.stack import Stack
from multipoint.values import Ref, sockaddr


def ask(s: int, code: int, given: bytes = b"", room: int = 1000) -> bytes | int:
    """Return the ioctl's output, or the code with which it fails."""
    out, length = bytearray(room), Ref(-1)
    if ws.WSAIoctl(s, code, given, len(given), out, room, length, None, None):
        return ws.WSAGetLastError()
    return bytes(out[: length.value])


def a_socket(family: int = c.AF_INET) -> int:
    s = ws.WSASocket(family, c.SOCK_DGRAM, c.IPPROTO_UDP, None, 0, LEAF)
    assert s != c.INVALID_SOCKET
    return s


@pytest.mark.requirement("IO-20", "IO-05")
@isolated
def test_broadcast_address_is_one_of_ipv4() -> None:
    start()
    assert ask(a_socket(), c.SIO_GET_BROADCAST_ADDRESS) == SOCKADDR_IN(0, "255.255.255.255").pack()
    assert ask(a_socket(c.AF_INET6), c.SIO_GET_BROADCAST_ADDRESS) == c.WSAENOPROTOOPT


@pytest.mark.requirement("IO-21")
@isolated
def test_local_address_towards_a_destination() -> None:
    pair = Pair()
    with pair.left:
        start()
        s = a_socket()
        for destination, local in ((pair.right.address, pair.left.address), ("239.1.2.3", pair.left.address)):
            found = ask(s, c.SIO_ROUTING_INTERFACE_QUERY, sockaddr(destination, 0).pack())
            assert found == SOCKADDR_IN(0, local).pack()
        six = ask(a_socket(c.AF_INET6), c.SIO_ROUTING_INTERFACE_QUERY, sockaddr(pair.right.address6, 5).pack())
        assert six == SOCKADDR_IN6(0, pair.left.address6).pack()
        assert ask(s, c.SIO_ROUTING_INTERFACE_QUERY, sockaddr("8.8.8.8", 0).pack()) == c.WSAENETUNREACH
        assert ask(s, c.SIO_ROUTING_INTERFACE_QUERY, b"short") == c.WSAEFAULT
        # The size needed comes back.
        out, length = bytearray(15), Ref(-1)
        name = sockaddr(pair.right.address, 0).pack()
        assert ws.WSAIoctl(s, c.SIO_ROUTING_INTERFACE_QUERY, name, 16, out, 15, length, None, None) == c.SOCKET_ERROR
        assert (ws.WSAGetLastError(), length.value) == (c.WSAEFAULT, 16)


@pytest.mark.requirement("IO-23")
@isolated
def test_local_addresses_of_the_family() -> None:
    pair = Pair()
    with pair.left:
        start()
        listed = ask(a_socket(), c.SIO_ADDRESS_LIST_QUERY)
        assert isinstance(listed, bytes)
        count = int.from_bytes(listed[:4], "little")
        places = [int.from_bytes(listed[8 + 16 * number : 16 + 16 * number], "little") for number in range(count)]
        hosts = {ws.address(listed[place : place + 16])[0] for place in places}
        assert hosts == {"127.0.0.1", pair.left.address}
        six = ask(a_socket(c.AF_INET6), c.SIO_ADDRESS_LIST_QUERY)
        assert isinstance(six, bytes)
        assert SOCKADDR_IN6(0, pair.left.address6).pack() in six
        # The size needed comes back, and the buffer stays as it was.
        out, length = bytearray(len(listed) - 1), Ref(-1)
        code = c.SIO_ADDRESS_LIST_QUERY
        assert ws.WSAIoctl(a_socket(), code, None, 0, out, len(out), length, None, None) == c.SOCKET_ERROR
        assert (ws.WSAGetLastError(), length.value, any(out)) == (c.WSAEFAULT, len(listed), False)


@pytest.mark.requirement("IO-19", "IO-25", "IO-04", "IO-01")
@isolated
def test_what_is_refused_and_what_is_unknown() -> None:
    start()
    s = a_socket()
    assert ask(s, c.SIO_ENABLE_CIRCULAR_QUEUEING) == c.WSAEOPNOTSUPP
    for code in (0, 0x12345678, c.SIO_ASSOCIATE_HANDLE, c.SIO_TRANSLATE_HANDLE, c.SIO_FIND_ROUTE):
        assert ask(s, code) == c.WSAEINVAL


@pytest.mark.requirement("IO-17")
@pytest.mark.parametrize("provider", [ProviderClass.P2MP, ProviderClass.CONF])
@isolated
def test_bytes_queued_in_a_session_are_those_of_its_messages(provider: ProviderClass) -> None:
    with Stack() as stack:
        root, leaf = a_root(stack, provider=provider), a_leaf(stack, provider=provider)
        leg = admit(root, leaf)
        for sock in (root, leaf, leg):
            assert ioctls.control(sock, c.FIONREAD, b"") == bytes(4)
            assert ioctls.control(sock, c.SIOCATMARK, b"") == (1).to_bytes(4, "little")
        for message in (b"one", b"", b"three"):
            root.send(message)
        assert ioctls.control(leaf, c.FIONREAD, b"") == (8).to_bytes(4, "little")
        assert [leaf.receive()[0] for _ in range(2)] == [b"one", b""]
        assert ioctls.control(leaf, c.FIONREAD, b"") == (5).to_bytes(4, "little")
        if provider is ProviderClass.P2MP:
            leaf.send(b"up")
            assert ioctls.control(root, c.FIONREAD, b"") == (2).to_bytes(4, "little")


@pytest.mark.requirement("IO-17", "IO-01")
@isolated
def test_bytes_queued_count_all_messages() -> None:
    start()
    receiver, sender = a_socket(), a_socket()
    assert ws.bind(receiver, sockaddr("127.0.0.1", 0), 16) == 0
    name = bytearray(16)
    assert ws.getsockname(receiver, name, Ref(16)) == 0
    assert ask(receiver, c.FIONREAD) == bytes(4)
    for message in (b"one", b"three"):
        assert ws.sendto(sender, message, len(message), 0, name, 16) == len(message)
    queued = Ref(0)
    assert ws.ioctlsocket(receiver, c.FIONREAD, queued) == 0
    assert queued.value == 8
    assert ask(receiver, c.SIOCATMARK) == (1).to_bytes(4, "little")
