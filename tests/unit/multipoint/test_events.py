"""The event memory: facts go in, the events that they make come out."""

from collections.abc import Callable

import pytest

from multipoint import constants
from multipoint.events import EventMemory, NetworkEvent, possible_events
from multipoint.kinds import JoinRole, Kind, Plane, ProviderClass

READ, WRITE, ACCEPT = NetworkEvent.READ, NetworkEvent.WRITE, NetworkEvent.ACCEPT
CONNECT, CLOSE, QOS = NetworkEvent.CONNECT, NetworkEvent.CLOSE, NetworkEvent.QOS
ROUTE, ADDRESSES = NetworkEvent.ROUTING_INTERFACE_CHANGE, NetworkEvent.ADDRESS_LIST_CHANGE
ALL = NetworkEvent(constants.FD_ALL_EVENTS)
NONE = NetworkEvent.NONE

MEMBER = Kind(ProviderClass.P2MP, Plane.LEAF, Plane.LEAF)
ROOT = Kind(ProviderClass.P2MP, Plane.ROOT, Plane.ROOT)
PLAIN = Kind(ProviderClass.MCAST, Plane.LEAF, Plane.LEAF)

Fact = Callable[[EventMemory], NetworkEvent | None]


def data(holds: bool = True) -> Fact:
    return lambda memory: memory.tell(READ, holds)


def room(memory: EventMemory) -> NetworkEvent:
    return memory.tell(WRITE, True)


def received(more: bool) -> Fact:
    return lambda memory: memory.enable(READ, more)


def blocked(memory: EventMemory) -> NetworkEvent:
    return memory.enable(WRITE)


def request(holds: bool = True) -> Fact:
    return lambda memory: memory.tell(ACCEPT, holds)


def accepted(more: bool) -> Fact:
    return lambda memory: memory.enable(ACCEPT, more)


def started(memory: EventMemory) -> None:
    memory.start_join()


def joined(code: int = 0, is_leaf: bool = True) -> Fact:
    return lambda memory: memory.end_join(code, is_leaf)


def opened(memory: EventMemory) -> NetworkEvent:
    return memory.open()


def closed(code: int = 0) -> Fact:
    return lambda memory: memory.close(code)


def changed(event: NetworkEvent, code: int = 0) -> Fact:
    return lambda memory: memory.change(event, code)


def enabled(event: NetworkEvent) -> Fact:
    return lambda memory: memory.enable(event)


def selected(mask: NetworkEvent = ALL) -> Fact:
    return lambda memory: memory.select(mask)


def taken(memory: EventMemory) -> None:
    memory.take()


def told(memory: EventMemory) -> None:
    memory.forget_join()


def forgotten(memory: EventMemory) -> None:
    memory.forget()


REFUSED, RESET, LOST = constants.WSAECONNREFUSED, constants.WSAECONNRESET, constants.WSAENETUNREACH

