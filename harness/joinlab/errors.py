"""The errors of the harness. Four kinds, never mixed: whose fault it is decides which.

====================  =====================================================================
ExpectationFailed     the system under test did not do what was expected (an AssertionError)
UnfitMachine          this machine can't run the lab; lists all that is missing, with cures
UsageError            the topology, an option or a test is written wrongly
LabBroken             a part of the lab itself died or lied: a fault of joinlab or the kernel
====================  =====================================================================
"""

from collections.abc import Sequence
from typing import ClassVar


class JoinlabError(Exception):
    """Base of everything that joinlab raises, ExpectationFailed aside."""

    # What the command `joinlab` ends with; 2 is also what typer uses for a wrong command line.
    exit_code: ClassVar[int] = 4

    @property
    def lines(self) -> tuple[str, ...]:
        """Return it for people who know no Python: a line for each thing that is wrong."""
        return tuple(str(self).splitlines())


class UsageError(JoinlabError):
    """What the user wrote is wrong; the text names the file, line or argument and the way out."""

    exit_code = 2


class UnfitMachine(JoinlabError):
    """The machine lacks what the lab needs. ``missing`` holds one line each: what is missing, and its cure."""

    exit_code = 3

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__("; ".join(self.missing))

    @property
    def lines(self) -> tuple[str, ...]:
        """Return a line for each thing that is missing."""
        return self.missing


class LabBroken(JoinlabError):
    """A part of the lab ended or answered with an error that is no fault of the test."""


class ExpectationFailed(AssertionError):
    """What a test expected did not come; the text shows the part of the Trace where it should have stood."""
