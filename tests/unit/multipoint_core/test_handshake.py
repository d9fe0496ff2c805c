"""The pre-shared key: who proves it comes in, nobody else."""

import dataclasses
from collections.abc import Callable

import pytest
from tests.unit.multipoint_core.pretend import JOIN, Wire, a_link, leaf_asks, root_invites

from multipoint import constants, wire
from multipoint.counters import Cause, Counters
from multipoint.link import Link
from multipoint.link_events import Refused, Requested
from multipoint.link_states import State

KEY, OTHER_KEY = b"k" * 40, b"o" * 40
NONCES = {True: b"root's nonce    ", False: b"leaf's nonce    "}


def keyed(between: Wire, root_key: bytes | None, leaf_key: bytes | None) -> list[Cause]:
    """Give both sides their keys; return the list that fills with what either finds fault with."""
    blamed: list[Cause] = []
    for link, key in ((between.root, root_key), (between.leaf, leaf_key)):
        link.introduce(key, NONCES[link.is_root])
        link.blame = blamed.append
    return blamed


def a_keyed_root() -> tuple[Link, list[Cause]]:
    """Return a root's link to somebody who has just connected."""
    blamed: list[Cause] = []
    link = a_link(is_root=True)
    link.introduce(KEY, NONCES[True])
    link.blame = blamed.append
    return link, blamed


@pytest.mark.parametrize("make", [leaf_asks, root_invites])
def test_same_key_on_both_sides_joins(make: Callable[[], Wire]) -> None:
    between = make()
    blamed = keyed(between, KEY, KEY)
    between.join()
    assert between.root.is_joined
    assert between.leaf.is_joined
    assert not blamed


@pytest.mark.requirement("JL-66")
@pytest.mark.parametrize("make", [leaf_asks, root_invites])
@pytest.mark.parametrize(("root_key", "leaf_key"), [(KEY, OTHER_KEY), (KEY, None), (None, KEY)])
def test_other_or_no_key_is_refused(make: Callable[[], Wire], root_key: bytes | None, leaf_key: bytes | None) -> None:
    between = make()
    blamed = keyed(between, root_key, leaf_key)
    asker, decider = (between.leaf, between.root) if between.leaf.request else (between.root, between.leaf)
    asker.opened(0.0)
    between.pass_bytes()
    if decider.breaks_off:
        asker.hung_up(0.0)
    assert decider.events() == []
    assert asker.events() == [Refused(constants.WSAECONNREFUSED)]
    assert Cause.UNTRUSTED in blamed


def test_who_connects_hears_nothing_of_the_key_before_he_has_proved_it() -> None:
    link, _ = a_keyed_root()
    link.receive(wire.encode(wire.Hello(wants_proof=True)), 0.0)
    assert bytes(link.outgoing) == wire.encode(wire.Hello(wants_proof=True, nonce=NONCES[True]))


def test_request_is_not_said_before_the_listener_has_proved_the_key() -> None:
    link = a_link(is_root=False, request=JOIN)
    link.introduce(KEY, NONCES[False])
    link.opened(0.0)
    link.receive(wire.encode(wire.Hello(wants_proof=True, nonce=NONCES[True])), 0.0)
    decoder = wire.Decoder()
    decoder.feed(link.outgoing)
    assert [type(message) for message in decoder.messages()] == [wire.Hello, wire.Proof]


@pytest.mark.parametrize(
    "proof",
    [
        wire.make_proof(KEY, False, NONCES[False], NONCES[True]),
        wire.make_proof(KEY, True, NONCES[False], b"an earlier nonce"),
        wire.make_proof(KEY, False, NONCES[True], NONCES[False]),
        bytes(32),
    ],
    ids=["of the other side", "recorded earlier", "sent back", "made up"],
)
def test_proof_that_proves_nothing(proof: bytes) -> None:
    link, blamed = a_keyed_root()
    link.receive(wire.encode(wire.Hello(wants_proof=True, nonce=NONCES[False])) + wire.encode(wire.Proof(proof)), 0.0)
    link.receive(wire.encode(JOIN), 0.0)
    assert link.events() == []
    assert link.has_ended
    assert blamed == [Cause.UNTRUSTED]


def test_request_in_place_of_a_proof_is_not_heard() -> None:
    link, blamed = a_keyed_root()
    link.receive(wire.encode(wire.Hello(wants_proof=True)) + wire.encode(JOIN), 0.0)
    assert link.events() == []
    assert (link.has_ended, blamed) == (True, [Cause.UNTRUSTED])


def test_proof_is_not_asked_for_twice() -> None:
    link, blamed = a_keyed_root()
    proof = wire.encode(wire.Proof(wire.make_proof(KEY, True, NONCES[False], NONCES[True])))
    link.receive(wire.encode(wire.Hello(wants_proof=True, nonce=NONCES[False])) + proof + wire.encode(JOIN), 0.0)
    assert link.events() == [Requested(JOIN)]
    link.receive(proof, 0.0)
    assert (link.state, blamed) == (State.ENDED, [Cause.MISPLACED])


def test_each_cause_has_its_counter() -> None:
    counters = Counters()
    for cause in Cause:
        counters.count(cause)
    assert dataclasses.asdict(counters) == {cause.value: 1 for cause in Cause}
