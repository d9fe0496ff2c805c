"""The Makefile as a stranger meets it: what it lists, and one clear line for each mistake, before any long work."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

if shutil.which("make") is None:
    pytest.skip("make is not there: apt-get install make", allow_module_level=True)


def make(*arguments: str, folder: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    """Type make; what an outer make hands down is taken away."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Return a fresh checkout without .venv, as far as the set-up looks at it."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, tmp_path)
    for name in (".ci", "topologies"):
        shutil.copytree(CHECKOUT / name, tmp_path / name)
    return tmp_path


def python(folder: Path, script: str) -> str:
    """Return a stand-in for a Python that this machine does not have."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


def test_make_alone_lists_each_target_that_has_a_comment() -> None:
    done = make()
    targets = [
        line.split(":")[0]
        for line in (CHECKOUT / "Makefile").read_text().splitlines()
        if ": " in line and "## " in line
    ]
    assert done.returncode == 0
    assert {"test", "setup", "check", "image", "bench", "doctor", "clean"} <= set(targets)
    for target in targets:
        assert f"  {target} " in done.stdout


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("topology=stra", "topology=stra: there is no such topology; there are: dual star"),
        ("topology=./none.yaml", "topology=./none.yaml: there is no such file"),
        ("leaves=0", "leaves=0: expected 1 to 1022"),
        ("leaves=-1", "leaves=-1: expected 1 to 1022"),
        ("leaves=5000", "leaves=5000: expected 1 to 1022"),
        ("leaves=four", "leaves=four: expected 1 to 1022"),
        ("runtime=foo", "runtime=foo: expected auto, docker or netns"),
    ],
)
def test_wrong_option_is_told_in_a_line_before_the_set_up(fresh: Path, option: str, said: str) -> None:
    begun = time.monotonic()
    done = make("test", option, folder=fresh)
    assert time.monotonic() - begun < 5  # 0.05 s on a quiet machine; a set-up takes 20 s
    assert (done.returncode, done.stdout) == (2, "")
    line, of_make = done.stderr.splitlines()
    assert line == said
    assert of_make.startswith("make: ***")
    assert not (fresh / ".venv").exists()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            'case "$2" in *platform*) echo 3.10.4;; *) exit 1;; esac',
            "is Python 3.10.4, but joinlab needs 3.11 or newer",
        ),
        (
            'case "$2" in *ensurepip*) exit 1;; *platform*) echo 3.11.2;; esac',
            "has no ensurepip: apt-get install python3-venv",
        ),
        ("exit 127", "does not run"),
    ],
)
def test_python_that_does_not_do_is_told_in_a_line(fresh: Path, script: str, said: str) -> None:
    done = make("setup", f"PYTHON={python(fresh, script)}", folder=fresh)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[0]
    assert not (fresh / ".venv").exists()


def test_python_that_is_not_there_is_told_with_its_package(fresh: Path) -> None:
    done = make("setup", "PYTHON=python9", folder=fresh)
    assert done.stderr.splitlines()[0] == "python9 is not there: apt-get install python3 python3-venv"


def test_set_up_that_failed_is_begun_again(fresh: Path) -> None:
    (fresh / "pyproject.toml").write_text("not toml [")
    for _ in range(2):
        done = make("setup", "PYTHON=python3", folder=fresh)
        assert done.returncode == 2
        assert "the set-up failed" in done.stderr
        assert not (fresh / ".venv" / ".ready").exists()


@pytest.mark.parametrize(
    ("made_in", "lost", "is_kept"),
    [("here", None, True), ("elsewhere", None, False), ("here", "python", False), ("here", "pytest", False)],
)
def test_environment_that_does_not_work_is_made_anew(
    fresh: Path, made_in: str, lost: str | None, is_kept: bool
) -> None:
    (fresh / ".venv" / "bin").mkdir(parents=True)
    for program in ("python", "pytest"):
        (fresh / ".venv" / "bin" / program).symlink_to("/nowhere" if program == lost else "/bin/sh")
    (fresh / ".venv" / ".ready").write_text(f"{fresh if made_in == 'here' else made_in}\n")
    done = make("--dry-run", "setup", folder=fresh)
    assert done.returncode == 0, done.stderr
    assert (".ci/make-venv" not in done.stdout) == is_kept


def test_distclean_needs_no_set_up(fresh: Path) -> None:
    done = make("--dry-run", "distclean", folder=fresh)
    assert done.returncode == 0
    assert ".ci/make-venv" not in done.stdout
    assert "rm -rf .venv build" in done.stdout


def test_clean_removes_no_file_of_the_checkout() -> None:
    assert "rm " not in make("--dry-run", "clean").stdout
