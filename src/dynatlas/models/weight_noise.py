"""Gaussian noise on all parameters of every member, one random stream for each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.models.model import Params


@dataclass(frozen=True)
class WeightNoise:
    """`scale * N(0, 1)` on every parameter, drawn anew at each call.

    A loss taken at `noise.add(params)` has its gradient at the noisy point: one draw of E L(w + sigma xi). Members are
    seed-major (member = seed_index * copies + copy); with `shared` the copies of a seed see the same draws, so that
    conditions are paired and drawing costs `copies` times less. The generators advance.
    """

    generators: Sequence[torch.Generator]
    scale: float | Tensor
    """Standard deviation: a number, or a tensor (member,)."""
    copies: int = 1
    shared: bool = False

    def add(self, params: Mapping[str, Tensor]) -> Params:
        """The parameters (leading axis member) with noise on all of them.

        Raises ValueError when the members are not seeds x copies.
        """
        first = next(iter(params.values()))
        if first.shape[0] != len(self.generators) * self.copies:
            raise ValueError(
                f"noise has {len(self.generators)} generators x {self.copies} copies, but there are "
                f"{first.shape[0]} members"
            )
        sizes = [tensor[0].numel() for tensor in params.values()]
        drawn = self._draw(first, sum(sizes)).split(sizes, dim=1)
        return {name: tensor + xi.view_as(tensor) for (name, tensor), xi in zip(params.items(), drawn, strict=True)}

    def _draw(self, like: Tensor, size: int) -> Tensor:
        """(member, size)."""
        per_seed = 1 if self.shared else self.copies
        drawn = like.new_empty(len(self.generators), per_seed, size)
        for own, generator in zip(drawn, self.generators, strict=True):
            own.normal_(generator=generator)
        drawn = drawn.expand(-1, self.copies, -1).reshape(-1, size)
        return drawn * (self.scale[:, None] if isinstance(self.scale, Tensor) else self.scale)
