"""The session as a rooted leaf keeps it."""

import pytest
from tests.unit.multipoint_core.pretend import HERE, INVITE, MEMBERSHIP, PATIENCE, THERE

from multipoint import constants, wire
from multipoint.errors import MultipointError
from multipoint.kinds import JoinRole, Kind, Plane, ProviderClass
from multipoint.leaf import Leaf, LeafState
from multipoint.link import Link

LEAF = Kind(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF)
# What a leaf in each state says to a further join (JL-16 steps 5, 9, 10) and to listen (AC-03); None: go on.
JOIN_CODES = {
    LeafState.IDLE: None,
    LeafState.LISTENING: constants.WSAEINVAL,
    LeafState.ASKING: constants.WSAEALREADY,
    LeafState.MEMBER: constants.WSAEISCONN,
    LeafState.SPENT: constants.WSAEISCONN,
}
LISTEN_CODES = {
    LeafState.IDLE: None,
    LeafState.LISTENING: None,
    LeafState.ASKING: constants.WSAEISCONN,
    LeafState.MEMBER: constants.WSAEISCONN,
    LeafState.SPENT: constants.WSAEISCONN,
}


def a_leaf(state: LeafState = LeafState.IDLE) -> Leaf:
    leaf = Leaf(LEAF, PATIENCE)
    leaf.state = state
    return leaf


def ask(leaf: Leaf) -> Link:
    return leaf.ask(HERE, THERE, JoinRole.BOTH, b"", 0, None, 0.0)


def an_invitation(leaf: Leaf, invite: wire.Invite = INVITE) -> Link:
    link = leaf.enter(HERE, 0.0)
    link.receive(wire.encode(wire.Hello()) + wire.encode(invite), 0.0)
    return link


@pytest.mark.requirement("JL-31", "JL-34", "JL-77", "JL-38")
@pytest.mark.parametrize("state", LeafState)
def test_further_join(state: LeafState) -> None:
    assert _code(lambda: a_leaf(state).check_join()) == JOIN_CODES[state]


@pytest.mark.requirement("AC-03", "AC-05")
@pytest.mark.parametrize("state", LeafState)
def test_listen(state: LeafState) -> None:
    assert _code(lambda: a_leaf(state).listen(1)) == LISTEN_CODES[state]


@pytest.mark.requirement("JL-37", "JL-49")
def test_life_of_a_leaf_that_asks_twice() -> None:
    leaf = a_leaf()
    ask(leaf)
    leaf.failed()
    ask(leaf)
    leaf.joined(MEMBERSHIP)
    assert _code(leaf.check_join) == constants.WSAEISCONN
    leaf.parted()
    assert leaf.state is LeafState.SPENT


@pytest.mark.requirement("AC-11", "CL-16", "JL-55")
def test_invitation_makes_a_member_beside_the_listener() -> None:
    leaf = a_leaf()
    leaf.listen(5)
    invite = wire.Invite(ProviderClass.P2MP, Plane.ROOT, Plane.ROOT, JoinRole.SENDER_ONLY, 7)
    link = an_invitation(leaf, invite)
    assert leaf.requested(link, 0.0)
    member = leaf.admit(link, THERE, b"", None, 0.0)
    assert member.role is JoinRole.RECEIVER_ONLY
    assert (leaf.state, member.state) == (LeafState.LISTENING, LeafState.MEMBER)


@pytest.mark.requirement("JL-53", "SK-13")
def test_second_data_root_does_not_take_an_invitation_of_the_first() -> None:
    leaf = Leaf(Kind(ProviderClass.P2MP, Plane.LEAF, Plane.ROOT), PATIENCE)
    leaf.listen(5)
    assert not leaf.requested(an_invitation(leaf), 0.0)


def _code(call: object) -> int | None:
    assert callable(call)
    try:
        call()
    except MultipointError as failure:
        return failure.code
    return None
