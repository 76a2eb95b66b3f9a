"""Hyperparameters drawn at random from ranges, for every network of a population (Bergstra and Bengio 2012)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, uniformly, or uniformly in the logarithm. ValueError for ends that do not fit."""

    low: float
    high: float
    logarithmic: bool = False

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf or (self.logarithmic and self.low <= 0):
            wanted = "0 < low <= high" if self.logarithmic else "low <= high, both finite"
            raise ValueError(f"range {self.low} to {self.high}: wanted is {wanted}")

    def at(self, u: Tensor) -> Tensor:
        """The quantiles u, 0 ... 1, of any shape."""
        if self.logarithmic:
            return torch.exp(math.log(self.low) + (math.log(self.high) - math.log(self.low)) * u)
        return self.low + (self.high - self.low) * u


def random_search(
    ranges: Mapping[str, Range], count: int, *, generators: Sequence[np.random.Generator]
) -> dict[str, Tensor]:
    """A value of each range for `count` networks of each seed, float64 (seed, count), one numpy stream a seed.

    Ranges are drawn in their order: one more at the end, or one more seed, leaves the other draws as they were.
    """
    u = torch.stack([torch.from_numpy(generator.random((len(ranges), count))) for generator in generators])
    return {name: ends.at(u[:, place]) for place, (name, ends) in enumerate(ranges.items())}
