"""WSAJoinLeaf call by call: its parameters, the order of its checks, its bindings."""

import inspect
import socket
import subprocess
from collections.abc import Callable, Iterator
from itertools import chain, combinations
from typing import Any

import pytest
from tests.stack.network import Pair, isolated
from tests.stack.people import LEAF, ROOT, Meanwhile

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.flow import FLOWSPEC, QOS
from multipoint.layouts import SOCKADDR_IN6, WSABUF, WSADATA
from multipoint.values import Ref, Settings, sockaddr

GROUP_PORT = 6000
GROUP = sockaddr("239.1.2.3", GROUP_PORT)
NOBODY = sockaddr("127.0.0.1", 9)
ANYWHERE = sockaddr("127.0.0.1", 0)


def start(**settings: Any) -> None:
    assert ws.WSAStartup(0x0202, WSADATA(), settings=Settings(**settings)) == 0


def a_socket(flags: int = LEAF, protocol: int = 302) -> int:
    s = ws.WSASocket(c.AF_INET, 0, protocol, None, 0, flags)
    assert s != c.INVALID_SOCKET
    return s


def a_group_socket() -> int:
    """Return a plain multicast socket that uses the loopback interface, the only one here."""
    s = a_socket(LEAF, 17)
    assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_IF, bytes([127, 0, 0, 1]), 4) == 0
    return s


def name_of(s: int) -> tuple[str, int]:
    name = bytearray(16)
    assert ws.getsockname(s, name, Ref(16)) == 0
    return ws.address(name)


def a_listening(flags: int) -> tuple[int, Any]:
    s = a_socket(flags)
    assert ws.bind(s, ANYWHERE, 16) == ws.listen(s, 5) == 0
    return s, sockaddr(*name_of(s))


def join(s: int, name: object, namelen: object = 16, flags: object = c.JL_BOTH, **others: object) -> int:
    data, answer, sqos, gqos = (others.get(name) for name in ("lpCallerData", "lpCalleeData", "lpSQOS", "lpGQOS"))
    function: Callable[..., int] = ws.WSAJoinLeaf
    return function(s, name, namelen, data, answer, sqos, gqos, flags)


def failure(result: int) -> int:
    assert result in (c.INVALID_SOCKET, c.SOCKET_ERROR)
    return ws.WSAGetLastError()


def is_bound(s: int) -> bool:
    return ws.getsockname(s, bytearray(16), Ref(16)) == 0


# The parameters


@pytest.mark.requirement("JL-01", "JL-03", "DI-22")
def test_parameters_are_those_of_the_documentation() -> None:
    parameters = list(inspect.signature(ws.WSAJoinLeaf).parameters)
    assert parameters == [
        *("s", "name", "namelen", "lpCallerData", "lpCalleeData", "lpSQOS", "lpGQOS"),
        "dwFlags",
    ]
    assert parameters[:-1] == list(inspect.signature(ws.WSAConnect).parameters)


@pytest.mark.requirement("JL-07", "JL-08", "JL-09", "JL-12", "JL-13", "JL-14", "JL-15", "DI-13")
@pytest.mark.parametrize("dialect", ["modern", "spec1990", "ce"])
@isolated
def test_what_each_parameter_may_be(dialect: str) -> None:
    start(dialect=dialect)
    leaf = a_socket()
    other_family = SOCKADDR_IN6(9, "::1")
    cases: list[tuple[dict[str, object], int]] = [
        ({"name": None}, c.WSAEFAULT),
        ({"name": object()}, c.WSAEFAULT),
        ({"namelen": 15}, c.WSAEFAULT),
        ({"namelen": 0}, c.WSAEFAULT),
        ({"namelen": -1}, c.WSAEFAULT),
        ({"name": other_family, "namelen": 28}, c.WSAEAFNOSUPPORT),
        ({"lpCallerData": WSABUF(3, None)}, c.WSAEFAULT),
        ({"lpCallerData": b"bytes"}, c.WSAEFAULT),
        ({"lpCallerData": WSABUF(1025, bytes(1025))}, c.WSAEFAULT),
        ({"lpCalleeData": WSABUF(3, None)}, c.WSAEFAULT),
        ({"lpCalleeData": WSABUF(3, b"can't be written")}, c.WSAEFAULT),
        ({"lpSQOS": bytes(QOS.size - 1)}, c.WSAEFAULT),
        ({"lpSQOS": 7}, c.WSAEFAULT),
        ({"lpGQOS": bytes(QOS.size - 1)}, c.WSAEFAULT),
        ({"lpGQOS": QOS(ProviderSpecific=WSABUF(9, None))}, c.WSAEFAULT),
        ({"lpSQOS": QOS(ProviderSpecific=WSABUF(9, None))}, c.WSAEFAULT),
        # From here on everything can be read: it is the network that says no.
        ({"name": NOBODY.pack() + b"tail", "namelen": 20}, c.WSAECONNREFUSED),
        ({"lpCallerData": WSABUF(0, None), "lpCalleeData": WSABUF(0, None)}, c.WSAECONNREFUSED),
        ({"lpCallerData": WSABUF(1024, bytes(1024)), "lpGQOS": QOS()}, c.WSAECONNREFUSED),
        ({}, c.WSAECONNREFUSED),
    ]
    for changed, code in cases:
        arguments: dict[str, Any] = {"name": NOBODY, **changed}
        assert failure(join(leaf, **arguments)) == code, changed


