"""A study slow enough to be killed, what an undisturbed run of it makes, and looks at living processes."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

SLOW = Path(__file__).parent / "slow"
PATIENCE = 60.0


@pytest.fixture(scope="session")
def undisturbed(undisturbed, engine_in):
    """Bytes of all runs and tables of the slow study, made without any fault."""
    return engine_in(undisturbed).artefacts("*/runs/*", "*/tables/*")


@pytest.fixture
def slow(copy_repository, engine_in, tmp_path):
    """The engine in a fresh copy with the slow study."""
    return engine_in(copy_repository(tmp_path / "atlas", study=SLOW))


@pytest.fixture
def processes():
    """`processes(folder, words)`: ids of processes at work in `folder` whose command line holds all `words`."""
    return processes_in


def processes_in(folder: Path, *words: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            at_work = (entry / "cwd").resolve() == folder.resolve()
        except OSError:  # gone, or another user's
            continue
        if at_work and all(word in line for word in words):
            found.append(int(entry.name))
    return found


@pytest.fixture
def until():
    """`until(condition)`: waits for it, and gives its value; fails the test after a minute."""

    def wait(condition, what="it"):
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        pytest.fail(f"waited {PATIENCE:.0f} s for {what}")

    return wait


@pytest.fixture
def moment():
    """`moment(longest)`: sleeps for a random time; the draw is printed, so that a failure can be had again."""
    seed = int.from_bytes(os.urandom(4), "little")
    draws = random.Random(seed)
    print(f"moments drawn from {seed}")

    def sleep(longest):
        time.sleep(draws.uniform(0, longest))

    return sleep
