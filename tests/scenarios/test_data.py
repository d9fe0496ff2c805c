"""Who hears whom."""

from collections.abc import Sequence

import pytest
from steps import GROUP, Stage

from joinlab.app import App
from joinlab.expect import Expectations


@pytest.mark.requirement("DP-20", "DP-26")
@pytest.mark.needs(leaves=3)
def test_what_the_root_sends_reaches_all_members_and_nobody_else(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session = stage.open_session(root)
    *insiders, outsider = leaves
    memberships = [stage.admit(session, leaf) for leaf in insiders]
    session.send(b"for members")
    for membership in memberships:
        expect.forwarded(membership.leaf.node, payload=b"for members")
        expect.data(membership.member, b"for members")
    # The control: when the outsider has come in, the same way brings it the root's data.
    member = stage.admit(session, outsider).member
    session.send(b"for the newcomer too")
    seen = expect.forwarded(outsider.node, payload=b"for the newcomer too")
    heard = expect.data(member, b"for the newcomer too")
    expect.not_forwarded(outsider.node, payload=b"for members", control=seen)
    expect.not_received(outsider, b"for members", control=heard)


@pytest.mark.requirement("DP-16", "DP-21", "DP-22", "DP-23")
@pytest.mark.needs(leaves=2)
def test_what_a_leaf_sends_reaches_the_root_only(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session = stage.open_session(root)
    memberships = [stage.admit(session, leaf) for leaf in leaves]
    speaker, *others = memberships
    speaker.member.send(b"for the root")
    received = expect.data(session, b"for the root")
    assert tuple(received.facts["from"]) == speaker.leg.peer_address
    # The control, which the root sends when it has the leaf's words: both would have come to the others by now.
    session.send(b"for all")
    for other in others:
        seen = expect.forwarded(other.leaf.node, payload=b"for all")
        heard = expect.data(other.member, b"for all")
        expect.not_forwarded(other.leaf.node, payload=b"for the root", control=seen)
        expect.not_received(other.leaf, b"for the root", control=heard)


@pytest.mark.requirement("DP-11", "DP-20")
@pytest.mark.needs(leaves=1)
def test_message_boundaries_are_kept(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    session = stage.open_session(root)
    member = stage.admit(session, leaves[0]).member
    messages = [b"a", b"", b"c" * 1200]
    for message in messages:
        session.send(message)
    for message in messages:
        expect.data(member, message)


@pytest.mark.requirement("DP-01", "DP-03", "JL-29", "JL-30", "JL-56")
@pytest.mark.needs(leaves=3)
def test_in_an_any_source_group_each_hears_all_others(
    stage: Stage, leaves: Sequence[App], expect: Expectations
) -> None:
    *insiders, outsider = leaves
    sockets = [stage.join_group(leaf) for leaf in insiders]
    for socket in sockets:
        socket.send(_words(socket.app))
    for listener in sockets:
        for speaker in sockets:
            if speaker is not listener:
                expect.forwarded(listener.app.node, payload=_words(speaker.app), by=speaker.app.node)
                expect.data(listener, _words(speaker.app))
    # The control: the outsider joins, and from then on hears the same speakers.
    latecomer = stage.join_group(outsider)
    for speaker in sockets:
        speaker.send(b"again")
        seen = expect.forwarded(outsider.node, payload=b"again", by=speaker.app.node)
        expect.not_forwarded(outsider.node, payload=_words(speaker.app), control=seen)
        heard = expect.data(latecomer, b"again")
        expect.not_received(outsider, _words(speaker.app), control=heard)


@pytest.mark.requirement("DP-03")
@pytest.mark.needs(leaves=2)
def test_in_an_any_source_group_a_stranger_is_heard(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    listeners = [stage.join_group(leaf) for leaf in leaves[:2]]
    stranger = stage.plain_sender(root)
    stranger.send_to(b"from outside", GROUP)
    for listener in listeners:
        heard = expect.data(listener, b"from outside")
        assert heard.facts["from"][0] == root.host


def _words(app: App) -> bytes:
    return f"words of {app.node.name}".encode()
