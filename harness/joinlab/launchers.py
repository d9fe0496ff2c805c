"""Start a lab's keeper with whatever privileges this machine grants: as root, in a user namespace, or in a container.

The ways are tried in that order; the first that works is taken, and says why. When none works, UnfitMachine lists
what each one lacks, with its cure.

Knows how to start processes. May not know: plans, labs, netlink.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from joinlab.errors import JoinlabError, LabBroken, UnfitMachine, UsageError
from joinlab.loop import Conversation, Loop
from joinlab.marks import marked_environment
from joinlab_agent.channel import Channel, Message

# The run's id, in the environment of the keeper and of all that it forks, for whoever looks at processes.
RUN_VARIABLE = "JOINLAB_RUN"
# A keeper is a fresh interpreter with pyroute2: 0.2 s, more on a loaded machine.
START_S = 20.0
END_S = 5.0

ONE_IS_ENOUGH = "a lab needs privileges, which no way gives it here; one of these is enough:"

USER_NAMESPACE_LIMIT = Path("/proc/sys/user/max_user_namespaces")
APPARMOR_SWITCH = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
DEBIAN_SWITCH = Path("/proc/sys/kernel/unprivileged_userns_clone")


@dataclass
class RunningKeeper:
    """A keeper that has answered: speak to it, then close it."""

    conversation: Conversation
    launcher: str  # "root", "user namespace" or "helper container"
    why: str
    process: subprocess.Popen[bytes] | None = None  # None: somebody else's child, as in a helper container
    log: BinaryIO | None = None  # what it printed
    on_close: Callable[[], None] = lambda: None
    enter: tuple[str, ...] = ()  # what comes before a command that is to run beside the keeper

    def close(self) -> None:
        """End the keeper and all that it holds; returns when it is gone. Idempotent."""
        self.conversation.close()
        if self.process is not None:
            _wait_for_end(self.process)
        if self.log is not None:
            self.log.close()
        self.on_close()

    def last_words(self) -> str:
        """Return the last line that the keeper printed, "" if it printed nothing."""
        if self.log is None or self.log.closed:
            return ""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")


@dataclass(frozen=True)
class Launcher:
    """One way to get privileges.

    ``problem`` is asked first: a sentence with a cure, or None if it may work. ``cure`` is added to the reason when it
    did not work all the same.
    """

    name: str
    problem: Callable[[], str | None]
    start: Callable[["Order"], RunningKeeper]
    enters_containers: bool
    cure: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Order:
    """What a launcher gets to work with."""

    loop: Loop
    run_id: str
    on_record: Callable[[Message], None]
    on_end: Callable[[], None]

    def converse(self, channel: Channel) -> Conversation:
        """Return the conversation with a keeper on ``channel``."""
        return Conversation(
            self.loop, channel, "the keeper", on_record=self.on_record, on_end=self.on_end, to_error=to_error
        )


def start_keeper(
    loop: Loop,
    *,
    run_id: str = "",
    for_containers: bool = False,
    on_record: Callable[[Message], None] = lambda _: None,
    on_end: Callable[[], None] = lambda: None,
    others: Sequence[Launcher] = (),
    only: str | None = None,
) -> RunningKeeper:
    """Start a keeper and wait until it answers.

    ``for_containers``: its links must reach into Docker's containers, which a user namespace can't. ``others``:
    launchers to try after ours, the helper container. ``only``: the name of the one to use. Raises UnfitMachine with
    all reasons.
    """
    order = Order(loop, run_id, on_record, on_end)
    missing: list[str] = []
    for launcher in candidates(for_containers, others, only):
        try:
            return _start(launcher, order)
        except UnfitMachine as unfit:
            missing += (f"{launcher.name}: {reason}" for reason in unfit.missing)
    raise UnfitMachine([ONE_IS_ENOUGH, *missing] if len(missing) > 1 else missing)


def candidates(for_containers: bool, others: Sequence[Launcher] = (), only: str | None = None) -> list[Launcher]:
    """Return the launchers that are to be tried, in order. Raises UsageError for an unknown ``only``."""
    known = (*LAUNCHERS, *others)
    if only is not None and only not in (launcher.name for launcher in known):
        raise UsageError(f"no launcher {only!r}: there are {', '.join(launcher.name for launcher in known)}")
    return [k for k in known if (k.enters_containers or not for_containers) and only in (None, k.name)]


def to_error(error: dict[str, Any]) -> Exception:
    """Turn an error of the keeper into ours; the kinds are those of ``errors.py``."""
    match error["type"]:
        case "unfit":
            return UnfitMachine(error["missing"])
        case "usage":
            return UsageError(error["text"])
        case _:
            return LabBroken(error["text"])


def _start(launcher: Launcher, order: Order) -> RunningKeeper:
    if problem := launcher.problem():
        raise UnfitMachine([problem])
    keeper = launcher.start(order)
    try:
        keeper.conversation.call("hello", timeout_s=START_S)
    except (JoinlabError, TimeoutError) as error:
        last_words = keeper.last_words()
        keeper.close()
        cure = f"; it said: {last_words}" if last_words else launcher.cure()
        raise UnfitMachine([f"{error}{cure}"]) from error
    except BaseException:  # a Ctrl-C: nobody else knows this keeper yet
        keeper.close()
        raise
    return keeper


def _root_problem() -> str | None:
    return None if os.geteuid() == 0 else "you are not root: run as root (sudo)"


def _user_namespace_problem() -> str | None:
    """Name the switch that forbids user namespaces here, as far as it can be read."""
    if _number(USER_NAMESPACE_LIMIT) == 0:
        return "switched off: sysctl -w user.max_user_namespaces=15000"
    if _number(DEBIAN_SWITCH) == 0:
        return "switched off for ordinary users: sysctl -w kernel.unprivileged_userns_clone=1"
    return None


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _start_as_root(order: Order) -> RunningKeeper:
    return _start_process(order, "root", "you are root", [])


def _start_in_user_namespace(order: Order) -> RunningKeeper:
    return _start_process(order, "user namespace", "you may make user namespaces", ["--user-namespace"])


def _user_namespace_cure() -> str:
    if _number(APPARMOR_SWITCH) == 1:
        return "; AppArmor forbids it: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    return "; in a container, start that with --security-opt seccomp=unconfined --security-opt systempaths=unconfined"


def _start_process(order: Order, name: str, why: str, options: Sequence[str]) -> RunningKeeper:
    ours, theirs = socket.socketpair()
    # Not a pipe: nobody would read it. RunningKeeper closes it.
    log = tempfile.TemporaryFile()  # noqa: SIM115
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "joinlab.keeper", *options, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Away from the terminal: a Ctrl-C there belongs to pytest, which then closes the channel.
            start_new_session=True,
            # Marked, and so is all that it forks: `joinlab clean` finds the processes of dead runs by it. The path may
            # be one that pytest or a script has changed.
            env=marked_environment()
            | {RUN_VARIABLE: order.run_id, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    return RunningKeeper(order.converse(Channel(ours)), name, why, process, log)


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


LAUNCHERS = (
    Launcher("root", _root_problem, _start_as_root, enters_containers=True),
    Launcher(
        "user namespace",
        _user_namespace_problem,
        _start_in_user_namespace,
        enters_containers=False,
        cure=_user_namespace_cure,
    ),
)
