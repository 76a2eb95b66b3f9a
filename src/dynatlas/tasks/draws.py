"""What every generated task needs: uniform draws and noise with one generator a seed, and answers to unknown names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def uniforms(trials: int, draws: int, *, generators: Sequence[Generator]) -> Tensor:
    """U(0, 1) in float64, (seed, trial, draw): one call of each seed's own generator."""
    drawn = torch.empty(len(generators), trials, draws, dtype=torch.float64, device=generators[0].device)
    for own, generator in zip(drawn, generators, strict=True):
        own.uniform_(generator=generator)
    return drawn


def channel_noise(
    shape: tuple[int, ...], scale: float, *, generators: Sequence[Generator], dtype: torch.dtype
) -> Tensor:
    """scale N(0, 1), (seed, *shape); zeros, without a draw, where scale is 0."""
    noise = torch.zeros(len(generators), *shape, dtype=dtype, device=generators[0].device)
    if scale == 0:
        return noise
    for own, generator in zip(noise, generators, strict=True):
        own.normal_(generator=generator)
    return noise.mul_(scale)


def within(u: Tensor, span: tuple[float, float]) -> Tensor:
    """U(0, 1) stretched to (low, high)."""
    return span[0] + (span[1] - span[0]) * u


def steps_within(u: Tensor, span: tuple[float, float], dt: float) -> Tensor:
    """U(0, 1) as a time drawn from (low, high) ms, in whole steps: floor(ms / dt), long."""
    return (within(u, span) / dt).floor().long()


def sign(u: Tensor) -> Tensor:
    """-1 or 1 with equal probability."""
    return torch.where(u < 0.5, -1.0, 1.0)
