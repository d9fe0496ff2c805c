"""The pytest plugin, tested from outside: what a user's run prints, and how it ends."""

import re
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ON_NETNS = ("--topology=star", "--runtime=netns", "-p", "no:cacheprovider")


def test_run_without_topology_is_not_disturbed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_of_joinlab_is_imported_but_the_plugin():
            assert [name for name in sys.modules if name.startswith("joinlab.")] == ["joinlab.plugin"]
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert "joinlab:" not in result.stdout.str()


def test_test_that_needs_a_lab_is_skipped_without_one_and_says_how_to_get_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_something(lab): pass")
    result = pytester.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines("*needs a lab: run pytest with --topology=star*")


def test_header_names_topology_and_runtime_and_why(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(*ON_NETNS)
    result.stdout.fnmatch_lines("joinlab: topology star (1 root and 4 leaves), runtime netns (it was asked for)")


def test_fixtures_give_a_lab_its_nodes_and_questions(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_lab(lab, expect):
            assert lab.runtime == "netns"
            assert [node.name for node in lab.leaves] == ["leaf1", "leaf2"]
            assert lab.root.run("hostname").stdout == "root\\n"

        def test_lab_is_kept(lab):
            assert len(lab.trace) == 0 or lab.is_whole
        """
    )
    pytester.runpytest_subprocess(*ON_NETNS, "--leaves=2").assert_outcomes(passed=2)


def test_need_that_the_topology_lacks_is_a_skip_that_says_how_to_get_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.needs(leaves=5)
        def test_many(lab): pass

        @pytest.mark.needs(leaves=4)
        def test_enough(lab): pass

        @pytest.mark.needs(levels=4)
        def test_wrong(lab): pass
        """
    )
    result = pytester.runpytest_subprocess(*ON_NETNS, "-rs")
    result.assert_outcomes(passed=1, skipped=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*needs(levels=...): expected one of leaves, ipv6*",
            "*star has 4 leaves, and the test needs 5: run with --leaves=5*",
        ]
    )


def test_failure_names_its_artefacts_and_shows_the_trace(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_fails(lab):
            lab.cut("leaf1")
            assert lab.root.run("true").status == 1

        def test_expects_in_vain(lab, expect):
            expect._patience_s = 0.05
            expect.igmp_join("leaf2", "239.1.2.3")
        """
    )
    result = pytester.runpytest_subprocess(*ON_NETNS)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "trace.jsonl *build/joinlab/*test_fails/trace.jsonl",
            "capture.pcapng *build/joinlab/*test_fails/capture.pcapng",
            "*leaf1*link*cut*",
            "*not seen within 0.05 s: IGMP/MLD join of 239.1.2.3 by leaf2",
        ]
    )
    for name in ("trace.jsonl", "capture.pcapng"):
        assert len(list(pytester.path.glob(f"build/joinlab/*/{name}"))) == 2


def test_evidence_is_of_the_failed_test_and_complete(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from joinlab.words import Flag, Provider

        def send(node, data):
            node.app().socket(Provider.MCAST, Flag.C_LEAF, Flag.D_LEAF).send_to(data, ("239.77.0.9", 5004))

        def test_one(lab):
            send(lab.root, b"one")
            assert not lab

        def test_other(lab):
            assert not list(lab.trace.records())
            send(lab.root, b"other")
            assert not lab
        """
    )
    result = pytester.runpytest_subprocess(*ON_NETNS)
    result.assert_outcomes(failed=2)
    for test, sent, unsent in (("one", b"one", b"other"), ("other", b"other", b"one")):
        (capture,) = pytester.path.glob(f"build/joinlab/*test_{test}/capture.pcapng")
        assert sent in capture.read_bytes()
        assert unsent not in capture.read_bytes()


def test_lab_that_lost_a_node_is_replaced(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os

        def test_node_dies(lab):
            pid = int(lab.root.run("sh", "-c", "echo $PPID").stdout)
            lab.root.run("kill", "-9", "-1")
            lab.root.close()

        def test_next_has_a_whole_lab(lab):
            assert lab.is_whole
            assert lab.root.run("true").status == 0
        """
    )
    pytester.runpytest_subprocess(*ON_NETNS).assert_outcomes(passed=2)


def test_each_worker_has_its_own_lab(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_lab(lab, number):
            assert lab.is_whole
        """
    )
    pytester.runpytest_subprocess(*ON_NETNS, "-n", "2").assert_outcomes(passed=6)


