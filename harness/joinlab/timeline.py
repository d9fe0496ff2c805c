"""Records in the order of their time, however late they arrive.

Several processes report, and the capture reports in blocks, so a record may arrive after others that happened later;
rarely much later, so putting it in its place touches the end of the list only. Of records with equal times the one
that arrived first stays first.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter

from joinlab.records import Record

TIME = attrgetter("ns")


class Timeline:
    """A sorted list of records."""

    def __init__(self) -> None:
        self._records: list[Record] = []

    def __len__(self) -> int:
        return len(self._records)

    def add(self, batch: Sequence[Record]) -> None:
        """Put records in; a batch that is in order itself goes fast."""
        records = self._records
        ordered = sorted(batch, key=TIME)
        if ordered and records and ordered[0].ns < records[-1].ns:
            place = bisect_right(records, ordered[0].ns, key=TIME)
            records[place:] = sorted([*records[place:], *ordered], key=TIME)
        else:
            records.extend(ordered)

    def forget(self, before_ns: int) -> None:
        """Drop the records that are older than ``before_ns``."""
        del self._records[: bisect_left(self._records, before_ns, key=TIME)]

    def between(self, since_ns: int, until_ns: int | None = None) -> Iterator[Record]:
        """Return the records from ``since_ns`` to ``until_ns``, both included, in order."""
        records = self._records
        end = len(records) if until_ns is None else bisect_right(records, until_ns, key=TIME)
        return (records[place] for place in range(bisect_left(records, since_ns, key=TIME), end))
