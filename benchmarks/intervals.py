"""Measured error rates of the claims engine: coverage of its interval, false `reproduced` of every kind of test.

    python benchmarks/intervals.py [--trials 20000]

writes results/benchmarks/intervals.md and the block between the two comments of docs/claims.md. Differences over seeds
are drawn with mean 0 and standard deviation 1 (normal, Student's t with 3 degrees of freedom, exponential, log-normal
with shape 1); a false `reproduced` is counted where the truth lies exactly on the edge of what the test claims, which
is the hardest null. One cell, one random stream: a single cell can be drawn again by itself.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dynatlas.claims.compounds import all_of, any_of, conjunction, count_of, outlook
from dynatlas.claims.verdicts import HYPOTHESES, REPRODUCED, outcomes
from dynatlas.intervals import Floats, mean_interval
from dynatlas.jobs import Job
from dynatlas.statistics import STATISTICS

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (5, 6, 8, 10, 20)
JOB = Job("benchmark-coverage", SEEDS)
FAR = 10.0
"""Standard deviations by which a part that is true for certain lies beyond its margin."""

DIFFERENCES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t3": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),
    "exponential": lambda rng, shape: rng.standard_exponential(shape) - 1,
    "log-normal": lambda rng, shape: (np.exp(rng.standard_normal(shape)) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1)),
}

Draw = Callable[..., Floats]
"""draw(*axes) gives differences `(trial, *axes, seed)`."""


def verdicts(test: str, x: Floats, *, margin: float, level: float = 0.95) -> np.ndarray:
    """The verdict of every sample of `x (..., seed)`."""
    _, low, high = mean_interval(x, level)
    return outcomes(HYPOTHESES[test](margin, 0.0), low, high)


def simple(test: str, margin: float, truth: float) -> Callable[[Draw], Floats]:
    """A test of one sample whose true mean is `truth`."""
    return lambda draw: verdicts(test, truth + draw(), margin=margin) == REPRODUCED


def identity(draw: Draw) -> Floats:
    """One seed of all misses the tolerance; the others keep it."""
    x = np.tanh(draw())
    x[:, 0] = 1.5
    largest = np.abs(x).max(axis=-1, keepdims=True)
    return verdicts("identity", largest, margin=1.0) == REPRODUCED


def related(statistic: str, conditions: int = 5, repeats: int = 1) -> Callable[[Draw], Floats]:
    """A statistic within each seed over conditions that have nothing to do with the metric, put to `greater` 0."""

    def rate(draw: Draw) -> Floats:
        metric = np.moveaxis(draw(conditions * repeats), 1, -1)
        x = np.broadcast_to(np.repeat(np.arange(float(conditions)), repeats), metric.shape)
        return verdicts("greater", STATISTICS[statistic](x, metric), margin=0.0) == REPRODUCED

    return rate


def part_means(true: int, parts: int) -> Floats:
    """`true` parts far beyond a margin of 0, the others exactly on it: `(part, 1)`."""
    return np.where(np.arange(parts) < true, FAR, 0.0)[:, None]


def all_parts(draw: Draw) -> Floats:
    """all_of three, two of which are true for certain: everything hangs on the third."""
    return all_of(verdicts("greater", part_means(2, 3) + draw(3), margin=0.0)) == REPRODUCED


def any_part(draw: Draw) -> Floats:
    """any_of three, none of which is true."""
    return any_of(verdicts("greater", draw(3), margin=0.0, level=1 - 0.05 / 3)) == REPRODUCED


def counted(true: int, parts: int = 9, wins: int = 5) -> Callable[[Draw], Floats]:
    """count_of at least five of nine, of which only `true` are true."""

    def rate(draw: Draw) -> Floats:
        _, low, high = mean_interval(part_means(true, parts) + draw(parts), 1 - 0.05 * wins / parts)
        return count_of(outlook(HYPOTHESES["greater"](0.0, 0.0), low, high), wins) == REPRODUCED

    return rate


def nested(compound: str, groups: int, *, wins: int = 1) -> Callable[[Draw], Floats]:
    """any_of or count_of of all_of two; `wins` - 1 groups are true, in each of the others one part, for certain."""
    means = np.where(np.arange(2 * groups).reshape(groups, 2) < 2 * (wins - 1), FAR, [FAR, 0.0])[..., None]

    def rate(draw: Draw) -> Floats:
        _, low, high = mean_interval(means + draw(groups, 2), 1 - 0.05 * wins / groups)
        hypothesis = HYPOTHESES["greater"](0.0, 0.0)
        if compound == "any_of":
            return any_of(all_of(outcomes(hypothesis, low, high))) == REPRODUCED
        return count_of(conjunction(outlook(hypothesis, low, high)), wins) == REPRODUCED

    return rate


KINDS: dict[str, Callable[[Draw], Floats]] = {
    "greater, margin 0": simple("greater", 0.0, 0.0),
    "greater, margin .5": simple("greater", 0.5, 0.5),
    "greater, margin -.5 (non-inferiority)": simple("greater", -0.5, -0.5),
    "less, margin 0": simple("less", 0.0, 0.0),
    "at_least": simple("at_least", 0.0, 0.0),
    "at_most": simple("at_most", 0.0, 0.0),
    "equivalent, margin 2, truth +2": simple("equivalent", 2.0, 2.0),
    "equivalent, margin 2, truth -2": simple("equivalent", 2.0, -2.0),
    "identity, one seed off": identity,
    "spearman over 5 conditions": related("spearman"),
    "slope over 5 conditions": related("slope"),
    "icc between 5 conditions": related("icc", repeats=3),
    "all_of 3, two true": all_parts,
    "any_of 3, none true": any_part,
    "count_of 5 of 9, none true": counted(0),
    "count_of 5 of 9, four true": counted(4),
    "any_of 3 of all_of 2, half of each true": nested("any_of", 3),
    "count_of 2 of 4 of all_of 2, one true, half of the others": nested("count_of", 4, wins=2),
}
"""By name: from draws to the trials `(trial,)` in which the test came out `reproduced` although it must not."""


def drawer(kind: str, difference: str, n: int, *, trials: int) -> Draw:
    """Differences of one cell of the table, from its own stream."""
    rng = JOB.rng(f"{kind}/{difference}", n)
    return lambda *axes: DIFFERENCES[difference](rng, (trials, *axes, n))


def false_rate(kind: str, difference: str, n: int, *, trials: int) -> float:
    """The share of trials that come out `reproduced` on the edge of the null."""
    return float(np.mean(KINDS[kind](drawer(kind, difference, n, trials=trials))))


def coverage(difference: str, n: int, *, trials: int) -> tuple[float, float, float]:
    """Of the 95 % interval: the share that holds the mean, lies wholly above it, lies wholly below it."""
    _, low, high = mean_interval(drawer("coverage", difference, n, trials=trials)())
    above, below = float(np.mean(low > 0)), float(np.mean(high < 0))
    return 1 - above - below, above, below


def bootstrap_coverage(difference: str, n: int, *, trials: int, resamples: int = 1000) -> float:
    """The share of 95 % percentile bootstrap intervals that hold the mean: what the engine does not use."""
    rng = JOB.rng(f"bootstrap/{difference}", n)
    x = drawer("bootstrap sample", difference, n, trials=trials)()
    held = 0
    for sample in x:
        low, high = np.quantile(sample[rng.integers(n, size=(resamples, n))].mean(axis=1), [0.025, 0.975])
        held += low <= 0 <= high
    return held / trials


def cell(values: list[float]) -> str:
    """Percentages, one for each number of seeds."""
    return " ".join(f"{100 * value:.1f}" for value in values)


def tables(*, trials: int, seeds: tuple[int, ...] = SEEDS) -> str:
    """Both tables as markdown."""
    numbers = ", ".join(map(str, seeds))
    head = "| " + " | ".join(["", *DIFFERENCES]) + " |\n|" + " --- |" * (len(DIFFERENCES) + 1)
    lines = [f"Percent of {trials} simulated claims, in each cell for {numbers} seeds.", ""]
    lines += [f"**The 95 % interval.**\n\n{head}"]
    found = {name: [coverage(name, n, trials=trials) for n in seeds] for name in DIFFERENCES}
    for place, label in enumerate(("holds the mean", "lies wholly above it", "lies wholly below it")):
        lines.append(f"| {label} | " + " | ".join(cell([one[place] for one in found[name]]) for name in found) + " |")
    boots = [cell([bootstrap_coverage(name, n, trials=trials // 10) for n in seeds]) for name in DIFFERENCES]
    lines.append(f"| percentile bootstrap ({trials // 10} trials) holds it | " + " | ".join(boots) + " |")
    lines += ["", f"**False `reproduced`, the truth on the edge of the null (nominal 2.5).**\n\n{head}"]
    for kind in KINDS:
        rates = [cell([false_rate(kind, name, n, trials=trials) for n in seeds]) for name in DIFFERENCES]
        lines.append(f"| {kind} | " + " | ".join(rates) + " |")
    return "\n".join(lines)


BLOCK = re.compile(
    r"(<!-- coverage: begin, made by benchmarks/intervals.py -->\n).*?(\n<!-- coverage: end -->)", re.DOTALL
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20000)
    text = tables(trials=parser.parse_args().trials)
    out = ROOT / "results" / "benchmarks" / "intervals.md"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
    page = ROOT / "docs" / "claims.md"
    page.write_text(BLOCK.sub(lambda found: found[1] + text + found[2], page.read_text()))
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
