"""Marks tell a process from a later one with its number."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from joinlab.marks import ProcessMark, this_process


def test_a_mark_reads_back_as_written() -> None:
    mark = this_process()
    assert ProcessMark.parse(str(mark)) == mark


@pytest.mark.parametrize("text", ["", "a/b/c/d", "boot/1/2", "boot/1/2/3/4"])
def test_what_is_no_mark_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (its text is for nobody; callers skip what is no mark)
        ProcessMark.parse(text)


def test_a_living_process_is_not_gone() -> None:
    assert not this_process().is_gone


def test_a_later_process_with_the_same_number_is_another() -> None:
    assert replace(this_process(), started=1).is_gone


@pytest.mark.parametrize("change", [{"boot": "another"}, {"namespace": 1}])
def test_a_process_of_elsewhere_is_never_called_gone(change: dict[str, object]) -> None:
    elsewhere = replace(this_process(), started=1, **change)  # type: ignore[arg-type]
    assert not elsewhere.is_gone


def test_a_process_that_ended_is_gone_before_it_is_reaped() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = ProcessMark.of(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert mark.is_gone
    child.communicate()
    assert mark.is_gone
