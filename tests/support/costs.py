"""What the tests and the studies cost CI, beside their budgets: `python tests/support/costs.py`. Fails on nothing.

Seconds of processor time: of the tests' last runs here (.cache/test-costs.json), and of the jobs at scale smoke (their
sidecars under logs/smoke).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from engines import ROOT
from schedule import read_costs

from dynatlas.atlas import Atlas

BUDGET = {"smoke": 15.0, "tests": 15.0}
"""Processor seconds that a study may add to CI, so that eighteen stay under a quarter of an hour on two cores."""
DEAREST = 10


def dearest(costs: Mapping[str, float]) -> Iterator[str]:
    """A line for each of the tests that cost most."""
    for test in sorted(costs, key=lambda test: -costs[test])[:DEAREST]:
        yield f"{costs[test]:8.1f}  {test}"


def study_tests(costs: Mapping[str, float], study: str, package: str) -> float:
    """What the tests of one study cost: its own files, and the contracts' cases that bear its name."""
    own, case = f"tests/studies/test_{package.rpartition('.')[2]}", f"[{study}"
    return sum(cost for test, cost in costs.items() if test.startswith(own) or case in test)


def study_smoke(study: str) -> float:
    """What the jobs of one study cost at scale smoke."""
    sidecars = (ROOT / "logs" / "smoke" / study).glob("*.json")
    return sum(json.loads(path.read_text())["cpu_seconds"] for path in sidecars)


def main() -> None:
    costs = read_costs(ROOT)
    print(f"Tests: {sum(costs.values()):.0f} CPU seconds; the dearest:")
    print("\n".join(dearest(costs)))
    print(f"{'Study':24}" + "".join(f"{name + f' (of {budget:.0f})':>16}" for name, budget in BUDGET.items()))
    for study, spec in Atlas().studies.items():
        found = {"smoke": study_smoke(study), "tests": study_tests(costs, study, spec.package)}
        columns = (f"{found[name]:.1f}{' !' if found[name] > BUDGET[name] else '  '}" for name in BUDGET)
        print(f"{study:24}" + "".join(f"{column:>16}" for column in columns))


if __name__ == "__main__":
    main()
