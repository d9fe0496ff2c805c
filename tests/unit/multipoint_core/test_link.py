"""One control connection: every move, and two links over a pretend wire."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.multipoint_core.pretend import (
    HERE,
    INVITE,
    JOIN,
    LEAF_ACCEPTS,
    MEMBERSHIP,
    PATIENCE,
    ROOT_ACCEPTS,
    Wire,
    a_link,
    leaf_asks,
    root_invites,
)

from multipoint import constants, wire
from multipoint.counters import Cause
from multipoint.flow import QOS
from multipoint.link import Link, WrongMove
from multipoint.link_events import Agreed, Chatted, Joined, Parted, Refused, Requested, Withdrawn
from multipoint.link_states import OWN, Input, State
from multipoint.moves import MOVES

WIRES = {"leaf asks": leaf_asks, "root invites": root_invites}
ABOUT: dict[Input, object] = {
    Input.REQUEST: JOIN,
    Input.ACCEPT: ROOT_ACCEPTS,
    Input.ADMIT: ROOT_ACCEPTS,
    Input.REJECT: wire.Reject(constants.WSAECONNREFUSED),
    Input.CONFIRM: wire.Confirm(MEMBERSHIP),
    Input.DO_CONFIRM: MEMBERSHIP,
    Input.LEAVE: wire.Leave(),
    Input.CLOSE: wire.Close(),
    Input.CHAT: wire.Chat(b"hello"),
    Input.SAY_CHAT: b"hello",
    Input.FLOWS: wire.FlowRequest(1, QOS()),
    Input.SAY_FLOWS: wire.FlowRequest(1, QOS()),
    Input.DO_LEAVE: wire.Leave(),
    Input.DO_CLOSE: wire.Leave(),
    Input.BROKEN: constants.WSAECONNRESET,
    Input.REFUSE: constants.WSAECONNREFUSED,
}


@pytest.mark.parametrize(("state", "given_input"), list(itertools.product(State, Input)))
@pytest.mark.parametrize("is_root", [True, False])
@pytest.mark.parametrize("asks", [True, False])
def test_every_input_in_every_state(state: State, given_input: Input, is_root: bool, asks: bool) -> None:
    # What the network or the clock does is always a move or the end; what our own side does wrong is named.
    request: wire.Join | wire.Invite = INVITE if is_root else JOIN
    link = a_link(is_root=is_root, request=request if asks else None)
    link.request = request
    link.state = state
    about = (INVITE if not is_root else JOIN) if given_input is Input.REQUEST else ABOUT.get(given_input)
    if given_input in OWN and (state, given_input) not in MOVES:
        with pytest.raises(WrongMove, match=f"{state.name} can't take {given_input.name}"):
            link._move(given_input, 1.0, about)
    else:
        link._move(given_input, 1.0, about)
        is_unconfirmed = (state, given_input, asks) == (State.AGREED, Input.LATE, False)
        expected = State.ENDED if is_unconfirmed else MOVES.get((state, given_input), (None, State.ENDED))[1]
        assert link.state is expected
        assert link.wake_at() > 1.0 or link.state in (State.DIALLING, State.GREETING)


@pytest.mark.requirement("QS-36")
def test_request_that_waits_for_an_answer_to_our_flows_does_not_wait_for_ever() -> None:
    for answers in (True, False):
        between = leaf_asks()
        between.leaf.opened(0.0)
        between.pass_bytes()
        assert between.root.wake_at() == float("inf")
        between.now = 3.0
        between.root.ask_flows(0, QOS(), between.now)
        between.pass_bytes()
        assert between.root.wake_at() == between.now + PATIENCE.greeting_s
        between.take_events()
        if answers:
            between.leaf.answer_flows(0, 0, QOS(), between.now)
            between.pass_bytes()
            assert between.root.wake_at() == float("inf")
        else:
            blamed = list[Cause]()
            between.root.blame = blamed.append
            between.root.wake(between.root.wake_at())
            assert (between.root.events(), between.root.breaks_off, blamed) == ([Withdrawn(0)], True, [Cause.SILENT])


@pytest.mark.requirement("JL-66")
@pytest.mark.parametrize("key", [b"another key", b"the key", None])
def test_who_is_refused_before_he_has_proved_his_key_need_not_wait(key: bytes | None) -> None:
    between = root_invites()
    between.root.introduce(b"the key", bytes(wire.NONCE_SIZE))
    between.leaf.introduce(key, bytes(wire.NONCE_SIZE))
    between.root.opened(0.0)
    between.leaf.close(0.0)
    between.pass_bytes()
    # What the shell does when one end breaks off.
    if between.leaf.breaks_off:
        between.root.broken(constants.WSAECONNREFUSED, 0.0)
    assert between.root.events() == [Refused(constants.WSAECONNREFUSED)]


def test_ended_link_asks_for_no_more_time() -> None:
    link = a_link(is_root=True)
    link.abort(1.0)
    assert link.wake_at() == float("inf")


@pytest.mark.requirement("JL-58", "JL-60", "AC-12", "JL-50")
def test_leaf_asks_and_is_let_in() -> None:
    between = leaf_asks()
    between.leaf.opened(0.0)
    between.pass_bytes()
    assert between.take_events() == ([Requested(JOIN)], [])
    between.root.admit(ROOT_ACCEPTS, 1.0)
    between.pass_bytes()
    assert between.take_events() == ([], [])
    between.root.confirm(MEMBERSHIP, 1.0)
    between.pass_bytes()
    assert between.take_events() == ([], [Joined(MEMBERSHIP, ROOT_ACCEPTS)])
    assert between.root.is_joined
    assert between.leaf.is_joined


@pytest.mark.requirement("JL-51", "JL-44")
def test_root_invites_and_leaf_comes() -> None:
    between = root_invites()
    between.root.opened(0.0)
    between.pass_bytes()
    assert between.take_events() == ([], [Requested(INVITE)])
    between.leaf.admit(LEAF_ACCEPTS, 1.0)
    between.pass_bytes()
    assert between.take_events() == ([Agreed(LEAF_ACCEPTS)], [])
    between.root.confirm(MEMBERSHIP, 1.0)
    between.pass_bytes()
    assert between.take_events() == ([], [Joined(MEMBERSHIP, None)])


@pytest.mark.requirement("JL-66", "AC-24")
@pytest.mark.parametrize("make", list(WIRES.values()), ids=list(WIRES))
def test_refused_request(make: Callable[[], Wire]) -> None:
    between = make()
    asker, decider = (between.leaf, between.root) if between.leaf.request else (between.root, between.leaf)
    asker.opened(0.0)
    between.pass_bytes()
    decider.refuse(constants.WSAECONNREFUSED, 1.0)
    between.pass_bytes()
    assert asker.events() == [Refused(constants.WSAECONNREFUSED)]
    assert between.root.hangs_up
    assert not between.leaf.hangs_up


@pytest.mark.parametrize("code", [constants.WSAEOPNOTSUPP, constants.WSAENOBUFS, constants.WSAENETDOWN])
@pytest.mark.requirement("QS-07", "JL-80")
def test_reasons_that_a_join_knows_pass_through(code: int) -> None:
    between = leaf_asks()
    between.leaf.opened(0.0)
    between.pass_bytes()
    between.root.refuse(code, 1.0)
    between.pass_bytes()
    assert between.leaf.events() == [Refused(code)]


@pytest.mark.requirement("JL-76")
def test_reason_that_no_join_knows_is_a_refusal() -> None:
    between = leaf_asks()
    between.leaf.opened(0.0)
    between.leaf.receive(wire.encode(wire.Hello()) + wire.encode(wire.Reject(constants.WSAEFAULT)), 1.0)
    assert between.leaf.events() == [Refused(constants.WSAECONNREFUSED)]


@pytest.mark.requirement("JL-39", "AC-18")
def test_cancelled_request_is_withdrawn() -> None:
    between = leaf_asks()
    between.leaf.opened(0.0)
    between.pass_bytes()
    between.leaf.close(1.0)
    between.pass_bytes()
    root_events, leaf_events = between.take_events()
    assert root_events == [Requested(JOIN), Withdrawn(0)]
    assert leaf_events == []


@pytest.mark.requirement("JL-39")
def test_cancellation_that_comes_too_late_makes_the_member_leave_at_once() -> None:
    between = leaf_asks()
    between.leaf.opened(0.0)
    between.pass_bytes()
    between.root.admit(ROOT_ACCEPTS, 1.0)
    between.root.confirm(MEMBERSHIP, 1.0)
    between.leaf.close(1.0)
    between.pass_bytes()
    root_events, leaf_events = between.take_events()
    assert root_events == [Requested(JOIN), Parted(0)]
    assert leaf_events == []


@pytest.mark.requirement("JL-43")
@pytest.mark.parametrize("make", list(WIRES.values()), ids=list(WIRES))
def test_join_that_nobody_decides_times_out(make: Callable[[], Wire]) -> None:
    between = make()
    asker = between.leaf if between.leaf.request else between.root
    asker.opened(0.0)
    between.pass_bytes()
    between.take_events()
    assert asker.wake_at() == PATIENCE.join_s
    asker.wake(asker.wake_at())
    assert asker.events() == [Refused(constants.WSAETIMEDOUT)]


@pytest.mark.requirement("CL-32", "CL-07")
def test_leaf_leaves_and_root_closes_the_leg_later() -> None:
    between = leaf_asks()
    between.join()
    between.leaf.leave(2.0, b"bye")
    between.pass_bytes()
    assert between.take_events() == ([Parted(0, b"bye")], [])
    assert not between.root.is_joined
    assert between.leaf.is_joined
    between.root.close(3.0)
    between.pass_bytes()
    assert between.take_events() == ([], [Parted(0)])
    assert between.root.hangs_up
    assert not between.leaf.hangs_up


@pytest.mark.requirement("CL-07", "CL-32", "CL-08", "JL-39")
@pytest.mark.parametrize("make", list(WIRES.values()), ids=list(WIRES))
@pytest.mark.parametrize("how", ["leaf closes", "leaf leaves, then closes", "leg closes", "cancelled too late"])
def test_root_hangs_up_first_and_then_both_are_done(make: Callable[[], Wire], how: str) -> None:
    between = make()
    between.join()
    if how == "leaf leaves, then closes":
        between.leaf.leave(2.0)
        between.pass_bytes()
        assert not between.root.hangs_up
    if how == "cancelled too late":
        between.root.receive(wire.encode(wire.Cancel()), 2.0)
        between.leaf.state = State.CLOSING
    else:
        (between.root if how == "leg closes" else between.leaf).close(2.0)
    between.pass_bytes()
    assert (between.root.hangs_up, between.leaf.hangs_up) == (True, False)
    assert not between.root.has_ended
    between.leaf.hung_up(2.0)
    between.root.hung_up(2.0)
    assert between.leaf.has_ended
    assert between.root.has_ended
    assert not between.root.breaks_off
    assert not between.leaf.breaks_off


@pytest.mark.requirement("CL-32", "JL-37")
def test_leaf_that_accepts_and_leaves_at_once_is_heard_out() -> None:
    between = root_invites()
    between.root.opened(0.0)
    between.pass_bytes()
    between.leaf.admit(LEAF_ACCEPTS, 1.0)
    between.leaf.leave(1.0)
    between.pass_bytes()
    root_events, leaf_events = between.take_events()
    assert root_events == [Agreed(LEAF_ACCEPTS), Refused(constants.WSAECONNREFUSED)]
    assert leaf_events == [Requested(INVITE), Parted(0)]
    assert between.root.hangs_up


@pytest.mark.requirement("JL-39")
def test_invitation_that_is_taken_back_while_the_leaf_accepts_and_leaves_ends_in_order() -> None:
    between = root_invites()
    between.root.opened(0.0)
    between.pass_bytes()
    between.leaf.admit(LEAF_ACCEPTS, 1.0)
    between.leaf.leave(1.0)
    between.root.close(1.0)
    between.pass_bytes()
    assert between.take_events() == ([], [Requested(INVITE), Parted(0)])


@pytest.mark.requirement("CL-01", "CL-03", "CL-08")
@pytest.mark.parametrize("make", list(WIRES.values()), ids=list(WIRES))
def test_root_ends_it(make: Callable[[], Wire]) -> None:
    between = make()
    between.join()
    between.root.dismantle(2.0, b"over")
    between.pass_bytes()
    assert between.take_events() == ([], [Parted(0, b"over")])


@pytest.mark.requirement("CL-20")
@pytest.mark.parametrize("end", ["root", "leaf"])
@pytest.mark.parametrize("how", ["hung up", "broken"])
def test_end_without_a_word_is_a_reset(end: str, how: str) -> None:
    between = leaf_asks()
    between.join()
    link: Link = getattr(between, end)
    if how == "hung up":
        link.hung_up(2.0)
    else:
        link.broken(constants.WSAECONNRESET, 2.0)
    assert link.events() == [Parted(constants.WSAECONNRESET)]
    assert link.has_ended


@pytest.mark.requirement("CL-20", "CL-22", "SU-11")
def test_root_that_breaks_off_says_no_farewell() -> None:
    between = leaf_asks()
    between.join()
    between.root.dismantle(2.0)
    between.root.abort(2.0)
    assert not between.root.outgoing
    assert between.root.breaks_off


@pytest.mark.requirement("CL-21")
@pytest.mark.parametrize("end", ["root", "leaf"])
def test_silence_is_noticed_after_heartbeats_were_sent(end: str) -> None:
    between = leaf_asks()
    between.join()
    link: Link = getattr(between, end)
    beats = 0
    while not link.has_ended:
        now = link.wake_at()
        link.wake(now)
        beats += wire.Heartbeat() in _said(link)
    assert now == PATIENCE.silence_s
    assert beats == 2
    assert link.events() == [Parted(constants.WSAECONNABORTED)]


@pytest.mark.requirement("CL-21")
def test_root_that_falls_silent_before_it_confirms_is_left_at_once() -> None:
    between = root_invites()
    between.root.opened(0.0)
    between.pass_bytes()
    between.leaf.admit(LEAF_ACCEPTS, 1.0)
    assert between.leaf.wake_at() == 1.0 + PATIENCE.silence_s
    between.leaf.wake(between.leaf.wake_at())
    assert between.leaf.events() == [Requested(INVITE), Parted(constants.WSAECONNABORTED)]
    assert between.leaf.has_ended
    assert between.leaf.breaks_off


@pytest.mark.requirement("CL-21")
def test_heartbeats_keep_an_idle_session() -> None:
    between = leaf_asks()
    between.join()
    while between.now < 100:
        between.now = min(between.root.wake_at(), between.leaf.wake_at())
        between.root.wake(between.now)
        between.leaf.wake(between.now)
        between.pass_bytes()
    assert between.take_events() == ([], [])
    assert between.root.is_joined


@pytest.mark.requirement("DP-30", "DP-32")
def test_side_chat_goes_both_ways() -> None:
    between = leaf_asks()
    between.join()
    between.root.chat(b"to one", 1.0)
    between.leaf.chat(b"back", 1.0)
    between.pass_bytes()
    assert between.take_events() == ([Chatted(b"back")], [Chatted(b"to one")])


@pytest.mark.requirement("JL-53")
def test_peer_that_speaks_something_else_refuses() -> None:
    link = a_link(is_root=False, request=JOIN)
    link.opened(0.0)
    link.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n", 1.0)
    assert link.events() == [Refused(constants.WSAECONNREFUSED)]


@pytest.mark.requirement("AC-09", "JL-53")
@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", wire.encode(wire.Hello()) + wire.encode(INVITE)])
def test_stranger_at_the_door_is_dropped_unheard(said: bytes) -> None:
    link = a_link(is_root=True)
    link.receive(said, 1.0)
    assert link.events() == []
    assert link.has_ended


@pytest.mark.requirement("AC-09")
def test_caller_who_says_nothing_is_dropped() -> None:
    link = a_link(is_root=True)
    link.wake(link.wake_at())
    assert link.has_ended
    assert link.wake_at() == float("inf")


@pytest.mark.requirement("AC-18")
def test_request_that_is_withdrawn_in_the_same_breath_can_still_be_refused() -> None:
    link = a_link(is_root=True)
    link.receive(wire.encode(wire.Hello()) + wire.encode(JOIN) + wire.encode(wire.Cancel()), 1.0)
    assert link.events() == [Requested(JOIN), Withdrawn(0)]
    link.refuse(constants.WSAECONNREFUSED, 1.0)
    assert link.hangs_up


def test_waiting_request_that_talks_out_of_turn_is_withdrawn() -> None:
    link = a_link(is_root=True)
    link.receive(wire.encode(wire.Hello()) + wire.encode(JOIN) + wire.encode(wire.Chat(b"too early")), 1.0)
    assert link.events() == [Requested(JOIN), Withdrawn(0)]
    assert link.breaks_off


@given(st.lists(st.binary(max_size=40), max_size=20), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_hostile_bytes_end_a_link_and_nothing_else(pieces: list[bytes], is_root: bool, greets: bool) -> None:
    link = Link(is_root=is_root, peer=HERE, patience=PATIENCE, now=0.0)
    if greets:
        link.receive(wire.encode(wire.Hello()), 0.0)
    for piece in pieces:
        link.receive(piece, 1.0)
    assert link.state in (State.GREETING, State.QUEUED, State.CLOSING, State.ENDED)


def _said(link: Link) -> list[wire.Message]:
    decoder = wire.Decoder()
    decoder.feed(wire.encode(wire.Hello()) + bytes(link.outgoing))
    link.outgoing.clear()
    return list(decoder.messages())
