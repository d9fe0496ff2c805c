"""The root invites."""

from collections.abc import Sequence

import pytest
from steps import Stage

from joinlab.app import App, WSAError
from joinlab.expect import Expectations
from joinlab.words import NetworkEvent, Verdict


@pytest.mark.requirement("JL-35", "JL-44", "JL-51", "JL-79", "AC-11", "EV-39")
@pytest.mark.needs(leaves=1)
def test_root_invites_each_leaf_in_turn(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    session = stage.open_session(root)
    memberships = [stage.invite(session, leaf) for leaf in leaves]
    assert len({membership.leg.handle for membership in memberships} | {session.handle}) == len(leaves) + 1
    assert len({membership.group for membership in memberships}) == 1
    session.send(b"to all of you")
    for membership in memberships:
        expect.data(membership.member, b"to all of you")


@pytest.mark.requirement("JL-31", "JL-33", "JL-35")
@pytest.mark.needs(leaves=2)
def test_second_invitation_is_refused_while_one_is_outstanding(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session = stage.open_session(root)
    first, second = (stage.open_door(leaf) for leaf in leaves[:2])
    session.join_leaf(first.local_address)
    expect.event(first, NetworkEvent.ACCEPT, error=0)
    with pytest.raises(WSAError) as refusal:
        session.join_leaf(second.local_address)
    assert refusal.value.name == "WSAEALREADY"
    first.accept(Verdict.ACCEPT)
    connected = expect.event(session, NetworkEvent.CONNECT, error=0)
    session.join_leaf(second.local_address)
    invited = expect.event(second, NetworkEvent.ACCEPT, error=0)
    assert invited.ns > connected.ns


@pytest.mark.requirement("JL-31", "JL-32")
@pytest.mark.needs(leaves=2)
def test_blocking_invitation_counts_as_outstanding_too(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session = stage.open_blocking_session(root)
    door, other_door = (stage.open_door(leaf) for leaf in leaves[:2])
    joining = session.start_join_leaf(door.local_address)
    expect.event(door, NetworkEvent.ACCEPT, error=0)
    with pytest.raises(WSAError) as refusal:
        session.join_leaf(other_door.local_address)
    assert refusal.value.name == "WSAEALREADY"
    assert not joining.is_done
    door.accept(Verdict.ACCEPT)
    assert joining.result().peer_address == door.local_address
