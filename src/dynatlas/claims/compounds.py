"""Rules over the parts of a claim: all of them, any of them, so many of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynatlas.claims.verdicts import CONTRADICTED, INCONCLUSIVE, REPRODUCED, Bools, Hypothesis
from dynatlas.intervals import Floats


def all_of(verdicts: NDArray[np.str_]) -> NDArray[np.str_]:
    """Reproduced iff all parts (last axis) are, contradicted if any is, else inconclusive."""
    contradicted = (verdicts == CONTRADICTED).any(axis=-1)
    reproduced = (verdicts == REPRODUCED).all(axis=-1)
    return np.select([contradicted, reproduced], [CONTRADICTED, REPRODUCED], INCONCLUSIVE)


def any_of(verdicts: NDArray[np.str_]) -> NDArray[np.str_]:
    """Reproduced if any part (last axis) is, contradicted iff all are, else inconclusive."""
    reproduced = (verdicts == REPRODUCED).any(axis=-1)
    contradicted = (verdicts == CONTRADICTED).all(axis=-1)
    return np.select([reproduced, contradicted], [REPRODUCED, CONTRADICTED], INCONCLUSIVE)


@dataclass(frozen=True)
class Outlook:
    """Which parts are decided, and which more seeds could still win or lose: booleans with parts on the last axis."""

    won: Bools
    lost: Bools
    may_win: Bools
    may_lose: Bools


def outlook(hypothesis: Hypothesis, low: Floats, high: Floats) -> Outlook:
    """A part is won if its interval is reproduced, lost if it lies wholly on the other side of the null."""
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    won, lost = hypothesis.inside(low, high), hypothesis.other_side(low, high)
    if not hypothesis.superiority:
        return Outlook(won, lost, ~lost, ~won)
    may_lose = low < hypothesis.null if hypothesis.upper == np.inf else high > hypothesis.null
    return Outlook(won, lost, ~hypothesis.outside(low, high), may_lose & ~won)


def conjunction(parts: Outlook) -> Outlook:
    """An all_of as one part of a count: won if all its parts (last axis) are, lost if any is."""
    ends = (parts.won.all(axis=-1), parts.lost.any(axis=-1), parts.may_win.all(axis=-1), parts.may_lose.any(axis=-1))
    return Outlook(*map(np.asarray, ends))


def count_of(parts: Outlook, wins: int, losses: int | None = None) -> NDArray[np.str_]:
    """At least `wins` parts won and at most `losses` lost; decided only if no outcome of open parts could change it."""
    at_worst = _holds(parts.won.sum(axis=-1), (parts.may_lose & ~parts.won).sum(axis=-1), wins, losses)
    at_best = _holds((parts.may_win & ~parts.lost).sum(axis=-1), parts.lost.sum(axis=-1), wins, losses)
    return np.select([at_worst, ~at_best], [REPRODUCED, CONTRADICTED], INCONCLUSIVE)


def _holds(won: Any, lost: Any, wins: int, losses: int | None) -> Any:
    return (won >= wins) & (lost <= losses) if losses is not None else won >= wins


def combined_p(rule: str, p: Floats, wins: int = 1) -> Floats:
    """One p from those of the parts (last axis), against "the rule does not hold", whatever their dependence.

    all_of: the largest. any_of: Bonferroni's smallest. count_of: partial conjunction, (m − k + 1) times the k-th
    smallest (Benjamini and Heller 2008), which concerns the wins only.
    """
    if rule == "all_of":
        return p.max(axis=-1)
    m, k = p.shape[-1], 1 if rule == "any_of" else wins
    return np.minimum(1.0, (m - k + 1) * np.sort(p, axis=-1)[..., k - 1])