# What is known before; then the fact; then what a memory that is asked finds, codes by event.
TABLE: dict[str, tuple[list[str], list[Fact], dict[NetworkEvent, int]]] = {
    "nothing happened": (["EV-18"], [selected()], {}),
    "data arrives": (["EV-17", "EV-36"], [selected(), opened, taken, data()], {READ: 0}),
    "data is not told twice": (["EV-17"], [selected(), opened, data(), taken, data()], {}),
    "data is told again after recv": (
        ["EV-25", "EV-26"],
        [selected(), opened, data(), taken, received(True)],
        {READ: 0},
    ),
    "recv that takes all": (["EV-25", "EV-26"], [selected(), opened, data(), taken, received(False)], {}),
    "recv that takes all arms": (["EV-25"], [selected(), opened, data(), taken, received(False), data()], {READ: 0}),
    "data before the registration": (["EV-18", "EV-36"], [opened, data(), selected(READ)], {READ: 0}),
    "data taken before the registration": (["EV-18"], [opened, data(), data(False), selected(READ)], {}),
    "no data before the join": (["EV-41"], [selected(), data()], {}),
    "data waits for the join": (["EV-41"], [selected(), data(), joined()], {CONNECT: 0, WRITE: 0, READ: 0}),
    "room after the join": (["EV-37"], [selected(), joined()], {CONNECT: 0, WRITE: 0}),
    "room after accept": (["EV-37", "AC-31"], [selected(), opened], {WRITE: 0}),
    "room at registration": (["EV-18", "EV-37"], [opened, selected(WRITE)], {WRITE: 0}),
    "no room at registration": (["EV-18", "EV-37"], [opened, blocked, selected(WRITE)], {}),
    "room is not told twice": (["EV-37"], [selected(), opened, taken, room], {}),
    "no room after a send": (["EV-37"], [selected(), opened, taken, blocked], {}),
    "room comes back": (["EV-27", "EV-37"], [selected(), opened, taken, blocked, room], {WRITE: 0}),
    "join succeeds": (["EV-39"], [selected(CONNECT), started, joined()], {CONNECT: 0}),
    "join fails": (["EV-30", "EV-39"], [selected(), started, joined(REFUSED)], {CONNECT: REFUSED}),
    "join is told once": (["EV-30", "EV-39"], [selected(CONNECT), joined(), taken, data()], {}),
    "next join wipes an unread outcome": (["EV-30", "JL-79"], [selected(CONNECT), joined(REFUSED), started], {}),
    "next join has its own outcome": (
        ["EV-30", "JL-79"],
        [selected(CONNECT), joined(REFUSED), started, joined(LOST)],
        {CONNECT: LOST},
    ),
    "joined leaf registers again": (["EV-18"], [selected(), joined(), taken, selected(CONNECT)], {CONNECT: 0}),
    "root registers after an outcome it never fetched": (
        ["EV-18"],
        [joined(REFUSED, False), selected(CONNECT)],
        {CONNECT: REFUSED},
    ),
    "root registers after an outcome it fetched": (
        ["EV-18"],
        [selected(CONNECT), joined(0, False), taken, selected(CONNECT)],
        {},
    ),
    "root registers after an outcome that the call itself told": (
        ["EV-18"],
        [joined(REFUSED, False), told, selected(CONNECT)],
        {},
    ),
    "outcome stays when other events are fetched": (
        ["EV-18", "EV-19"],
        [selected(QOS), joined(REFUSED, False), changed(QOS), taken, selected(CONNECT)],
        {CONNECT: REFUSED},
    ),
    "outcome that nobody heard of is wiped by the next join": (
        ["EV-30", "JL-79"],
        [joined(REFUSED), started, selected(CONNECT)],
        {},
    ),
    "leaf that did not join registers again": (
        ["EV-18", "EV-39"],
        [selected(), joined(REFUSED), taken, selected(CONNECT)],
        {},
    ),
    "request is queued": (["EV-18", "EV-29", "EV-38"], [selected(), request()], {ACCEPT: 0}),
    "request before the registration": (["EV-18"], [request(), selected(ACCEPT)], {ACCEPT: 0}),
    "accept with another request queued": (["EV-29"], [selected(), request(), taken, accepted(True)], {ACCEPT: 0}),
    "accept of the last request": (["EV-29"], [selected(), request(), taken, accepted(False)], {}),
    "second request before accept": (["AC-26", "EV-29"], [selected(), request(), taken, request()], {}),
    "peer goes": (["EV-31", "EV-42"], [selected(), opened, taken, closed()], {CLOSE: 0}),
    "peer breaks off": (["EV-31", "EV-42"], [selected(), opened, taken, closed(RESET)], {CLOSE: RESET}),
    "close waits for unread data": (["EV-42", "CL-11"], [selected(), opened, data(), taken, closed()], {}),
    "close after the last byte": (
        ["EV-42", "CL-11"],
        [selected(), opened, data(), taken, closed(), received(False)],
        {CLOSE: 0},
    ),
    "no read for a close": (["EV-36"], [selected(), opened, data(), closed(), taken, received(False)], {CLOSE: 0}),
    "close is told once": (["CL-38", "EV-31"], [selected(), closed(), taken, closed(RESET), data(False)], {}),
    "first cause of the end counts": (["CL-38"], [selected(), closed(RESET), closed()], {CLOSE: RESET}),
    "first cause counts at a registration too": (["CL-38"], [closed(RESET), closed(), selected(CLOSE)], {CLOSE: RESET}),
    "peer went before the registration": (["EV-18"], [opened, closed(RESET), selected(CLOSE)], {CLOSE: RESET}),
    "no room after the end": (["EV-18"], [opened, closed(), selected(WRITE)], {}),
    "pending leg whose root closed": (["JL-41"], [selected(), closed(RESET)], {CLOSE: RESET}),
    "flows change": (["EV-32", "EV-45"], [selected(), changed(QOS)], {QOS: 0}),
    "flows change again": (["EV-45"], [selected(), changed(QOS), taken, changed(QOS)], {QOS: 0}),
    "route changes, nobody asked": (["EV-34"], [selected(), changed(ROUTE)], {}),
    "route changes": (["EV-34"], [selected(), enabled(ROUTE), changed(ROUTE, LOST)], {ROUTE: LOST}),
    "route changes twice": (["EV-34"], [selected(), enabled(ROUTE), changed(ROUTE), taken, changed(ROUTE)], {}),
    "addresses change": (["EV-35"], [selected(), enabled(ADDRESSES), changed(ADDRESSES)], {ADDRESSES: 0}),
    "not in the mask": (["EV-17"], [selected(READ), joined(), closed(), request(), changed(QOS)], {}),
    "mask 0": (["EV-11"], [selected(NONE), joined(), data(), closed()], {}),
    "new mask replaces the old": (["EV-10"], [selected(READ), selected(WRITE), opened, data()], {WRITE: 0}),
    "new mask clears the memory": (["EV-10"], [selected(), changed(QOS), selected()], {}),
    "unread data at a new mask": (["EV-18"], [selected(), opened, data(), taken, selected(READ)], {READ: 0}),
    "end at a new mask": (["EV-18"], [selected(), closed(RESET), taken, selected(CLOSE)], {CLOSE: RESET}),
    "flows do not disarm the route": (
        ["EV-34"],
        [selected(), enabled(ROUTE), changed(QOS), taken, changed(ROUTE)],
        {ROUTE: 0},
    ),
    "after closesocket": (["CL-26", "EV-44"], [selected(), opened, data(), forgotten, closed(), changed(QOS)], {}),
}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(facts, expected, id=name, marks=pytest.mark.requirement(*ids))
        for name, (ids, facts, expected) in TABLE.items()
    ],
)
def test_facts_make_events(facts: list[Fact], expected: dict[NetworkEvent, int]) -> None:
    memory = EventMemory(ALL)
    for fact in facts:
        fact(memory)
    assert memory.take() == expected


