"""Gaussian noise, one random stream for each seed: on states step by step; what every such noise is made of."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SeedNoise(ABC):
    """Noise `scale * N(0, 1)` for every member, drawn anew at each call; nothing is held, the generators advance.

    There is one generator for each seed, so one more seed leaves the earlier seeds' draws as they were. Members are
    seed-major (member = seed_index * copies + copy). With `shared` the copies of a seed see the same draws (conditions
    are then paired, and drawing costs `copies` times less); otherwise each has its own.
    """

    generators: Sequence[torch.Generator]
    scale: float | Tensor
    """Standard deviation: a number, or a tensor (member,)."""
    copies: int = 1
    shared: bool = False

    def _normal(self, like: Tensor, shape: Sequence[int], deviation: float = 1.0) -> Tensor:
        """N(0, deviation^2), (member, *shape), for the members (leading axis) of `like`, with its type and device."""
        members = like.shape[0]
        if members != len(self.generators) * self.copies:
            raise ValueError(
                f"noise has {len(self.generators)} generators x {self.copies} copies, but there are {members} members"
            )
        drawn = like.new_empty(len(self.generators), 1 if self.shared else self.copies, *shape)
        for own, generator in zip(drawn, self.generators, strict=True):
            own.normal_(0.0, deviation, generator=generator)
        return drawn.expand(-1, self.copies, *shape).reshape(members, *shape)


@dataclass(frozen=True)
class StepNoise(SeedNoise):
    """Noise for every member, trial and unit at each time step."""

    def draw(self, like: Tensor) -> Tensor:
        """One step's noise for states of shape (member, trial, unit), in their type.

        Raises ValueError when the members are not seeds x copies.
        """
        if isinstance(self.scale, Tensor):
            return self._normal(like, like.shape[1:]) * self.scale[:, None, None]
        return self._normal(like, like.shape[1:], self.scale)
