"""One pytest run that has a topology: options checked, labs kept, failures given their evidence.

May not know: fixtures and their order (``plugin.py`` does).
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from joinlab.artefacts import write_artefacts
from joinlab.errors import ExpectationFailed, UnfitMachine, UsageError
from joinlab.lab import Lab
from joinlab.labs import Labs
from joinlab.plan import LabPlan
from joinlab.planning import plan
from joinlab.runtimes import Choice, choose
from joinlab.story import tell
from joinlab.topology import Overrides, load
from joinlab.trace import Moment

# An attribute of reports; it travels from a worker to where the run is shown.
REASON = "joinlab_has_no_lab"
# No test after this one could do better.
CANNOT_GO_ON = "joinlab can't run the lab here: the error above says why"
SECTION = "joinlab"

# What a test may need, and how a plan is asked for it: the sentence that says what is missing, or None.
_NEEDS: Mapping[str, Callable[[LabPlan, Any], str | None]] = {
    "leaves": lambda lab_plan, count: _missing_leaves(lab_plan, count),
    "ipv6": lambda lab_plan, _: _missing_ipv6(lab_plan),
}


class Session:
    """The topology of a run, and its labs."""

    def __init__(self, config: pytest.Config, lab_plan: LabPlan, choice: Choice) -> None:
        self._config = config
        self._plan = lab_plan
        self._choice = choice
        self._labs = Labs(self._plan_for, self._start)
        self._told: set[str] = set()
        self._no_lab: str | None = None
        self._first_to_tell: dict[str, str] = {}

    @property
    def headline(self) -> str:
        """Return the line that says what the tests run on."""
        leaves = _leaves(self._plan)
        kinds = f"{len(self._plan.nodes) - leaves} root and {leaves} {'leaf' if leaves == 1 else 'leaves'}"
        return f"topology {self._plan.name} ({kinds}), runtime {self._choice.name} ({self._choice.why})"

    def missing(self, needs: Mapping[str, Any]) -> str | None:
        """Say what the topology lacks and where it can be had; None: nothing."""
        for name, value in needs.items():
            if name not in _NEEDS:
                pytest.fail(f"needs({name}=...): expected one of {', '.join(_NEEDS)}", pytrace=False)
            if (lacking := _NEEDS[name](self._plan, value)) is not None:
                return f"topology {self._plan.name} {lacking}"
        return None

    def prepare(self) -> None:
        """Make the node image, if the labs need one that is not there. Raises UnfitMachine, LabBroken."""
        if self._choice.name != "docker":
            return
        from joinlab.engine import engine, engine_errors
        from joinlab.image import ensure_image

        with engine_errors(), engine() as client:
            ensure_image(client, self._write_progress)

    def lab(self, igmp: int | None, run: pytest.Session) -> Lab:
        """Return a running lab, to be settled before use. A machine that can't run it ends the run."""
        try:
            return self._labs.get(igmp)
        except (UnfitMachine, UsageError) as error:
            run.shouldfail = CANNOT_GO_ON
            self._no_lab = "\n".join(error.lines)
            raise pytest.fail.Exception(self._no_lab, pytrace=False) from None

    def mark(self, failure: pytest.TestReport) -> None:
        """Mark the report of a test that was given no lab, for ``is_told_already``."""
        if self._no_lab is not None:
            setattr(failure, REASON, self._no_lab)

    def is_told_already(self, report: pytest.TestReport) -> bool:
        """Tell whether another worker of pytest-xdist could not start its lab for the same reason."""
        reason = getattr(report, REASON, None)
        return reason is not None and self._first_to_tell.setdefault(reason, report.nodeid) != report.nodeid

    @property
    def running(self) -> tuple[Lab, ...]:
        """Return the labs that run."""
        return self._labs.running

    def leave(self, lab: Lab, test: str) -> None:
        """End the apps of a test."""
        self._labs.leave(lab, test)

    def settle(self, lab: Lab) -> None:
        """Wait until nothing is left of the test before. A lab that does not come to rest is not used again."""
        self._labs.settle(lab)

    def close(self) -> None:
        """Take the labs down."""
        self._labs.close()

    def add_evidence(
        self, report: pytest.TestReport, lab: Lab, since: Moment, error: pytest.ExceptionInfo[BaseException] | None
    ) -> None:
        """Write the artefacts and name them in the report, with the Trace if the failure does not show it itself."""
        if lab.is_whole:
            lab.capture.catch_up()
        directory = self._config.rootpath / "build" / "joinlab" / _file_name(report.nodeid)
        files = [*write_artefacts(directory, lab.trace, lab.plan), *_write_logs(directory, lab)]
        lines = [f"{file.name:<16} {_relative(file)}" for file in files]
        if error is None or not error.errisinstance(ExpectationFailed):
            lines += ["", "the Trace of this test:", *tell(lab.trace.records(since), since.ns)]
        report.sections.append((SECTION, "\n".join(lines)))

    def hold(self, lab: Lab, test: str, failure: str) -> None:
        """Hold the lab of a failed test open at a prompt, if that was asked for and the lab is still there."""
        if not self._config.getoption("keep_lab") or not lab.is_open:
            return
        from rich.console import Console

        from joinlab.interactive import Prompt

        if capture := self._config.pluginmanager.getplugin("capturemanager"):
            # As for --pdb; pytest itself takes it up again.
            capture.suspend_global_capture(in_=True)
        print(f"\n\n{test} has failed, and its lab is held open.\n\n{failure}\n")
        with contextlib.suppress(KeyboardInterrupt):
            run = f"{lab.plan.name}-{lab.run_id}"
            Prompt(lab, run, Console(highlight=False), at_the_end="go on with the tests").hold()

    def _plan_for(self, igmp: int | None) -> LabPlan:
        return _plan(self._config, igmp)

    def _start(self, lab_plan: LabPlan) -> Lab:
        lab = Lab(lab_plan, self._choice, launcher=self._config.getoption("launcher"), announce=self._write_progress)
        lab.start()
        return lab

    def _write_progress(self, line: str) -> None:
        """Tell the person at the terminal, once; a worker of pytest-xdist has none."""
        plugins = self._config.pluginmanager
        reporter, capture = plugins.getplugin("terminalreporter"), plugins.getplugin("capturemanager")
        if reporter is None or capture is None or line in self._told or self._config.getoption("verbose") < 0:
            return
        self._told.add(line)
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"joinlab: {line}")


