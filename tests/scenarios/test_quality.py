"""Flow specifications: what a link can't carry is refused, what was granted is kept."""

from collections.abc import Sequence

import pytest
from steps import Stage

from joinlab.app import App, RemoteSocket, WSAError
from joinlab.expect import Expectations
from joinlab.flow import Flow
from joinlab.lab import Lab
from joinlab.trace import Kind, Question, Record
from joinlab.words import NetworkEvent

# Bytes a second of a link that no topology shapes: a virtual one says 10 Gbit/s.
UNSHAPED_RATE = 1_250_000_000
MESSAGE = 1_000


def rate_of(lab: Lab, leaf: App) -> int:
    """Return what the leaf's link carries from it, in bytes a second."""
    rate_bps = lab.node(leaf.node.name).links[0].up.rate_bps
    return UNSHAPED_RATE if rate_bps is None else rate_bps // 8


def join(stage: Stage, session: RemoteSocket, member: RemoteSocket, flow: Flow, expect: Expectations) -> None:
    """A leaf asks with a flow for what it will send, and is let in."""
    asked = stage.now()
    joining = member.start_join_leaf(session.local_address, sending=flow)
    expect.event(session, NetworkEvent.ACCEPT, error=0, since=asked)
    leg = session.accept().socket
    joining.result()
    stage.prove_joined(leg, member, asked)


@pytest.mark.requirement("QS-33", "QS-34")
@pytest.mark.needs(leaves=1)
def test_flow_that_the_link_cannot_carry_is_refused_before_anything_is_sent(
    stage: Stage, lab: Lab, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session, member = stage.open_session(root), stage.blocking_leaf(leaves[0])
    capacity, address = rate_of(lab, leaves[0]), session.local_address
    expect.from_now()
    with pytest.raises(WSAError) as failure:
        member.join_leaf(address, sending=Flow(token_rate=capacity + 1))
    assert failure.value.name == "WSAEOPNOTSUPP"
    refused = stage.now()
    join(stage, session, member, Flow(token_rate=capacity), expect)
    # What the leaf sends to the session comes in order, and this is the first of it.
    first = expect.seen(segments_from(leaves[0], address[1]))
    assert first.ns > refused.ns


@pytest.mark.requirement("QS-25", "QS-28")
@pytest.mark.needs(leaves=1)
def test_what_is_sent_keeps_to_the_flow(
    stage: Stage, lab: Lab, root: App, leaves: Sequence[App], expect: Expectations
) -> None:
    session, member = stage.open_session(root), stage.blocking_leaf(leaves[0])
    rate, bucket = 100_000, 4 * MESSAGE
    join(stage, session, member, Flow(token_rate=rate, token_bucket_size=bucket), expect)
    begun = stage.now()
    messages = [bytes([number]) * MESSAGE for number in range(20)]
    for message in messages:
        member.send(message)
    expect.data(session, messages[-1])
    expect.sent(leaves[0].node, payload=messages[-1])
    sent = lab.trace.select(datagrams_from(leaves[0]), since=begun)
    assert [record.facts["data"] for record in sent] == messages
    for number, record in enumerate(sent, 1):
        # From before the first was sent: a frame that is late makes the time longer, never the bytes more. The clocks
        # of stack and capture may run apart by a trifle.
        assert number * MESSAGE <= 1.01 * (rate * (record.ns - begun.ns) / 1e9 + bucket)


def segments_from(leaf: App, port: int) -> Question:
    """TCP segments from a leaf's node to a port."""

    def is_one(record: Record) -> bool:
        facts = record.facts
        return facts["from_node"] and facts.get("destination_port") == port and not record.name.startswith("UDP")

    return Question(f"a segment of {leaf.node.name} to port {port}", Kind.PACKET, leaf.node.name, where=is_one)


def datagrams_from(leaf: App) -> Question:
    """Datagrams from a leaf's node."""
    return Question(
        f"a datagram of {leaf.node.name}",
        Kind.PACKET,
        leaf.node.name,
        where=lambda record: record.name == "UDP" and record.facts["from_node"],
    )
