"""The runtimes, and which of them is to be used here."""

from typing import NamedTuple

from joinlab.engine import engine_problem
from joinlab.errors import UnfitMachine, UsageError
from joinlab.runtimes.base import Node, Runtime

NAMES = ("auto", "docker", "netns")


class Choice(NamedTuple):
    """The runtime to use, and why: a sentence for the person who started the run."""

    name: str
    why: str


def choose(wanted: str) -> Choice:
    """Return the runtime for ``wanted``, one of NAMES. Raises UsageError, UnfitMachine."""
    if wanted not in NAMES:
        raise UsageError(f"no runtime {wanted!r}: there are {', '.join(NAMES)}")
    if wanted == "netns":
        return Choice("netns", "it was asked for")
    problem = engine_problem()
    if problem is None:
        return Choice("docker", "it was asked for" if wanted == "docker" else "a Docker engine answers")
    if wanted == "docker":
        raise UnfitMachine([f"runtime docker: {problem}"])
    # Its cure, after the last colon, is for those who want docker.
    return Choice("netns", problem.rpartition(": ")[0] or problem)


__all__ = ["NAMES", "Choice", "Node", "Runtime", "choose"]
