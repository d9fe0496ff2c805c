"""A lab held open at a prompt: `joinlab up`.

One loop for all: the keyboard, other terminals that ask how to enter a node, and the lab itself, which must be listened
to while the user thinks. May not know: how labs are started.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

from rich.console import Console
from rich.table import Table

from joinlab.errors import UsageError
from joinlab.loop import Loop
from joinlab.plan import LabPlan
from joinlab.rendezvous import Listener

PROMPT = "joinlab> "
HELP = """\
nodes        list the nodes
NODE         a shell in a node, here; its end (exit, Ctrl-D) leads back
quit         {at_the_end} (so do Ctrl-D and Ctrl-C)
in another terminal: {program} shell NODE"""

# A keyboard gives a line at a time.
_MOST_TYPED = 4096
# Nothing happens when it is over; the loop only wants a number.
_LONG_S = 3600.0
# Every way a terminal or an init system has to say "end"; each must take the lab down in good order.
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class HeldLab(Protocol):
    """What is needed of a lab."""

    @property
    def loop(self) -> Loop:
        """The lab's loop."""

    @property
    def plan(self) -> LabPlan:
        """What was built."""

    def shell(self, node: str) -> list[str]:
        """Return the command that opens a shell in a node."""


class Prompt:
    """The prompt of one lab, until its user has had enough."""

    def __init__(self, lab: HeldLab, run: str, console: Console, *, at_the_end: str = "take the lab down") -> None:
        """Prepare the prompt. ``at_the_end``: what follows when the user has had enough, for the help."""
        self._lab = lab
        self._run = run
        self._console = console
        self._help = HELP.format(at_the_end=at_the_end, program=_program())
        self._typed = b""
        self._is_over = False
        self._is_watching = False
        self._commands: dict[str, Callable[[], None]] = {
            "": lambda: None,
            "nodes": self._show_nodes,
            "help": self._show_help,
            "quit": self._quit,
            "exit": self._quit,
        }

    def hold(self) -> None:
        """Answer commands until the end of the input, ``quit``, or KeyboardInterrupt, which is passed on."""
        listener = Listener(self._lab.loop, self._run, {"shell": lambda request: self._shell(str(request["node"]))})
        try:
            self._show_nodes()
            self._show_help()
            self._ask()
            self._listen()
        finally:
            listener.close()

    def _listen(self) -> None:
        try:
            self._lab.loop.watch(sys.stdin, self._read)
        except PermissionError:
            # A file or /dev/null can't be waited for; all that it has is there at once.
            while not self._is_over:
                self._read()
            return
        self._is_watching = True
        try:
            while not self._is_over:
                self._lab.loop.pump(_LONG_S)
        finally:
            self._lab.loop.unwatch(sys.stdin)

    def _read(self) -> None:
        data = os.read(sys.stdin.fileno(), _MOST_TYPED)
        if not data:
            self._console.print()
            self._is_over = True
            return
        *lines, self._typed = (self._typed + data).split(b"\n")
        for line in lines:
            if not self._is_over:
                self._obey(line.decode(errors="replace").strip())

    def _obey(self, line: str) -> None:
        # "shell leaf1" is what one types in the other terminal; it works here too.
        word = line.removeprefix("joinlab ").removeprefix("shell ").strip()
        try:
            self._commands.get(word, lambda: self._enter(word))()
        except UsageError as error:
            self._console.print(f"[red]{error}[/red]", highlight=False)
        if not self._is_over:
            self._ask()

    def _ask(self) -> None:
        print(PROMPT, end="", flush=True, file=self._console.file)

    def _quit(self) -> None:
        self._is_over = True

    def _show_nodes(self) -> None:
        table = Table("node", "role", "interface", "address")
        roles = {node.name: node.role for node in self._lab.plan.nodes}
        for link in self._lab.plan.links:
            addresses = "\n".join(filter(None, (link.ipv4, link.ipv6)))
            table.add_row(link.node, roles[link.node], link.interface, addresses)
        self._console.print(table)

    def _show_help(self) -> None:
        # Not wrapped, so that a long path can be copied.
        self._console.print(self._help, highlight=False, soft_wrap=True)

    def _shell(self, node: str) -> list[str]:
        names = [known.name for known in self._lab.plan.nodes]
        if node not in names:
            raise UsageError(f"there is no node {node!r}; there are: {', '.join(names)}")
        return self._lab.shell(node)

    def _enter(self, node: str) -> None:
        """Open a shell here, while the lab is listened to as before."""
        argv = self._shell(node)
        # Ctrl-C belongs to the shell now. A handler, unlike SIG_IGN, does not reach the child.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            with subprocess.Popen(argv) as shell:
                self._wait_for(shell)
        finally:
            _take_terminal_back()
            signal.signal(signal.SIGINT, before)

    def _wait_for(self, shell: subprocess.Popen[bytes]) -> None:
        ended = _Descriptor(os.pidfd_open(shell.pid))
        gone: list[_Descriptor] = []
        loop = self._lab.loop
        loop.watch(ended, lambda: gone.append(ended))
        # The keyboard is the shell's meanwhile.
        if self._is_watching:
            loop.unwatch(sys.stdin)
        try:
            while not gone:
                loop.pump(_LONG_S)
        finally:
            if self._is_watching:
                loop.watch(sys.stdin, self._read)
            loop.unwatch(ended)
            os.close(ended.fileno())


def _program() -> str:
    """Return what to type for `joinlab`: the set-up of the checkout puts it into no folder of the PATH."""
    script = Path(sys.executable).with_name("joinlab")
    found = shutil.which("joinlab")
    if (found is not None and Path(found) == script) or not script.exists():
        return "joinlab"
    return str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)


class _Descriptor:
    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number


def _take_terminal_back() -> None:
    """Be the terminal's foreground again; a shell in a PID namespace of its own can't give it back, not seeing us."""
    if not sys.stdin.isatty():
        return
    # A process of the background that changes this is stopped by SIGTTOU.
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(sys.stdin.fileno(), os.getpgrp())
    finally:
        signal.signal(signal.SIGTTOU, before)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn the signals that end a process into KeyboardInterrupt, so that the lab is taken down."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {ending: signal.signal(ending, interrupt) for ending in _ENDINGS}
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
