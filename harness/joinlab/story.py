"""Records as text for people: one compact line each, times relative to a zero point, repetitions folded.

    +12.408 ms  leaf1 →      packet  IGMPv3 report TO_EX 239.1.2.3  10.0.0.2 > 224.0.0.22
    +13.102 ms  root/app     event   FD_CLOSE  socket=3 error=0

May not know: what is asked, where records come from.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, islice
from typing import Any

from joinlab.records import Kind, Record

# What fits on a screen below a traceback. The beginning shows what was done, the end how far it got.
FIRST_LINES = 12
LAST_LINES = 36
NEAR = "? "
PLAIN = "  "
LONGEST_VALUE = 48
# Names of packets that are folded, and the facts that must agree.
TRAFFIC = frozenset({"UDP", "TCP"})
WAY = ("from_node", "source", "source_port", "destination", "destination_port")
# Facts that the line shows already, that nobody can read, or that only a program needs.
UNTOLD = frozenset({"frame", "from_node", "number", "port", "bridge", "length", "payload", "call"})
# Facts with these values tell nothing. (0 does: it is an error code.)
NOTHING: tuple[object, ...] = (None, "", b"", [], ())


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


def line(record: Record, zero_ns: int, place: str = "") -> str:
    """Return one record as a line."""
    facts = " ".join([*_way(record), *(f"{key}={_value(value)}" for key, value in _facts(record))])
    text = f"{_time(record, zero_ns):>14}  {place or _place(record):<16} {record.kind:<6}  {record.name}"
    return f"{text}  {facts}" if facts else text


def _lines(records: Iterable[Record], zero_ns: int, is_near: Callable[[Record], bool]) -> Iterator[str]:
    for alike in _gather(records):
        first, last = alike[0], alike[-1]
        mark = NEAR if any(map(is_near, alike)) else PLAIN
        if len(alike) == 1:
            yield f"{mark}{line(first, zero_ns)}"
        elif _is_traffic(first):
            yield f"{mark}{line(first, zero_ns)}  ({len(alike)} times until {_time(last, zero_ns)})"
        else:
            yield f"{mark}{line(first, zero_ns, f'{len(alike)} nodes ←')}"


def _gather(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Gather what makes one line: traffic that goes the same way, and copies of a frame that a bridge floods."""
    for kind, run in groupby(records, key=_likeness):
        if kind == "traffic":
            yield from _fold(run)
        elif kind is None:
            yield from ([record] for record in run)
        else:
            yield list(run)


def _likeness(record: Record) -> object:
    """Return what neighbours must have in common to be gathered, None if they never are."""
    if _is_traffic(record):
        return "traffic"
    if record.kind is Kind.PACKET and not record.facts.get("from_node"):
        return record.name, record.facts.get("source")
    return None


def _is_traffic(record: Record) -> bool:
    """Tell whether nobody wants to read each of these: datagrams and segments that come by the thousand."""
    return record.kind is Kind.PACKET and record.name in TRAFFIC


def _fold(run: Iterable[Record]) -> Iterable[list[Record]]:
    """Gather what goes the same way on the same link; a datagram that is forwarded alternates between links."""
    alike: defaultdict[object, list[Record]] = defaultdict(list)
    for record in run:
        alike[record.node, record.name, *(record.facts.get(fact) for fact in WAY)].append(record)
    return alike.values()


def _time(record: Record, zero_ns: int) -> str:
    return f"{(record.ns - zero_ns) / 1e6:+.3f} ms"


def _place(record: Record) -> str:
    if record.kind is Kind.PACKET:
        return f"{record.node} {'→' if record.facts.get('from_node') else '←'}"
    return f"{record.node}/{record.app}" if record.app else record.node or "lab"


def _way(record: Record) -> Iterator[str]:
    """Tell where a packet goes."""
    if record.kind is Kind.PACKET and "source" in record.facts:
        yield " > ".join(_end(record.facts, end) for end in ("source", "destination"))


def _end(facts: Mapping[str, Any], end: str) -> str:
    port = facts.get(f"{end}_port")
    return facts[end] if port is None else f"{facts[end]}:{port}"


def _facts(record: Record) -> Iterator[tuple[str, Any]]:
    told = WAY if record.kind is Kind.PACKET else ()
    for key, value in record.facts.items():
        if key in UNTOLD or key in told or value is False or value in NOTHING or str(value) in record.name:
            continue
        yield key, value


def _value(value: object) -> str:
    text = repr(bytes(value)) if isinstance(value, bytes | bytearray) else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} long)"
