"""Inputs whose statistics change: each step multiplied by a ramp, shifted, scaled, noisy, drifting, or stepping up.

Geadah et al. 2020 (arXiv 2006.12253) and its extension change the inputs of trained networks in these ways. Inputs are
(..., time, channel) or have their time axis where `dim` says; steps count t = 1 ... T, within periods of P steps
(default: the whole sequence). Half precision is computed in float32 and comes back as it was; whole numbers come back
in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.instruments.given import narrowed, whole, widened
from dynatlas.names import named


def ramp(x: Tensor, *, period: int | None = None, dim: int = -2) -> Tensor:
    """x t / P: every period rises from 1 / P to 1."""
    t, length = _phase(x, period, dim)
    return _times(x, t / length, dim)


def half_sine(x: Tensor, *, period: int | None = None, dim: int = -2) -> Tensor:
    """x sin(pi t / P): half a wave in each period, 0 at its end."""
    t, length = _phase(x, period, dim)
    return _times(x, torch.sin(math.pi * t / length), dim)


def offset(x: Tensor, *, size: float) -> Tensor:
    """x + size."""
    return narrowed(widened(x, "x") + size, x)


def gain(x: Tensor, *, factor: float) -> Tensor:
    """x factor."""
    return narrowed(widened(x, "x") * factor, x)


def noise(x: Tensor, *, sd: float, generators: Sequence[Generator]) -> Tensor:
    """x + sd N(0, 1), drawn for the rows of the first axis by as many generators in turn (one a seed)."""
    if len(generators) != len(x):
        raise ValueError(f"x has {len(x)} rows but there are {len(generators)} generators: one a row is wanted")
    wide = widened(x, "x")
    drawn = torch.empty_like(wide, memory_format=torch.contiguous_format)
    for row, own in zip(drawn, generators, strict=True):
        row.copy_(torch.empty(row.shape, dtype=row.dtype, device=own.device).normal_(generator=own))
    return narrowed(wide + sd * drawn, x)


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
    return torch.where(x > 0, _times(x, factor, dim), x)


def step_change(x: Tensor, *, amplitude: float, position: int, length: int, dim: int = -2) -> Tensor:
    """x (1 + amplitude) at steps position < t < position + length, x elsewhere."""
    t, _ = _phase(x, None, dim)
    inside = (t > position) & (t < position + length)
    return _times(x, 1 + amplitude * inside.to(torch.float64), dim)


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
    length = steps if period is None else whole(period, "period", least=1)
    return torch.arange(steps, device=x.device, dtype=torch.float64) % length + 1, length


def _times(x: Tensor, factor: Tensor, dim: int) -> Tensor:
    """x times a factor a step, (time,)."""
    wide = widened(x, "x")
    shape = [1] * x.dim()
    shape[dim] = len(factor)
    return narrowed(wide * factor.to(wide).view(shape), x)