@pytest.mark.requirement("JL-14", "JL-08")
@isolated
def test_group_takes_no_caller_data_but_an_empty_one() -> None:
    start()
    s = a_group_socket()
    assert failure(join(s, GROUP, lpCallerData=WSABUF(1, b"x"))) == c.WSAEPROTONOSUPPORT
    answer = WSABUF(5, bytearray(5))
    assert join(s, GROUP.pack() + b"tail", 20, c.JL_SENDER_ONLY, lpCallerData=WSABUF(0, b""), lpCalleeData=answer) == s
    assert answer.len == 0


@pytest.mark.requirement("JL-59", "JL-64")
@isolated
def test_caller_data_is_taken_when_the_call_is_made() -> None:
    start()
    root, name = a_listening(ROOT)
    leaf = a_socket()
    assert ws.ioctlsocket(leaf, c.FIONBIO, Ref(1)) == 0
    memory = bytearray(b"before")
    assert join(leaf, name, lpCallerData=WSABUF(6, memory)) == leaf
    memory[:] = b"after!"
    seen = []

    def condition(*arguments: Any) -> int:
        seen.append(bytes(arguments[1].buf[: arguments[1].len]))
        return c.CF_ACCEPT

    assert ws.WSAAccept(root, None, None, condition, None) != c.INVALID_SOCKET
    assert seen == [b"before"]


# The order of the checks

Mistakes = frozenset[int]
STEP_CODES = {
    1: c.WSANOTINITIALISED,
    2: c.WSAENOTSOCK,
    3: c.WSASYSCALLFAILURE,
    4: c.WSAEINPROGRESS,
    5: c.WSAEINVAL,
    6: c.WSAEFAULT,
    7: c.WSAEAFNOSUPPORT,
    8: c.WSAEPROTONOSUPPORT,
    9: c.WSAEALREADY,
    10: c.WSAEISCONN,
    11: c.WSAEADDRNOTAVAIL,
    12: c.WSAEOPNOTSUPP,
    13: c.WSAEADDRINUSE,
    14: c.WSAECONNREFUSED,
}
UNFULFILLABLE = QOS(SendingFlowspec=FLOWSPEC(TokenRate=0, ServiceType=c.SERVICETYPE_GUARANTEED))
IN_ARGUMENTS = (5, 6, 7, 8, 11, 12)


def all_of(steps: tuple[int, ...]) -> Iterator[Mistakes]:
    return map(frozenset, chain.from_iterable(combinations(steps, count) for count in range(len(steps) + 1)))


def join_with(s: int, mistakes: Mistakes, right: Any) -> int:
    """Make the mistakes of these steps in one call; ``right`` is a name without any."""
    host, port = ("::1", 5) if 7 in mistakes else (right.sin_addr, right.sin_port)
    name = sockaddr(host, 0 if 11 in mistakes else port)
    return join(
        s,
        name,
        name.size,
        3 if 5 in mistakes else c.JL_BOTH,
        lpCallerData=WSABUF(1, b"x") if 8 in mistakes else None,
        lpCalleeData=WSABUF(5, None) if 6 in mistakes else None,
        lpSQOS=UNFULFILLABLE if 12 in mistakes else None,
    )


