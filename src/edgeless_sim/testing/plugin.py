"""The pytest plugin: a whole cluster as a fixture, in virtual time or over real sockets.

Loaded by pytest in every project where edgeless-sim is installed, so it imports nothing of the
platform, changes nothing for tests that do not ask for a cluster, and works without
pytest-asyncio, only then without the fixtures.
"""

import asyncio
import inspect
import shlex
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

import pytest

from edgeless_sim.testing.stash import seed_key, tail_key, world_key
from edgeless_sim.testing.world import SIM, world_of

__all__ = [
    "cluster",
    "pytest_addoption",
    "pytest_asyncio_loop_factories",
    "pytest_configure",
    "pytest_pycollect_makeitem",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
]

_FIXTURES: Final = ("cluster", "virtual_time")
#: A test that waits for what never comes must end: a week of virtual time.
_CEILING_S: Final = 7 * 24 * 3600
#: The test that runs now: its parameters are not known yet when loop factories are asked for.
_current_key: Final = pytest.StashKey[pytest.Item]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--edgeless-world`` and ``--edgeless-seed``."""
    group = parser.getgroup("edgeless-sim")
    group.addoption(
        "--edgeless-world",
        default=None,
        help="world in which the cluster fixture runs, unless a test's marker gives one: sim, tcp"
        " or grpc (default: sim)",
    )
    group.addoption(
        "--edgeless-seed",
        type=int,
        default=None,
        help="seed of the cluster fixture, unless a test's marker gives one "
        "(default: the scenario's, or 0)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the fixtures where pytest-asyncio is there to run them.

    Raises `pytest.UsageError` for a world that does not exist.
    """
    config.addinivalue_line(
        "markers",
        "edgeless(scenario=PATH_OR_NAME, seed=N, world=WORLD): what the cluster fixture starts, its"
        " seed, and in which world",
    )
    world = config.getoption("--edgeless-world")
    if world is not None:
        # Heavy, and therefore only for who asks.
        from edgeless_sim.model.worlds import WORLDS

        if world not in WORLDS:
            raise pytest.UsageError(f"--edgeless-world: {world!r} is none of {', '.join(WORLDS)}")
    if config.pluginmanager.hasplugin("asyncio"):
        from edgeless_sim.testing import fixtures

        config.pluginmanager.register(fixtures, "edgeless-sim-fixtures")


@pytest.fixture
def cluster() -> None:
    """Stand in for the real fixture where pytest-asyncio is missing."""
    pytest.fail(
        'the cluster fixture needs pytest-asyncio: pip install "edgeless-sim[test]"', pytrace=False
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Let coroutine tests that ask for a cluster need no marker of pytest-asyncio."""
    if (
        name.startswith("test")
        and inspect.iscoroutinefunction(obj)
        and collector.config.pluginmanager.hasplugin("asyncio")
        and not set(_FIXTURES).isdisjoint(inspect.signature(obj).parameters)
        and not any(mark.name == "asyncio" for mark in getattr(obj, "pytestmark", ()))
    ):
        pytest.mark.asyncio(obj)


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """Tests that ask for a cluster run on the loop of its world, all others as they always did."""
    names = getattr(item, "fixturenames", ())
    if set(_FIXTURES).isdisjoint(names):
        return {"asyncio": asyncio.new_event_loop}
    config = item.config
    return {"edgeless": lambda: _make_loop(config.stash.get(_current_key, item))}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Know whose loop is going to be made."""
    item.config.stash[_current_key] = item


def _make_loop(item: pytest.Item) -> asyncio.AbstractEventLoop:
    names = getattr(item, "fixturenames", ())
    if world_of(item) != SIM and "virtual_time" not in names:
        return asyncio.new_event_loop()
    from edgeless_sim.kernel.loop import VirtualTimeLoop

    return VirtualTimeLoop(ceiling_s=_CEILING_S)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test prints its seed, the command that repeats it, and what happened last."""
    report = yield
    seed = item.stash.get(seed_key, None)
    if report.failed and call.when != "teardown" and seed is not None:
        command = f"pytest {shlex.quote(item.nodeid)} --edgeless-seed {seed}"
        world, where = item.stash.get(world_key, SIM), ""
        if world != SIM:
            command, where = f"{command} --edgeless-world {world}", f"world {world}, "
        lines = [f"{where}seed {seed}; repeat it with: {command}"]
        tail = item.stash.get(tail_key, None)
        if tail is not None:
            lines += ["", "the journal's last records:", *tail()]
        report.sections.append(("edgeless-sim", "\n".join(lines)))
    return report
