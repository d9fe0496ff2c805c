"""The command line as far as it needs no lab: one clear line for each mistake, and its exit code."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from joinlab.installation import PACKAGES

JOINLAB = Path(sys.executable).with_name("joinlab")


def joinlab(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command with nobody at the keyboard."""
    return subprocess.run(
        [JOINLAB, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, cwd=folder
    )


def test_help_lists_the_commands() -> None:
    said = joinlab("--help").stdout
    for command in ("up", "shell", "topologies", "check", "schema", "doctor", "image", "clean"):
        assert f" {command} " in said


def test_help_imports_nothing_slow() -> None:
    program = "import joinlab.commands, sys; print({'pydantic', 'docker', 'scapy', 'pyroute2'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "set()"


def test_missing_package_is_one_line_and_exit_code_3() -> None:
    program = "from joinlab import cli, installation; installation.PACKAGES += ('pyroute3',); cli.main()"
    done = subprocess.run([sys.executable, "-c", program, "doctor"], capture_output=True, text=True)
    said = f"joinlab: Python packages are missing (pyroute3): {sys.executable} -m pip install pyroute3\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", said)


def test_package_that_lacks_a_part_is_one_line() -> None:
    program = "import sys; sys.modules['pydantic_core'] = None; from joinlab import cli; cli.main()"
    done = subprocess.run([sys.executable, "-c", program, "schema"], capture_output=True, text=True)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "pydantic_core" in line
    assert line.endswith("-m pip check tells what")


def test_packages_looked_for_are_the_dependencies() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert [dependency.partition(">=")[0] for dependency in project["dependencies"]] == list(PACKAGES)


def test_topologies_lists_star() -> None:
    assert "star" in joinlab("topologies").stdout


def test_check_says_what_a_topology_describes() -> None:
    assert "star, nodes: 17, links: 17, bridges: 1" in joinlab("check", "star", "--leaves", "16").stdout


def test_schema_is_printed() -> None:
    assert joinlab("schema").stdout == (Path(__file__).parents[2] / "topologies" / "schema.json").read_text()


@pytest.mark.parametrize("command", ["check", "up"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stra"], "joinlab: there is no topology 'stra'; did you mean 'star'?; there are: dual, star"),
        (["star", "--leaves", "0"], "joinlab: leaves=0: expected 1 to 1022 leaves in star"),
        (["star", "--leaves", "-1"], "joinlab: leaves=-1: expected 1 to 1022 leaves in star"),
        (["star", "--leaves", "5000"], "joinlab: leaves=5000: expected 1 to 1022 leaves in star"),
        (["star", "--igmp", "1"], "joinlab: igmp=1: expected 2 or 3"),
        (["./none.yaml"], "joinlab: none.yaml: No such file or directory"),
    ],
)
def test_mistake_is_one_line_and_exit_code_2(command: str, arguments: list[str], said: str) -> None:
    done = joinlab(command, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [said]


def test_each_mistake_in_a_file_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("name: [x]\nbridges: {}\n")
    done = joinlab("check", "./lab.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [f"lab.yaml:{n}" for n in (1, 1, 1, 2)]


def test_text_in_brackets_is_no_markup(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("name: '[red]'\nbridges: {'[bold]': {}}\n")
    assert "[bold]" in joinlab("check", "./lab.yaml", folder=tmp_path).stderr


def test_unknown_runtime_and_command_have_exit_code_2() -> None:
    assert joinlab("up", "star", "--runtime", "foo").returncode == 2
    assert joinlab("foo").returncode == 2


def test_topology_of_ones_own_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "topologies").mkdir()
    star = Path(__file__).parents[2] / "topologies" / "star.yaml"
    (tmp_path / "topologies" / "mine.yaml").write_text(star.read_text().replace("name: star", "name: mine"))
    assert "mine, nodes: 5" in joinlab("check", "mine", folder=tmp_path).stdout
