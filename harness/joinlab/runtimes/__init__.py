"""The runtimes, and which of them is to be used here."""

from typing import NamedTuple

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
    problem = _engine_problem()
    if problem is None:
        return Choice("docker", "it was asked for" if wanted == "docker" else "a Docker engine answers")
    if wanted == "docker":
        raise UnfitMachine([f"runtime docker: {problem}"])
    return Choice("netns", f"no Docker engine: {problem}")


def _engine_problem() -> str | None:
    # Imported late: the docker SDK costs 0.16 s, which a lab on netns need not wait for.
    from joinlab.runtimes.docker import engine_problem

    return engine_problem()


__all__ = ["NAMES", "Choice", "Node", "Runtime", "choose"]