def test_both_igmp_versions_by_overriding_one_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="session", params=[2, 3])
        def igmp(request):
            return request.param

        def test_version(lab, igmp):
            assert {bridge.multicast.igmp_version for bridge in lab.plan.bridges} == {igmp}
        """
    )
    pytester.runpytest_subprocess(*ON_NETNS).assert_outcomes(passed=2)


# Programs that join a group: joinlab ends the one after its test, and does not know of the other.
RECEIVERS = """
import functools
import sys

import pytest

from joinlab.trace import Trace

GROUP = "239.77.0.9"
JOIN = '''
import socket, time
receiver = socket.socket(type=socket.SOCK_DGRAM)
receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.77.0.9") + bytes(4))
time.sleep(60)
'''

@pytest.fixture
def receiver(lab, expect):
    lab.leaves[0].start(sys.executable, "-c", JOIN)
    expect.bridge_joined("leaf1", GROUP)

@pytest.fixture
def daemon(lab, expect):
    lab.leaves[0].run("setsid", "--fork", sys.executable, "-c", JOIN)
    expect.bridge_joined("leaf1", GROUP)
    Trace.wait_for = functools.partialmethod(Trace.wait_for, timeout_s=0.5)
"""


def test_lab_of_one_version_rests_while_a_test_runs_on_the_other(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(RECEIVERS)
    pytester.makepyfile(
        """
        import pytest

        used = []

        @pytest.fixture(params=[2, 3])
        def igmp(request):
            return request.param

        @pytest.mark.parametrize("turn", [1, 2])
        def test_lab_is_at_rest(lab, turn, request):
            assert lab.groups() == frozenset()
            used.append(lab)
            request.getfixturevalue("receiver")

        def test_labs_take_turns(lab, receiver):
            used.append(lab)

        def test_lab_was_left_as_it_was():
            assert used[-2] is not used[-1]
            assert [record.name for record in used[-1].trace.records() if record.kind == "group"][-1] != "forgotten"
        """
    )
    pytester.runpytest_subprocess(*ON_NETNS).assert_outcomes(passed=7)


def test_lab_that_does_not_come_to_rest_is_an_error_that_names_who_left_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(RECEIVERS)
    pytester.makepyfile(
        """
        def test_leaves_something(daemon): pass

        def test_has_no_lab(): pass

        def test_is_given_that_lab(lab): pass

        def test_is_given_a_new_lab(lab):
            assert lab.groups() == frozenset()
        """
    )
    result = pytester.runpytest_subprocess(*ON_NETNS)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_is_given_that_lab*",
            "*not seen within *: the bridge forgets 239.77.0.9 at leaf1*",
            "*The lab was last used by *::test_leaves_something.",
            "trace.jsonl *test_is_given_that_lab/trace.jsonl",
        ]
    )


def test_lab_that_never_comes_to_rest_is_an_error_of_the_last_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(RECEIVERS)
    pytester.makepyfile(
        """
        def test_leaves_something(daemon): pass

        def test_is_the_last(): pass
        """
    )
    result = pytester.runpytest_subprocess(*ON_NETNS)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_is_the_last*",
            "*The lab was last used by *::test_leaves_something.",
            "trace.jsonl *test_is_the_last/trace.jsonl",
        ]
    )


def test_kept_lab_is_held_open_at_a_prompt_after_a_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_fails(lab, root):
            assert root is None

        def test_passes(lab):
            pass
        """
    )
    result = pytester.run(sys.executable, "-m", "pytest", *ON_NETNS, "--keep-lab", stdin=b"nodes\nquit\n", timeout=60)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*::test_fails has failed, and its lab is held open.",
            "*assert <app root/app1> is None",
            "*leaf1*10.77.0.2*",
            "quit *go on with the tests*",
            "joinlab> *",
        ]
    )
    assert "Captured stdout" not in result.stdout.str()


def test_lab_that_is_gone_is_not_held_open(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(RECEIVERS)
    pytester.makepyfile("def test_leaves_something(daemon): pass")
    result = pytester.run(sys.executable, "-m", "pytest", *ON_NETNS, "--keep-lab", stdin=b"quit\n", timeout=60)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, errors=1)
    assert "joinlab> " not in result.stdout.str()


def test_slow_steps_are_told_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(lab): pass")
    result = pytester.runpytest_subprocess(*ON_NETNS)
    result.stdout.fnmatch_lines(["joinlab: the keeper runs *, because *"])


def test_examples_of_the_documentation_run(pytester: pytest.Pytester) -> None:
    text = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    pytester.makepyfile("\n".join(examples))
    pytester.runpytest_subprocess(*ON_NETNS).assert_outcomes(passed=len(examples))
