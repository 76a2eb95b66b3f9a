"""The activation with a gain n and a saturation s that interpolates between softplus, ReLU and the logistic sigmoid.

    gamma(x; n, s) = (1 - s) log(1 + exp(n x)) / n + s / (1 + exp(-n x))

Geadah, Kerg, Horoi, Wolf, Lajoie 2020 (arXiv 2006.12253). (1, 0) is softplus, (1, 1) the sigmoid, and n -> inf at s = 0
ReLU, from which it differs by at most log(2) / n. For s in [0, 1] it grows with x; for s < 0 it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from dynatlas.elementwise import sigmoid, sigmoid_slope, softplus

Mode = Literal["static", "homogeneous", "heterogeneous"]


def gain_saturation(x: Tensor, n: Tensor, s: Tensor) -> Tensor:
    """gamma(x; n, s) of arguments x, with gain n > 0 and saturation s that broadcast against x.

    Keeps x alone for the backward pass. Differentiable any number of times in all three.
    """
    value: Tensor = _GainSaturation.apply(x, n, s)
    return value


def gain_saturation_derivatives(x: Tensor, n: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """d gamma / d x, d gamma / d n, d gamma / d s, each of the shape that x, n and s broadcast to.

    With g1 = softplus(n x) / n and g2 = sigmoid(n x): (1 - s) g2 + n s g2 (1 - g2),
    (1 - s) (x g2 - g1) / n + s x g2 (1 - g2), and g2 - g1.
    """
    soft, logistic = softplus(n * x) / n, sigmoid(n * x)
    bump = sigmoid_slope(n * x)
    along_n = (1 - s) * (x * logistic - soft) / n + s * x * bump
    return (1 - s) * logistic + n * s * bump, along_n, logistic - soft


def largest_slope(n: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """sup over x of d gamma / d x for s in [0, 1], and where it is taken (inf where only approached).

    (1 + s (n - 1))^2 / (4 n s) where s > 1 / (n + 1), at sigmoid(n x) = 1/2 + (1 - s) / (2 n s); else 1 - s. ValueError
    for n <= 0 and for s outside [0, 1], where the slope has no such maximum.
    """
    if bool((n <= 0).any()) or bool((s < 0).any()) or bool((s > 1).any()):
        raise ValueError("the largest slope is known for gains n > 0 and saturations s in [0, 1]")
    n, s = torch.broadcast_tensors(n, s)
    inside = s * (n + 1) > 1
    safe = torch.where(inside, s, torch.ones_like(s))
    slope = torch.where(inside, (1 + safe * (n - 1)) ** 2 / (4 * n * safe), 1 - s)
    place = torch.logit(0.5 + (1 - safe) / (2 * n * safe)) / n
    return slope, torch.where(inside, place, torch.full_like(s, torch.inf))


def shape_parameters(mode: Mode, n: Tensor, s: Tensor, *, units: int) -> dict[str, Tensor]:
    """Gains `gain` and saturations `saturation` of an ensemble's units, from each member's start n and s (E,).

    Like biases they have the units on their last axis: (E, 1) for "static" (not to be trained) and "homogeneous" (one
    pair a network), (E, units) for "heterogeneous" (one pair a unit, equal at the start). ValueError for another mode.
    """
    if mode not in ("static", "homogeneous", "heterogeneous"):
        raise ValueError(f"mode = {mode!r}: wanted is 'static', 'homogeneous' or 'heterogeneous'")
    width = units if mode == "heterogeneous" else 1
    return {name: start[:, None].repeat(1, width) for name, start in (("gain", n), ("saturation", s))}


def pooled(params: Mapping[str, Tensor], shared: Tensor) -> dict[str, Tensor]:
    """The same tree with one pair a network where `shared` (E,) is true, so that all modes train in one stack.

    Their units take the shape (E, units) of the first, to which the gradients of all then flow.
    """
    one = {name: params[name][:, :1].expand_as(params[name]) for name in ("gain", "saturation")}
    return dict(params) | {name: torch.where(shared[:, None], value, params[name]) for name, value in one.items()}


class _GainSaturation(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, n: Tensor, s: Tensor) -> Tensor:
        """gamma."""
        return torch.lerp(softplus(n * x) / n, sigmoid(n * x), s)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        """Keep the inputs."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, from_above: Tensor) -> tuple[Tensor, ...]:
        """Gradients with respect to x, n and s, summed over what was broadcast."""
        inputs = ctx.saved_tensors
        slopes = gain_saturation_derivatives(*inputs)
        return tuple((from_above * slope).sum_to_size(given.shape) for slope, given in zip(slopes, inputs, strict=True))
