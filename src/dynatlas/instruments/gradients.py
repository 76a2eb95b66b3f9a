"""How gradients grow or vanish on their way back through time, and how far Jacobians stretch.

Jacobians are J_t = d s_t / d s_{t-1}, (T, ..., d, d) with row = output, of any real type; norms are those of error
vectors. Results are float64. What holds NaN or infinity has NaN, alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dynatlas.instruments.given import real, whole, widened
from dynatlas.instruments.scale import norm, scaled
from dynatlas.reductions import sum_over_first


def log_gradient_norms(
    jacobians: Tensor, *, vector: Tensor | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """log ||(J_T ... J_{t+1})^T v|| / ||v|| for T - t = 0, 1, ..., T, (T, ..., d, d) -> (T + 1, ...).

    `vector` v is (..., d); default a random Gaussian one from `generator` (of a fixed seed if there is none), the same
    for all leading axes. The vector is renormalised at each step, so that nothing over- or underflows; -inf once it
    is 0. Raises ValueError for a v that is 0.
    """
    *lead, d, _ = _jacobians(jacobians).shape[1:]
    if vector is None:
        generator = generator or torch.Generator().manual_seed(0)
        vector = torch.randn(d, generator=generator, dtype=torch.float64, device=generator.device)
    v = vector.to(jacobians.device, torch.float64).expand(*lead, d)
    if bool((v == 0).all(dim=-1).any()):
        raise ValueError("vector: its norm is 0, nothing can grow")
    v = scaled(v, dim=-1)[0]
    v = v / v.norm(dim=-1, keepdim=True)
    grown = [v.new_zeros(lead)]
    for jacobian in jacobians.flip(0):
        v = (v[..., None, :] @ jacobian.to(torch.float64))[..., 0, :]
        size = norm(v)
        grown.append(size.log())
        v = v / torch.where(size == 0, 1.0, size)[..., None]
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
    skip = whole(skip, "skip", least=0)
    if len(jacobians) - skip < 1:
        raise ValueError(f"skip = {skip}: of {len(jacobians)} steps, at least one must remain")
    norms = log_gradient_norms(jacobians, vector=vector, generator=generator)[skip:]
    slope = _slope(torch.arange(len(norms)).to(norms), norms, ~torch.isneginf(norms))
    return torch.where(torch.isneginf(norms[-1]), -torch.inf, slope)


def gradient_norms(loss: Callable[[Tensor], Tensor], states: Tensor, *, dim: int = -1) -> Tensor:
    """||d loss / d states|| over the axis `dim`: how much of the loss's gradient reaches each state, such as each step.

    `loss` maps the states, any shape with units along `dim`, to a scalar or to any tensor, which is summed. Where the
    states come from one another (a rollout), pass perturbations: `lambda shift: loss(rollout(..., shift))` at zeros.
    The loss is given states of half precision in float32, whole numbers in float64. Raises ValueError for a loss that
    does not hang on the states.
    """
    leaf = widened(states, "states").detach().requires_grad_()
    with torch.enable_grad():
        total = loss(leaf).sum()
        found = torch.autograd.grad(total, leaf, allow_unused=True) if total.requires_grad else (None,)
    if found[0] is None:
        raise ValueError("the loss does not hang on the states: were they detached, or left out?")
    return norm(found[0].to(torch.float64), dim=dim)


def propagation_exponent(norms: Tensor, *, skip: int = 0) -> Tensor:
    """Power with which norms (T, ...) change along time, ||.|| ~ t^a -> (...): slope of log norm on log t, t = 1 ... T.

    Polynomial where attention carries the gradient, exponential (a runs away with T) where recurrence alone does. The
    first `skip` steps are left out, and those whose norm is 0. Raises ValueError for negative norms, and where fewer
    than two are left.
    """
    skip = whole(skip, "skip", least=0)
    norms = real(norms, "norms")
    if len(norms) - skip < 2:
        raise ValueError(f"skip = {skip}: of {len(norms)} steps, at least two must remain")
    if bool((norms < 0).any()):
        raise ValueError(f"norms must be >= 0, one is {float(norms.min())}")
    t, norms = torch.arange(1, len(norms) + 1).to(norms)[skip:], norms[skip:]
    if bool((sum_over_first(norms != 0) < 2).any()):
        raise ValueError(f"of {len(norms)} norms fewer than two are not 0: there is no power")
    return _slope(t.log(), norms.log(), norms != 0)


def jacobian_norms(jacobians: Tensor, *, order: float = 2) -> Tensor:
    """Matrix norm of each Jacobian (..., d, d) -> (...): order 2 is the largest singular value, inf the row sum.

    NaN for a Jacobian that is not finite.
    """
    if order not in (2, math.inf):
        raise ValueError(f"order = {order}: wanted is 2 or inf")
    jacobians = real(jacobians, "jacobians")
    finite = jacobians.isfinite().all(dim=(-2, -1))
    usable = torch.where(finite[..., None, None], jacobians, 0.0)  # LAPACK would give up on the whole batch
    usable, size = scaled(usable, dim=(-2, -1))
    return torch.where(finite, torch.linalg.matrix_norm(usable, ord=order) * size[..., 0, 0], torch.nan)


def _jacobians(jacobians: Tensor) -> Tensor:
    """Jacobians (T, ..., d, d), unless they have another shape."""
    if jacobians.dim() < 3 or jacobians.shape[-1] != jacobians.shape[-2]:
        raise ValueError(f"jacobians must be (T, ..., d, d), not {tuple(jacobians.shape)}")
    return jacobians


def _slope(x: Tensor, y: Tensor, counted: Tensor) -> Tensor:
    """Least-squares slope of y (T, ...) on x (T,), over the steps that are `counted` (T, ...)."""
    x = x.view(-1, *[1] * (y.dim() - 1))
    mean = sum_over_first(torch.where(counted, x, 0.0)) / sum_over_first(counted)
    centred = torch.where(counted, x - mean, 0.0)
    return sum_over_first(centred * torch.where(counted, y, 0.0)) / sum_over_first(centred.square())
