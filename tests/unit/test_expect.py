"""Sentences about events, data and sessions; those about real packets are proved in tests/harness/test_capture.py."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from joinlab.capture import FRAMES_LOST
from joinlab.errors import ExpectationFailed, UsageError
from joinlab.expect import Expectations
from joinlab.frames import FrameFacts, name_of
from joinlab.loop import Loop
from joinlab.plan import LabPlan, LinkPlan, NodePlan
from joinlab.records import Kind, Record
from joinlab.ring import Frame
from joinlab.trace import Mark, Trace
from multipoint.wire import Confirm, Endpoint, Membership, Message

GROUP = "239.1.2.3"
HOSTS = {"root": "10.0.0.1", "leaf1": "10.0.0.2"}
PLAN = LabPlan(
    "pair",
    (),
    tuple(NodePlan(name, name.rstrip("1")) for name in HOSTS),
    tuple(LinkPlan(name, "eth0", "hub", f"p-{name}", "", f"{host}/24", None, 3, 2) for name, host in HOSTS.items()),
)
BASE = Ether() / IP(src=HOSTS["root"], dst=GROUP)
CONFIRM = Confirm(
    Membership(7, 1, Endpoint(GROUP, 5000), Endpoint(HOSTS["root"], 6000), bytes(32), bytes(32), 1000, 5000)
)


@dataclass(frozen=True)
class Thing:
    """A node."""

    name: str


@dataclass(frozen=True)
class ThingOfNode:
    """An app."""

    name: str
    node: Thing


@dataclass(frozen=True)
class ThingOfApp:
    """A socket."""

    handle: int
    app: ThingOfNode


APP = ThingOfNode("app1", Thing("leaf1"))
SOCKET, OTHER = ThingOfApp(3, APP), ThingOfApp(4, APP)


class AllIsIn:
    """A capture that is never behind."""

    def catch_up(self) -> None:
        """All has been let in."""


@pytest.fixture
def trace() -> Iterator[Trace]:
    """Return an empty Trace."""
    loop = Loop()
    yield Trace(loop)
    loop.close()


@pytest.fixture
def expect(trace: Trace) -> Expectations:
    """Return expectations that are not patient, about everything since 100."""
    expect = Expectations(trace, PLAN, AllIsIn(), patience_s=0.01)
    expect.since = Mark(100)
    return expect


def event(ns: int, name: str, socket: int = 3, error: int | str = 0) -> Record:
    """Return a network event of the app."""
    return Record(ns, Kind.EVENT, "leaf1", "app1", name, {"socket": socket, "error": error})


def data(ns: int, payload: bytes, socket: int = 3) -> Record:
    """Return data that the app received."""
    return Record(ns, Kind.DATA, "leaf1", "app1", "data", {"socket": socket, "from": ["10.0.0.1", 5], "data": payload})


def packet(ns: int, node: str, frame: Packet, *, from_node: bool = False, messages: tuple[Message, ...] = ()) -> Record:
    """Return a packet at the port of a node."""
    raw = bytes(frame)
    name = f"control {type(messages[0]).__name__}" if messages else name_of(raw)
    return Record(
        ns, Kind.PACKET, node, "", name, FrameFacts(1, node, Frame(ns, 1, not from_node, len(raw), raw), messages)
    )


def test_an_event_is_one_of_that_socket_and_that_error(trace: Trace, expect: Expectations) -> None:
    trace.add(event(50, "FD_CLOSE"), event(110, "FD_CLOSE", socket=4), event(120, "FD_CLOSE", error="WSAECONNRESET"))
    assert expect.event(SOCKET, "FD_CLOSE").ns == 120
    assert expect.event(SOCKET, "FD_CLOSE", error="WSAECONNRESET").ns == 120
    assert expect.event(APP, "FD_CLOSE").ns == 110
    assert expect.event(SOCKET, "FD_CLOSE", since=Mark(0)).ns == 50
    with pytest.raises(ExpectationFailed, match="FD_CLOSE with error 0 at leaf1/app1 socket 3"):
        expect.event(SOCKET, "FD_CLOSE", error=0)


def test_no_event_needs_a_later_record_of_the_same_app(trace: Trace, expect: Expectations) -> None:
    control = data(200, b"x")
    trace.add(event(250, "FD_CLOSE"), control)
    expect.no_event(SOCKET, "FD_CLOSE", control=control)
    trace.add(event(150, "FD_CLOSE"))
    with pytest.raises(ExpectationFailed, match="should not have been"):
        expect.no_event(SOCKET, "FD_CLOSE", control=control)
    expect.no_event(OTHER, "FD_CLOSE", control=control)
    foreign = Record(200, Kind.EVENT, "root", "app1", "FD_READ")
    with pytest.raises(UsageError, match="must be a record of leaf1/app1"):
        expect.no_event(SOCKET, "FD_CLOSE", control=foreign)


def test_data_is_that_payload_at_that_socket(trace: Trace, expect: Expectations) -> None:
    trace.add(data(110, b"one"), data(120, b"two"), data(130, b"one", socket=4))
    assert expect.data(SOCKET).ns == 110
    assert expect.data(SOCKET, b"two").ns == 120
    assert expect.data(OTHER, b"one").ns == 130
    expect.not_received(SOCKET, b"three", control=data(140, b"four"))
    with pytest.raises(ExpectationFailed):
        expect.not_received(SOCKET, b"two", control=data(140, b"four"))
    with pytest.raises(ExpectationFailed):
        expect.not_received(OTHER, control=data(140, b"four"))


def test_a_session_tells_its_group_to_its_member(trace: Trace, expect: Expectations) -> None:
    with pytest.raises(ExpectationFailed, match="control Confirm to leaf1"):
        expect.session_group("leaf1")
    trace.add(packet(110, "leaf1", BASE / TCP() / b"x", messages=(CONFIRM,)))
    assert expect.session_group(Thing("leaf1")) == GROUP
    assert expect.control_message("Confirm", to="leaf1").ns == 110
    with pytest.raises(ExpectationFailed):
        expect.control_message("Confirm", by="leaf1")
    with pytest.raises(UsageError, match="either by or to"):
        expect.control_message("Confirm")


def test_a_datagram_is_known_by_payload_group_and_sender(trace: Trace, expect: Expectations) -> None:
    trace.add(packet(110, "leaf1", BASE / UDP(dport=5000) / b"hello"))
    for wanted in ({"payload": b"hello"}, {"group": GROUP}, {"payload": b"hello", "group": GROUP}):
        assert expect.forwarded("leaf1", **wanted).ns == 110
        assert expect.forwarded("leaf1", by="root", **wanted).ns == 110
    for unwanted in ({"payload": b"hell"}, {"group": "239.1.2.4"}, {"by": "leaf1"}):
        with pytest.raises(ExpectationFailed):
            expect.forwarded("leaf1", **unwanted)
    with pytest.raises(ExpectationFailed):
        expect.sent("leaf1", payload=b"hello")


@pytest.mark.parametrize(
    ("since", "ended", "spoils"), [(50, 90, False), (50, 150, True), (150, 250, True), (201, 250, False)]
)
def test_frames_lost_in_the_time_in_question_spoil_an_absence(
    trace: Trace, expect: Expectations, since: int, ended: int, spoils: bool
) -> None:
    control = packet(200, "leaf1", BASE / UDP(dport=5000) / b"control")
    trace.add(control, Record(ended, Kind.LINK, "", "", FRAMES_LOST, {"frames": 3, "since_ns": since}))
    if spoils:
        with pytest.raises(ExpectationFailed, match="lost 3 frames"):
            expect.not_forwarded("leaf1", payload=b"hello", control=control)
    else:
        expect.not_forwarded("leaf1", payload=b"hello", control=control)


def test_from_now_on(trace: Trace, expect: Expectations) -> None:
    trace.add(event(110, "FD_CLOSE"))
    mark = expect.from_now()
    trace.add(event(mark.ns + 1, "FD_CLOSE"))
    assert expect.event(SOCKET, "FD_CLOSE").ns == mark.ns + 1
