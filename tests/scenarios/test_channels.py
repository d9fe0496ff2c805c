"""Source-specific multicast: a channel is one source's, and its receivers hear nobody else."""

from collections.abc import Sequence

import pytest
from steps import CHANNEL, Stage

from joinlab.app import App
from joinlab.expect import Expectations


@pytest.mark.requirement("DP-28", "JL-17", "JL-30")
@pytest.mark.needs(leaves=3)
def test_receivers_hear_the_source_they_named_and_nobody_else(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    wanted, other, strict, broad = root, *leaves[:3]
    strict_ear, broad_ear = stage.tune_in(strict, wanted), stage.tune_in(broad, wanted, other)
    channel, other_channel = stage.open_channel(wanted), stage.open_channel(other)
    other_channel.send(b"from the other")
    # The control: who has named both sources hears both.
    expect.data(broad_ear, b"from the other")
    channel.send(b"from the one")
    expect.data(broad_ear, b"from the one")
    heard = expect.data(strict_ear, b"from the one")
    assert heard.facts["from"][0] == wanted.host
    expect.not_received(strict_ear, b"from the other", control=heard)


@pytest.mark.requirement("CL-17", "DP-39")
@pytest.mark.needs(leaves=2)
def test_receiver_leaves_the_channel(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    channel = stage.open_channel(root)
    leaver, stayer = (stage.tune_in(leaf, root) for leaf in leaves[:2])
    left = stage.now()
    leaver.close()
    expect.igmp_leave(leaver.app.node, CHANNEL[0], since=left)
    expect.bridge_forgot(leaver.app.node, CHANNEL[0], since=left)
    channel.send(b"for who stayed")
    expect.data(stayer, b"for who stayed")
    stage.tune_in(leaver.app, root)
    channel.send(b"for both")
    control = expect.forwarded(leaver.app.node, payload=b"for both")
    expect.not_forwarded(leaver.app.node, payload=b"for who stayed", control=control)
