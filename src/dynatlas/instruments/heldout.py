"""What was held out: does a readout fitted on other seeds foresee this one, does the condition best there win here?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dynatlas.spread import Floats, no_spread
from dynatlas.statistics import spearman


@dataclass(frozen=True)
class HeldOut:
    """Predictions for each seed by a readout that never saw its fold, and how good they are within the seed."""

    predicted: Floats
    """(seed, config)."""
    r2: Floats
    """(seed,): 1 - squared error / squared deviation from the seed's own mean; NaN where its targets are constant."""
    spearman: Floats
    """(seed,): rank correlation of prediction and target; NaN where either is constant."""


def heldout_readout(
    features: ArrayLike, target: ArrayLike, *, fold: Sequence[int] | None = None, k: int = 5
) -> HeldOut:
    """k-nearest-neighbour regression of the target (seed, config) from features (seed, config, p), fold by fold.

    `fold` names the fold of each seed, (seed,); by default each seed is its own. For each fold, the features are
    z-scored by mean and standard deviation over the other folds (a feature that is constant there counts for nothing),
    and a prediction is the mean target of the k nearest there; of equal distances the earlier (seed, config) is taken.
    Raises ValueError for values that are not finite, shapes that do not fit, fewer than two folds, and fewer than k
    rows to learn from.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(target, dtype=np.float64)
    folds = np.arange(len(x)) if fold is None else np.asarray(fold)
    _check(x, y, folds, k)
    predicted = np.empty_like(y)
    for held in np.unique(folds):
        out = folds == held
        predicted[out] = _predict(x[~out].reshape(-1, x.shape[-1]), y[~out].ravel(), x[out], k)
    return HeldOut(predicted, _r2(predicted, y), spearman(predicted, y))


def cross_fitted_best(values: ArrayLike, *, fold: Sequence[int] | None = None) -> tuple[NDArray[np.int64], Floats]:
    """For each seed the condition that is best on the other folds, (seed,), and its value on this seed, (seed,).

    values (seed, condition), larger is better; `fold` as in `heldout_readout`. The best has the largest mean over all
    seeds of other folds (the first of equal ones): choosing and judging never share a seed, so that the best of many
    conditions does not win by its luck. Raises ValueError for values that are not finite and for fewer than two folds.
    """
    y = np.asarray(values, dtype=np.float64)
    folds = np.arange(len(y)) if fold is None else np.asarray(fold)
    if y.ndim != 2 or folds.shape != y.shape[:1] or len(np.unique(folds)) < 2:
        raise ValueError(f"wanted are values (seed, condition) of two folds or more, not {y.shape} and fold {folds}")
    if not np.isfinite(y).all():
        seed, condition = np.argwhere(~np.isfinite(y))[0]
        raise ValueError(f"the value at seed {seed}, condition {condition} is not finite")
    chosen = np.array([y[folds != own].mean(axis=0).argmax() for own in folds])
    return chosen, y[np.arange(len(y)), chosen]


def _predict(x: Floats, y: Floats, asked: Floats, k: int) -> Floats:
    """x (row, p), y (row,), asked (..., p) -> (...)."""
    if len(x) < k:
        raise ValueError(f"k = {k}: only {len(x)} rows are left to learn from")
    spread = x.std(axis=0)
    varies = ~no_spread(x, axis=0)
    scale = np.where(varies, 1 / np.where(varies, spread, 1.0), 0.0)
    distance = (((asked[..., None, :] - x) * scale) ** 2).sum(axis=-1)
    nearest = np.argsort(distance, axis=-1, kind="stable")[..., :k]
    found: Floats = y[nearest].mean(axis=-1)
    return found


def _r2(predicted: Floats, y: Floats) -> Floats:
    error = ((y - predicted) ** 2).sum(axis=-1)
    total = ((y - y.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    varies = ~no_spread(y)
    return np.where(varies, 1 - error / np.where(varies, total, 1.0), np.nan)


def _check(x: Floats, y: Floats, folds: np.ndarray, k: int) -> None:
    if x.ndim != 3 or y.shape != x.shape[:2] or folds.shape != x.shape[:1]:
        raise ValueError(
            f"wanted are features (seed, config, p), target (seed, config) and fold (seed,), "
            f"not {x.shape}, {y.shape} and {folds.shape}"
        )
    bad = ~(np.isfinite(x).all(axis=-1) & np.isfinite(y))
    if bad.any():
        seed, config = np.argwhere(bad)[0]
        raise ValueError(f"{int(bad.sum())} rows are not finite, the first at seed {seed}, config {config}")
    if k < 1 or len(np.unique(folds)) < 2:
        raise ValueError(f"wanted are k >= 1 and at least two folds, not k = {k} and {len(np.unique(folds))}")
