"""Figures of one run: medians, each beside a floor or a peer measured in the same run, as JSON under build/.

Machines drift within the hour, so only the ratio to the floor is comparable from run to run. A figure never decides
whether a test passes.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

FILE = Path(__file__).parents[2] / "build" / "bench.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the median of ``runs`` measurements and that of its floor, both in ``unit``; ``aim`` is a limit."""

    name: str
    unit: str
    median: float
    worst: float
    runs: int
    floor: float
    floor_is: str
    aim: float | None = None

    @property
    def ratio(self) -> float:
        """How many times its floor the figure is."""
        return self.median / self.floor


class Figures:
    """Collects figures; printed and written when the run ends."""

    def __init__(self) -> None:
        self._figures: list[Figure] = []

    def add(
        self,
        name: str,
        unit: str,
        measured: Sequence[float],
        *,
        floor: Sequence[float],
        floor_is: str,
        aim: float | None = None,
    ) -> None:
        """Add a figure from its measurements and those of its floor."""
        median, lowest = statistics.median(measured), statistics.median(floor)
        self._figures.append(Figure(name, unit, median, max(measured), len(measured), lowest, floor_is, aim))

    def write(self) -> None:
        """Write build/bench.json and print a table, if anything was measured."""
        if not self._figures:
            return
        FILE.parent.mkdir(exist_ok=True)
        machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
        figures = [asdict(figure) | {"ratio": figure.ratio} for figure in self._figures]
        FILE.write_text(json.dumps({"machine": machine, "figures": figures}, indent=2) + "\n")
        Console().print(self._table())

    def _table(self) -> Table:
        table = Table(title=f"medians; also in {FILE.relative_to(FILE.parents[1])}")
        for column in ("what", "median", "worst", "aim", "floor", "ratio", "the floor is"):
            table.add_column(column, justify="left" if column in ("what", "the floor is") else "right")
        for figure in self._figures:
            numbers = (figure.median, figure.worst, figure.aim, figure.floor)
            cells = [f"{number:.3g} {figure.unit}" if number is not None else "" for number in numbers]
            table.add_row(figure.name, *cells, f"{figure.ratio:.2f}", figure.floor_is)
        return table


def seconds(action: Callable[[], object]) -> float:
    """Return how long ``action`` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
