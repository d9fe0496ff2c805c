"""The queue of a listening socket."""

import pytest
from tests.unit.multipoint_core.pretend import a_link

from multipoint.door import Door


def an_open_door(backlog: int = 5) -> Door:
    door = Door()
    door.open(backlog)
    return door


@pytest.mark.requirement("AC-05", "AC-06")
@pytest.mark.parametrize(("backlog", "room"), [(-1, 1), (0, 1), (3, 3), (0x7FFFFFFF, 1024)])
def test_backlog_is_clipped_and_stays(backlog: int, room: int) -> None:
    door = an_open_door(backlog)
    door.open(7)
    taken = 0
    while door.enqueue(a_link(is_root=True)):
        taken += 1
    assert taken == room


def test_door_calls_while_somebody_waits() -> None:
    door = an_open_door()
    waiting, stranger = a_link(is_root=True), a_link(is_root=True)
    assert not door.is_calling
    door.enqueue(waiting)
    door.withdraw(stranger)
    assert door.is_calling
    door.withdraw(waiting)
    assert not door.is_calling


@pytest.mark.requirement("AC-25", "AC-26")
def test_deferred_request_stays_first_and_silences_the_others() -> None:
    door = an_open_door()
    first, second = a_link(is_root=True), a_link(is_root=True)
    door.enqueue(first)
    door.is_deferred = True
    door.enqueue(second)
    assert door.first() is first
    assert not door.is_calling
    door.take(first)
    assert door.first() is second
    assert door.is_calling


@pytest.mark.requirement("AC-18")
def test_withdrawn_deferred_request_lets_the_next_be_announced() -> None:
    door = an_open_door()
    first, second = a_link(is_root=True), a_link(is_root=True)
    door.enqueue(first)
    door.enqueue(second)
    door.is_deferred = True
    door.withdraw(first)
    assert door.is_calling
    assert door.first() is second


def test_closed_door_takes_nobody_and_returns_who_waited() -> None:
    door = an_open_door()
    waiting = a_link(is_root=True)
    door.enqueue(waiting)
    assert door.close() == [waiting]
    assert not door.enqueue(a_link(is_root=True))