@pytest.mark.parametrize("facts", [facts for _, facts, _ in TABLE.values()], ids=TABLE)
def test_what_is_newly_recorded_is_said_once(facts: list[Fact]) -> None:
    """The event object is set exactly when something was recorded."""
    memory = EventMemory(ALL)
    for fact in facts:
        before = dict(memory.recorded)
        newly = fact(memory) or NONE
        appeared = {event for event in memory.recorded if event not in before}
        assert appeared <= set(newly)
        assert set(newly) <= set(memory.recorded)


@pytest.mark.requirement("EV-41")
def test_order_is_connect_write_read() -> None:
    memory = EventMemory(ALL, ALL)
    memory.tell(READ, True)
    memory.end_join(0, is_leaf=True)
    assert list(memory.take()) == [CONNECT, WRITE, READ]


@pytest.mark.requirement("EV-19")
def test_taking_clears() -> None:
    memory = EventMemory(ALL, ALL)
    memory.change(QOS)
    assert memory.take() == {QOS: 0}
    assert memory.take() == {}


@pytest.mark.requirement("EV-22")
def test_what_is_recorded_stays_until_it_is_taken() -> None:
    memory = EventMemory(ALL, ALL)
    memory.open()
    memory.tell(READ, True)
    memory.tell(READ, False)
    assert READ in memory.take()


