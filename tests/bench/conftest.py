"""Collects the figures of all benchmarks of a run."""

from collections.abc import Iterator

import pytest
from figures import Figures


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """Take figures, and print and write them in the end."""
    collected = Figures()
    yield collected
    collected.write()
