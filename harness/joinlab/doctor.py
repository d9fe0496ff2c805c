"""What this machine offers a lab, and everything that is missing at once, each with its cure: `joinlab doctor`.

Where it can, a check does the thing itself (starts a keeper, adds a netem) rather than look for signs of it. May not
know: topologies, labs.
"""

import importlib.util
import os
import platform
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from joinlab.errors import JoinlabError, UnfitMachine

SYSCTL = Path("/proc/sys")


class State(Enum):
    """What a finding means for labs, and how it is shown."""

    GOOD = "[green]ok[/]"
    NOTE = "[yellow]note[/]"
    MISSING = "[red]missing[/]"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one thing, and the cure where something is missing."""

    subject: str
    state: State
    text: str
    cure: str = ""


def examine() -> list[Finding]:
    """Try everything; takes about a second."""
    found = [finding for check in CHECKS for finding in check()]
    return [*found, *runtimes(found)]


def can_run(findings: Iterable[Finding]) -> bool:
    """Tell whether at least one runtime works here."""
    return any(f.state is State.GOOD for f in findings if f.subject in (RUNTIME_NETNS, RUNTIME_DOCKER))


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print the findings, cures below them."""
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        cure = f"\n[bold]→ {escape(finding.cure)}[/]" if finding.cure else ""
        table.add_row(finding.state.value, finding.subject, escape(finding.text) + cure)
    console.print(table)


PYTHON, VENV, ROOT, USERNS = "Python", "venv", "root", "user namespaces"
ENGINE, IMAGE, NETEM = "Docker engine", "node image", "netem"
FILTER, MEMBERSHIPS, NSENTER, TSHARK = "bridge packet filter", "group memberships", "nsenter", "tshark"
RUNTIME_NETNS, RUNTIME_DOCKER = "runtime netns", "runtime docker"

LEAST_PYTHON = (3, 11)
# For a question to the kernel; one that it does not answer must not hold up the others.
ANSWER_WITHIN_S = 10.0
# What the kernel gives each new network namespace, whatever the host's own setting (igmp_net_init).
MEMBERSHIPS_OF_A_SOCKET = 20


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info >= LEAST_PYTHON:
        yield Finding(PYTHON, State.GOOD, version)
    else:
        yield Finding(PYTHON, State.MISSING, f"{version}, but 3.11 or newer is needed", "apt-get install python3.11")


def _venv() -> Iterator[Finding]:
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        yield Finding(VENV, State.GOOD, "virtual environments can be made")
    else:
        yield Finding(VENV, State.MISSING, "no ensurepip, so make can't set up", "apt-get install python3-venv")


def _privileges() -> Iterator[Finding]:
    """Start a keeper in each way that needs no engine."""
    from joinlab.launchers import LAUNCHERS

    for launcher, subject in zip(LAUNCHERS, (ROOT, USERNS), strict=True):
        yield _try_keeper(launcher.name, subject)


def _try_keeper(launcher: str, subject: str) -> Finding:
    from joinlab.launchers import start_keeper
    from joinlab.loop import Loop

    loop = Loop()
    try:
        start_keeper(loop, run_id="doctor", only=launcher).close()
    except UnfitMachine as unfit:
        text, _, cure = unfit.missing[0].partition(": ")[2].rpartition(": ")
        return Finding(subject, State.NOTE, text or cure, cure if text else "")
    finally:
        loop.close()
    return Finding(subject, State.GOOD, "a keeper starts and answers")


def _engine() -> Iterator[Finding]:
    from joinlab.engine import engine_host, engine_problem

    problem = engine_problem()
    if problem is None:
        yield Finding(ENGINE, State.GOOD, f"answers at {engine_host()}")
        yield _image()
    else:
        text, _, cure = problem.rpartition(": ")
        yield Finding(ENGINE, State.NOTE, text, cure)


def _image() -> Finding:
    from joinlab.engine import connect
    from joinlab.image import context_files, image_tag

    try:
        client = connect()
    except JoinlabError as error:
        return Finding(IMAGE, State.MISSING, str(error))
    tag = image_tag(context_files())
    there = bool(client.api.images(name=tag))
    client.close()
    if there:
        return Finding(IMAGE, State.GOOD, tag)
    return Finding(IMAGE, State.NOTE, f"{tag} is not built yet; the first run does it", "make image")


def _netem() -> Iterator[Finding]:
    match _in_scratch_namespace(_has_netem):
        case True:
            yield Finding(NETEM, State.GOOD, "links can have delay, jitter and loss")
        case False:
            yield Finding(NETEM, State.NOTE, "this kernel has none: links have a rate, no delay or loss", NETEM_CURE)
        case None:
            yield Finding(NETEM, State.NOTE, "can't be tried without root or user namespaces")


# No longer: at the width of a terminal it stays one line, to be copied.
NETEM_CURE = "apt-get install linux-modules-extra-$(uname -r)"


def _has_netem() -> bool:
    from joinlab.shaping import kernel_has_netem

    return kernel_has_netem()


def _in_scratch_namespace(question: Callable[[], bool]) -> bool | None:
    """Ask in a child with an empty network namespace, which goes with it; None: there can be none, or no answer."""
    child = os.fork()
    if child == 0:
        # The kernel's own end for it: a handler of Python's would not run while a call into the kernel hangs.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, ANSWER_WITHIN_S)
        os._exit(_answer_as_code(question))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: False, 1: True}.get(code)


def _answer_as_code(question: Callable[[], bool]) -> int:
    from joinlab import namespaces

    try:
        if os.geteuid() == 0:
            namespaces.unshare(namespaces.Namespace.NET)
        else:
            namespaces.become_root_of_new_user_namespace(namespaces.Namespace.NET)
        return int(question())
    except Exception:
        return 2


def _bridge_filter() -> Iterator[Finding]:
    if _read("net/bridge/bridge-nf-call-iptables") == "1":
        text = "on for the host's bridges; a lab's stand in a namespace of their own and are not touched"
    else:
        text = "off"
    yield Finding(FILTER, State.GOOD, text)


def _memberships() -> Iterator[Finding]:
    text = f"a node's socket may join {MEMBERSHIPS_OF_A_SOCKET} groups (the kernel's default); more need more sockets"
    yield Finding(MEMBERSHIPS, State.GOOD, text)


def _tools() -> Iterator[Finding]:
    for tool, use, package in (
        (NSENTER, "joinlab shell", "util-linux"),
        (TSHARK, "a second look at captures", "tshark"),
    ):
        if path := shutil.which(tool):
            yield Finding(tool, State.GOOD, path)
        else:
            yield Finding(tool, State.NOTE, f"not there, for {use}", f"apt-get install {package}")


def _read(name: str) -> str | None:
    try:
        return (SYSCTL / name).read_text().strip()
    except OSError:
        return None


def runtimes(found: Sequence[Finding]) -> Iterator[Finding]:
    """Conclude which runtimes can run."""
    good = {finding.subject for finding in found if finding.state is State.GOOD}
    if good & {ROOT, USERNS}:
        yield Finding(RUNTIME_NETNS, State.GOOD, "labs of namespaces can run here")
    else:
        yield Finding(RUNTIME_NETNS, State.MISSING, "needs root or user namespaces (above)")
    if ENGINE in good:
        yield Finding(RUNTIME_DOCKER, State.GOOD, "labs of containers can run here")
    else:
        yield Finding(RUNTIME_DOCKER, State.MISSING, "needs a Docker engine (above)")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python,
    _venv,
    _privileges,
    _engine,
    _netem,
    _bridge_filter,
    _memberships,
    _tools,
)