def check_all(s: int, steps: tuple[int, ...], always: tuple[int, ...], right: Any = NOBODY) -> None:
    """Make every combination of mistakes; the earliest step, of those or of the socket's state, says the code."""
    for mistakes in all_of(steps):
        first = min(mistakes | set(always))
        assert failure(join_with(s, mistakes, right)) == STEP_CODES[first], sorted(mistakes)


@pytest.mark.requirement("JL-16", "JL-18", "SU-06", "SK-22")
@isolated
def test_order_of_checks_before_there_is_a_socket() -> None:
    check_all(12345, IN_ARGUMENTS, (1,))
    start()
    check_all(12345, IN_ARGUMENTS, (2,))


@pytest.mark.requirement("JL-16", "DI-10", "JL-75")
@isolated
def test_order_of_checks_in_the_dialect_without_multipoint() -> None:
    start(dialect="ce")
    check_all(a_group_socket(), IN_ARGUMENTS, (3,), GROUP)


@pytest.mark.requirement("JL-16", "JL-72", "AC-29")
@isolated
def test_order_of_checks_while_a_condition_function_runs() -> None:
    start()
    root, name = a_listening(ROOT)
    leaf = a_socket()

    def condition(*_: object) -> int:
        check_all(root, (5, 6, 7, 11, 12), (4,))
        return c.CF_ACCEPT

    accepting = Meanwhile(lambda: ws.WSAAccept(root, None, None, condition, None))
    assert join(leaf, name) == leaf
    assert accepting.result() != c.INVALID_SOCKET


@pytest.mark.requirement("JL-16", "JL-18", "JL-23")
@isolated
def test_order_of_checks_on_a_plain_socket() -> None:
    start()
    owner, s = a_group_socket(), a_group_socket()
    assert ws.bind(owner, sockaddr("0.0.0.0", GROUP_PORT), 16) == 0
    check_all(s, IN_ARGUMENTS, (13,), GROUP)
    assert not is_bound(s)
    assert ws.closesocket(owner) == 0
    assert join_with(s, frozenset(), GROUP) == s
    check_all(s, IN_ARGUMENTS, (10,), GROUP)


@pytest.mark.requirement("JL-16", "JL-18", "JL-31", "JL-34", "DI-11", "DI-19")
@pytest.mark.parametrize("dialect", ["modern", "spec1990", "ce"])
@isolated
def test_order_of_checks_on_a_leaf(dialect: str) -> None:
    start(dialect=dialect)
    root, name = a_listening(ROOT)
    leaf = a_socket()
    for mistakes in all_of((5, 6, 7, 11, 12)):
        if mistakes:
            assert failure(join_with(leaf, mistakes, NOBODY)) == STEP_CODES[min(mistakes)]
            assert not is_bound(leaf)
    assert ws.ioctlsocket(leaf, c.FIONBIO, Ref(1)) == 0
    assert join(leaf, name) == leaf
    check_all(leaf, (5, 6, 7, 11, 12), (9,))
    leg = ws.accept(root, None, None)
    event = ws.WSACreateEvent()
    assert ws.WSAEventSelect(leaf, event, c.FD_CONNECT) == 0
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 5000, False) == c.WSA_WAIT_EVENT_0
    check_all(leaf, (5, 6, 7, 11, 12), (10,))
    # A leg is connected, too; what comes before that in the order comes first here as well.
    check_all(leg, (5, 6, 7, 11, 12), (10,))
    assert failure(join(leg, NOBODY, lpCallerData=WSABUF(1025, bytes(1025)))) == c.WSAEFAULT


# Binding, what comes back


@pytest.mark.requirement("JL-19", "JL-20", "SK-33", "SK-34")
@isolated
def test_unbound_socket_is_bound_by_the_join() -> None:
    start()
    root, name = a_listening(ROOT)
    hearing, speaking, leaf, inviting = a_group_socket(), a_group_socket(), a_socket(), a_socket(ROOT)
    assert join(hearing, GROUP) == hearing
    assert name_of(hearing) == ("0.0.0.0", GROUP_PORT)
    assert join(speaking, GROUP, 16, c.JL_SENDER_ONLY) == speaking
    assert name_of(speaking)[1] in range(49152, 65536)
    peer = bytearray(16)
    assert ws.getpeername(speaking, peer, Ref(16)) == 0
    assert ws.address(peer) == ("239.1.2.3", 6000)
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    accepting.result()
    assert name_of(leaf)[1] in range(49152, 65536)
    assert failure(join(inviting, NOBODY)) == c.WSAECONNREFUSED
    assert name_of(inviting)[0] == "0.0.0.0"
    for s in (hearing, speaking, leaf, inviting):
        assert failure(ws.bind(s, ANYWHERE, 16)) == c.WSAEINVAL


