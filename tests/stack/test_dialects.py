"""What differs when the stack is started in another dialect."""

import pytest
from tests.stack.calls import a_socket, number, start, switch
from tests.stack.flows import sending
from tests.stack.network import isolated
from tests.stack.people import LEAF, Meanwhile, a_leaf, a_root, admit, code_of, wait_till_blocked

from multipoint import constants as c
from multipoint import winsock as ws
from multipoint.calling import process
from multipoint.stack import Stack
from multipoint.values import Settings, sockaddr


@pytest.mark.requirement("DI-10", "DI-11", "JL-75")
@isolated
def test_ce_has_no_multipoint_on_its_default_provider_but_on_others() -> None:
    with Stack(Settings(dialect="ce")) as stack:
        for flags in (0, LEAF):
            sock = stack.socket(c.AF_INET, c.SOCK_DGRAM, 0, None, flags)
            assert code_of(lambda sock=sock: sock.check_join(7)) == c.WSASYSCALLFAILURE  # type: ignore[misc]
        admit(a_root(stack), a_leaf(stack))


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
