"""The session as its root keeps it."""

import pytest
from tests.unit.multipoint_core.pretend import HERE, JOIN, LEAF_ACCEPTS, PATIENCE, THERE

from multipoint import constants, wire
from multipoint.errors import MultipointError
from multipoint.flow import FLOWSPEC, QOS
from multipoint.kinds import JoinRole, Kind, Plane, ProviderClass
from multipoint.link import Link
from multipoint.link_states import State
from multipoint.root import OFFER, Root, Session

P2MP_ROOT = Kind(ProviderClass.P2MP, Plane.ROOT, Plane.ROOT)
SECOND_STAGE = Kind(ProviderClass.P2MP, Plane.ROOT, Plane.LEAF)
SESSION = Session(7, wire.Endpoint("239.255.0.1", 7000), HERE, bytes(32))


def a_root(kind: Kind = P2MP_ROOT) -> Root:
    root = Root(kind, PATIENCE, 7, lambda: bytes(32))
    root.session = SESSION
    return root


def an_invitation(root: Root, leaf: wire.Endpoint = THERE, role: JoinRole = JoinRole.BOTH) -> Link:
    link = root.invite(leaf, role, b"", 0, None, 0.0)
    link.state = State.ASKING
    return link


def accept(link: Link, answer: wire.Accept = LEAF_ACCEPTS) -> None:
    link.receive(wire.encode(wire.Hello()) + wire.encode(answer), 1.0)


def a_request(root: Root, request: wire.Join = JOIN, peer: wire.Endpoint = THERE) -> Link:
    link = root.enter(peer, 0.0)
    link.receive(wire.encode(wire.Hello()) + wire.encode(request), 0.0)
    return link


def code_of(failure: pytest.ExceptionInfo[MultipointError]) -> int:
    return failure.value.code


@pytest.mark.requirement("JL-31")
def test_second_invitation_waits_for_the_first() -> None:
    root = a_root()
    an_invitation(root)
    with pytest.raises(MultipointError) as failure:
        root.check_invitation()
    assert code_of(failure) == constants.WSAEALREADY


@pytest.mark.requirement("JL-35", "JL-79")
def test_next_leaf_is_invited_once_the_last_has_joined() -> None:
    root = a_root()
    for number in (1, 2):
        leaf = wire.Endpoint("10.0.0.2", number)
        link = an_invitation(root, leaf)
        accept(link)
        member = root.agreed(link, LEAF_ACCEPTS, 1.0)
        assert member is not None
        assert (member.number, member.peer) == (number, leaf)
        root.check_invitation()


@pytest.mark.requirement("JL-36")
def test_live_leg_is_not_invited_again_a_gone_one_is() -> None:
    root = a_root()
    link = an_invitation(root)
    accept(link)
    root.agreed(link, LEAF_ACCEPTS, 1.0)
    with pytest.raises(MultipointError) as failure:
        root.check_leaf(THERE)
    assert code_of(failure) == constants.WSAEISCONN
    root.parted(link)
    root.check_leaf(THERE)


@pytest.mark.requirement("JL-37", "JL-38")
def test_failed_invitation_may_be_repeated() -> None:
    root = a_root()
    root.failed(an_invitation(root))
    root.check_invitation()


@pytest.mark.requirement("CL-06")
def test_spent_root_invites_nobody() -> None:
    root = a_root()
    root.dismantle(1.0)
    with pytest.raises(MultipointError) as failure:
        root.check_invitation()
    assert code_of(failure) == constants.WSAEISCONN


@pytest.mark.requirement("AC-07")
def test_full_queue_refuses() -> None:
    root = a_root()
    root.door.open(1)
    first, second = a_request(root), a_request(root)
    assert root.requested(first, 0.0)
    assert not root.requested(second, 0.0)
    assert second.state is State.CLOSING
    assert root.door.first() is first


OFFERED = QOS.of(FLOWSPEC(TokenRate=1000, ServiceType=constants.SERVICETYPE_CONTROLLEDLOAD), FLOWSPEC())


def an_offer(root: Root) -> Link:
    """Return the link of a leaf that was asked whether it can carry the session's flow."""
    link = a_request(root)
    link.events()
    assert root.requested(link, 0.0, OFFERED)
    assert wire.encode(wire.FlowRequest(OFFER, OFFERED)) in link.outgoing
    assert root.door.first() is None
    return link


