"""Gaussian noise on all parameters of every member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from dynatlas.models.noise import SeedNoise

Params = dict[str, Tensor]


@dataclass(frozen=True)
class WeightNoise(SeedNoise):
    """Noise on every parameter.

    A loss taken at `noise.add(params)` has its gradient at the noisy point: one draw of E L(w + sigma xi).
    """

    def add(self, params: Mapping[str, Tensor]) -> Params:
        """The parameters (leading axis member) with noise on all of them.

        Raises ValueError when the members are not seeds x copies.
        """
        sizes = [tensor[0].numel() for tensor in params.values()]
        scale = self.scale[:, None] if isinstance(self.scale, Tensor) else self.scale
        drawn = (self._normal(next(iter(params.values())), [sum(sizes)]) * scale).split(sizes, dim=1)
        return {name: tensor + xi.view_as(tensor) for (name, tensor), xi in zip(params.items(), drawn, strict=True)}
