"""What a role keeps a socket from."""

from collections.abc import Sequence

import pytest
from steps import OTHER_GROUP, QUIET_GROUP, Stage

from joinlab.app import App, WSAError
from joinlab.expect import Expectations
from joinlab.words import Role


@pytest.mark.requirement("JL-56", "JL-30")
@pytest.mark.needs(leaves=2)
def test_sender_only_sends_no_igmp(stage: Stage, leaves: Sequence[App], expect: Expectations) -> None:
    # A group of its own: hosts repeat a leave for up to a second, so another test's could be seen here.
    group = QUIET_GROUP
    sender = stage.join_group(leaves[0], Role.SENDER_ONLY, group)
    listener = stage.join_group(leaves[1], Role.BOTH, group)
    sender.send(b"one way")
    expect.data(listener, b"one way")
    # The control: a host's reports go out in the order of its joins, so one for the first would have come before.
    stage.join_group(leaves[0], Role.BOTH, OTHER_GROUP)
    control = expect.igmp_join(leaves[0].node, OTHER_GROUP[0])
    expect.no_igmp(leaves[0].node, group[0], control=control)


@pytest.mark.requirement("DP-13", "JL-54")
@pytest.mark.needs(leaves=1)
def test_sender_only_receives_nothing(stage: Stage, leaves: Sequence[App]) -> None:
    sender = stage.join_group(leaves[0], Role.SENDER_ONLY)
    with pytest.raises(WSAError) as refusal:
        sender.receive()
    assert refusal.value.name == "WSAEOPNOTSUPP"


@pytest.mark.requirement("DP-14", "JL-54")
@pytest.mark.needs(leaves=1)
def test_receiver_only_sends_nothing(stage: Stage, leaves: Sequence[App]) -> None:
    receiver = stage.join_group(leaves[0], Role.RECEIVER_ONLY)
    with pytest.raises(WSAError) as refusal:
        receiver.send(b"may I?")
    assert refusal.value.name == "WSAEOPNOTSUPP"
