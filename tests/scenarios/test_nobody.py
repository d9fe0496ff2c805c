"""Joins to nobody, and the retry that works."""

from collections.abc import Sequence

import pytest
from steps import Stage

from joinlab.app import App, RemoteSocket, WSAError
from joinlab.expect import Expectations
from joinlab.lab import Lab
from joinlab.words import NetworkEvent, Verdict

# Reserved for documentation (RFC 5737): no lab has a route there.
NOWHERE = ("192.0.2.1", 5000)

SHORT_S = 0.3


def retry(stage: Stage, member: RemoteSocket, root: App, expect: Expectations) -> None:
    """Join a session that exists, on the socket whose join has failed."""
    session, asked = stage.open_session(root), stage.now()
    joining = member.start_join_leaf(session.local_address)
    expect.event(session, NetworkEvent.ACCEPT, error=0, since=asked)
    leg = session.accept(Verdict.ACCEPT).socket
    joining.result()
    stage.prove_joined(leg, member, asked)


@pytest.mark.requirement("JL-37", "JL-66")
@pytest.mark.needs(leaves=1)
def test_join_where_nobody_listens(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    silent = stage.open_session(root)
    address = silent.local_address
    silent.close()
    member = stage.blocking_leaf(leaves[0])
    with pytest.raises(WSAError) as failure:
        member.join_leaf(address)
    assert failure.value.name == "WSAECONNREFUSED"
    retry(stage, member, root, expect)


@pytest.mark.requirement("JL-37", "JL-67")
@pytest.mark.needs(leaves=1)
def test_join_where_no_route_leads(stage: Stage, root: App, leaves: Sequence[App], expect: Expectations) -> None:
    member = stage.blocking_leaf(leaves[0])
    with pytest.raises(WSAError) as failure:
        member.join_leaf(NOWHERE)
    assert failure.value.name == "WSAENETUNREACH"
    retry(stage, member, root, expect)


@pytest.mark.requirement("JL-37", "JL-43")
@pytest.mark.needs(leaves=1)
def test_join_that_nobody_answers(stage: Stage, lab: Lab, root: App, expect: Expectations) -> None:
    impatient = lab.leaves[0].app(join_timeout_s=SHORT_S)
    session, member = stage.open_session(root), stage.blocking_leaf(impatient)
    with pytest.raises(WSAError) as failure:
        member.join_leaf(session.local_address)
    assert failure.value.name == "WSAETIMEDOUT"
    retry(stage, member, root, expect)


@pytest.mark.requirement("JL-37", "JL-80", "EV-39")
@pytest.mark.needs(leaves=1)
def test_nonblocking_join_to_nobody_is_told_by_fd_connect(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    door = stage.open_door(leaves[0])
    address = door.local_address
    door.close()
    session = stage.open_session(root)
    dead = session.join_leaf(address)
    expect.event(session, NetworkEvent.CONNECT, error="WSAECONNREFUSED")
    dead.close()
    stage.invite(session, leaves[0])
