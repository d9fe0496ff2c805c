"""The agent: pid 1 of a node. It forks apps, runs commands, reaps, and ends when its channel closes.

The kernel ends everything else in the node with pid 1: that is how a node is taken down. One thread and one
selector, so a fork is safe at any moment; that is why an app costs no more than a fork.

May not know: sockets of the stack (``app.py`` does), labs, networks.
"""

import contextlib
import os
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from joinlab_agent import app
from joinlab_agent.channel import Channel, ChannelClosed, Message
from joinlab_agent.command import Command
from joinlab_agent.process import become_child_of_agent, watch_children

LOG_READ_SIZE = 64 * 1024

# What a verb gives: a value and descriptors to hand over. None: the reply comes later.
Answer = tuple[Any, tuple[int, ...]]


class Stopped(Exception):
    """The node is to end."""


class Refused(Exception):
    """A request can't be done; the text goes to the harness."""


def main(channel: Channel) -> NoReturn:
    """Serve the node until the channel closes, then end the process, and with it the node."""
    status = 0
    try:
        Agent(channel).serve()
    except (ChannelClosed, Stopped):
        pass
    except BaseException:
        traceback.print_exc()
        status = 1
    # Not sys.exit: after a fork from the keeper, its clean-up is none of ours.
    os._exit(status)


class Agent:
    """The requests of one channel, the children, and what they print."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._apps: dict[int, str] = {}
        self._commands: dict[int, Command] = {}
        self._verbs: dict[str, Callable[..., Answer | None]] = {
            "app": self._app,
            "run": self._run,
            "kill": self._kill,
            "stop": self._stop,
        }
        self._log, self._log_end = os.pipe()
        os.set_blocking(self._log, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ, self._take_requests)
        self._selector.register(self._log, selectors.EVENT_READ, self._pass_log_on)
        self._children = watch_children()
        self._selector.register(self._children, selectors.EVENT_READ, self._reap)

    def serve(self) -> NoReturn:
        """Serve until ChannelClosed or Stopped is raised."""
        while True:
            for key, _ in self._selector.select(self._seconds_to_deadline()):
                # One that was ready may have been closed by another of this round.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            self._kill_overdue_commands()

    def _take_requests(self) -> None:
        for body, descriptors in self._channel.take():
            for descriptor in descriptors:
                os.close(descriptor)
            self._answer(body)

    def _answer(self, body: Message) -> None:
        number, verb = body.pop("id"), body.pop("do")
        try:
            answer = self._do(number, verb, body)
        except Stopped:
            raise
        except Exception as error:  # a bad request must not end a node; the harness raises it
            self._channel.send({"re": number, "error": {"type": type(error).__name__, "text": str(error)}})
            return
        if answer is not None:
            value, descriptors = answer
            self._channel.send({"re": number, "value": value}, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)

    def _do(self, number: int, verb: str, arguments: Message) -> Answer | None:
        if verb not in self._verbs:
            raise Refused(f"an agent has no verb {verb!r}; it has {', '.join(self._verbs)}")
        return self._verbs[verb](number, **arguments)

    # Verbs. The first argument is the request's number, for replies that come later.

    def _app(self, _: int, name: str) -> Answer:
        if name in self._apps.values():
            raise Refused(f"an app named {name!r} runs already")
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            become_child_of_agent(keep=ours.fileno(), output=self._log_end)
            app.main(Channel(ours))
        ours.close()
        self._apps[pid] = name
        return {"pid": pid}, (theirs.detach(),)

    def _run(self, number: int, argv: list[str], timeout_s: float | None = None, name: str = "") -> None:
        command = Command(number, argv, timeout_s, name)
        self._commands[command.pid] = command
        for pipe in command.pipes:
            self._selector.register(pipe, selectors.EVENT_READ, lambda pipe=pipe: self._read_output(command, pipe))

    def _kill(self, _: int, app: str, signal: int) -> Answer:
        # A command leads a process group, so what it started gets the signal too: a process group is a negative pid.
        commands = {-pid: command.name for pid, command in self._commands.items() if command.name}
        running = self._apps | commands
        for pid, name in running.items():
            if name == app:
                os.kill(pid, signal)
                return None, ()
        raise Refused(f"no {app!r} runs in this node; there are: {', '.join(running.values()) or 'none'}")

    def _stop(self, _: int) -> Answer:
        raise Stopped

    # Children.

    def _reap(self) -> None:
        os.read(self._children, LOG_READ_SIZE)
        while (ended := _next_ended_child()) is not None:
            self._ended(*ended)

    def _ended(self, pid: int, status: int) -> None:
        if (name := self._apps.pop(pid, None)) is not None:
            self._pass_log_on()
            self._channel.send({"record": "ended", "ns": time.time_ns(), "app": name, "pid": pid, "status": status})
        elif (command := self._commands.pop(pid, None)) is not None:
            for pipe in command.pipes:
                self._selector.unregister(pipe)
            self._channel.send({"re": command.number, "value": command.result(status)})

    def _read_output(self, command: Command, pipe: int) -> None:
        if not command.read(pipe):
            self._selector.unregister(pipe)

    def _pass_log_on(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while text := os.read(self._log, LOG_READ_SIZE):
                self._channel.send({"record": "log", "ns": time.time_ns(), "text": text.decode(errors="replace")})

    # Deadlines of commands.

    def _seconds_to_deadline(self) -> float | None:
        deadlines = [command.deadline for command in self._commands.values() if command.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _kill_overdue_commands(self) -> None:
        for command in self._commands.values():
            if command.deadline is not None and command.deadline <= time.monotonic():
                command.deadline = None
                os.killpg(command.pid, signal.SIGKILL)


def _next_ended_child() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None
