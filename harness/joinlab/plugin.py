"""The pytest plugin: a lab for tests, by the fixtures ``lab``, ``root``, ``leaves`` and ``expect``.

It is loaded by every pytest run on a machine where joinlab is installed, so it imports nothing of joinlab until
``--topology`` asks for a lab, and does nothing else either.

Each worker keeps its labs across tests. Each test has fresh apps; after it they end, and before the lab is used again
the bridges must have forgotten every group. That is a check for leaks as well; it takes 0.2 s, in which a test on the
worker's other lab can run. A lab that does not come to rest is an error which names the test that left it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from joinlab.app import App
    from joinlab.expect import Expectations
    from joinlab.lab import Lab
    from joinlab.session import Session

NO_TOPOLOGY = "needs a lab: run pytest with --topology=star"

# Kept between the hooks of one item.
_LAB: pytest.StashKey[Lab] = pytest.StashKey()
_BEGINNING: pytest.StashKey[Expectations] = pytest.StashKey()
_SESSION: pytest.StashKey[Session] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("joinlab", "joinlab: tests on a real bridged network")
    group.addoption("--topology", metavar="NAME", help="topology of the lab: a name (star) or the path of a file")
    group.addoption("--leaves", type=int, metavar="N", help="how many leaves, instead of what the topology says")
    group.addoption(
        "--runtime", default="auto", metavar="NAME", help="what a node is: docker, netns, or auto (the default)"
    )
    group.addoption("--launcher", metavar="NAME", help="how the keeper is started, instead of the first way that works")
    group.addoption(
        "--keep-lab", action="store_true", help="when a test has failed, hold its lab open at a prompt, to look around"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Check the options and choose the runtime, before tests are collected."""
    config.addinivalue_line("markers", "needs(leaves=N, ipv6=True): what a topology must offer; skipped on others")
    config.addinivalue_line("markers", "requirement(*ids): the requirements of the stack that the test proves")
    if config.getoption("topology") is not None:
        config.stash[_SESSION] = _open_session(config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Get what takes long the first time: before the tests, which have time limits, and once for all workers."""
    ours, config = session.config.stash.get(_SESSION, None), session.config
    is_worker, has_workers = hasattr(config, "workerinput"), bool(config.getoption("numprocesses", None))
    is_wanted = has_workers or any("lab" in getattr(item, "fixturenames", ()) for item in session.items)
    if ours is not None and is_wanted and not is_worker and not config.getoption("collectonly"):
        with _as_usage_errors():
            ours.prepare()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the labs down."""
    if (session := config.stash.get(_SESSION, None)) is not None:
        session.close()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what the tests run on."""
    session = config.stash.get(_SESSION, None)
    return [] if session is None else [f"joinlab: {session.headline}"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs the topology can't meet."""
    session = item.config.stash.get(_SESSION, None)
    for mark in item.iter_markers("needs"):
        missing = NO_TOPOLOGY if session is None else session.missing(mark.kwargs)
        if missing:
            raise pytest.skip.Exception(missing, _use_item_location=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """After the last test, see that each lab comes to rest."""
    yield
    session = item.config.stash.get(_SESSION, None)
    if session is not None and nextitem is None:
        for lab in session.running:
            _settle(session, lab, item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what the lab saw beside a failure."""
    report = yield
    session, lab = item.config.stash.get(_SESSION, None), item.stash.get(_LAB, None)
    if session is not None and report.failed:
        session.mark(report)
        if lab is not None:
            session.add_evidence(report, lab, item.stash[_BEGINNING].since, call.excinfo)
    return report


def pytest_exception_interact(node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any]) -> None:
    """Hold the lab of a failed test open, while the test's apps still run."""
    session, lab = node.config.stash.get(_SESSION, None), node.stash.get(_LAB, None)
    if session is not None and lab is not None and call.excinfo is not None:
        session.hold(lab, node.nodeid, call.excinfo.exconly())


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """Show once what keeps the labs of several workers from starting."""
    session = config.stash.get(_SESSION, None)
    return ("", "", "") if session is not None and session.is_told_already(report) else None


@pytest.fixture
def igmp() -> int | None:
    """IGMP version of the lab, None: as the topology says. Override it with ``params=[2, 3]`` to test both.

    Not of a wider scope: so a test's variants are neighbours, and the lab of one comes to rest while the other runs.
    """
    return None


@pytest.fixture
def lab(request: pytest.FixtureRequest, igmp: int | None) -> Iterator[Lab]:
    """The running lab: its nodes, links and Trace."""
    session = request.config.stash.get(_SESSION, None)
    if session is None:
        pytest.skip(NO_TOPOLOGY)
    lab = session.lab(igmp, request.session)
    _settle(session, lab, request.node)
    yield lab
    session.leave(lab, request.node.nodeid)


@pytest.fixture
def expect(request: pytest.FixtureRequest, lab: Lab) -> Expectations:
    """What is expected of packets, bridges, events and data since the test began."""
    beginning: Expectations = request.node.stash[_BEGINNING]
    return beginning


@pytest.fixture
def root(lab: Lab) -> App:
    """An app of its own for this test on the root's node, its stack started."""
    return lab.root.app()


@pytest.fixture
def leaves(lab: Lab) -> Sequence[App]:
    """An app of its own for this test on each leaf's node, its stack started."""
    from joinlab.node import start_apps

    return start_apps(lab.leaves)


def _open_session(config: pytest.Config) -> Session:
    from joinlab.installation import whole_installation

    with _as_usage_errors(), whole_installation():
        from joinlab.session import open_session

        return open_session(config)


@contextlib.contextmanager
def _as_usage_errors() -> Iterator[None]:
    """Turn what keeps the run from starting into pytest.UsageError, which pytest tells without a traceback."""
    from joinlab.errors import JoinlabError

    try:
        yield
    except JoinlabError as error:
        raise pytest.UsageError(*error.lines) from None


def _settle(session: Session, lab: Lab, item: pytest.Item) -> None:
    """Bring a lab to rest for an item, which begins then, with an empty Trace.

    If the lab does not come to rest, the evidence stands by this item.
    """
    item.stash[_LAB] = lab
    item.stash[_BEGINNING] = beginning = lab.expectations()
    session.settle(lab)
    # The evidence of the test before, if it failed, has been written.
    lab.trace.forget(beginning.from_now())