@pytest.mark.requirement("QS-36", "QS-07")
def test_leaf_waits_for_the_program_once_it_says_that_it_can_carry_the_flow() -> None:
    root = a_root()
    root.door.open(2)
    able, unable, withdrawn = an_offer(root), an_offer(root), an_offer(root)
    root.withdrawn(withdrawn)
    assert root.answered(able, 0, 1.0)
    assert not root.answered(unable, constants.WSAENOBUFS, 1.0)
    assert wire.encode(wire.Reject(constants.WSAEOPNOTSUPP)) in unable.outgoing
    # Once each
    assert root.answered(able, constants.WSAENOBUFS, 1.0)
    assert root.answered(withdrawn, 0, 1.0)
    assert root.door.close() == [able]


@pytest.mark.requirement("CL-01", "QS-36")
def test_end_of_the_session_reaches_who_was_asked_about_its_flow() -> None:
    root = a_root()
    root.door.open(2)
    link = an_offer(root)
    root.dismantle(1.0)
    assert link.state is State.CLOSING
    late = a_request(root)
    assert not root.requested(late, 1.0, OFFERED)
    assert late.state is State.CLOSING


@pytest.mark.requirement("JL-53")
@pytest.mark.parametrize(
    "request_",
    [
        wire.Join(ProviderClass.CONF, Plane.LEAF, Plane.LEAF, JoinRole.BOTH, THERE),
        wire.Join(ProviderClass.P2MP, Plane.ROOT, Plane.LEAF, JoinRole.BOTH, THERE),
    ],
    ids=["other class", "other root"],
)
def test_misfit_is_refused_without_the_program(request_: wire.Join) -> None:
    root = a_root()
    root.door.open(5)
    link = a_request(root, request_)
    assert not root.requested(link, 0.0)
    assert not root.door.is_calling


@pytest.mark.requirement("SK-13")
def test_second_data_root_is_refused() -> None:
    root = a_root(SECOND_STAGE)
    root.door.open(5)
    source = wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.ROOT, JoinRole.BOTH, THERE)
    first, second = a_request(root, source), a_request(root, source)
    assert root.requested(first, 0.0)
    assert root.requested(second, 0.0)
    assert root.admit(first, b"", None, 1.0).is_data_root
    with pytest.raises(MultipointError) as failure:
        root.admit(second, b"", None, 1.0)
    assert code_of(failure) == constants.WSAECONNREFUSED
    assert len(root.members) == 1


@pytest.mark.requirement("CL-01", "CL-05", "JL-41")
def test_end_of_the_session_reaches_everybody() -> None:
    root = a_root()
    root.door.open(5)
    member, waiting = a_request(root), a_request(root)
    root.requested(member, 0.0)
    root.requested(waiting, 0.0)
    root.admit(member, b"", None, 0.0)
    inviting = an_invitation(root)
    assert root.dismantle(1.0) == [member]
    assert {link.state for link in (member, waiting, inviting)} == {State.CLOSING}


@pytest.mark.requirement("JL-55")
@pytest.mark.parametrize(
    ("leaf", "root"),
    [
        (JoinRole.SENDER_ONLY, JoinRole.RECEIVER_ONLY),
        (JoinRole.RECEIVER_ONLY, JoinRole.SENDER_ONLY),
        (JoinRole.BOTH, JoinRole.BOTH),
    ],
)
def test_role_of_the_root_mirrors_the_leafs(leaf: JoinRole, root: JoinRole) -> None:
    keeper = a_root()
    keeper.door.open(5)
    link = a_request(keeper, wire.Join(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF, leaf, THERE))
    keeper.requested(link, 0.0)
    assert keeper.admit(link, b"", None, 0.0).role is root


def test_leaf_that_accepted_and_left_at_once_is_no_member() -> None:
    root = a_root()
    link = an_invitation(root)
    accept(link)
    link.receive(wire.encode(wire.Leave()), 1.0)
    assert root.agreed(link, LEAF_ACCEPTS, 1.0) is None
    assert not root.members
