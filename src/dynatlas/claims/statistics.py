"""What becomes of several conditions within one seed: a rank correlation or a slope."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ranks(x: Floats) -> Floats:
    """Ranks along the last axis, 1 for the smallest; equal values share the mean of their ranks."""
    below = (x[..., None, :] < x[..., :, None]).sum(axis=-1)
    not_above = (x[..., None, :] <= x[..., :, None]).sum(axis=-1)
    return (below + not_above + 1) / 2


def spearman(x: Floats, y: Floats) -> Floats:
    """Spearman's rank correlation along the last axis; NaN where one side is constant (there is no order)."""
    a, b = (r - r.mean(axis=-1, keepdims=True) for r in (ranks(x), ranks(y)))
    size = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.where(size > 0, (a * b).sum(axis=-1) / np.where(size > 0, size, 1.0), np.nan)


def slope(x: Floats, y: Floats) -> Floats:
    """Least-squares slope of y on x along the last axis; NaN where x is constant."""
    a = x - x.mean(axis=-1, keepdims=True)
    size = (a**2).sum(axis=-1)
    return np.where(size > 0, (a * y).sum(axis=-1) / np.where(size > 0, size, 1.0), np.nan)


STATISTICS: dict[str, Callable[[Floats, Floats], Floats]] = {"spearman": spearman, "slope": slope}