@pytest.mark.requirement("EV-15", "JL-45", "AC-10")
def test_child_inherits_the_mask_and_no_events() -> None:
    parent = EventMemory(ALL, CLOSE | READ)
    parent.close(0)
    child = parent.inherit(ALL)
    assert child.mask == CLOSE | READ
    assert child.take() == {}
    assert child.close(RESET) == CLOSE
    assert parent.take() == {CLOSE: 0}


@pytest.mark.requirement("EV-16")
def test_masks_of_parent_and_child_are_apart() -> None:
    parent = EventMemory(ALL, CLOSE)
    child = parent.inherit(ALL)
    parent.select(READ)
    assert child.mask == CLOSE
    child.select(WRITE)
    assert parent.mask == READ


NEVER = {
    "c_root never closes": (["EV-43", "CL-09"], possible_events(ROOT), CLOSE),
    "IP multicast never closes": (["EV-43", "CL-18"], possible_events(PLAIN), CLOSE),
    "IP multicast is never asked": (["EV-38"], possible_events(PLAIN), ACCEPT),
    "leg never connects": (["EV-40"], possible_events(MEMBER, is_leg=True), CONNECT),
    "leg is never asked": (["AC-10"], possible_events(MEMBER, is_leg=True), ACCEPT),
    "leg without side chats is never read": (
        ["DP-34"],
        possible_events(MEMBER, is_leg=True, has_side_chats=False),
        READ | WRITE,
    ),
    "sender never reads": (["EV-36"], possible_events(MEMBER, JoinRole.SENDER_ONLY), READ),
    "receiver never writes": (["EV-37"], possible_events(PLAIN, JoinRole.RECEIVER_ONLY), WRITE),
    "no urgent data": (["EV-28"], possible_events(MEMBER), NetworkEvent.OOB),
    "no flows of groups": (["EV-33"], possible_events(ROOT), NetworkEvent.GROUP_QOS),
}


@pytest.mark.parametrize(
    ("possible", "never"),
    [
        pytest.param(possible, never, id=name, marks=pytest.mark.requirement(*i))
        for name, (i, possible, never) in NEVER.items()
    ],
)
def test_some_events_never_come(possible: NetworkEvent, never: NetworkEvent) -> None:
    assert not possible & never
    memory = EventMemory(possible, ALL)
    facts = (opened, data(), request(), joined(), closed(), changed(NetworkEvent.GROUP_QOS), data(False))
    seen = NONE
    for fact in facts:
        seen |= fact(memory) or NONE
    assert not seen & never
    assert seen, "the facts make other events, so the forbidden ones would have been seen"


def test_events_that_do_come() -> None:
    assert possible_events(MEMBER) == READ | WRITE | ACCEPT | CONNECT | CLOSE | QOS | ROUTE | ADDRESSES
    assert possible_events(ROOT) == possible_events(ROOT, JoinRole.SENDER_ONLY)
    assert possible_events(ROOT) == possible_events(ROOT, JoinRole.RECEIVER_ONLY)
    assert READ in possible_events(MEMBER, JoinRole.RECEIVER_ONLY)
    assert WRITE in possible_events(MEMBER, JoinRole.SENDER_ONLY)
    assert possible_events(MEMBER, is_leg=True) == READ | WRITE | CLOSE | QOS | ROUTE | ADDRESSES


def test_ioctl_arms_until_the_change() -> None:
    memory = EventMemory(ALL, ALL)
    assert not memory.is_armed(ROUTE)
    memory.enable(ROUTE)
    assert (memory.is_armed(ROUTE), memory.is_armed(ADDRESSES)) == (True, False)
    memory.change(ROUTE)
    assert not memory.is_armed(ROUTE)


@pytest.mark.parametrize(
    ("possible", "mask", "wants"), [(ALL, READ, True), (ALL, WRITE, False), (ALL, NONE, False), (WRITE, READ, False)]
)
def test_data_is_looked_for_when_the_program_is_to_be_told(
    possible: NetworkEvent, mask: NetworkEvent, wants: bool
) -> None:
    assert EventMemory(possible, mask).wants_read is wants


def test_index_is_the_number_of_the_bit() -> None:
    assert [event.index for event in NetworkEvent if event] == list(range(constants.FD_MAX_EVENTS))
