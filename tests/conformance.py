"""Runs the stack's tests and writes the table: requirement, statement, tests, result.

    python tests/conformance.py [--allow-missing] [paths and options of pytest]

A test names what it proves with ``@pytest.mark.requirement("EV-17", ...)``; what there is to prove stands in
docs/requirements.md. Without paths, tests/unit and tests/stack are run. Fails if a test fails, names an id that is not
there, or, without --allow-missing, if an id has no test that passed.
"""

import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REQUIREMENTS = HERE.parent / "docs" / "requirements.md"
TABLE = HERE.parent / "build" / "conformance.md"
PATHS = ("tests/unit", "tests/stack")
ROW = re.compile(r"^\| ([A-Z]{1,2}-\d+) \| (.+?) \| ", re.MULTILINE)
# Decisions (D-01) are reasons, not requirements: a test may name them, none has to.
AREAS = ("SU", "SK", "JL", "AC", "EV", "QS", "CL", "IO", "DP", "DI")


# A test's report says so what the test proves.
PROVES = "proves"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have reports say what their tests prove: they come from other processes too, if there are any (-n)."""
    for item in items:
        for marker in item.iter_markers("requirement"):
            item.user_properties += [(PROVES, requirement) for requirement in marker.args]


@dataclass
class Proofs:
    """A pytest plugin that notes which tests name which requirements, and how they ended."""

    tests: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    outcomes: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what the test proves, and how it ended; what went wrong in any of its phases counts."""
        for name, requirement in report.user_properties:
            if name == PROVES:
                self.tests[str(requirement)].add(report.nodeid)
        if report.when == "call" or not report.passed:
            self.outcomes[report.nodeid] = report.outcome

    def result(self, requirement: str) -> str:
        """Return how the requirement stands: failed, passed, skipped or no test."""
        outcomes = {self.outcomes[test] for test in self.tests.get(requirement, ()) if test in self.outcomes}
        return next((word for word in ("failed", "passed", "skipped") if word in outcomes), "no test")


def rows() -> dict[str, str]:
    """Return the statements of all requirements and decisions by id."""
    return dict(ROW.findall(REQUIREMENTS.read_text()))


def table(wanted: dict[str, str], proofs: Proofs) -> str:
    """Return the table as Markdown."""
    lines = [
        "# Which requirement is proved by which tests",
        "",
        "| id | statement | result | tests |",
        "|---|---|---|---|",
    ]
    for identifier, statement in wanted.items():
        names = sorted({test.partition("[")[0].rpartition("/")[2] for test in proofs.tests.get(identifier, ())})
        lines.append(f"| {identifier} | {statement} | {proofs.result(identifier)} | {'<br>'.join(names)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Run the tests, write the table, say what is missing."""
    may_miss = "--allow-missing" in arguments
    options = [argument for argument in arguments if argument != "--allow-missing"]
    proofs, known = Proofs(), rows()
    wanted = {identifier: statement for identifier, statement in known.items() if identifier.startswith(AREAS)}
    are_paths = [Path(option.partition("::")[0]).exists() for option in options]
    # This file is a plugin too, which xdist's workers load as we do.
    plugin = ("-p", Path(__file__).stem)
    failed = pytest.main([*plugin, *options, *(() if any(are_paths) else PATHS), "-q"], plugins=[proofs])
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(wanted, proofs))
    unknown = sorted(set(proofs.tests) - set(known))
    missing = [identifier for identifier in wanted if proofs.result(identifier) != "passed"]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} requirements are proved; the table is {TABLE.name} in build/")
    if unknown:
        print("no such requirement:", *unknown)
    if missing and not may_miss:
        print("not proved:", *missing)
    return 1 if failed or unknown or (missing and not may_miss) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
