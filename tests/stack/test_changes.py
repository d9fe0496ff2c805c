"""Changes of addresses and routes: by event, by waiting, overlapped; and a network that is down."""

import pytest
from pyroute2 import IPRoute
from tests.stack.flows import start
from tests.stack.network import Pair, Place, isolated
from tests.stack.people import LEAF, PATIENCE_S, ROOT, Meanwhile, code_of, wait_till_blocked
from tests.stack.test_winsock import a_listening, join
from tests.stack.test_winsock import a_socket as a_rooted_socket

from multipoint import constants as c
from multipoint import ioctls, threads
from multipoint import winsock as ws
from multipoint.layouts import WSADATA, WSANETWORKEVENTS
from multipoint.overlapped import WSAOVERLAPPED
from multipoint.stack import Stack
from multipoint.values import Ref, Settings, sockaddr

ROUTE, ADDRESSES = c.SIO_ROUTING_INTERFACE_CHANGE, c.SIO_ADDRESS_LIST_CHANGE
GROUP = sockaddr("239.1.2.3", 5000).pack()
FAR = sockaddr("10.77.0.1", 0).pack()


def a_socket(family: int = c.AF_INET, flags: int = LEAF) -> int:
    s = ws.WSASocket(family, c.SOCK_DGRAM, c.IPPROTO_UDP, None, 0, flags)
    assert s != c.INVALID_SOCKET
    return s


def ask(s: int, code: int, given: bytes = b"", overlapped: WSAOVERLAPPED | None = None) -> int:
    """Return 0, or the code with which the ioctl fails."""
    failed = ws.WSAIoctl(s, code, given, len(given), None, 0, Ref(0), overlapped, None)
    return ws.WSAGetLastError() if failed else 0


def listening(s: int) -> int:
    event = ws.WSACreateEvent()
    assert ws.WSAEventSelect(s, event, c.FD_ROUTING_INTERFACE_CHANGE | c.FD_ADDRESS_LIST_CHANGE) == 0
    return event


def events(s: int, event: int, wait_ms: int = int(PATIENCE_S * 1000)) -> dict[int, int]:
    """Return what is recorded, with codes; nothing if nothing comes."""
    if ws.WSAWaitForMultipleEvents(1, [event], False, wait_ms, False) == c.WSA_WAIT_TIMEOUT:
        return {}
    found = WSANETWORKEVENTS()
    assert ws.WSAEnumNetworkEvents(s, event, found) == 0
    return {1 << bit: found.iErrorCode[bit] for bit in range(c.FD_MAX_EVENTS) if found.lNetworkEvents & 1 << bit}


def address(action: str, host: str, place: Place) -> None:
    with place, IPRoute() as routes:
        (index,) = routes.link_lookup(ifname="eth0")
        routes.addr(action, index=index, address=host, prefixlen=24)


def route(action: str, place: Place, gateway: str) -> None:
    with place, IPRoute() as routes:
        routes.route(action, dst="10.77.0.0/24", gateway=gateway)


def switch_off(name: str, place: Place) -> None:
    with place, IPRoute() as routes:
        (index,) = routes.link_lookup(ifname=name)
        routes.link("set", index=index, state="down")


@pytest.mark.requirement("IO-22", "EV-35")
@isolated
def test_new_address_is_told_once_for_each_ioctl() -> None:
    pair = Pair()
    with pair.left:
        start()
        s, bystander = a_socket(), a_socket()
        event, other = listening(s), listening(bystander)
        assert ask(s, ADDRESSES) == c.WSAEWOULDBLOCK
        assert ask(s, ADDRESSES) == c.WSAEWOULDBLOCK
        address("add", "10.9.0.77", pair.left)
        assert events(s, event) == {c.FD_ADDRESS_LIST_CHANGE: 0}
        # Edge: the next one needs the ioctl again. That it came is known when somebody else was told of it.
        assert ask(bystander, ADDRESSES) == c.WSAEWOULDBLOCK
        address("add", "10.9.0.78", pair.left)
        assert events(bystander, other) == {c.FD_ADDRESS_LIST_CHANGE: 0}
        assert events(s, event, 0) == {}
        assert ask(s, ADDRESSES) == c.WSAEWOULDBLOCK
        address("del", "10.9.0.78", pair.left)
        assert events(s, event) == {c.FD_ADDRESS_LIST_CHANGE: 0}
        # Not armed: nothing.
        assert events(bystander, other, 0) == {}


@pytest.mark.requirement("IO-22", "EV-35", "DP-40")
@isolated
def test_addresses_of_the_other_family_are_no_change() -> None:
    pair = Pair()
    with pair.left:
        start()
        four, six = a_socket(), a_socket(c.AF_INET6)
        at_four, at_six = listening(four), listening(six)
        assert ask(four, ADDRESSES) == ask(six, ADDRESSES) == c.WSAEWOULDBLOCK
        address("add", "10.9.0.77", pair.left)
        assert events(four, at_four) == {c.FD_ADDRESS_LIST_CHANGE: 0}
        with pair.left, IPRoute() as routes:
            (index,) = routes.link_lookup(ifname="eth0")
            routes.addr("add", index=index, address="fd09::77", prefixlen=64, flags=2)
        assert events(six, at_six) == {c.FD_ADDRESS_LIST_CHANGE: 0}
        assert events(four, at_four, 0) == {}


