"""What becomes of several conditions within one seed: a rank correlation, a slope, an intraclass correlation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dynatlas.spread import Floats, no_spread


def ranks(x: Floats) -> Floats:
    """Ranks along the last axis, 1 for the smallest; equal values share the mean of their ranks."""
    below = (x[..., None, :] < x[..., :, None]).sum(axis=-1)
    not_above = (x[..., None, :] <= x[..., :, None]).sum(axis=-1)
    return (below + not_above + 1) / 2


def spearman(x: Floats, y: Floats) -> Floats:
    """Spearman's rank correlation along the last axis; NaN where one side is constant (there is no order)."""
    a, b = (r - r.mean(axis=-1, keepdims=True) for r in (ranks(x), ranks(y)))
    size = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    sound = (size > 0) & ~no_spread(x) & ~no_spread(y)
    return np.where(sound, (a * b).sum(axis=-1) / np.where(sound, size, 1.0), np.nan)


def slope(x: Floats, y: Floats) -> Floats:
    """Least-squares slope of y on x along the last axis: 0 where y is constant, NaN where x is."""
    x, y = np.broadcast_arrays(x, y)
    a, b = (one - one.mean(axis=-1, keepdims=True) for one in (x, y))
    sound = ~no_spread(x)
    found = (a * b).sum(axis=-1) / np.where(sound, (a**2).sum(axis=-1), 1.0)
    return np.where(sound, np.where(no_spread(y), 0.0, found), np.nan)


def icc(x: Floats, y: Floats) -> Floats:
    """Intraclass correlation of y along the last axis, in the groups of equal x: ICC(1), Shrout and Fleiss 1979.

    (MSB - MSW) / (MSB + (m - 1) MSW) from the mean squares between and within groups of m values each: the share of the
    variance of a single value that its group accounts for. Unequal groups have m = (n - sum n_g^2 / n) / (groups - 1).
    NaN for fewer than two groups, where no group has a second value, and where y is constant.
    """
    x, y = np.broadcast_arrays(x, y)
    member = x[..., None, :] == np.unique(x)[:, None]
    size, n = member.sum(axis=-1), y.shape[-1]
    mean = (member * y[..., None, :]).sum(axis=-1) / np.maximum(size, 1)
    rest = y - (member * mean[..., None]).sum(axis=-2)
    groups = (size > 0).sum(axis=-1)
    sound = (groups > 1) & (groups < n) & ~no_spread(y)
    between = (size * (mean - y.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1) / np.where(sound, groups - 1, 1)
    within = (rest**2).sum(axis=-1) / np.where(sound, n - groups, 1)
    m = (n - (size**2).sum(axis=-1) / n) / np.where(sound, groups - 1, 1)
    return np.where(sound, (between - within) / np.where(sound, between + (m - 1) * within, 1.0), np.nan)


STATISTICS: dict[str, Callable[[Floats, Floats], Floats]] = {"spearman": spearman, "slope": slope, "icc": icc}
