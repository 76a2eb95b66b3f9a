"""Planted nulls and planted effects: error rates and power of every kind of test, by simulation."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import integrate, stats

from dynatlas.claims.compounds import all_of, any_of, count_of, outlook
from dynatlas.claims.verdicts import CONTRADICTED, HYPOTHESES, REPRODUCED, outcomes
from dynatlas.claims.vocabulary import COMPOUNDS, RULE_FIELDS
from dynatlas.intervals import mean_interval
from dynatlas.statistics import STATISTICS, slope, spearman

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 4000


def load_benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_benchmark", ROOT / "benchmarks" / "intervals.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCHMARK = load_benchmark()
NOMINAL = 0.025
COUNTS = {
    "count_of 5 of 9, four true": (9 - 5 + 1) * NOMINAL * 5 / 9,
    "count_of 2 of 4 of all_of 2, one true, half of the others": (4 - 2 + 1) * NOMINAL * 2 / 4,
}
"""Bounds of a count of k of m when k - 1 parts are true: any of the others is enough."""


def test_every_kind_of_test_has_a_simulation() -> None:
    assert set(HYPOTHESES) == set(RULE_FIELDS)
    for kind in [*HYPOTHESES, *STATISTICS, *COMPOUNDS]:
        assert any(name.split(",")[0].split()[0] == kind for name in BENCHMARK.KINDS), kind


@pytest.mark.parametrize("difference", ["normal", "t3"])
@pytest.mark.parametrize("n", [6, 8, 10, 20])
@pytest.mark.parametrize("kind", BENCHMARK.KINDS)
def test_planted_null_is_reproduced_at_most_at_the_nominal_rate(kind: str, n: int, difference: str) -> None:
    nominal = COUNTS.get(kind, NOMINAL)
    rate = BENCHMARK.false_rate(kind, difference, n, trials=TRIALS)
    assert rate <= nominal + 4 * np.sqrt(nominal * (1 - nominal) / TRIALS)


@pytest.mark.parametrize("n", [6, 8, 10, 20])
def test_normal_differences_are_covered(n: int) -> None:
    holds, above, below = BENCHMARK.coverage("normal", n, trials=TRIALS)
    assert holds == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / TRIALS))
    assert above == pytest.approx(below, abs=0.015)


def test_a_false_contradiction_is_as_rare() -> None:
    """The truth on the edge of the claim must be contradicted as rarely as it is reproduced."""
    for test, margin, truth in [
        ("greater", 0.0, 0.0),
        ("greater", -0.5, -0.5),
        ("at_most", 1.0, 1.0),
        ("equivalent", 2.0, 2.0),
    ]:
        draw = BENCHMARK.drawer("contradicted", "normal", 8, trials=TRIALS)
        rate = np.mean(BENCHMARK.verdicts(test, truth + draw(), margin=margin) == CONTRADICTED)
        assert rate <= NOMINAL + 4 * np.sqrt(NOMINAL / TRIALS), test


def t_power(effect: float, n: int, level: float = 0.95) -> float:
    """Power of a one-sided t interval for a true mean `effect` standard deviations beyond the margin."""
    return float(stats.nct.sf(stats.t.ppf(0.5 + level / 2, n - 1), n - 1, effect * np.sqrt(n)))


def equivalence_power(margin: float, n: int) -> float:
    """Power of equivalence within `margin` standard deviations at a true difference of 0: integral over the spread."""
    quantile = stats.t.ppf(0.975, n - 1) / np.sqrt(n)

    def given(spread: float) -> float:
        room = (margin - quantile * spread) * np.sqrt(n)
        density = stats.chi.pdf(spread * np.sqrt(n - 1), n - 1) * np.sqrt(n - 1)
        return max(0.0, 2 * stats.norm.cdf(room) - 1) * density

    return float(integrate.quad(given, 0, margin / quantile)[0])


def close(rate: float, power: float) -> bool:
    return abs(rate - power) <= 4 * np.sqrt(power * (1 - power) / TRIALS) + 1e-12


BEYOND = [
    *[("greater", 0.0, 1.0), ("greater", 0.5, 1.5), ("greater", -0.5, 0.5)],
    *[("less", 0.0, -1.0), ("less", 0.5, -0.5), ("at_least", 3.0, 4.0), ("at_most", 3.0, 2.0)],
]
"""Test, margin, true mean: each one standard deviation beyond its margin."""


@pytest.mark.parametrize("n", [6, 8, 20])
def test_planted_effects_are_found_at_the_stated_power(n: int) -> None:
    rng = np.random.default_rng(n)
    power = t_power(1.0, n)
    for test, margin, mean in BEYOND:
        x = mean + rng.standard_normal((TRIALS, n))
        assert close(np.mean(BENCHMARK.verdicts(test, x, margin=margin) == REPRODUCED), power), test
    x = rng.standard_normal((TRIALS, n))
    rate = np.mean(BENCHMARK.verdicts("equivalent", x, margin=1.5) == REPRODUCED)
    assert close(rate, equivalence_power(1.5, n))


def test_compounds_are_found_at_the_stated_power() -> None:
    rng = np.random.default_rng(1)
    n, effect, hypothesis = 8, 1.3, HYPOTHESES["greater"](0.0, 0.0)
    x = effect + rng.standard_normal((TRIALS, 9, n))

    def parts(m: int, level: float) -> np.ndarray:
        return outcomes(hypothesis, *mean_interval(x[:, :m], level)[1:])

    assert close(np.mean(all_of(parts(3, 0.95)) == REPRODUCED), t_power(effect, n) ** 3)
    level = 1 - 0.05 / 3
    assert close(np.mean(any_of(parts(3, level)) == REPRODUCED), 1 - (1 - t_power(effect, n, level)) ** 3)
    level = 1 - 0.05 * 5 / 9
    found = count_of(outlook(hypothesis, *mean_interval(x, level)[1:]), 5)
    assert close(np.mean(found == REPRODUCED), stats.binom.sf(4, 9, t_power(effect, n, level)))


def test_statistics_are_found_at_the_stated_power() -> None:
    rng = np.random.default_rng(2)
    n, x = 8, np.arange(5.0)
    metric = 0.4 * x + rng.standard_normal((TRIALS, n, 5))
    spread = 1 / np.sqrt(((x - x.mean()) ** 2).sum())
    found = BENCHMARK.verdicts("greater", slope(x, metric), margin=0.0) == REPRODUCED
    assert close(np.mean(found), t_power(0.4 / spread, n)), "a slope of normal errors is normal"
    ranked = BENCHMARK.verdicts("greater", spearman(np.broadcast_to(x, metric.shape), metric), margin=0.0) == REPRODUCED
    assert 0.8 * np.mean(found) < np.mean(ranked) <= np.mean(found) + 0.02, "ranks lose little"


def test_identity_is_found_whenever_it_holds() -> None:
    x = np.abs(np.random.default_rng(3).uniform(-1, 1, size=(TRIALS, 8))).max(axis=1, keepdims=True)
    assert (BENCHMARK.verdicts("identity", x, margin=1.0) == REPRODUCED).all()


def test_page_shows_what_the_benchmark_measures() -> None:
    """The block of the page names its trials; cells drawn again with as many must be the same to the last digit."""
    (block,) = [found[0] for found in BENCHMARK.BLOCK.finditer((ROOT / "docs" / "claims.md").read_text())]
    trials = int(block.split("Percent of ")[1].split()[0])
    lines = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in block.splitlines() if line.startswith("| ")}
    column, n = list(BENCHMARK.DIFFERENCES).index("exponential"), 8
    place = BENCHMARK.SEEDS.index(n)
    assert set(BENCHMARK.KINDS) < set(lines)
    for kind in BENCHMARK.KINDS:
        shown = lines[kind][column].split()[place]
        assert shown == BENCHMARK.cell([BENCHMARK.false_rate(kind, "exponential", n, trials=trials)]), kind
    holds = BENCHMARK.coverage("exponential", n, trials=trials)[0]
    assert lines["holds the mean"][column].split()[place] == BENCHMARK.cell([holds])
