"""`joinlab doctor` on this machine, whatever it has: each way must give an answer, and nothing may be left."""

import os
import select

import pytest

from joinlab import doctor
from joinlab.doctor import State
from joinlab.engine import engine_problem
from joinlab.launchers import LAUNCHERS


@pytest.fixture(scope="module")
def findings() -> dict[str, doctor.Finding]:
    """Return what was found, by subject."""
    return {finding.subject: finding for finding in doctor.examine()}


def test_everything_is_looked_at(findings: dict[str, doctor.Finding]) -> None:
    subjects = {doctor.PYTHON, doctor.VENV, doctor.ROOT, doctor.USERNS, doctor.ENGINE, doctor.NETEM, doctor.FILTER}
    subjects |= {doctor.MEMBERSHIPS, doctor.NSENTER, doctor.TSHARK, doctor.RUNTIME_NETNS, doctor.RUNTIME_DOCKER}
    assert subjects <= findings.keys()


def test_what_is_missing_has_its_cure(findings: dict[str, doctor.Finding]) -> None:
    concluded = (doctor.RUNTIME_NETNS, doctor.RUNTIME_DOCKER)
    for finding in findings.values():
        if finding.state is State.MISSING and finding.subject not in concluded:
            assert finding.cure, finding


def test_root_is_told_from_an_ordinary_user(findings: dict[str, doctor.Finding]) -> None:
    assert (findings[doctor.ROOT].state is State.GOOD) == (os.geteuid() == 0)


def test_engine_is_good_exactly_when_it_answers(findings: dict[str, doctor.Finding]) -> None:
    assert (findings[doctor.ENGINE].state is State.GOOD) == (engine_problem() is None)


def test_refused_launcher_is_a_note_with_reason_and_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from joinlab import launchers

    refusing = [replace(launcher, problem=lambda: "switched off: switch it on") for launcher in LAUNCHERS]
    monkeypatch.setattr(launchers, "LAUNCHERS", tuple(refusing))
    found = {finding.subject: finding for finding in doctor.examine()}
    assert found[doctor.USERNS] == doctor.Finding(doctor.USERNS, State.NOTE, "switched off", "switch it on")
    assert found[doctor.RUNTIME_NETNS].state is State.MISSING


def test_engine_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///none.sock")
    found = {finding.subject: finding for finding in doctor.examine()}
    assert found[doctor.ENGINE].text == "no Docker engine at /none.sock"
    assert found[doctor.ENGINE].cure.startswith("apt-get install docker.io")
    assert found[doctor.RUNTIME_DOCKER].state is State.MISSING


def test_question_that_the_kernel_does_not_answer_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ANSWER_WITHIN_S", 0.05)
    assert doctor._in_scratch_namespace(lambda: bool(select.poll().poll())) is None