@pytest.mark.requirement("IO-22", "EV-34")
@isolated
def test_way_to_a_destination_comes_and_goes() -> None:
    pair = Pair()
    with pair.left:
        start()
        s = a_socket()
        event = listening(s)
        assert ask(s, ROUTE, b"short") == c.WSAEFAULT
        assert ask(s, ROUTE, FAR) == c.WSAEWOULDBLOCK
        # The address list changes, the way to the destination does not.
        address("add", "10.9.0.77", pair.left)
        route("add", pair.left, pair.right.address)
        assert events(s, event) == {c.FD_ROUTING_INTERFACE_CHANGE: 0}
        assert ask(s, ROUTE, FAR) == c.WSAEWOULDBLOCK
        route("del", pair.left, pair.right.address)
        assert events(s, event) == {c.FD_ROUTING_INTERFACE_CHANGE: c.WSAENETUNREACH}


@pytest.mark.requirement("IO-22", "EV-34", "EV-35", "IO-07", "IO-21")
@isolated
def test_network_that_goes_down() -> None:
    pair = Pair()
    with pair.left:
        start()
        s, six = a_socket(), a_socket(c.AF_INET6)
        event, at_six = listening(s), listening(six)
        switch_off("lo", pair.left)
        assert ask(s, ROUTE, GROUP) == ask(six, ADDRESSES) == c.WSAEWOULDBLOCK
        switch_off("eth0", pair.left)
        assert events(s, event) == {c.FD_ROUTING_INTERFACE_CHANGE: c.WSAENETDOWN}
        assert events(six, at_six) == {c.FD_ADDRESS_LIST_CHANGE: c.WSAENETDOWN}
        assert ask(s, c.SIO_ROUTING_INTERFACE_QUERY, GROUP) == c.WSAENETDOWN


@pytest.mark.requirement("IO-22", "IO-06")
@isolated
def test_waiting_and_overlapped() -> None:
    pair = Pair()
    with pair.left:
        start()
        s, blocking = a_socket(flags=LEAF | c.WSA_FLAG_OVERLAPPED), a_socket()
        event = ws.WSACreateEvent()
        overlapped, abandoned, seen = WSAOVERLAPPED(event), WSAOVERLAPPED(), list[tuple[int, int]]()
        assert ask(s, ROUTE, FAR, abandoned) == c.WSA_IO_PENDING
        routine = lambda code, count, *_: seen.append((code, count))  # noqa: E731
        by_routine = ws.WSAIoctl(s, ADDRESSES, None, 0, None, 0, Ref(0), WSAOVERLAPPED(), routine)
        assert (by_routine, ws.WSAGetLastError()) == (c.SOCKET_ERROR, c.WSA_IO_PENDING)
        assert ask(s, ADDRESSES, b"", overlapped) == c.WSA_IO_PENDING
        waiting = Meanwhile(lambda: ask(blocking, ADDRESSES))
        count, flags = Ref(-1), Ref(0)
        assert not ws.WSAGetOverlappedResult(s, overlapped, count, False, flags)
        assert ws.WSAGetLastError() == c.WSA_IO_INCOMPLETE
        # The thread may not wait yet at the first change; there are more.
        for number in range(2, 250):
            address("add", f"10.9.0.{number + 1}", pair.left)
            if not waiting.is_running:
                break
        assert waiting.result() == 0
        assert ws.WSAWaitForMultipleEvents(1, [event], False, 5000, False) == c.WSA_WAIT_EVENT_0
        assert ws.WSAGetOverlappedResult(s, overlapped, count, False, flags)
        assert count.value == 0
        assert seen == []
        never = ws.WSACreateEvent()
        assert ws.WSAWaitForMultipleEvents(1, [never], False, 5000, True) == c.WSA_WAIT_IO_COMPLETION
        assert seen == [(0, 0)]
        assert ws.closesocket(s) == 0
        assert abandoned.Internal == c.WSA_OPERATION_ABORTED


@pytest.mark.requirement("IO-07")
@isolated
def test_other_codes_of_an_ioctl() -> None:
    assert ask(1, c.SIOCATMARK) == c.WSANOTINITIALISED
    assert ws.WSAStartup(0x0202, WSADATA()) == 0
    s = a_socket()
    assert ws.ioctlsocket(s, c.FIONBIO, Ref(1)) == 0
    assert ask(s, ADDRESSES) == c.WSAEWOULDBLOCK
    assert ws.closesocket(s) == 0
    assert ask(s, ADDRESSES) == ask(99999, c.SIOCATMARK) == c.WSAENOTSOCK


@pytest.mark.requirement("IO-07")
@isolated
def test_ioctl_inside_a_callback_of_version_1() -> None:
    assert ws.WSAStartup(0x0101, WSADATA()) == 0
    root, name = a_listening(ROOT)
    s, leaf, codes = a_socket(), a_rooted_socket(LEAF), list[int]()

    def condition(*_: object) -> int:
        codes.append(ask(s, c.SIO_MULTICAST_SCOPE, bytes(4)))
        return c.CF_ACCEPT

    joining = Meanwhile(lambda: join(leaf, name))
    assert ws.WSAAccept(root, None, None, condition, 0) != c.INVALID_SOCKET
    assert joining.result() == leaf
    assert codes == [c.WSAEINPROGRESS]
    assert ask(s, c.SIO_MULTICAST_SCOPE, bytes(4)) == 0


@pytest.mark.requirement("DI-07", "CL-25", "IO-22")
@pytest.mark.parametrize("how", ["cancelled", "closed"])
@isolated
def test_wait_for_a_change_that_is_called_off_leaves_no_wish(how: str) -> None:
    with Stack(Settings(dialect="spec1990")) as stack:
        sock = stack.socket(c.AF_INET, c.SOCK_DGRAM)
        waiting = Meanwhile(lambda: ioctls.control(sock, c.SIO_ADDRESS_LIST_CHANGE, b""))
        wait_till_blocked(sock)
        if how == "closed":
            sock.close()
        else:
            threads.cancel()
        assert code_of(waiting.result) == c.WSAEINTR
        assert not stack.changes._wishes
