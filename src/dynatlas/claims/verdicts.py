"""Which effects a test claims, and what an interval says about them.

Every kind of test declares its null and the region of effects that the statement claims; a verdict is read off where
the interval lies. The same lines judge one interval and an array of simulated ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from dynatlas.intervals import Floats, sign_flip_p, t_p

REPRODUCED, DIRECTION, CONTRADICTED = "reproduced", "direction", "contradicted"
INCONCLUSIVE, REPORTED, NOT_RUN = "inconclusive", "reported", "not run"
VERDICTS = (REPRODUCED, DIRECTION, INCONCLUSIVE, CONTRADICTED, REPORTED, NOT_RUN)

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Hypothesis:
    """The claimed effects are those between `lower` and `upper`; the ends belong to them if `closed`.

    A superiority test has its null (0) outside the region: an effect may exist and yet be smaller than would matter.
    """

    null: float
    lower: float
    upper: float
    closed: bool
    superiority: bool = False

    def inside(self, low: Floats, high: Floats) -> Bools:
        """Does the interval hold claimed effects only?"""
        if self.closed:
            return (low >= self.lower) & (high <= self.upper)
        return (low > self.lower) & (high < self.upper)

    def outside(self, low: Floats, high: Floats) -> Bools:
        """Does the interval hold no claimed effect?"""
        if self.closed:
            return (high < self.lower) | (low > self.upper)
        return (high <= self.lower) | (low >= self.upper)

    def stated_side(self, low: Floats, high: Floats) -> Bools:
        """Superiority: does the interval lie wholly on the stated side of the null?"""
        return low > self.null if self.upper == inf else high < self.null

    def other_side(self, low: Floats, high: Floats) -> Bools:
        """Does the interval lie wholly where the statement is wrong: beyond the null, or outside the region?"""
        if not self.superiority:
            return self.outside(low, high)
        return high < self.null if self.upper == inf else low > self.null


def _greater(margin: float, target: float) -> Hypothesis:
    """Superiority by `margin` (null 0), or non-inferiority for a negative one (its bound is the null)."""
    if margin < 0:
        return Hypothesis(margin, margin, inf, closed=True)
    return Hypothesis(0.0, margin, inf, closed=False, superiority=True)


def _less(margin: float, target: float) -> Hypothesis:
    """Less by -margin (null 0), or for a positive margin not above it (its bound is the null)."""
    if margin > 0:
        return Hypothesis(margin, -inf, margin, closed=True)
    return Hypothesis(0.0, -inf, margin, closed=False, superiority=True)


HYPOTHESES: dict[str, Callable[[float, float], Hypothesis]] = {
    "greater": _greater,
    "less": _less,
    "at_least": lambda margin, target: Hypothesis(margin, margin, inf, closed=True),
    "at_most": lambda margin, target: Hypothesis(margin, -inf, margin, closed=True),
    "equivalent": lambda margin, target: Hypothesis(target, target - margin, target + margin, closed=True),
    "identity": lambda tolerance, target: Hypothesis(0.0, -inf, tolerance, closed=True),
}
"""By kind of test, from its margin and target. An identity's effect is its largest deviation from the target."""


def outcomes(hypothesis: Hypothesis, low: Floats | float, high: Floats | float) -> NDArray[np.str_]:
    """The verdict that each interval allows by itself (control and gates apart); first match wins."""
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    stated = hypothesis.stated_side(low, high) & hypothesis.superiority
    inside = hypothesis.inside(low, high)
    contradicted = hypothesis.outside(low, high) & ~stated
    return np.select([contradicted, inside, stated], [CONTRADICTED, REPRODUCED, DIRECTION], INCONCLUSIVE)


def p_value(hypothesis: Hypothesis, x: Floats) -> Floats:
    """One-sided t p against the margin, over the last axis; for a region with two ends the larger of two (TOST)."""
    below = t_p(x, hypothesis.lower) if hypothesis.lower > -inf else 0.0
    above = t_p(-x, -hypothesis.upper) if hypothesis.upper < inf else 0.0
    return np.maximum(below, above)


def p_sign_flip(hypothesis: Hypothesis, x: Floats) -> float:
    """The exact sign-flip p against the margin, of one sample `(seed,)`."""
    below = sign_flip_p(x, hypothesis.lower) if hypothesis.lower > -inf else 0.0
    above = sign_flip_p(-x, -hypothesis.upper) if hypothesis.upper < inf else 0.0
    return max(below, above)
