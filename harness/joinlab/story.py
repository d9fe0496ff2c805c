"""Records as text for people: one compact line each, times relative to a zero point, repetitions folded.

    +12.408 ms  leaf1 →      packet  IGMPv3 report TO_EX 239.1.2.3
    +13.102 ms  root/app     event   FD_CLOSE  socket=3 error=0

May not know: what is asked, where records come from.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import Any

from joinlab.records import Kind, Record

# What fits on a screen below a traceback. The beginning shows what was done, the end how far it got.
FIRST_LINES = 12
LAST_LINES = 36
NEAR = "? "
PLAIN = "  "
LONGEST_VALUE = 48
# Facts of packets that the line shows already, or nobody can read.
UNTOLD = frozenset({"frame", "from_node", "number", "port", "bridge", "length", "payload"})


def tell(records: Iterable[Record], zero_ns: int, is_near: Callable[[Record], bool] = lambda _: False) -> list[str]:
    """Return the records as lines; near ones are marked with a question mark, a long middle is left out."""
    lines = _lines(records, zero_ns, is_near)
    head = list(islice(lines, FIRST_LINES))
    tail: deque[str] = deque(maxlen=LAST_LINES)
    count = 0
    for line in lines:
        tail.append(line)
        count += 1
    left_out = [f"{PLAIN}  … {count - LAST_LINES} more lines …"] if count > LAST_LINES else []
    return [*head, *left_out, *tail] or [f"{PLAIN}(nothing happened)"]


def line(record: Record, zero_ns: int) -> str:
    """Return one record as a line."""
    milliseconds = (record.ns - zero_ns) / 1e6
    facts = " ".join(f"{key}={_value(value)}" for key, value in _facts(record))
    text = f"{milliseconds:+11.3f} ms  {_place(record):<16} {record.kind:<6}  {record.name}"
    return f"{text}  {facts}" if facts else text


def _lines(records: Iterable[Record], zero_ns: int, is_near: Callable[[Record], bool]) -> Iterator[str]:
    for _, run in groupby(records, key=_likeness):
        first, *more = run
        times = f"  ({len(more) + 1} times)" if more else ""
        yield f"{NEAR if is_near(first) else PLAIN}{line(first, zero_ns)}{times}"


def _likeness(record: Record) -> object:
    """Return what makes two neighbours one line: only packets repeat themselves in ways that nobody wants to read."""
    if record.kind is not Kind.PACKET:
        return id(record)
    return record.node, record.facts.get("from_node"), record.name


def _place(record: Record) -> str:
    if record.kind is Kind.PACKET:
        return f"{record.node} {'→' if record.facts.get('from_node') else '←'}"
    return f"{record.node}/{record.app}" if record.app else record.node or "lab"


def _facts(record: Record) -> Iterator[tuple[str, Any]]:
    for key, value in record.facts.items():
        if key not in UNTOLD and value is not None and str(value) not in record.name:
            yield key, value


def _value(value: object) -> str:
    text = repr(bytes(value)) if isinstance(value, bytes | bytearray) else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} long)"
