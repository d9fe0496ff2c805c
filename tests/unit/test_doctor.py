"""What `joinlab doctor` makes of what it finds. That it finds what is there is tested with the harness."""

import io

from rich.console import Console

from joinlab.doctor import (
    ENGINE,
    ROOT,
    RUNTIME_DOCKER,
    RUNTIME_NETNS,
    USERNS,
    Finding,
    State,
    can_run,
    runtimes,
    show,
)


def found(*good: str) -> dict[str, State]:
    findings = [Finding(subject, State.GOOD, "") for subject in good]
    return {finding.subject: finding.state for finding in runtimes(findings)}


def test_netns_needs_root_or_user_namespaces() -> None:
    assert found(ROOT)[RUNTIME_NETNS] is State.GOOD
    assert found(USERNS)[RUNTIME_NETNS] is State.GOOD
    assert found(ENGINE)[RUNTIME_NETNS] is State.MISSING


def test_docker_needs_an_engine_only() -> None:
    assert found(ENGINE)[RUNTIME_DOCKER] is State.GOOD
    assert found(ROOT, USERNS)[RUNTIME_DOCKER] is State.MISSING


def test_one_runtime_is_enough() -> None:
    assert can_run([Finding(RUNTIME_NETNS, State.GOOD, ""), Finding(RUNTIME_DOCKER, State.MISSING, "")])
    assert not can_run([Finding(ROOT, State.GOOD, ""), Finding(RUNTIME_DOCKER, State.MISSING, "")])


def test_cure_stands_below_what_is_missing() -> None:
    console = Console(file=io.StringIO(), width=100)
    show([Finding("thing", State.MISSING, "not [there]", "apt-get install thing")], console)
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    assert lines == ["missing  thing  not [there]", "→ apt-get install thing"]
