"""Matrix products of states with weights whose leading axes broadcast."""

from __future__ import annotations

from torch import Tensor


def rows_times(x: Tensor, w: Tensor) -> Tensor:
    """x W for x (..., i) and w (..., i, n), leading axes broadcast -> (..., n).

    Weights (..., 1, i, n) that all rows of an axis share are multiplied as one matrix, not copied for each row.
    """
    if w.dim() == 2:
        return x @ w
    if w.shape[-3] == 1 and x.dim() > 1:
        return x @ w.squeeze(-3)
    return (x[..., None, :] @ w)[..., 0, :]
