"""Several estimators of dimension at once: along layers or time as a tidy frame, with intervals, and their bias."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dynatlas.instruments.dimension import (
    count_duplicates,
    local_participation_ratio,
    mle_dimension,
    participation_ratio,
    twonn_dimension,
)
from dynatlas.instruments.neighbours import Neighbours, nearest_neighbours
from dynatlas.names import named
from dynatlas.reductions import std_over_first

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Estimator:
    """An estimator at its usual neighbourhood: clouds (..., point, coordinate) with their neighbours -> (...)."""

    neighbours: int
    """How many of each point it reads."""
    of: Callable[[Tensor, Neighbours], Tensor]

    def __call__(self, points: Tensor, neighbours: Neighbours) -> Tensor:
        """The dimension of each cloud, (...)."""
        return self.of(points, neighbours)


ESTIMATORS = {
    "mle": Estimator(20, lambda points, near: mle_dimension(near.distances, 20)),
    "mle_mean": Estimator(20, lambda points, near: mle_dimension(near.distances, 20, combine="mean")),
    "twonn": Estimator(2, lambda points, near: twonn_dimension(near.distances)),
    "twonn_mle": Estimator(2, lambda points, near: twonn_dimension(near.distances, method="mle")),
    "local_participation_ratio": Estimator(
        49, lambda points, near: local_participation_ratio(points, 50, neighbours=near)
    ),
    "participation_ratio": Estimator(0, lambda points, near: participation_ratio(points)),
}


def measure_dimension(points: Tensor, estimators: Sequence[str], *, dropped: bool = False) -> dict[str, Tensor]:
    """Each of the named `ESTIMATORS` on clouds (..., point, coordinate) -> name: (...), from one neighbour search.

    With `dropped`, under that name also how many points of each cloud are copies of an earlier one, left out of the
    local estimators. Raises ValueError for an unknown estimator, naming the nearest.
    """
    chosen = {name: named(ESTIMATORS, name, "estimator") for name in estimators}
    needed = max((one.neighbours for one in chosen.values()), default=0)
    near = nearest_neighbours(points, max(needed, 1)) if needed or dropped else None
    found = {name: one.of(points, near) if near else participation_ratio(points) for name, one in chosen.items()}
    return found | ({"dropped": count_duplicates(near.distances)} if dropped and near else {})


@dataclass(frozen=True)
class DimensionInterval:
    """An estimate with its standard error and interval, (...) each; of sampling alone, bias is not in it."""

    value: Tensor
    standard_error: Tensor
    low: Tensor
    high: Tensor


def dimension_interval(
    points: Tensor,
    estimator: str = "mle",
    *,
    generator: torch.Generator,
    fraction: float = 0.5,
    draws: int = 40,
    level: float = 0.95,
) -> DimensionInterval:
    """Dimension of clouds (..., point, coordinate), with a normal interval from random subsets of their points.

    Subsets of b = `fraction` x n points are drawn without replacement (a bootstrap would duplicate points, whose
    distances are 0); the standard deviation over them times sqrt(b / (n - b)) is the standard error of the whole
    (delete-d jackknife, Shao and Wu 1989, Annals of Statistics 17, 1176). Well above one half it is too large for
    two-NN, a quarter at .7. All clouds are cut by the same subsets. Raises ValueError for a fraction or level outside
    0 ... 1 and fewer than 2 draws.
    """
    if not 0 < fraction < 1 or not 0 < level < 1 or draws < 2:
        raise ValueError(
            f"fraction = {fraction}, level = {level}, draws = {draws}: "
            "wanted are 0 < fraction < 1, 0 < level < 1, draws >= 2"
        )
    n = points.shape[-2]
    size = round(fraction * n)
    subsets = (torch.randperm(n, generator=generator, device=generator.device)[:size] for _ in range(draws))
    parts = torch.stack(
        [measure_dimension(points[..., own.to(points.device), :], [estimator])[estimator] for own in subsets]
    )
    value = measure_dimension(points, [estimator])[estimator]
    error = std_over_first(parts) * (size / (n - size)) ** 0.5
    half = NormalDist().inv_cdf((1 + level) / 2) * error
    return DimensionInterval(value, error, value - half, value + half)


def bias_table(
    draw: Callable[[int, int], Tensor],
    *,
    points: Sequence[int],
    dimensions: Sequence[int],
    estimators: Sequence[str] = ("mle", "twonn"),
) -> pandas.DataFrame:
    """Columns points, dimension, estimator, cloud, value: estimates on clouds of known dimension.

    `draw(n, d)` gives clouds (cloud, n, coordinate) of dimension d. What an estimator makes of them tells how far to
    trust it at the size and dimension at hand.
    """
    import pandas as pd

    rows = [
        (n, d, name, cloud, value)
        for n in points
        for d in dimensions
        for name, values in measure_dimension(draw(n, d), estimators).items()
        for cloud, value in enumerate(values.tolist())
    ]
    return pd.DataFrame(rows, columns=["points", "dimension", "estimator", "cloud", "value"])


def dimension_profile(
    layers: Mapping[str, Tensor],
    *,
    estimators: Sequence[str] = ("mle", "twonn", "participation_ratio"),
    seeds: Sequence[int] = (0,),
) -> pandas.DataFrame:
    """Columns layer, depth, seed, estimator, value, dropped: one row per layer, seed and estimator.

    `layers` are name -> activations (seed, point, unit), or (point, unit) for one seed; any number of units each.
    `dropped` counts the points that are copies of an earlier one and were left out of the local estimators. One
    neighbour search a layer.
    """
    import pandas as pd

    rows = []
    for depth, (layer, points) in enumerate(layers.items()):
        clouds = points if points.ndim == 3 else points.unsqueeze(0)
        if clouds.ndim != 3 or len(clouds) != len(seeds):
            raise ValueError(
                f"layer {layer!r}: shape {tuple(points.shape)} is not ({len(seeds)} seeds, point, unit); what a "
                "convolution gives, (point, channel, row, column), becomes one by .flatten(1)"
            )
        found = measure_dimension(clouds, estimators, dropped=True)
        dropped = found.pop("dropped").tolist()
        for name, values in found.items():
            for seed, value, lost in zip(seeds, values.tolist(), dropped, strict=True):
                rows.append((layer, depth, seed, name, value, lost))
    return pd.DataFrame(rows, columns=["layer", "depth", "seed", "estimator", "value", "dropped"])
