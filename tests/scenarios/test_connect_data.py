"""Data that travels with a join, both ways: none, empty, some, as much as is allowed, more than that."""

from collections.abc import Sequence

import pytest
from steps import MOST_CONNECT_DATA, Stage

from joinlab.app import App, WSAError
from joinlab.expect import Expectations
from joinlab.words import NetworkEvent, Verdict

ALL_BYTES = bytes(range(256))
AT_LIMIT = ALL_BYTES * (MOST_CONNECT_DATA // 256)
TOO_MUCH = AT_LIMIT + b"!"

SIZES = pytest.mark.parametrize(
    "data", [b"", b"\0", ALL_BYTES, AT_LIMIT], ids=["empty", "one NUL", "all bytes", "at the limit"]
)


@SIZES
@pytest.mark.requirement("JL-58", "JL-60", "JL-61", "JL-63", "AC-20", "AC-22")
@pytest.mark.needs(leaves=1)
def test_leaf_and_root_exchange_data(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations, data: bytes
) -> None:
    session, member = stage.open_session(root), stage.new_leaf(leaves[0])
    member.join_leaf(session.local_address, caller_data=data, callee_capacity=MOST_CONNECT_DATA)
    expect.event(session, NetworkEvent.ACCEPT, error=0)
    accepted = session.accept(Verdict.ACCEPT, callee_data=data[::-1])
    expect.event(member, NetworkEvent.CONNECT, error=0)
    assert (accepted.caller_data or b"") == data
    assert accepted.capacity == MOST_CONNECT_DATA
    assert member.callee_data == data[::-1]


@SIZES
@pytest.mark.requirement("JL-58", "JL-60", "JL-63", "AC-20", "AC-22")
@pytest.mark.needs(leaves=1)
def test_inviting_root_and_leaf_exchange_data(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations, data: bytes
) -> None:
    session, door = stage.open_session(root), stage.open_door(leaves[0])
    leg = session.join_leaf(door.local_address, caller_data=data, callee_capacity=MOST_CONNECT_DATA)
    expect.event(door, NetworkEvent.ACCEPT, error=0)
    accepted = door.accept(Verdict.ACCEPT, callee_data=data[::-1])
    expect.event(session, NetworkEvent.CONNECT, error=0)
    assert (accepted.caller_data or b"") == data
    assert leg.callee_data == data[::-1]


@pytest.mark.requirement("JL-13", "JL-16", "JL-18", "JL-37")
@pytest.mark.needs(leaves=1)
def test_too_much_caller_data_is_refused_before_anything_is_sent(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session, member = stage.open_session(root), stage.new_leaf(leaves[0])
    with pytest.raises(WSAError) as refusal:
        member.join_leaf(session.local_address, caller_data=TOO_MUCH)
    assert refusal.value.name == "WSAEFAULT"
    member.join_leaf(session.local_address, caller_data=AT_LIMIT)
    expect.event(session, NetworkEvent.ACCEPT, error=0)
    assert session.accept(Verdict.ACCEPT).caller_data == AT_LIMIT


@pytest.mark.requirement("AC-22", "JL-62", "JL-65")
@pytest.mark.needs(leaves=1)
def test_more_callee_data_than_the_caller_takes_refuses_the_join(
    stage: Stage, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session, member = stage.open_session(root), stage.new_leaf(leaves[0])
    member.join_leaf(session.local_address, callee_capacity=4)
    expect.event(session, NetworkEvent.ACCEPT, error=0)
    with pytest.raises(WSAError) as refusal:
        session.accept(Verdict.ACCEPT, callee_data=b"12345")
    assert refusal.value.name == "WSAEFAULT"
    expect.event(member, NetworkEvent.CONNECT, error="WSAECONNREFUSED")
    assert member.callee_data == b""
