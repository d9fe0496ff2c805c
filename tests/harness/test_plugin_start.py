"""The start of a run, tested from outside: what is prepared, and how it is told what keeps labs from starting."""

import os

import pytest

from joinlab.engine import engine, engine_problem

pytest_plugins = ["pytester"]

ON_NETNS = ("--topology=star", "--runtime=netns", "-p", "no:cacheprovider")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--topology=stat"], "*no topology 'stat'; did you mean 'star'?*"),
        (["--topology=star", "--leaves=0"], "*leaves=0: expected 1 to*"),
        (["--topology=star", "--leaves=-1"], "*leaves=-1: expected 1 to*"),
        (["--topology=star", "--leaves=5000"], "*leaves=5000: expected 1 to*"),
        (["--topology=star", "--runtime=foo"], "*no runtime 'foo': there are auto, docker, netns*"),
        (["--topology=star", "--keep-lab", "-n2"], "*--keep-lab needs the terminal: leave out -n*"),
    ],
)
def test_wrong_option_is_one_line_and_no_traceback(pytester: pytest.Pytester, options: list[str], line: str) -> None:
    result = pytester.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(line)
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_missing_engine_ends_the_run_with_its_cure(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/none.sock")
    pytester.makepyfile("def test_something(lab): pass")
    result = pytester.runpytest_subprocess("--topology=star", "--runtime=docker")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.stderr.lines)
    assert line.startswith("ERROR: runtime docker: no Docker engine at ")


def test_missing_package_ends_the_run_with_its_cure(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from joinlab import installation

        installation.PACKAGES += ("pyroute3", "ruamel.xml")
        """
    )
    result = pytester.runpytest_subprocess(*ON_NETNS)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    packages = "pyroute3, ruamel.xml): */python* -m pip install pyroute3 ruamel.xml"
    result.stderr.fnmatch_lines(f"ERROR: Python packages are missing ({packages}")
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


@pytest.mark.parametrize("workers", [[], ["-n", "3"]], ids=["alone", "three workers"])
def test_lab_that_can_not_be_started_is_one_error_and_ends_the_run(
    pytester: pytest.Pytester, workers: list[str]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(20))
        def test_something(lab, number): pass
        """
    )
    result = pytester.runpytest_subprocess(*ON_NETNS, "--launcher=magic", *workers)
    result.assert_outcomes(errors=1)
    assert result.ret != 0
    said = result.stdout.str()
    # In CI pytest does not shorten the lines of its summary, which says it again.
    errors, _, _ = said.partition("short test summary info")
    assert errors.count("no launcher 'magic': there are root, user namespace, helper container") == 1
    assert "joinlab can't run the lab here: the error above says why" in said
    assert "Traceback" not in said + result.stderr.str()


@pytest.mark.skipif(engine_problem() is not None, reason=str(engine_problem()))
def test_image_is_built_before_the_tests_and_their_time_limits(pytester: pytest.Pytester) -> None:
    # Under this name there is no image yet.
    repository = f"joinlab-test-{os.getpid()}"
    pytester.makeconftest(f"import joinlab.image; joinlab.image.REPOSITORY = {repository!r}")
    pytester.makepyfile("def test_lab(lab): pass")
    result = pytester.runpytest_subprocess("--topology=star", "--runtime=docker", "-n", "2")
    with engine() as client:
        for image in client.images.list(repository):
            client.images.remove(str(image.id), force=True)
    result.assert_outcomes(passed=1)
    assert result.stdout.str().count(f"joinlab: Building the node image {repository}:") == 1
