"""The neighbour search that all local dimension estimators share: exact, in float64, batched over clouds of points.

Copies of a point count once. They are no neighbours of it, at distance 0, and no further neighbours of others: a cloud
of which points are repeated has the neighbours of the cloud in which they are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dynatlas.instruments.given import real, whole
from dynatlas.instruments.scale import scaled

SPARE = 8
"""Candidates kept beyond k, so that rounding in the fast search seldom sends a point to the slow one."""
BUDGET = 2**22
"""Numbers held at once (float64: 32 MiB); larger searches go by blocks of clouds or of points."""


@dataclass(frozen=True)
class Neighbours:
    """The k nearest neighbours of every point, nearest first, the point itself and copies of it excluded."""

    distances: Tensor
    """(..., point, k), Euclidean, float64, > 0; of points that coincide the first has them, the others have 0."""
    indices: Tensor
    """(..., point, k), into the same cloud; equal distances in order of the index; of a copy, where it is first."""


def nearest_neighbours(points: Tensor, k: int, *, budget: int = BUDGET) -> Neighbours:
    """Nearest neighbours in each cloud (..., point, coordinate).

    Candidates come from one matrix product; the kept distances are recomputed from the differences of coordinates, as
    the product loses small ones. A point whose candidates rounding could have spoiled is searched again directly, so
    the result is that of a direct search, whatever `budget`. Clouds with copies are searched again without them.
    Raises ValueError for values that are not finite, for clouds of fewer than k + 1 distinct points, and for distances
    below 1e-150 of the largest coordinate.
    """
    points = checked_clouds(points)
    n, p = points.shape[-2:]
    if n == 1:
        raise ValueError("a cloud of one point has no neighbours")
    k = whole(k, "k")
    if not 1 <= k < n:
        raise ValueError(f"k = {k}: clouds of {n} points have 1 to {n - 1} neighbours each")
    clouds, size = scaled(points.reshape(-1, n, p), dim=(-2, -1))
    per_row = n + min(n - 1, k + SPARE) * p
    rows = max(1, min(n, budget // per_row))
    together = max(1, budget // (n * per_row))
    found = [_search_block(block, k, rows=rows) for block in clouds.split(together)]
    distances, indices = (torch.cat(parts) for parts in zip(*found, strict=True))
    for cloud in (distances[..., 0] == 0).any(dim=-1).nonzero()[:, 0].tolist():
        distances[cloud], indices[cloud] = _among_distinct(clouds[cloud], k, rows, _name(cloud, points.shape[:-2]))
    shape = (*points.shape[:-1], k)
    return Neighbours((distances * size).view(shape), indices.view(shape))


def knn_distances(points: Tensor, k: int) -> Tensor:
    """Distances to the k nearest neighbours, (..., point, coordinate) -> (..., point, k); see `nearest_neighbours`."""
    return nearest_neighbours(points, k).distances


def checked_clouds(points: Tensor, what: str = "points") -> Tensor:
    """`points` (..., point, coordinate) in float64; ValueError names the first value that is not finite."""
    points = real(points, what).detach()
    if points.ndim < 2:
        raise ValueError(f"{what} have shape {tuple(points.shape)}; wanted is (..., point, coordinate)")
    finite = torch.isfinite(points).all(dim=-1)
    if not finite.all():
        *cloud, row = (~finite).nonzero()[0].tolist()
        where = f"cloud {cloud}, " if cloud else ""
        raise ValueError(f"{what} hold NaN or infinity in {int((~finite).sum())} rows, the first in {where}row {row}")
    return points


def _among_distinct(cloud: Tensor, k: int, rows: int, name: str) -> tuple[Tensor, Tensor]:
    """Distances and indices (point, k) where points (point, coordinate) coincide; `name` begins what is complained."""
    n = len(cloud)
    _, group = (cloud + 0.0).unique(dim=0, return_inverse=True)  # -0 and 0 are one place
    first = group.new_full((int(group.max()) + 1,), n)
    first = first.scatter_reduce(0, group, torch.arange(n, device=cloud.device), "amin")
    kept = first.sort().values
    if len(kept) <= k:
        raise ValueError(f"{name}fewer than {k + 1} distinct points ({len(kept)}; the others coincide with them)")
    near, own = (part[0] for part in _search_block(cloud[kept][None], k, rows=min(rows, len(kept))))
    if bool((near == 0).any()):
        raise ValueError(
            f"{name}points differ by less than 1e-150 of the largest coordinate: they cannot be told apart"
        )
    distances, indices = cloud.new_zeros(n, k), first[group][:, None].repeat(1, k)
    distances[kept], indices[kept] = near, kept[own]
    return distances, indices


def _name(cloud: int, leading: torch.Size) -> str:
    """`cloud [i, j]: ` for a number among all clouds; nothing for one without leading axes."""
    return f"cloud {[int(i) for i in np.unravel_index(cloud, leading)]}: " if leading else ""


def _search_block(points: Tensor, k: int, *, rows: int) -> tuple[Tensor, Tensor]:
    """Distances and indices (cloud, point, k) for a block of clouds, `rows` points at a time."""
    centred = points - points.mean(dim=-2, keepdim=True)
    squares = centred.square().sum(dim=-1)
    # a product of length p, two squares and their sum: |error| <= gamma_(p + 4) times the squared norms
    doubt = 8 * (points.shape[-1] + 4) * torch.finfo(torch.float64).eps * squares.amax(dim=-1)
    parts = []
    for start in range(0, points.shape[-2], rows):
        mine = slice(start, start + rows)
        rough = torch.baddbmm(squares[:, None, :], centred[:, mine], centred.mT, alpha=-2)
        rough.diagonal(offset=start, dim1=-2, dim2=-1).fill_(torch.inf)
        parts.append(_refine(points, rough, k, start=start, slack=squares[:, mine] - doubt[:, None]))
    squared, indices = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    return squared.sqrt(), indices


def _refine(points: Tensor, rough: Tensor, k: int, *, start: int, slack: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances and indices (cloud, row, k) from rough ones (cloud, row, point).

    `rough` lacks what is the same for a whole row; that, less a bound of its rounding errors, is `slack` (cloud,
    row).
    """
    n = points.shape[-2]
    candidates = _smallest(rough, min(n - 1, k + SPARE)).sort(dim=-1).values
    squared = _squared_distances(points, candidates, start=start)
    nearest = squared.sort(dim=-1, stable=True)
    kept, indices = nearest.values[..., :k], candidates.gather(-1, nearest.indices[..., :k])
    if candidates.shape[-1] == n - 1:
        return kept, indices
    # no point left out is nearer than the worst candidate, up to rounding
    unsure = kept[..., -1] >= rough.gather(-1, candidates).amax(dim=-1) + slack
    for cloud, row in unsure.nonzero().tolist():
        kept[cloud, row], indices[cloud, row] = _search_directly(points[cloud], start + row, k)
    return kept, indices


def _smallest(values: Tensor, count: int) -> Tensor:
    """Indices (..., count) of the smallest values along the last axis, in no order."""
    if values.device.type == "cpu":  # half the time of topk
        return torch.from_numpy(np.argpartition(values.numpy(), count - 1, axis=-1)[..., :count])
    return values.topk(count, dim=-1, largest=False, sorted=False).indices


def _squared_distances(points: Tensor, candidates: Tensor, *, start: int) -> Tensor:
    """From row start + i of each cloud to its candidates (cloud, i, candidate)."""
    clouds, rows, _ = candidates.shape
    offset = torch.arange(clouds, device=points.device)[:, None, None] * points.shape[-2]
    there = points.flatten(0, 1)[candidates + offset]
    return there.sub_(points[:, start : start + rows, None]).square_().sum(dim=-1)


def _search_directly(cloud: Tensor, row: int, k: int) -> tuple[Tensor, Tensor]:
    squared = (cloud - cloud[row]).square().sum(dim=-1)
    squared[row] = torch.inf
    nearest = squared.sort(stable=True)
    return nearest.values[:k], nearest.indices[:k]
