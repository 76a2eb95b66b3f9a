"""Identities of the gain-saturation family (Geadah et al. 2020): how far each is from holding in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dynatlas.models.gain_saturation import gain_saturation, gain_saturation_derivatives, largest_slope

GAINS, SATURATIONS = (1.0, 2.5, 5.0, 10.0, 20.0), (0.0, 0.25, 0.5, 0.75, 1.0)
_Z = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
"""n x: fine enough that the largest slope on it is right to 1e-8."""


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _gamma(x: Tensor, n: float, s: float) -> Tensor:
    return gain_saturation(x, _number(n), _number(s))


def softplus(shift: float) -> float:
    """sup |gamma(x; 1, 0) - softplus(x)|; `shift` is added to the gain of gamma, here and below."""
    x = _Z / 2
    return float((_gamma(x, 1 + shift, 0) - torch.log1p(torch.exp(x))).abs().max())


def sigmoid(shift: float) -> float:
    """sup |gamma(x; n, 1) - sigmoid(n x)|, the largest over gains n."""
    return max(float((_gamma(_Z / n, n + shift, 1) - (1 + torch.tanh(_Z / 2)) / 2).abs().max()) for n in GAINS)


def relu(shift: float) -> float:
    """| sup |gamma(x; n, 0) - ReLU(x)| - log(2) / n |, the largest over gains n."""
    distances = {n: float((_gamma(_Z / n, n + shift, 0) - torch.relu(_Z / n)).abs().max()) for n in GAINS}
    return max(abs(distance - math.log(2) / n) for n, distance in distances.items())


def gauge(shift: float) -> float:
    """sup |gamma(x; n, 0) - gamma(n x; 1, 0) / n|, the largest over gains n."""
    return max(float((_gamma(_Z / n, n + shift, 0) - _gamma(_Z, 1, 0) / n).abs().max()) for n in GAINS)


def steepest(shift: float) -> float:
    """| sup gamma'(x; n, s) - (1 + s (n - 1))^2 / (4 n s) or 1 - s |, the largest over cells with s in [0, 1]."""
    found = []
    for n in GAINS:
        for s in SATURATIONS:
            slopes = gain_saturation_derivatives(_Z / n, _number(n + shift), _number(s))[0]
            found.append(abs(float(slopes.max() - largest_slope(_number(n), _number(s))[0])))
    return max(found)


def gradients(shift: float) -> float:
    """Largest difference of the analytic derivatives in x, n and s from automatic differentiation of the formula."""
    n, s = (torch.tensor(grid, dtype=torch.float64) for grid in (GAINS, SATURATIONS))
    arguments = [
        one.requires_grad_() for one in torch.meshgrid(torch.linspace(-8, 8, 161).double(), n, s, indexing="ij")
    ]
    x, n, s = arguments
    plain = (1 - s) * torch.log1p(torch.exp(n * x)) / n + s / (1 + torch.exp(-n * x))
    automatic = torch.autograd.grad(plain.sum(), arguments)
    analytic = gain_saturation_derivatives(x.detach(), n.detach() + shift, s.detach())
    return max(float((one - other).abs().max()) for one, other in zip(automatic, analytic, strict=True))


IDENTITIES: dict[str, Callable[[float], float]] = {
    "softplus": softplus,
    "sigmoid": sigmoid,
    "ReLU": relu,
    "gauge": gauge,
    "steepest": steepest,
    "gradients": gradients,
}
