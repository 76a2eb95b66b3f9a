"""Gaussian noise drawn step by step, one random stream for each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class StepNoise:
    """Noise `scale * N(0, 1)` for every member, trial and unit, drawn anew at each time step; nothing is held.

    There is one generator for each seed, so one more seed leaves the earlier seeds' draws as they were. Members are
    seed-major (member = seed_index * copies + copy). With `shared` the copies of a seed see the same draws (conditions
    are then paired, and drawing costs `copies` times less); otherwise each has its own. The generators advance.
    """

    generators: Sequence[torch.Generator]
    scale: float | Tensor
    """Standard deviation: a number, or a tensor (member,)."""
    copies: int = 1
    shared: bool = False

    def draw(self, like: Tensor) -> Tensor:
        """One step's noise for states of shape (member, trial, unit), in their type; broadcasts against them.

        Raises ValueError when the members are not seeds x copies.
        """
        members, trials, units = like.shape
        if members != len(self.generators) * self.copies:
            raise ValueError(
                f"noise has {len(self.generators)} generators x {self.copies} copies, but there are {members} members"
            )
        per_seed = (1 if self.shared else self.copies, trials, units)
        drawn = torch.empty((len(self.generators), *per_seed), dtype=like.dtype, device=like.device)
        deviation = self.scale if isinstance(self.scale, float | int) else 1.0
        for block, generator in zip(drawn, self.generators, strict=True):
            block.normal_(0.0, deviation, generator=generator)
        drawn = drawn.expand(-1, self.copies, -1, -1) if self.shared else drawn
        drawn = drawn.reshape(members, trials, units)
        return drawn if isinstance(self.scale, float | int) else drawn * self.scale[:, None, None]
