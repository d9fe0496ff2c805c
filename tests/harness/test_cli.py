"""`joinlab up` and `joinlab shell` on a real lab: every way to end it takes everything down."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

JOINLAB = str(Path(sys.executable).with_name("joinlab"))
PROMPT = b"joinlab> "
PATIENCE_S = 20.0


class HeldLab:
    """A `joinlab up` in a terminal of its own."""

    def __init__(self) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            # What a shell starts in the background has it ignored, tests included, and hands that on.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execv(JOINLAB, [JOINLAB, "up", "star", "--runtime", "netns", "--leaves", "2"])
        self.said = b""
        self.read_until(PROMPT)
        # All that must be gone when the lab is: keeper, nodes and what they run.
        self.descendants = [os.pidfd_open(pid) for pid in descendants(self.pid)]
        assert self.descendants

    def type(self, text: bytes) -> None:
        """Type on the keyboard."""
        os.write(self._terminal, text)

    def read_until(self, wanted: bytes) -> None:
        """Read the screen until ``wanted`` stands there; what came before is forgotten next time."""
        self.said = b""
        deadline = time.monotonic() + PATIENCE_S
        while wanted not in self.said:
            ready, _, _ = select.select([self._terminal], [], [], deadline - time.monotonic())
            assert ready, f"waited for {wanted!r}, the screen shows {self.said!r}"
            self.said += os.read(self._terminal, 65536)

    def wait(self) -> int:
        """Return the exit code once the lab and all that belonged to it are gone."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        for descendant in self.descendants:
            gone, _, _ = select.select([descendant], [], [], 5)
            assert gone, "a process of the lab is left"
        return code

    def close(self) -> None:
        """Let go of everything, whatever the test has done."""
        for descendant in self.descendants:
            os.close(descendant)
        os.close(self._terminal)


def descendants(pid: int) -> Iterator[int]:
    """Yield the children of a process, and theirs."""
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        yield child
        yield from descendants(child)


@pytest.fixture
def held() -> Iterator[HeldLab]:
    """Return a lab held open at its prompt."""
    lab = HeldLab()
    yield lab
    lab.close()


def shell(node: str, program: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Type a program into `joinlab shell`, in another terminal."""
    return subprocess.run(
        [JOINLAB, "shell", node], input=program, capture_output=True, text=True, timeout=PATIENCE_S, cwd=folder
    )


# (what it is, how it is done, the exit code)
ENDINGS: list[tuple[str, Callable[[HeldLab], None], int]] = [
    ("quit", lambda lab: lab.type(b"quit\n"), 0),
    ("Ctrl-D", lambda lab: lab.type(b"\x04"), 0),
    ("Ctrl-C", lambda lab: lab.type(b"\x03"), 130),
    ("SIGTERM", lambda lab: os.kill(lab.pid, signal.SIGTERM), 130),
    ("SIGKILL", lambda lab: os.kill(lab.pid, signal.SIGKILL), -signal.SIGKILL),
]


@pytest.mark.parametrize(("end", "code"), [ending[1:] for ending in ENDINGS], ids=[ending[0] for ending in ENDINGS])
def test_each_way_to_end_leaves_nothing(held: HeldLab, end: Callable[[HeldLab], None], code: int) -> None:
    end(held)
    assert held.wait() == code


def test_node_is_entered_from_another_terminal(held: HeldLab) -> None:
    done = shell("leaf2", "hostname; ip -brief address show dev eth0\n")
    assert done.stdout.split()[0] == "leaf2"
    assert "10.77.0.3/16" in done.stdout
    held.type(b"quit\n")
    assert held.wait() == 0


def test_shell_begins_where_one_is(held: HeldLab, tmp_path: Path) -> None:
    folder = tmp_path / "a folder with 'signs'"
    folder.mkdir()
    assert shell("leaf1", "pwd\n", folder).stdout == f"{folder}\n"
    held.type(b"leaf1\n")
    held.type(b'[ . -ef "%b" ] && echo same-$((40 + 2))\n' % str(Path.cwd()).encode())
    held.read_until(b"same-42")


def test_unknown_node_is_refused_with_the_names_there_are(held: HeldLab) -> None:
    done = shell("leaf3", "")
    assert done.returncode == 2
    assert done.stderr == "joinlab: there is no node 'leaf3'; there are: root, leaf1, leaf2\n"
    held.type(b"leaf3\n")
    held.read_until(PROMPT)
    assert b"there is no node 'leaf3'" in held.said


def test_node_is_entered_at_the_prompt_and_left_again(held: HeldLab) -> None:
    held.type(b"leaf1\n")
    # Asked by arithmetic, so that the echo of what is typed is not taken for the answer.
    held.type(b"echo $(hostname)-$((40 + 2))\n")
    held.read_until(b"leaf1-42")
    held.type(b"exit\n")
    held.read_until(PROMPT)
    held.type(b"nodes\n")
    held.read_until(b"10.77.0.3/16")
    held.type(b"quit\n")
    assert held.wait() == 0


def test_ctrl_c_in_a_shell_at_the_prompt_does_not_end_the_lab(held: HeldLab) -> None:
    held.type(b"leaf1\n")
    held.type(b"echo up-$((40 + 2)); sleep 100\n")
    held.read_until(b"up-42")
    held.type(b"\x03")
    # What is typed before the terminal has taken the Ctrl-C is thrown away with it.
    held.read_until(b"^C")
    held.type(b"echo still-$((40 + 2))\n")
    held.read_until(b"still-42")
    held.type(b"exit\n")
    held.read_until(PROMPT)
    held.type(b"quit\n")
    assert held.wait() == 0


def test_end_of_the_input_ends_the_lab_that_said_how_to_enter_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [JOINLAB, "up", "star", "--runtime", "netns", "--leaves", "1"],
        cwd=tmp_path,
        env=os.environ | {"PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert f"in another terminal: {JOINLAB} shell NODE\n" in done.stdout


def test_shell_without_a_lab_says_how_to_start_one() -> None:
    done = shell("leaf1", "")
    assert done.returncode == 2
    assert done.stderr.startswith("joinlab: no lab is held open: joinlab up TOPOLOGY")


def test_shell_with_two_labs_asks_which(held: HeldLab) -> None:
    other = HeldLab()
    done = shell("leaf1", "")
    assert done.returncode == 2
    assert f"--lab star-{min(held.pid, other.pid)}|star-{max(held.pid, other.pid)}" in done.stderr
    argv = [JOINLAB, "shell", "leaf1", "--lab", f"star-{other.pid}"]
    assert (
        subprocess.run(argv, input="hostname\n", capture_output=True, text=True, timeout=PATIENCE_S).stdout == "leaf1\n"
    )
    other.type(b"quit\n")
    assert other.wait() == 0
    other.close()
