"""Learning-rate factors along training, and the steps on which something is looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Schedule(Protocol):
    """A factor on each member's learning rate."""

    def __call__(self, step: int, budget: Tensor) -> Tensor:
        """The factors (member,), float64, of update `step` (0-based) where each member makes `budget` (member,)."""


def _warm_and_progress(step: int, budget: Tensor, warmup: int) -> tuple[float, Tensor]:
    """The warm-up factor, and how far each member is between the warm-up's end (0) and its last update (1)."""
    left = (budget.to(torch.float64) - 1 - warmup).clamp_min(1)
    return min(1.0, (step + 1) / max(warmup, 1)), ((step - warmup) / left).clamp(0, 1)


@dataclass(frozen=True)
class Constant:
    """`warmup` linearly rising steps, then 1."""

    warmup: int = 0

    def __call__(self, step: int, budget: Tensor) -> Tensor:
        """See `Schedule`."""
        warm, progress = _warm_and_progress(step, budget, self.warmup)
        return torch.full_like(progress, warm)


@dataclass(frozen=True)
class LinearDecay:
    """`warmup` linearly rising steps, then linearly down to `final` at each member's last update."""

    warmup: int = 0
    final: float = 0.1

    def __call__(self, step: int, budget: Tensor) -> Tensor:
        """See `Schedule`."""
        warm, progress = _warm_and_progress(step, budget, self.warmup)
        return warm * (1 - (1 - self.final) * progress)


@dataclass(frozen=True)
class CosineDecay:
    """`warmup` linearly rising steps, then down to `final` along half a cosine."""

    warmup: int = 0
    final: float = 0.0

    def __call__(self, step: int, budget: Tensor) -> Tensor:
        """See `Schedule`."""
        warm, progress = _warm_and_progress(step, budget, self.warmup)
        return warm * (self.final + (1 - self.final) * 0.5 * (1 + torch.cos(math.pi * progress)))


@dataclass(frozen=True)
class StepDecay:
    """1, then times `factor` every `every` updates, for the first time at update `start`; the budget plays no part.

    Raises ValueError unless start >= 0, every >= 1 and factor > 0.
    """

    start: int
    every: int
    factor: float

    def __post_init__(self) -> None:
        if self.start < 0 or self.every < 1 or not 0 < self.factor < math.inf:
            raise ValueError(f"{self}: wanted are start >= 0, every >= 1 and factor > 0")

    def __call__(self, step: int, budget: Tensor) -> Tensor:
        """See `Schedule`."""
        times = max(0, (step - self.start) // self.every + 1)
        return torch.full_like(budget, math.pow(self.factor, times), dtype=torch.float64)


class Occasion(Protocol):
    """A set of steps."""

    def __call__(self, step: int) -> bool:
        """Whether something is looked at after `step` updates."""


@dataclass(frozen=True)
class Every:
    """Steps 0, k, 2k, ..."""

    k: int

    def __call__(self, step: int) -> bool:
        """See `Occasion`."""
        return step % self.k == 0


@dataclass(frozen=True)
class Geometric:
    """Step 0 and the rounded members of base * (ratio^i - 1) / (ratio - 1), i = 1, 2, ...: dense early, sparse late."""

    base: float = 5.0
    ratio: float = 1.15

    def __call__(self, step: int) -> bool:
        """See `Occasion`."""
        if step == 0:
            return True
        i = round(math.log1p(step * (self.ratio - 1) / self.base) / math.log(self.ratio))
        near = (self.base * (math.pow(self.ratio, j) - 1) / (self.ratio - 1) for j in (i - 1, i, i + 1) if j > 0)
        return any(round(value) == step for value in near)


@dataclass(frozen=True)
class AtSteps:
    """These steps."""

    steps: frozenset[int]

    def __call__(self, step: int) -> bool:
        """See `Occasion`."""
        return step in self.steps
