"""Leaves ask to be let in, and the root decides."""

from collections.abc import Sequence

import pytest
from steps import Stage

from joinlab.app import App, WSAError
from joinlab.expect import Expectations
from joinlab.words import NetworkEvent, Verdict


@pytest.mark.requirement("JL-49", "JL-50", "AC-12", "AC-23", "EV-38")
@pytest.mark.needs(leaves=1)
def test_each_leaf_asks_and_is_let_in(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    session = stage.open_session(root)
    memberships = [stage.admit(session, leaf) for leaf in leaves]
    session.send(b"welcome")
    for membership in memberships:
        expect.data(membership.member, b"welcome")


@pytest.mark.requirement("JL-24", "JL-49")
@pytest.mark.needs(leaves=1)
def test_blocking_request_returns_when_it_is_decided(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session, member = stage.open_session(root), stage.blocking_leaf(leaves[0])
    joining = member.start_join_leaf(session.local_address)
    expect.event(session, NetworkEvent.ACCEPT, error=0)
    assert not joining.is_done
    session.accept(Verdict.ACCEPT)
    assert joining.result() == member


@pytest.mark.requirement("AC-24", "JL-37", "JL-66")
@pytest.mark.needs(leaves=1)
def test_rejected_leaf_may_ask_again(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    session, member = stage.open_session(root), stage.new_leaf(leaves[0])
    member.join_leaf(session.local_address)
    expect.event(session, NetworkEvent.ACCEPT, error=0)
    with pytest.raises(WSAError) as rejection:
        session.accept(Verdict.REJECT)
    assert rejection.value.name == "WSAECONNREFUSED"
    refused = expect.event(member, NetworkEvent.CONNECT, error="WSAECONNREFUSED")

    asked_again = stage.now()
    member.join_leaf(session.local_address)
    expect.event(session, NetworkEvent.ACCEPT, error=0, since=asked_again)
    leg = session.accept(Verdict.ACCEPT).socket
    connected = expect.event(member, NetworkEvent.CONNECT, error=0, since=asked_again)
    assert connected.ns > refused.ns
    stage.prove_joined(leg, member, asked_again)


@pytest.mark.requirement("AC-25", "AC-26")
@pytest.mark.needs(leaves=1)
def test_deferred_leaf_waits_until_the_root_has_decided(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session, member = stage.open_session(root), stage.new_leaf(leaves[0])
    asked = stage.now()
    member.join_leaf(session.local_address, caller_data=b"may I?")
    expect.event(session, NetworkEvent.ACCEPT, error=0)
    with pytest.raises(WSAError) as deferral:
        session.accept(Verdict.DEFER)
    assert deferral.value.name == "WSATRY_AGAIN"
    decided = stage.now()
    accepted = session.accept(Verdict.ACCEPT)
    assert accepted.caller_data == b"may I?"
    connected = expect.event(member, NetworkEvent.CONNECT, error=0)
    assert connected.ns > decided.ns
    stage.prove_joined(accepted.socket, member, asked)


@pytest.mark.requirement("JL-33", "JL-52")
@pytest.mark.needs(leaves=2)
def test_both_ways_of_joining_work_side_by_side(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session = stage.open_session(root)
    joins = (stage.invite, stage.admit)
    memberships = [joins[number % 2](session, leaf) for number, leaf in enumerate(leaves)]
    assert len({membership.group for membership in memberships}) == 1
    session.send(b"however you came")
    for membership in memberships:
        expect.data(membership.member, b"however you came")


@pytest.mark.requirement("JL-33")
@pytest.mark.needs(leaves=2)
def test_pending_invitation_does_not_hinder_accepting(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session = stage.open_session(root)
    door = stage.open_door(leaves[0])
    session.join_leaf(door.local_address)
    expect.event(door, NetworkEvent.ACCEPT, error=0)
    stage.admit(session, leaves[1])
    door.accept(Verdict.ACCEPT)
    expect.event(session, NetworkEvent.CONNECT, error=0)
