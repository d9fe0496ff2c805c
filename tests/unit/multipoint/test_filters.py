"""Multicast options used in turn and out of turn: the table of DP-08, and every pair of calls."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multipoint.constants import WSAEADDRNOTAVAIL, WSAEINVAL
from multipoint.errors import MultipointError
from multipoint.filters import GroupFilter, Mode

Call = Callable[[GroupFilter], None]
A, B = "10.0.0.1", "10.0.0.2"
CALLS: dict[str, Call] = {
    "ADD": GroupFilter.add,
    "DROP": GroupFilter.drop,
    "ADD_SOURCE": lambda one: one.add_source(A),
    "ADD_OTHER": lambda one: one.add_source(B),
    "DROP_SOURCE": lambda one: one.drop_source(A),
    "BLOCK": lambda one: one.block(A),
    "UNBLOCK": lambda one: one.unblock(A),
    "UNBLOCK_OTHER": lambda one: one.unblock(B),
}
OK = 0
TABLE = [
    # the calls before, the call, its code
    ("ADD", "ADD", WSAEADDRNOTAVAIL),
    ("ADD", "ADD_SOURCE", WSAEADDRNOTAVAIL),
    ("ADD", "DROP_SOURCE", WSAEINVAL),
    ("ADD", "UNBLOCK", WSAEINVAL),
    ("ADD", "BLOCK", OK),
    ("ADD DROP", "ADD", OK),
    ("ADD DROP", "ADD_SOURCE", OK),
    ("ADD DROP", "DROP", WSAEINVAL),
    ("ADD DROP", "DROP_SOURCE", WSAEINVAL),
    ("ADD DROP", "BLOCK", WSAEINVAL),
    ("ADD DROP", "UNBLOCK", WSAEINVAL),
    ("ADD_SOURCE", "ADD", WSAEADDRNOTAVAIL),
    ("ADD_SOURCE", "ADD_SOURCE", WSAEADDRNOTAVAIL),
    ("ADD_SOURCE", "ADD_OTHER", OK),
    ("ADD_SOURCE", "UNBLOCK", WSAEINVAL),
    ("ADD_SOURCE", "BLOCK", WSAEINVAL),
    ("ADD_SOURCE", "DROP", OK),
    ("ADD_SOURCE ADD_OTHER DROP_SOURCE", "UNBLOCK", WSAEINVAL),
    ("ADD_SOURCE ADD_OTHER DROP_SOURCE", "DROP_SOURCE", WSAEADDRNOTAVAIL),
    ("ADD_SOURCE DROP_SOURCE", "UNBLOCK", WSAEINVAL),
    ("ADD_SOURCE DROP_SOURCE", "DROP_SOURCE", WSAEADDRNOTAVAIL),
    ("ADD_SOURCE DROP_SOURCE", "DROP", WSAEINVAL),
    ("ADD_SOURCE DROP_SOURCE", "ADD", OK),
    ("ADD_SOURCE DROP_SOURCE", "ADD_SOURCE", OK),
    ("ADD BLOCK", "BLOCK", WSAEADDRNOTAVAIL),
    ("ADD BLOCK", "ADD_SOURCE", WSAEINVAL),
    ("ADD BLOCK", "ADD", WSAEINVAL),
    ("ADD BLOCK", "UNBLOCK", OK),
    ("ADD BLOCK", "UNBLOCK_OTHER", WSAEADDRNOTAVAIL),
    ("ADD BLOCK UNBLOCK", "UNBLOCK", WSAEADDRNOTAVAIL),
    ("ADD BLOCK DROP ADD", "UNBLOCK", WSAEINVAL),
    ("", "DROP", WSAEINVAL),
    ("", "DROP_SOURCE", WSAEINVAL),
    ("", "BLOCK", WSAEINVAL),
]


def after(calls: str) -> GroupFilter:
    one = GroupFilter()
    for call in calls.split():
        CALLS[call](one)
    return one


def code_of(call: Call, one: GroupFilter) -> int:
    try:
        call(one)
    except MultipointError as refused:
        return refused.code
    return OK


@pytest.mark.requirement("DP-08", "DP-09")
@pytest.mark.parametrize(("before", "call", "code"), TABLE)
def test_call_has_windows_code(before: str, call: str, code: int) -> None:
    assert code_of(CALLS[call], after(before)) == code


@pytest.mark.requirement("DP-10", "IO-24")
def test_final_state_and_changes_are_one_filter() -> None:
    one = after("ADD_SOURCE")
    one.replace(Mode.EXCLUDE, [A, B])
    one.unblock(A)
    assert (one.mode, one.sources) == (Mode.EXCLUDE, frozenset({B}))
    one.replace(Mode.INCLUDE, [A])
    one.drop_source(A)
    assert not one.is_joined


@pytest.mark.requirement("IO-24")
def test_to_include_nobody_is_to_leave() -> None:
    one = after("ADD")
    one.replace(Mode.INCLUDE, [])
    assert (one.mode, one.is_joined) == (Mode.NOT_JOINED, False)
    assert code_of(GroupFilter.drop, one) == WSAEINVAL


def test_unblocking_is_known_after_a_filter_that_blocks() -> None:
    one = GroupFilter()
    one.replace(Mode.EXCLUDE, [A])
    assert code_of(CALLS["UNBLOCK_OTHER"], one) == WSAEADDRNOTAVAIL


@given(st.lists(st.sampled_from(sorted(CALLS))))
def test_refused_call_changes_nothing(calls: list[str]) -> None:
    one = GroupFilter()
    for name in calls:
        before = (one.mode, one.sources)
        if code_of(CALLS[name], one) != OK:
            assert (one.mode, one.sources) == before
        assert one.is_joined or not one.sources
