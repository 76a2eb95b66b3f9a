"""How gradients grow or vanish on their way back through time, and how far Jacobians stretch.

Jacobians are J_t = d s_t / d s_{t-1}, (T, ..., d, d) with row = output; norms are those of error vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dynatlas.reductions import sum_over_first


def log_gradient_norms(
    jacobians: Tensor, *, vector: Tensor | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """log ||(J_T ... J_{t+1})^T v|| / ||v|| for T - t = 0, 1, ..., T, (T, ..., d, d) -> (T + 1, ...).

    `vector` v is (..., d); default a random Gaussian one from `generator` (of a fixed seed if there is none), the same
    for all leading axes. The vector is renormalised at each step, so that nothing over- or underflows; -inf once it
    is 0.
    """
    *lead, d, _ = jacobians.shape[1:]
    if vector is None:
        generator = generator or torch.Generator().manual_seed(0)
        vector = torch.randn(d, generator=generator, dtype=torch.float64, device=generator.device)
    v = vector.to(jacobians).expand(*lead, d)
    v = v / v.norm(dim=-1, keepdim=True)
    grown = [v.new_zeros(lead)]
    for jacobian in jacobians.flip(0):
        v = (v[..., None, :] @ jacobian)[..., 0, :]
        norm = v.norm(dim=-1)
        grown.append(norm.log())
        v = v / torch.where(norm == 0, 1.0, norm)[..., None]
    return torch.stack(grown).cumsum(dim=0)


def gradient_growth_rate(
    jacobians: Tensor,
    *,
    skip: int = 30,
    vector: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Rate at which back-propagated error vectors grow, in nats per step, (T, ..., d, d) -> (...).

    The least-squares slope of `log_gradient_norms` against T - t, without the first `skip` steps, in which v turns;
    over long spans it is the leading Lyapunov exponent (arXiv 2006.14123). -inf where the gradient dies. ValueError
    where no step remains.
    """
    if len(jacobians) - skip < 1 or skip < 0:
        raise ValueError(f"skip = {skip}: of {len(jacobians)} steps, at least one must remain")
    norms = log_gradient_norms(jacobians, vector=vector, generator=generator)[skip:]
    return _slope(torch.arange(len(norms)).to(norms), norms)


def gradient_norms(loss: Callable[[Tensor], Tensor], states: Tensor, *, dim: int = -1) -> Tensor:
    """||d loss / d states|| over the axis `dim`: how much of the loss's gradient reaches each state, such as each step.

    `loss` maps the states, any shape with units along `dim`, to a scalar or to any tensor, which is summed. Where the
    states come from one another (a rollout), pass perturbations: `lambda shift: loss(rollout(..., shift))` at zeros.
    """
    leaf = states.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(loss(leaf).sum(), leaf)
    return gradient.norm(dim=dim)


def propagation_exponent(norms: Tensor, *, skip: int = 0) -> Tensor:
    """Power with which norms (T, ...) change along time, ||.|| ~ t^a -> (...): slope of log norm on log t, t = 1 ... T.

    Polynomial where attention carries the gradient, exponential (a runs away with T) where recurrence alone does. The
    first `skip` steps are left out.
    """
    if len(norms) - skip < 2 or skip < 0:
        raise ValueError(f"skip = {skip}: of {len(norms)} steps, at least two must remain")
    t = torch.arange(1, len(norms) + 1).to(norms)
    return _slope(t.log()[skip:], norms.log()[skip:])


def jacobian_norms(jacobians: Tensor, *, order: float = 2) -> Tensor:
    """Matrix norm of each Jacobian (..., d, d) -> (...): order 2 is the largest singular value, inf the row sum.

    NaN for a Jacobian that is not finite.
    """
    if order not in (2, math.inf):
        raise ValueError(f"order = {order}: wanted is 2 or inf")
    finite = jacobians.isfinite().all(dim=(-2, -1))
    usable = torch.where(finite[..., None, None], jacobians, 0.0)  # LAPACK would give up on the whole batch
    return torch.where(finite, torch.linalg.matrix_norm(usable, ord=order), torch.nan)


def _slope(x: Tensor, y: Tensor) -> Tensor:
    """Least-squares slope of y (T, ...) on x (T,); -inf where y ends there."""
    centred = x - x.mean()
    weights = centred.view(-1, *(1,) * (y.dim() - 1)) / centred.square().sum()
    slope = sum_over_first(weights * torch.where(torch.isneginf(y), 0.0, y))
    return torch.where(torch.isneginf(y[-1]), -torch.inf, slope)