def open_session(config: pytest.Config) -> Session:
    """Check the options of a run. Raises UsageError, UnfitMachine."""
    if config.getoption("keep_lab") and config.getoption("numprocesses", None):
        raise UsageError("--keep-lab needs the terminal: leave out -n")
    return Session(config, _plan(config, None), choose(config.getoption("runtime")))


def _plan(config: pytest.Config, igmp: int | None) -> LabPlan:
    return plan(load(config.getoption("topology"), Overrides(leaves=config.getoption("leaves"), igmp=igmp)))


def _leaves(lab_plan: LabPlan) -> int:
    return sum(node.role == "leaf" for node in lab_plan.nodes)


def _missing_leaves(lab_plan: LabPlan, count: int) -> str | None:
    there = _leaves(lab_plan)
    return None if there >= count else f"has {there} leaves, and the test needs {count}: run with --leaves={count}"


def _missing_ipv6(lab_plan: LabPlan) -> str | None:
    without = ", ".join(bridge.name for bridge in lab_plan.bridges if bridge.ipv6 is None)
    return f"has no ipv6 network on {without}, and the test needs it: topology dual has one" if without else None


def _write_logs(directory: Path, lab: Lab) -> Iterator[Path]:
    for node in lab.nodes.values():
        if node.log:
            file = directory / f"{node.name}.log"
            file.write_text("".join(node.log))
            yield file


def _file_name(nodeid: str) -> str:
    return re.sub(r"[^\w.-]+", "-", nodeid.removeprefix("tests/")).strip("-")


def _relative(file: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(file.relative_to(Path.cwd()))
    return str(file)
