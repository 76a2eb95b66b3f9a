"""The engine in copies of the repository; what test workers share; the order of tests, and what they cost."""

from __future__ import annotations

import os

# A test says itself how many threads it wants. Two workers with two threads each wait for one another at every step of
# a small network, and that waiting costs processor time: test_gated alone 160 s instead of 10.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import builds
import pytest
import schedule
from engines import Engine, with_study

COSTS = defaultdict[str, float](float)
"""Processor seconds of every test of this session (in the process that reports them)."""
CLOCK = pytest.StashKey[float]()
BUILDER = pytest.StashKey[subprocess.Popen[bytes]]()


@pytest.fixture(autouse=True)
def _what_was_there_is_no_garbage() -> Iterator[None]:
    """Collections within a test look at what it made alone.

    A worker that has run thousands holds so much that one takes over a second, and `fit` collects where a generator
    may have been lost.
    """
    gc.freeze()
    yield
    gc.unfreeze()


# ---------------------------------------------------------------- costs


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    item.session.stash[CLOCK] = schedule.cpu_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Setup, call and teardown each take what was used since the one before."""
    report = yield
    now = schedule.cpu_seconds()
    report.cpu_seconds = now - item.session.stash[CLOCK]
    item.session.stash[CLOCK] = now
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    COSTS[report.nodeid] += report.cpu_seconds


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the process that made what is shared; keep what the tests cost."""
    if BUILDER in session.stash:
        session.stash[BUILDER].terminate()
        session.stash[BUILDER].wait()
    if not hasattr(session.config, "workerinput") and COSTS:
        shared = session.config._tmp_path_factory  # type: ignore[attr-defined]
        schedule.keep_costs(session.config.rootpath, COSTS | builds.costs_of(shared.getbasetemp()))


# ---------------------------------------------------------------- order


def pytest_addoption(parser: pytest.Parser) -> None:
    text = f"leave out what is marked slow, and what took more than {schedule.QUICK} CPU seconds when it last ran here"
    parser.addoption("--quick", action="store_true", help=text)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --quick, the quick ones alone. In a worker: what waits for something shared last, else the dearest first."""
    known = schedule.read_costs(config.rootpath)
    cost = {item.nodeid: known.get(item.nodeid, schedule.UNKNOWN[_is_slow(item)]) for item in items}
    if config.getoption("--quick"):
        long = {item for item in items if _is_slow(item) or cost[item.nodeid] > schedule.QUICK}
        config.hook.pytest_deselected(items=list(long))
        items[:] = [item for item in items if item not in long]
    if hasattr(config, "workerinput"):
        late = [item.nodeid for item in items if _shared(item)]
        tests = [item.nodeid for item in items]
        place = {test: number for number, test in enumerate(schedule.in_order(tests, cost, late))}
        items.sort(key=lambda item: place[item.nodeid])


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _shared(item: pytest.Item) -> set[str]:
    """What a test needs of all that is made once and dear."""
    return builds.BUILDS.keys() & set(getattr(item, "fixturenames", ()))


def pytest_collection_finish(session: pytest.Session) -> None:
    """The first worker starts making what is shared beside the tests, in the order in which it is dear."""
    needed = set().union(*(_shared(item) for item in session.items)) if session.items else set()
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw0" and needed:
        handed = {"smoke"} if "DYNATLAS_SMOKE" in os.environ else set()
        names = [name for name in builds.BUILDS if name in needed - handed]
        base = session.config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]
        program = [sys.executable, str(Path(builds.__file__)), str(base), *names]
        session.stash[BUILDER] = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Whole units to whichever worker is free, in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return schedule.unit_of(nodeid)

    config.option.loadscopereorder = False
    return Units(config, log)


# ---------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test workers share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def once(base: Path) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once(name, make)`: the folder `name`, made by `make(folder)` in one test worker, shared by all."""
    return partial(builds.once, base)


@pytest.fixture(scope="session")
def copy_repository(base: Path) -> Callable[..., Path]:
    """`copy_repository(target, study=folder)`: what the engine needs, with one made-up study (default: the toy)."""
    return partial(with_study, builds.snapshot(base))


@pytest.fixture(scope="session")
def engine_in() -> Callable[[Path], Engine]:
    """`engine_in(folder)`: the engine in that folder."""
    return Engine


@pytest.fixture(scope="session")
def made(base: Path) -> Path:
    """A copy in which the toy atlas was made once, at scale quick. Shared: not to be changed."""
    return builds.made(base)


@pytest.fixture(scope="session")
def undisturbed(base: Path) -> Path:
    """A copy in which the table of the slow study was made without any fault. Shared: not to be changed."""
    return builds.undisturbed(base)


@pytest.fixture(scope="session")
def example(base: Path) -> Path:
    """A copy in which the worked example was made once, at scale quick. Shared: not to be changed."""
    return builds.example(base)


@pytest.fixture(scope="session")
def smoke(base: Path) -> Path:
    """A folder with data, runs and tables of every study at scale smoke. Shared: not to be changed.

    CI hands over what it made before (`DYNATLAS_SMOKE=folder`); results of other code are refused, not used.
    """
    handed = os.environ.get("DYNATLAS_SMOKE")
    if not handed:
        return builds.smoke(base)
    builds.check_tables(Path(handed))
    return Path(handed)


@pytest.fixture
def engine(made: Path, tmp_path: Path) -> Engine:
    """A fresh copy of the made atlas, time stamps and the engine's records included."""
    folder = tmp_path / "atlas"
    shutil.copytree(made, folder, symlinks=True)
    return Engine(folder)


@pytest.fixture
def bare(tmp_path: Path, copy_repository: Callable[..., Path]) -> Engine:
    """A fresh copy in which nothing is made."""
    return Engine(copy_repository(tmp_path / "atlas"))
