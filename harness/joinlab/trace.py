"""The Trace: everything that happened in a lab, on one clock, and the questions to it.

Calls, network events, packets and link changes come from several processes and become records here, in the order of
their time. A test takes a mark, does something, and waits for the record that proves it. When the record doesn't
come, the failure shows what came instead.

Indexed by kind and node, so that a question looks at the records that may answer it, not at all of them.

May not know: what a packet contains, where records come from, what a scenario is about.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from joinlab.errors import ExpectationFailed
from joinlab.loop import Loop
from joinlab.records import Kind, Moment, Record, from_line, from_message, to_line
from joinlab.story import tell
from joinlab.timeline import Timeline

__all__ = ["Kind", "Mark", "Moment", "Question", "Record", "Trace", "from_message"]

# pytest shows the line of the test that failed, not ours (it looks for this name in a module too).
__tracebackhide__ = True

# A test that passes never waits that long; a loaded machine may need a second or two.
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A zero point: questions since a mark see what happened at or after it.

    The time alone is enough, whatever has arrived by then: all records carry the time at which they happened.
    """

    ns: int


BEGINNING = Mark(0)


def _any(_: Record) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Question:
    """Which record is asked for. ``text`` says it in words, for the failure: "FD_CLOSE with error 0 at root"."""

    text: str
    kind: Kind
    node: str | None = None  # None: any
    app: str | None = None
    where: Callable[[Record], bool] = _any

    def is_answered_by(self, record: Record) -> bool:
        """Tell whether this record is what is asked for."""
        return self.is_near(record) and (self.app is None or record.app == self.app) and self.where(record)

    def is_near(self, record: Record) -> bool:
        """Tell whether this record is of the kind and at the place that is asked for."""
        return record.kind is self.kind and (self.node is None or record.node == self.node)


class Trace:
    """All records of a lab. Whoever waits pumps the loop, and so lets the records in."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._all = Timeline()
        self._of_kind: defaultdict[tuple[Kind, str | None], Timeline] = defaultdict(Timeline)
        self._listeners: list[Callable[[Record], None]] = []

    def __len__(self) -> int:
        return len(self._all)

    def add(self, *records: Record) -> None:
        """Put records on the Trace; they may arrive in any order."""
        self.extend(records)

    def extend(self, records: Sequence[Record]) -> None:
        """Put many records on the Trace."""
        self._all.add(records)
        places: defaultdict[tuple[Kind, str | None], list[Record]] = defaultdict(list)
        for record in records:
            places[record.kind, record.node].append(record)
        for (kind, node), batch in places.items():
            self._of_kind[kind, node].add(batch)
            self._of_kind[kind, None].add(batch)
        for listener in tuple(self._listeners):
            for record in records:
                listener(record)

    def mark(self) -> Mark:
        """Return the present time as a zero point for questions."""
        return Mark(time.time_ns())

    @contextmanager
    def listening(self, listener: Callable[[Record], None]) -> Iterator[None]:
        """Hand each record to ``listener`` as it arrives (not in the order of time), as long as the context lasts."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def records(self, since: Moment = BEGINNING, until: Moment | None = None) -> Iterator[Record]:
        """Return all records of a period, in the order of time. Reads nothing in: see ``catch_up``."""
        return self._all.between(since.ns, until.ns if until else None)

    def select(self, question: Question, since: Moment = BEGINNING, until: Moment | None = None) -> list[Record]:
        """Return the records that answer, in the order of time, among those that have arrived."""
        return list(self._answers(question, since, until))

    def first(self, question: Question, since: Moment = BEGINNING, until: Moment | None = None) -> Record | None:
        """Return the first record that answers, None if none has arrived."""
        return next(self._answers(question, since, until), None)

    def forget(self, before: Moment) -> None:
        """Drop what is older: a lab may run for hours, and keeps every frame until then."""
        for timeline in (self._all, *self._of_kind.values()):
            timeline.forget(before.ns)

    def catch_up(self) -> None:
        """Let in what has already reached this process: one round, because under traffic there is always more."""
        self._loop.pump()

    def wait_for(self, question: Question, since: Moment = BEGINNING, timeout_s: float = PATIENCE_S) -> Record:
        """Return the first record that answers, waiting for it. Raises ExpectationFailed, which shows the Trace."""
        found = self.first(question, since)
        if found is None:
            self._wait(question, since, timeout_s)
            # The first in time need not be the first that arrived.
            found = self.first(question, since)
        if found is None:
            raise ExpectationFailed(self.explain(f"not seen within {timeout_s:g} s: {question.text}", question, since))
        return found

    def explain(self, headline: str, question: Question, since: Moment, until: Moment | None = None) -> str:
        """Return the text of a failure: the headline, and the Trace since then, near misses marked."""
        first = next(self.records(since, until), None)
        zero_ns = since.ns or (first.ns if first else 0)
        return "\n".join([headline, *tell(self.records(since, until), zero_ns, is_near=question.is_near)])

    def write(self, path: Path, adapt: Callable[[Record], Record] = lambda record: record) -> None:
        """Write all records as JSON lines, in the order of time, each as ``adapt`` makes it."""
        with path.open("w", encoding="utf-8") as file:
            file.writelines(to_line(adapt(record)) + "\n" for record in self.records())

    def _answers(self, question: Question, since: Moment, until: Moment | None) -> Iterator[Record]:
        timeline = self._of_kind[question.kind, question.node]
        return filter(question.is_answered_by, timeline.between(since.ns, until.ns if until else None))

    def _wait(self, question: Question, since: Moment, timeout_s: float) -> None:
        answers: list[Record] = []

        def listen(record: Record) -> None:
            if record.ns >= since.ns and question.is_answered_by(record):
                answers.append(record)

        with self.listening(listen):
            self._loop.wait_for(lambda: answers or None, timeout_s)


def read(path: Path) -> Iterable[Record]:
    """Yield the records of a file that ``Trace.write`` wrote."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield from_line(line)
