"""How one terminal finds the lab that another holds open."""

import threading
from collections.abc import Iterator

import pytest

from joinlab import rendezvous
from joinlab.errors import UsageError
from joinlab.loop import Loop
from joinlab_agent.channel import Message


def answer(request: Message) -> str:
    """Answer as a held lab does."""
    if request["node"] == "nobody":
        raise UsageError("there is no node 'nobody'")
    return f"enter {request['node']}"


@pytest.fixture
def listener() -> Iterator[rendezvous.Listener]:
    """Return a listener whose loop is pumped by a thread; the one that asks blocks, as in a process of its own."""
    loop, over = Loop(), threading.Event()
    listener = rendezvous.Listener(loop, "unit-test", {"shell": answer})

    def pump() -> None:
        while not over.is_set():
            loop.pump(0.02)

    thread = threading.Thread(target=pump)
    thread.start()
    yield listener
    over.set()
    thread.join()
    listener.close()
    loop.close()


@pytest.mark.usefixtures("listener")
def test_held_lab_is_found_and_answers() -> None:
    assert "unit-test" in rendezvous.runs()
    assert rendezvous.ask("unit-test", "shell", node="leaf1") == "enter leaf1"


@pytest.mark.usefixtures("listener")
def test_refusal_reaches_the_one_who_asked() -> None:
    with pytest.raises(UsageError, match="there is no node 'nobody'"):
        rendezvous.ask("unit-test", "shell", node="nobody")


def test_lab_that_is_gone_is_not_found() -> None:
    loop = Loop()
    listener = rendezvous.Listener(loop, "short", {})
    assert "short" in rendezvous.runs()
    listener.close()
    loop.close()
    assert "short" not in rendezvous.runs()
    with pytest.raises(UsageError, match="no lab 'short'"):
        rendezvous.ask("short", "shell", node="leaf1")
