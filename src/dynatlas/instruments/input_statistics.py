"""Inputs whose statistics change: each step multiplied by a ramp, shifted, scaled, noisy, drifting, or stepping up.

Geadah et al. 2020 (arXiv 2006.12253) and its extension change the inputs of trained networks in these ways. Inputs are
(..., time, channel) or have their time axis where `dim` says; steps count t = 1 ... T, within periods of P steps
(default: the whole sequence).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.names import named


def ramp(x: Tensor, *, period: int | None = None, dim: int = -2) -> Tensor:
    """x t / P: every period rises from 1 / P to 1."""
    t, length = _phase(x, period, dim)
    return x * _along(t / length, x, dim)


def half_sine(x: Tensor, *, period: int | None = None, dim: int = -2) -> Tensor:
    """x sin(pi t / P): half a wave in each period, 0 at its end."""
    t, length = _phase(x, period, dim)
    return x * _along(torch.sin(math.pi * t / length), x, dim)


def offset(x: Tensor, *, size: float) -> Tensor:
    """x + size."""
    return x + size


def gain(x: Tensor, *, factor: float) -> Tensor:
    """x factor."""
    return x * factor


def noise(x: Tensor, *, sd: float, generators: Sequence[Generator]) -> Tensor:
    """x + sd N(0, 1), drawn for the rows of the first axis by as many generators in turn (one a seed)."""
    if len(generators) != len(x):
        raise ValueError(f"x has {len(x)} rows but there are {len(generators)} generators: one a row is wanted")
    drawn = torch.empty_like(x)
    for row, generator in zip(drawn, generators, strict=True):
        row.normal_(generator=generator)
    return x + sd * drawn


def slow_drift(
    x: Tensor,
    *,
    amplitude: float = 0.5,
    frequency: float = 1.0,
    phase: float = 0.0,
    period: int | None = None,
    dim: int = -2,
) -> Tensor:
    """x (1 + A sin(2 pi f t / P + phase)) where x > 0."""
    t, length = _phase(x, period, dim)
    factor = 1 + amplitude * torch.sin(2 * math.pi * frequency * t / length + phase)
    return torch.where(x > 0, x * _along(factor, x, dim), x)


def step_change(x: Tensor, *, amplitude: float, position: int, length: int, dim: int = -2) -> Tensor:
    """x (1 + amplitude) at steps position < t < position + length, x elsewhere."""
    t, _ = _phase(x, None, dim)
    inside = (t > position) & (t < position + length)
    return x * _along(1 + amplitude * inside, x, dim)


INPUT_CHANGES: dict[str, Callable[..., Tensor]] = {
    "ramp": ramp,
    "half-sine": half_sine,
    "offset": offset,
    "gain": gain,
    "noise": noise,
    "slow-drift": slow_drift,
    "step": step_change,
}
_TIMELESS = ("offset", "gain", "noise")


def transform_inputs(x: Tensor, kind: str, *, dim: int = -2, **settings: Any) -> Tensor:
    """Inputs x with changed statistics; `kind` is a name of `INPUT_CHANGES`, whose `settings` are passed on.

    Nothing is changed in place. Raises KeyError with the nearest name for an unknown kind, TypeError for a setting that
    the kind does not take, and ValueError for a period below 1.
    """
    change = named(INPUT_CHANGES, kind, "input change")
    return change(x, **settings) if kind in _TIMELESS else change(x, dim=dim, **settings)


def _phase(x: Tensor, period: int | None, dim: int) -> tuple[Tensor, int]:
    """t within its period, 1 ... P, for each step, float64; and P."""
    steps = x.shape[dim]
    length = steps if period is None else period
    if length < 1:
        raise ValueError(f"period = {period}: wanted is at least 1 step")
    return torch.arange(steps, device=x.device, dtype=torch.float64) % length + 1, length


def _along(factor: Tensor, x: Tensor, dim: int) -> Tensor:
    """A factor a step, (time,), shaped to multiply x."""
    shape = [1] * x.dim()
    shape[dim] = len(factor)
    return factor.to(x).view(shape)
