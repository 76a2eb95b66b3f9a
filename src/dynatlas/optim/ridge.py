"""Linear readouts by weighted ridge regression in closed form, batched over any leading axes (member, task, ...).

Convention: with S = sum of the weights w_s over samples, W and b minimise

    sum_s w_s |y_s - x_s W - b|^2 + penalty * S * |W|^2,

that is, (X^T diag(w) X + penalty S I) W = X^T diag(w) Y on weighted-centred X and Y: the penalty is a fraction of the
summed weights (so it does not depend on the number of samples nor on the scale of the weights), and the constant b is
not penalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Weighted sums over samples that determine a ridge readout; they add, so data can come in portions."""

    weight: Tensor
    """(...): S."""
    x: Tensor
    """(..., n): sum of w x."""
    y: Tensor
    """(..., o): sum of w y."""
    xx: Tensor
    """(..., n, n): sum of w x x^T."""
    xy: Tensor
    """(..., n, o): sum of w x y^T."""

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def moments(x: Tensor, y: Tensor, *, weights: Tensor | None = None) -> Moments:
    """Weighted moments of samples x (..., samples, n) and targets y (..., samples, o).

    weights (..., samples) default to 1; a sample of weight 0 does not count. Products are taken in the type of x (half
    precision in float32), and kept in float64. Raises ValueError for negative weights.
    """
    x, y = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in (x, y))
    weights = torch.ones_like(x[..., 0]) if weights is None else weights.to(x.dtype)
    if bool((weights < 0).any()):
        raise ValueError("ridge weights must not be negative")
    weighted = x * weights[..., None]
    sums = (
        weights.sum(-1),
        weighted.sum(-2),
        (y * weights[..., None]).sum(-2),
        weighted.mT @ x,
        weighted.mT @ y,
    )
    return Moments(*(part.to(torch.float64) for part in sums))


def solve(of: Moments, *, penalty: float | Tensor, intercept: bool = True) -> tuple[Tensor, Tensor]:
    """The readout W (..., n, o), b (..., o) in float64; `penalty` is a number or broadcasts to the leading axes.

    Without `intercept` nothing is centred and b is 0. Raises ValueError for a penalty that is not positive.
    """
    lam = torch.as_tensor(penalty, dtype=torch.float64, device=of.xx.device)
    if not bool((lam > 0).all()):
        raise ValueError(f"the ridge penalty must be > 0, got {penalty}")
    gram, cross = of.xx, of.xy
    if intercept:
        gram = gram - of.x[..., :, None] * of.x[..., None, :] / of.weight[..., None, None]
        cross = cross - of.x[..., :, None] * of.y[..., None, :] / of.weight[..., None, None]
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    factor = torch.linalg.cholesky(gram + (lam * of.weight)[..., None, None] * identity)
    w = torch.cholesky_solve(cross, factor)
    if not intercept:
        return w, torch.zeros_like(of.y)
    return w, (of.y - (of.x[..., None, :] @ w)[..., 0, :]) / of.weight[..., None]


def ridge_readout(
    x: Tensor, y: Tensor, *, penalty: float | Tensor, weights: Tensor | None = None, intercept: bool = True
) -> tuple[Tensor, Tensor]:
    """W (..., n, o) and b (..., o) of the weighted ridge readout of y (..., samples, o) from x (..., samples, n).

    In the type of x, solved in float64. See the module for the convention of `penalty`, and `moments` and `solve` to
    take data in portions or to solve for several penalties.
    """
    w, b = solve(moments(x, y, weights=weights), penalty=penalty, intercept=intercept)
    return w.to(x.dtype), b.to(x.dtype)
