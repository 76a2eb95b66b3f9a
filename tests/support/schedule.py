"""Which tests run together and in which order, and what they cost: so that no test worker idles.

Costs are seconds of processor time, children included: on a shared machine the clock says little. pytest-xdist's own
groups (`--dist loadgroup`) do not work with pytest 9.2, which keeps a test's id where that plugin does not write it.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

UNKNOWN = {True: 10.0, False: 0.05}
"""What a test is taken to cost before it ever ran: marked `slow`, or not."""
FORGOTTEN = 0.02
"""Cheaper tests are not written down."""
QUICK = 0.1
"""A test that is known to cost more is no quick one."""
APART = ("tests/workflow/", "tests/faults/", "tests/models/")
"""Folders whose tests share nothing dear within a file, so that each may run anywhere."""
PATIENT = "tests/slurm/"
"""Tests that wait for most of their time: they begin before others of their kind, which compute beside them."""


_ELSEWHERE = [0.0]


def cpu_seconds() -> float:
    """Processor time of this process, of its finished children, and of what others did for it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) + _ELSEWHERE[0]


def add_elsewhere(seconds: float) -> None:
    """Count what a process did that is no child of this one."""
    _ELSEWHERE[0] += seconds


def unit_of(test: str) -> str:
    """What runs in one worker, by a test's id: the checks of one figure; one test; or a file with its fixtures."""
    file, _, rest = test.partition("::")
    if rest.startswith("TestEveryFigure::"):
        return file + rest[rest.index("[") :]
    return test if file.startswith(APART) else file


def in_order(tests: Sequence[str], cost: Mapping[str, float], late: Iterable[str]) -> list[str]:
    """Tests so that units stay together, patient ones and then the dearest first; with a test in `late`, after all."""
    units: dict[str, list[str]] = {}
    for test in tests:
        units.setdefault(unit_of(test), []).append(test)
    waiting = {unit_of(test) for test in late}
    dear = {unit: sum(cost[test] for test in own) for unit, own in units.items()}
    ranked = sorted(units, key=lambda unit: (unit in waiting, not unit.startswith(PATIENT), -dear[unit]))
    return [test for unit in ranked for test in units[unit]]


def costs_path(root: Path) -> Path:
    """Where costs are kept between runs."""
    return root / ".cache" / "test-costs.json"


def read_costs(root: Path) -> dict[str, float]:
    """What each test cost when it last ran here; empty where none did."""
    try:
        return json.loads(costs_path(root).read_text())
    except (FileNotFoundError, ValueError):  # the first run, or one that was killed as it wrote
        return {}


def keep_costs(root: Path, costs: Mapping[str, float]) -> None:
    """Put the costs of this run over those that are kept."""
    kept = read_costs(root) | {test: round(cost, 2) for test, cost in costs.items()}
    path = costs_path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({test: cost for test, cost in sorted(kept.items()) if cost >= FORGOTTEN}, indent=0))
