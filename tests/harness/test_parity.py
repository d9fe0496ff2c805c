"""The same scenario tells the same story on both runtimes.

Stories are compared thread by thread: the calls of an app, the events of a socket, the control messages and the reports
of a node, the changes at a bridge's port. Within a thread the order is the same on every run; between threads it is the
scheduler's.
"""

import re
from collections import defaultdict
from collections.abc import Mapping

import pytest
from steps import Stage

from joinlab.engine import engine_problem
from joinlab.frames import FrameFacts
from joinlab.lab import Lab
from joinlab.planning import plan
from joinlab.records import Kind, Record
from joinlab.topology import Overrides, load
from joinlab.trace import Trace
from joinlab.words import NetworkEvent

Story = Mapping[str, list[str]]

# Heartbeats come by the clock, not by the scenario.
UNTOLD_MESSAGES = ("Heartbeat",)


def play(lab: Lab, igmp: int) -> None:
    """Two leaves come in, one by invitation; data goes both ways; one leaf leaves, the other is told of the end."""
    expect = lab.expectations()
    stage = Stage(lab.trace, expect, igmp)
    session = stage.open_session(lab.root.app())
    first = stage.invite(session, lab.leaves[0].app())
    second = stage.admit(session, lab.leaves[1].app())
    session.send(b"down")
    expect.data(first.member, b"down")
    expect.data(second.member, b"down")
    first.member.send(b"up")
    expect.data(session, b"up")
    left = stage.now()
    first.member.close()
    stage.prove_left(first, since=left)
    expect.event(first.leg, NetworkEvent.CLOSE, error=0)
    closed = stage.now()
    session.close()
    expect.event(second.member, NetworkEvent.CLOSE, error=0)
    expect.event(second.leg, NetworkEvent.CLOSE, error=0)
    stage.prove_left(second, since=closed)
    lab.capture.catch_up()


def story(trace: Trace) -> Story:
    """Return the Trace's records by thread, without what differs from run to run: times, ports, keys."""
    threads: dict[str, list[str]] = defaultdict(list)
    for record in trace.records():
        for thread, word in told(record):
            # Hosts repeat their reports at random times, and a bridge that hears BLOCK again makes and drops an entry.
            is_repeated = word in threads[thread] and thread.endswith(("IGMP", "port"))
            if not is_repeated:
                threads[thread].append(word)
    return threads


def told(record: Record) -> list[tuple[str, str]]:
    """Return what a record adds to the story: threads and words."""
    place = f"{record.node}/{record.app}"
    facts = record.facts
    match record.kind:
        case Kind.CALL:
            return [(f"{place} calls", record.name)]
        case Kind.RETURN:
            return [(f"{place} calls", f"{record.name} returns {facts.get('error', 'well')}")]
        case Kind.EVENT | Kind.DATA if record.name != "FD_WRITE":
            return [(f"{place} socket {facts['socket']}", f"{record.name} {facts.get('error', facts.get('data'))}")]
        case Kind.GROUP:
            return [(f"{record.node} port", record.name)]
        case Kind.PACKET if isinstance(facts, FrameFacts) and facts.from_node:
            return told_by_packet(record, facts)
        case _:
            return []


def told_by_packet(record: Record, facts: FrameFacts) -> list[tuple[str, str]]:
    """Return what a frame adds that left a node."""
    if facts.membership is not None:
        if " IS_" in record.name:
            return []  # an answer to a query, which the bridge sends by the clock
        # The root chooses the group by lot.
        return [(f"{record.node} IGMP", re.sub(r"[\d.]{7,}", "GROUP", record.name))]
    names = [type(message).__name__ for message in facts.messages]
    return [(f"{record.node} control", name) for name in names if name not in UNTOLD_MESSAGES]


@pytest.mark.parametrize("igmp", [2, 3])
def test_same_scenario_same_story(igmp: int) -> None:
    if problem := engine_problem():
        pytest.skip(f"needs both runtimes: {problem}")
    stories = {}
    for runtime in ("netns", "docker"):
        with Lab(plan(load("star", Overrides(leaves=2, igmp=igmp))), runtime) as lab:
            play(lab, igmp)
            stories[runtime] = story(lab.trace)
    assert stories["netns"] == stories["docker"]
    assert len(stories["netns"]) >= 10
