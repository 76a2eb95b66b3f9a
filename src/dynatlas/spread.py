"""One meaning of "all the same" for numbers that were computed: no spread beyond what rounding explains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

STEPS = 32
"""Operations, each rounded to half a unit in the last place, behind one value of a table."""


def rounding(x: ArrayLike, dtype: Any = np.float64) -> Floats:
    """A bound on what rounding left in each value of `x`, which were computed in the floating type `dtype`."""
    eps = np.finfo(dtype).eps if np.issubdtype(dtype, np.floating) else np.finfo(np.float64).eps
    return STEPS * float(eps) * np.abs(np.asarray(x, dtype=np.float64))


def no_spread(x: ArrayLike, error: ArrayLike | None = None, *, axis: int = -1) -> NDArray[np.bool_]:
    """Is max - min along `axis` no more than rounding explains? An array of the other axes of `x`.

    `error` bounds the rounding of each value, where that is larger than its own size tells: a difference of large
    numbers carries theirs. A value that is not finite is spread.
    """
    x = np.asarray(x, dtype=np.float64)
    error = rounding(x) if error is None else np.broadcast_to(np.asarray(error, dtype=np.float64), x.shape)
    if x.shape[axis] == 0:
        return np.ones(np.delete(x.shape, axis), dtype=bool)
    with np.errstate(invalid="ignore"):
        width = np.ptp(x, axis=axis)
    return np.isfinite(width) & (width <= 2 * error.max(axis=axis))


def levelled(x: ArrayLike, error: ArrayLike | None = None) -> Floats:
    """`x` with the values along its last axis replaced by their median wherever they have no spread."""
    x = np.asarray(x, dtype=np.float64)
    same = no_spread(x, error)[..., None]
    return np.where(same & (np.ptp(x, axis=-1, keepdims=True) > 0), np.median(x, axis=-1, keepdims=True), x)
