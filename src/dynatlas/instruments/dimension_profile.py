"""Dimension along layers, or along time: several estimators on several sets of clouds, as a tidy frame."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from dynatlas.instruments.dimension import (
    count_duplicates,
    local_participation_ratio,
    mle_dimension,
    participation_ratio,
    twonn_dimension,
)
from dynatlas.instruments.neighbours import Neighbours, nearest_neighbours

if TYPE_CHECKING:
    import pandas

ESTIMATORS: dict[str, Callable[[Tensor, Neighbours], Tensor]] = {
    "mle": lambda points, near: mle_dimension(near.distances, 20),
    "mle_mean": lambda points, near: mle_dimension(near.distances, 20, combine="mean"),
    "twonn": lambda points, near: twonn_dimension(near.distances),
    "twonn_mle": lambda points, near: twonn_dimension(near.distances, method="mle"),
    "local_participation_ratio": lambda points, near: local_participation_ratio(points, 50, neighbours=near),
    "participation_ratio": lambda points, near: participation_ratio(points),
}
"""Each estimator at its usual neighbourhood, from a cloud (..., point, coordinate) and its 49 nearest neighbours."""


def dimension_profile(
    layers: Mapping[str, Tensor],
    *,
    estimators: Sequence[str] = ("mle", "twonn", "participation_ratio"),
    seeds: Sequence[int] = (0,),
) -> pandas.DataFrame:
    """Columns layer, depth, seed, estimator, value, dropped: one row per layer, seed and estimator.

    `layers` are name -> activations (seed, point, unit), or (point, unit) for one seed; any number of units each.
    `dropped` counts the points that coincide with another and were left out of the local estimators. One neighbour
    search a layer.
    """
    import pandas as pd

    for name in estimators:
        if name not in ESTIMATORS:
            near = difflib.get_close_matches(name, ESTIMATORS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"estimator {name!r}: there are {', '.join(ESTIMATORS)}{hint}")
    rows = []
    for depth, (layer, points) in enumerate(layers.items()):
        clouds = points if points.ndim == 3 else points.unsqueeze(0)
        if clouds.ndim != 3 or len(clouds) != len(seeds):
            raise ValueError(f"layer {layer!r}: shape {tuple(points.shape)} is not ({len(seeds)} seeds, point, unit)")
        neighbours = nearest_neighbours(clouds, 49)
        dropped = count_duplicates(neighbours.distances).tolist()
        for name in estimators:
            values = ESTIMATORS[name](clouds, neighbours).tolist()
            for seed, value, lost in zip(seeds, values, dropped, strict=True):
                rows.append((layer, depth, seed, name, value, lost))
    return pd.DataFrame(rows, columns=["layer", "depth", "seed", "estimator", "value", "dropped"])