@pytest.mark.requirement("JL-22", "SK-33")
@isolated
def test_binding_of_the_program_is_kept() -> None:
    start()
    root, name = a_listening(ROOT)
    leaf, group = a_socket(), a_group_socket()
    for s, host in ((leaf, "127.0.0.1"), (group, "0.0.0.0")):
        assert ws.bind(s, sockaddr(host, 6001), 16) == 0
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(leaf, name) == leaf
    leg = accepting.result()
    peer = bytearray(16)
    assert ws.getpeername(leg, peer, Ref(16)) == 0
    assert ws.address(peer) == name_of(leaf) == ("127.0.0.1", 6001)
    assert join(group, sockaddr("239.1.2.3", 6001)) == group
    assert name_of(group) == ("0.0.0.0", 6001)


@pytest.mark.requirement("JL-47")
@isolated
def test_leg_is_a_leaf_without_data_of_the_session() -> None:
    start()
    leaf, name = a_listening(LEAF)
    root = a_socket(ROOT)
    accepting = Meanwhile(lambda: ws.accept(leaf, None, None))
    leg = join(root, name)
    member = accepting.result()
    assert ws.send(member, b"to the root", 11, 0) == 11
    buffer = bytearray(20)
    assert ws.recv(root, buffer, 20, 0) == 11
    assert ws.ioctlsocket(leg, c.FIONBIO, Ref(1)) == 0
    assert failure(ws.recv(leg, buffer, 20, 0)) == c.WSAEWOULDBLOCK
    event = ws.WSACreateEvent()
    assert ws.WSAEventSelect(leg, event, c.FD_CLOSE) == 0
    assert ws.closesocket(member) == 0
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 5000, False) == c.WSA_WAIT_EVENT_0


@pytest.mark.requirement("JL-57", "JL-34")
@isolated
def test_more_groups_by_options_only() -> None:
    start()
    s = a_group_socket()
    assert join(s, GROUP) == s
    assert failure(join(s, sockaddr("239.1.2.4", 6000))) == c.WSAEISCONN
    more = bytes([239, 1, 2, 4, 127, 0, 0, 1])
    assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, more, 8) == 0
    other = a_group_socket()
    assert ws.sendto(other, b"more", 4, 0, sockaddr("239.1.2.4", 6000), 16) == 4
    assert ws.recv(s, bytearray(9), 9, 0) == 4


# What the network says


@pytest.mark.requirement("JL-68", "JL-37", "JL-38")
@isolated
def test_interface_that_is_switched_off() -> None:
    pair = Pair()
    with pair.left:
        start()
        s = a_socket(LEAF, 17)
        index = socket.if_nametoindex("eth0").to_bytes(4, "big")
        assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_IF, index, 4) == 0
        subprocess.run(("ip", "link", "set", "eth0", "down"), check=True)
        assert failure(join(s, GROUP)) == c.WSAENETDOWN
        subprocess.run(("ip", "link", "set", "eth0", "up"), check=True)
        assert join(s, GROUP) == s


@pytest.mark.requirement("JL-69", "JL-71")
@isolated
def test_more_groups_than_the_kernel_lets_one_socket_have() -> None:
    start()
    s = a_group_socket()
    code, number = 0, 0
    while code == 0:
        number += 1
        request = bytes([239, 9, number >> 8, number & 0xFF, 127, 0, 0, 1])
        if ws.setsockopt(s, c.IPPROTO_IP, c.IP_ADD_MEMBERSHIP, request, 8):
            code = ws.WSAGetLastError()
    assert code == c.WSAENOBUFS
    assert failure(join(s, GROUP)) == c.WSAENOBUFS
    dropped = bytes([239, 9, 0, 1, 127, 0, 0, 1])
    assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_DROP_MEMBERSHIP, dropped, 8) == 0
    assert join(s, GROUP) == s
