"""The same over IPv6, with MLD for IGMP."""

from collections.abc import Sequence

import pytest
from steps import IPV6_GROUP, Stage

from joinlab.app import App
from joinlab.expect import Expectations
from joinlab.lab import Lab
from joinlab.words import Family, NetworkEvent

pytestmark = [pytest.mark.needs(ipv6=True), pytest.mark.requirement("DP-40")]


@pytest.fixture
def stage(lab: Lab, expect: Expectations) -> Stage:
    """Return the steps, over IPv6."""
    return Stage(lab.trace, expect, None, Family.IPV6)


@pytest.mark.needs(leaves=3)
def test_rooted_session_over_ipv6(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    session = stage.open_session(root)
    joins = (stage.invite, stage.admit)
    memberships = [joins[number % 2](session, leaf) for number, leaf in enumerate(leaves)]
    session.send(b"down")
    for membership in memberships:
        expect.data(membership.member, b"down")
    leaver, *stayers = memberships
    leaver.member.send(b"up")
    expect.data(session, b"up")

    left = stage.now()
    leaver.member.close()
    stage.prove_left(leaver, since=left)
    expect.event(leaver.leg, NetworkEvent.CLOSE, error=0)
    closed = stage.now()
    session.close()
    for stayer in stayers:
        expect.event(stayer.member, NetworkEvent.CLOSE, error=0)
        stage.prove_left(stayer, since=closed)


@pytest.mark.needs(leaves=3)
def test_any_source_group_over_ipv6(stage: Stage, leaves: Sequence[App], expect: Expectations) -> None:
    *insiders, outsider = leaves
    speaker, *listeners = [stage.join_group(leaf, group=IPV6_GROUP) for leaf in insiders]
    speaker.send(b"six")
    for listener in listeners:
        expect.data(listener, b"six")
    # The control: the outsider joins and hears what comes then.
    stage.join_group(outsider, group=IPV6_GROUP)
    speaker.send(b"again")
    control = expect.forwarded(outsider.node, payload=b"again")
    expect.not_forwarded(outsider.node, payload=b"six", control=control)
