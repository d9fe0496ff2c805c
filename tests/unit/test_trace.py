"""The Trace: order, questions, waiting, failures."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from joinlab.errors import ExpectationFailed
from joinlab.loop import Conversation, Loop
from joinlab.records import from_line, from_message, to_line
from joinlab.timeline import Timeline
from joinlab.trace import Kind, Mark, Question, Record, Trace, read
from joinlab_agent.channel import Channel


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Return a loop, closed afterwards."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def trace(loop: Loop) -> Trace:
    """Return an empty Trace."""
    return Trace(loop)


def event(ns: int, name: str = "FD_CLOSE", node: str = "root", app: str = "a") -> Record:
    """Return an event record."""
    return Record(ns, Kind.EVENT, node, app, name)


def names(records: Iterator[Record]) -> str:
    """Return the names of records, in their order."""
    return " ".join(record.name for record in records)


CLOSE = Question("FD_CLOSE at root", Kind.EVENT, "root", where=lambda record: record.name == "FD_CLOSE")


def test_records_stand_in_the_order_of_their_time_however_they_arrive(trace: Trace) -> None:
    trace.add(event(30, "c"))
    trace.add(event(10, "a"), event(40, "d"))
    trace.add(event(20, "b"))
    assert names(trace.records()) == "a b c d"


def test_of_equal_times_the_first_to_arrive_is_first(trace: Trace) -> None:
    trace.add(event(10, "a"))
    trace.add(event(10, "b"), event(10, "c"))
    trace.add(event(20, "e"))
    trace.add(event(10, "d"))
    assert names(trace.records()) == "a b c d e"


@pytest.mark.parametrize("seed", range(20))
def test_a_timeline_is_a_stable_sort(seed: int) -> None:
    import random

    chance = random.Random(seed)
    records = [event(chance.randrange(30), str(number)) for number in range(100)]
    timeline = Timeline()
    rest = records
    while rest:
        size = chance.randrange(1, 9)
        timeline.add(rest[:size])
        rest = rest[size:]
    # A batch counts as arriving at once, in the order of its times.
    assert [r.ns for r in timeline.between(0)] == sorted(r.ns for r in records)
    assert [r.name for r in timeline.between(7, 7)] == [r.name for r in records if r.ns == 7]


def test_a_period_includes_both_ends(trace: Trace) -> None:
    trace.add(*(event(ns, str(ns)) for ns in (10, 20, 30, 40)))
    assert names(trace.records(Mark(20), Mark(30))) == "20 30"


def test_questions_see_their_kind_node_app_and_time_only(trace: Trace) -> None:
    late = event(50)
    trace.add(event(10), event(50, node="leaf1"), event(50, "FD_READ"), Record(50, Kind.CALL, "root", "a", "FD_CLOSE"))
    trace.add(late)
    assert trace.select(CLOSE, Mark(20)) == [late]
    assert trace.select(CLOSE, Mark(20), Mark(49)) == []
    assert trace.first(Question("", Kind.EVENT, "root", "other")) is None


def test_a_wait_ends_with_the_record_that_arrives(loop: Loop, trace: Trace) -> None:
    ours, theirs = Channel.pair()
    conversation = Conversation(loop, ours, "app", on_record=lambda body: trace.add(from_message(body, "root", "a")))
    mark = trace.mark()
    message = {"record": "event", "ns": mark.ns + 5, "name": "FD_CLOSE", "facts": {"socket": 3, "error": 0}}
    sender = threading.Timer(0.01, theirs.send, [message])
    sender.start()
    found = trace.wait_for(CLOSE, mark)
    assert (found.node, found.app, found.facts) == ("root", "a", {"socket": 3, "error": 0})
    sender.join()
    conversation.close()
    theirs.close()


def test_a_wait_finds_what_is_there_already(trace: Trace) -> None:
    trace.add(event(10))
    assert trace.wait_for(CLOSE, timeout_s=0).ns == 10


def test_a_wait_does_not_take_what_is_older_than_its_zero_point(trace: Trace) -> None:
    trace.add(event(10))
    with pytest.raises(ExpectationFailed):
        trace.wait_for(CLOSE, Mark(11), timeout_s=0.01)


def test_a_wait_goes_on_when_something_older_arrives(loop: Loop, trace: Trace) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"xx")

    class Source:
        times = [10, 30]  # noqa: RUF012

        def fileno(self) -> int:
            return reading

        def arrive(self) -> None:
            os.read(reading, 1)
            trace.add(event(self.times.pop(0)))

    source = Source()
    loop.watch(source, source.arrive)
    assert trace.wait_for(CLOSE, Mark(20)).ns == 30
    os.close(reading)
    os.close(writing)


def test_of_several_answers_that_arrive_at_once_the_earliest_is_taken(loop: Loop, trace: Trace) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x")

    class Source:
        def fileno(self) -> int:
            return reading

    source = Source()

    def arrive() -> None:
        os.read(reading, 1)
        trace.add(event(30))
        trace.add(event(20))

    loop.watch(source, arrive)
    assert trace.wait_for(CLOSE).ns == 20
    os.close(reading)
    os.close(writing)


def test_a_failure_names_what_was_awaited_and_shows_what_came(trace: Trace) -> None:
    trace.add(event(900_000, "too early"))
    trace.add(Record(1_500_000, Kind.CALL, "leaf1", "app1", "closesocket", {"socket": 3}))
    trace.add(event(2_250_000, "FD_READ"))
    with pytest.raises(ExpectationFailed) as failure:
        trace.wait_for(CLOSE, Mark(1_000_000), timeout_s=0.01)
    assert str(failure.value).splitlines() == [
        "not seen within 0.01 s: FD_CLOSE at root",
        "       +0.500 ms  leaf1/app1       call    closesocket  socket=3",
        "?      +1.250 ms  root/a           event   FD_READ",
    ]


def test_a_failure_without_any_record_says_so(trace: Trace) -> None:
    with pytest.raises(ExpectationFailed, match=r"\(nothing happened\)"):
        trace.wait_for(CLOSE, timeout_s=0)


def test_the_middle_of_a_long_story_is_left_out(trace: Trace) -> None:
    trace.add(*(event(ns, f"event{ns}") for ns in range(1000)))
    lines = trace.explain("", CLOSE, Mark(0)).splitlines()
    assert len(lines) < 60
    assert "event0" in lines[1]
    assert "event999" in lines[-1]
    assert any("more lines" in line for line in lines)


def test_a_listener_hears_each_record_once(trace: Trace) -> None:
    heard: list[Record] = []
    with trace.listening(heard.append):
        trace.add(event(10), event(5))
    trace.add(event(20))
    assert [record.ns for record in heard] == [10, 5]


def test_a_message_that_is_no_kind_happened_to_the_node() -> None:
    record = from_message({"record": "ended", "ns": 7, "app": "app1", "status": 9}, "leaf1")
    assert record == Record(7, Kind.NODE, "leaf1", "app1", "ended", {"status": 9})


def test_a_change_of_a_group_is_named_by_the_change() -> None:
    body = {"record": "group", "ns": 7, "change": "joined", "bridge": "hub", "port": "leaf1", "group": "239.1.2.3"}
    assert from_message(body, "leaf1").name == "joined"


def test_lines_are_read_back_as_they_were(trace: Trace, tmp_path: Path) -> None:
    record = Record(5, Kind.DATA, "leaf1", "app1", "data", {"data": b"\0\xff", "from": ["10.0.0.1", 5]})
    assert from_line(to_line(record)) == record
    trace.add(event(9), record)
    trace.write(tmp_path / "trace.jsonl")
    assert list(read(tmp_path / "trace.jsonl")) == [record, event(9)]


def test_what_is_forgotten_answers_no_question_and_is_not_written(trace: Trace, tmp_path: Path) -> None:
    trace.add(*(event(ns) for ns in (10, 20, 30)), event(20, node="leaf1"))
    trace.forget(Mark(20))
    assert [record.ns for record in trace.records()] == [20, 20, 30]
    assert [record.ns for record in trace.select(CLOSE)] == [20, 30]
    assert len(trace) == 3
    trace.write(tmp_path / "trace.jsonl")
    assert list(read(tmp_path / "trace.jsonl")) == list(trace.records())


def test_what_comes_late_after_a_forgetting_goes_to_its_place(trace: Trace) -> None:
    trace.add(event(10), event(30))
    trace.forget(Mark(20))
    trace.add(event(15, "late"))
    assert [record.ns for record in trace.records()] == [15, 30]


def test_a_million_records_stay_usable(trace: Trace) -> None:
    """Scaled down: what would be quadratic takes minutes here already."""
    for start in range(0, 100_000, 100):
        trace.extend([event(ns, "x", node="leaf1") for ns in range(start, start + 100)])
        trace.add(event(start, "FD_CLOSE"))
    assert len(trace.select(CLOSE, Mark(50_000))) == 500
