"""Dropout for many members at once, one random stream for each seed (Srivastava et al. 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Dropout:
    """Masks by which units are multiplied while a network learns: 0 with probability `rate`, else 1 / (1 - rate).

    Members are seed-major (member = seed_index * copies + copy); with `shared` the copies of a seed see the same draws,
    so that of two rates the larger hides all that the smaller does. One more seed leaves the earlier seeds' draws as
    they were. The generators advance at each draw, and not at all where every rate is 0.
    Raises ValueError for rates outside 0 <= rate < 1, and where they are not one for each of seeds x copies.
    """

    generators: Sequence[Generator]
    rate: Tensor
    """(member,)."""
    copies: int = 1
    shared: bool = False

    def __post_init__(self) -> None:
        members = len(self.generators) * self.copies
        if tuple(self.rate.shape) != (members,):
            raise ValueError(
                f"rates are {tuple(self.rate.shape)}; wanted are ({members},): "
                f"{len(self.generators)} generators x {self.copies} copies"
            )
        if not bool(((self.rate >= 0) & (self.rate < 1)).all()):
            raise ValueError(f"dropout rates must lie in 0 <= rate < 1, not {self.rate.tolist()}")

    def draw(self, *shape: int) -> Tensor | None:
        """Masks (member, *shape) in the type of the rates; None where nothing is hidden."""
        if not bool((self.rate > 0).any()):
            return None
        per_seed = (1 if self.shared else self.copies, *shape)
        u = torch.stack(
            [torch.rand(per_seed, generator=own, device=own.device, dtype=self.rate.dtype) for own in self.generators]
        )
        u = u.expand(-1, self.copies, *shape).flatten(0, 1)
        rate = self.rate.view(-1, *(1,) * len(shape))
        return (u >= rate) / (1 - rate)
