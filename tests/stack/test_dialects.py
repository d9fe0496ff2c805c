"""What differs when the stack is started in another dialect."""

import pytest
from tests.stack.calls import a_socket, failure, number, start, switch
from tests.stack.flows import get_qos, sending
from tests.stack.network import isolated
from tests.stack.people import LEAF, ROOT, Meanwhile, a_leaf, a_root, admit, code_of, wait_till_blocked
from tests.stack.test_registrations import recorded
from tests.stack.test_winsock import a_listening, events_of, join

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.catalogue import PROTOCOLS
from multipoint.dialects import DIALECTS
from multipoint.kinds import JoinRole, ProviderClass
from multipoint.layouts import WSABUF
from multipoint.stack import Stack
from multipoint.values import JoinRequest, Settings, sockaddr


@pytest.mark.requirement("DI-10", "DI-11", "JL-75")
@isolated
def test_ce_has_no_multipoint_on_its_default_provider_but_on_others() -> None:
    with Stack(Settings(dialect="ce")) as stack:
        for flags in (0, LEAF):
            sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, 0, None, flags)
            assert code_of(lambda sock=sock: sock.check_join(7)) == c.WSASYSCALLFAILURE  # type: ignore[misc]
        for provider in (ProviderClass.P2MP, ProviderClass.CONF):
            admit(a_root(stack, provider=provider), a_leaf(stack, provider=provider))
        channel = stack.socket(c.AF_INET, c.SOCK_DGRAM, PROTOCOLS[ProviderClass.SSM], None, LEAF)
        channel.set_interface(1)
        channel.join(("232.1.2.3", 5000), JoinRequest(JoinRole.RECEIVER_ONLY, sources=("127.0.0.1",)))


@pytest.mark.requirement("DI-12", "CL-25")
@pytest.mark.parametrize(("dialect", "code"), [("ce", c.WSAENOTSOCK), ("spec1990", c.WSAEINTR), ("modern", c.WSAEINTR)])
@isolated
def test_close_elsewhere_has_the_dialects_code(dialect: str, code: int) -> None:
    with Stack(Settings(dialect=dialect)) as stack:
        root = a_root(stack)
        accepting = Meanwhile(root.accept)
        wait_till_blocked(root)
        root.close()
        assert code_of(accepting.result) == code


@pytest.mark.requirement("DI-15", "QS-08", "D-26")
@pytest.mark.parametrize("dialect", ["modern", "spec1990", "ce"])
@isolated
def test_flows_of_a_group_are_kept_from_its_creator_in_one_dialect(dialect: str) -> None:
    start(dialect=dialect)
    creator = a_socket(LEAF, 301, c.SG_UNCONSTRAINED_GROUP)
    other = a_socket(LEAF, 301, number(creator, c.SO_GROUP_ID))
    alone = a_socket(LEAF, 301)
    name = sockaddr("232.1.2.3", 6000).pack() + sockaddr("127.0.0.1", 0).pack()
    for rate, s in ((2000, creator), (1000, other), (3000, alone)):
        switch(s, c.SO_REUSEADDR)
        assert ws.setsockopt(s, c.IPPROTO_IP, c.IP_MULTICAST_IF, bytes((127, 0, 0, 1)), 4) == 0
        assert ws.WSAJoinLeaf(s, name, 32, None, None, None, sending(rate), c.JL_RECEIVER_ONLY) == s
    for s, has_group in ((creator, True), (other, True), (alone, False)):
        flows = process.sockets.get(s).group_flows
        assert flows == (sending(2000) if dialect == "spec1990" and has_group else None)
    assert ws.closesocket(creator) == 0
    assert (process.sockets.get(other).group_flows is None) is (dialect != "spec1990")


@pytest.mark.requirement("DI-03", "DI-04", "DI-05", "DI-06", "DI-18", "DI-19", "DI-23", "JL-28", "JL-40")
@pytest.mark.parametrize("dialect", DIALECTS)
@isolated
def test_joins_go_alike_in_all_dialects(dialect: str) -> None:
    start(dialect=dialect)
    root, event = a_socket(ROOT), ws.WSACreateEvent()
    (_, nobodys), (door, name), (other, others) = (a_listening(LEAF) for _ in range(3))
    assert ws.WSAEventSelect(root, event, c.FD_CONNECT | c.FD_WRITE | c.FD_CLOSE) == 0
    # Called off by closing what it has given: nothing is recorded.
    leg = join(root, nobodys)
    assert failure(join(root, name)) == c.WSAEALREADY
    assert ws.closesocket(leg) == 0
    assert ws.WSAWaitForMultipleEvents(1, [event], False, 0, False) == c.WSA_WAIT_TIMEOUT
    answer = WSABUF(9, bytearray(9))
    leg = join(root, name, lpCalleeData=answer)
    assert leg not in (c.INVALID_SOCKET, root)
    assert failure(ws.send(leg, b"x", 1, 0)) == failure(ws.recv(leg, bytearray(1), 1, 0)) == c.WSAENOTCONN

    def condition(*arguments: object) -> int:
        callee = arguments[5]
        assert isinstance(callee, WSABUF)
        callee.buf, callee.len = b"yes", 3
        return c.CF_ACCEPT

    assert answer.len == 9
    assert ws.WSAAccept(door, None, None, condition, None) != c.INVALID_SOCKET
    # On the socket that was given to the call, and not on the one that came of it.
    assert events_of(root, event, c.FD_CONNECT)[c.FD_CONNECT] == 0
    assert (answer.len, answer.buf) == (3, bytearray(b"yes" + bytes(6)))
    assert recorded(leg) == {c.FD_WRITE: 0}
    assert failure(join(leg, others)) == failure(join(root, name)) == c.WSAEISCONN
    assert join(root, others) not in (c.INVALID_SOCKET, leg)
    assert ws.accept(other, None, None) != c.INVALID_SOCKET
    assert events_of(root, event, c.FD_CONNECT)[c.FD_CONNECT] == 0


@pytest.mark.requirement("DI-13", "QS-02", "QS-08")
@pytest.mark.parametrize("dialect", DIALECTS)
@isolated
def test_flows_of_a_join_count_and_those_of_a_group_are_not_looked_at(dialect: str) -> None:
    start(dialect=dialect)
    root, name = a_listening(ROOT)
    s = a_socket()
    assert failure(join(s, name, lpSQOS=sending(0), lpGQOS=sending(1))) == c.WSAEOPNOTSUPP
    accepting = Meanwhile(lambda: ws.accept(root, None, None))
    assert join(s, name, lpSQOS=sending(500), lpGQOS=sending(0)) == s
    accepting.result()
    assert get_qos(s).SendingFlowspec.TokenRate == 500
