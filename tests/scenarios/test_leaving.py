"""How memberships end: a leaf leaves, the root closes, an app dies."""

from collections.abc import Sequence

import pytest
from steps import GROUP, Stage

from joinlab.app import App
from joinlab.expect import Expectations
from joinlab.words import NetworkEvent


@pytest.mark.requirement("CL-07", "CL-09", "CL-15", "DP-26", "DP-39", "EV-42")
@pytest.mark.needs(leaves=2)
def test_leaf_leaves(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    session = stage.open_session(root)
    leaver, *stayers = [stage.admit(session, leaf) for leaf in leaves]
    left = stage.now()
    leaver.member.close()
    stage.prove_left(leaver, since=left)
    expect.event(leaver.leg, NetworkEvent.CLOSE, error=0)

    session.send(b"to those who stayed")
    for stayer in stayers:
        expect.data(stayer.member, b"to those who stayed")
    # The control: having come back, the leaf hears the root again.
    returned = stage.admit(session, leaver.leaf)
    session.send(b"welcome back")
    seen = expect.forwarded(leaver.leaf.node, payload=b"welcome back")
    expect.not_forwarded(leaver.leaf.node, payload=b"to those who stayed", control=seen)
    heard = expect.data(returned.member, b"welcome back")
    expect.not_received(leaver.leaf, b"to those who stayed", control=heard)


@pytest.mark.requirement("CL-08", "CL-15")
@pytest.mark.needs(leaves=2)
def test_root_sends_one_leaf_away(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    session = stage.open_session(root)
    expelled, *others = [stage.admit(session, leaf) for leaf in leaves]
    closed = stage.now()
    expelled.leg.close()
    expect.event(expelled.member, NetworkEvent.CLOSE, error=0)
    stage.prove_left(expelled, since=closed)
    session.send(b"still here")
    for other in others:
        expect.data(other.member, b"still here")


@pytest.mark.requirement("CL-01", "CL-03", "CL-15", "CL-39", "EV-43")
@pytest.mark.needs(leaves=2)
def test_root_closes_and_every_leaf_is_told(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session = stage.open_session(root)
    joins = (stage.invite, stage.admit)
    memberships = [joins[number % 2](session, leaf) for number, leaf in enumerate(leaves)]
    closed = stage.now()
    session.close()
    for membership in memberships:
        expect.event(membership.member, NetworkEvent.CLOSE, error=0, since=closed)
        ended = expect.event(membership.leg, NetworkEvent.CLOSE, error=0, since=closed)
        stage.prove_left(membership, since=closed)
    expect.no_event(session, NetworkEvent.CLOSE, control=ended)


@pytest.mark.requirement("CL-19", "CL-20")
@pytest.mark.needs(leaves=2)
def test_leaf_that_dies_is_missed_by_the_root_and_forgotten_by_the_bridge(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session = stage.open_session(root)
    victim, *others = [stage.admit(session, leaf) for leaf in leaves]
    killed = stage.now()
    victim.leaf.kill()
    expect.event(victim.leg, NetworkEvent.CLOSE, error="WSAECONNRESET")
    stage.prove_left(victim, since=killed)
    session.send(b"life goes on")
    for other in others:
        expect.data(other.member, b"life goes on")


@pytest.mark.requirement("CL-10", "CL-20")
@pytest.mark.needs(leaves=1)
def test_session_ends_with_a_root_that_dies(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session = stage.open_session(root)
    memberships = [stage.admit(session, leaf) for leaf in leaves]
    killed = stage.now()
    root.kill()
    for membership in memberships:
        expect.event(membership.member, NetworkEvent.CLOSE, error="WSAECONNRESET")
        stage.prove_left(membership, since=killed)


@pytest.mark.requirement("CL-17", "CL-18", "DP-39")
@pytest.mark.needs(leaves=3)
def test_leaving_an_any_source_group_ends_its_data(stage: Stage, leaves: Sequence[App], expect: Expectations) -> None:
    speaker, leaver, stayer = (stage.join_group(leaf) for leaf in leaves[:3])
    left = stage.now()
    leaver.close()
    expect.igmp_leave(leaver.app.node, GROUP[0], since=left)
    expect.bridge_forgot(leaver.app.node, GROUP[0], since=left)
    speaker.send(b"he is gone")
    expect.data(stayer, b"he is gone")
    stage.join_group(leaver.app)
    speaker.send(b"he is back")
    seen = expect.forwarded(leaver.app.node, payload=b"he is back")
    expect.not_forwarded(leaver.app.node, payload=b"he is gone", control=seen)
