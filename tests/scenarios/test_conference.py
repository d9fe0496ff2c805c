"""Conferences: the root decides who is in, and all who are in hear each other."""

from collections.abc import Sequence

import pytest
from steps import Stage

from joinlab.app import App
from joinlab.expect import Expectations
from joinlab.words import NetworkEvent, Provider


@pytest.mark.requirement("DP-16", "DP-24", "DP-25", "DP-26")
@pytest.mark.needs(leaves=3)
def test_in_a_conference_each_hears_all_others(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    conference = stage.open_conference(root)
    *insiders, outsider = leaves
    members = [stage.admit(conference, leaf, Provider.CONF).member for leaf in insiders]
    everybody = [conference, *members]
    for speaker in everybody:
        speaker.send(_words(speaker.app))
    for listener in everybody:
        for speaker in everybody:
            if speaker is not listener:
                expect.data(listener, _words(speaker.app))
    # The control: once it is in, the outsider hears the same speakers.
    latecomer = stage.admit(conference, outsider, Provider.CONF).member
    for speaker in everybody:
        speaker.send(b"again")
        seen = expect.forwarded(outsider.node, payload=b"again", by=speaker.app.node)
        expect.not_forwarded(outsider.node, payload=_words(speaker.app), control=seen)
        heard = expect.data(latecomer, b"again")
        expect.not_received(outsider, _words(speaker.app), control=heard)


@pytest.mark.requirement("CL-01", "CL-03", "CL-15")
@pytest.mark.needs(leaves=2)
def test_root_ends_a_conference(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    conference = stage.open_conference(root)
    memberships = [stage.admit(conference, leaf, Provider.CONF) for leaf in leaves]
    closed = stage.now()
    conference.close()
    for membership in memberships:
        expect.event(membership.member, NetworkEvent.CLOSE, error=0)
        stage.prove_left(membership, since=closed)


@pytest.mark.requirement("JL-53")
@pytest.mark.needs(leaves=1)
def test_leaf_of_another_class_is_not_let_in(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    conference, stranger = stage.open_conference(root), stage.new_leaf(leaves[0])
    stranger.join_leaf(conference.local_address)
    expect.event(stranger, NetworkEvent.CONNECT, error="WSAECONNREFUSED")
    # The control: one of the right class is asked for.
    stage.admit(conference, leaves[0], Provider.CONF)


def _words(app: App) -> bytes:
    return f"words of {app.node.name}".encode()
