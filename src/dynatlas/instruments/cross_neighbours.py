"""Nearest neighbours of some points among others: exact, batched over pairs of clouds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dynatlas.instruments.given import whole, widened
from dynatlas.instruments.neighbours import SPARE
from dynatlas.instruments.scale import power_of_two

WIDTH = 32
"""Entries of a row whose minimum is taken first."""

BUDGET = 2**20
"""Distances held at once (a few MiB, which stay in the cache); larger searches go by blocks of pairs or of queries."""


def cross_neighbours(points: Tensor, queries: Tensor, k: int, *, budget: int = BUDGET) -> Tensor:
    """Indices (..., query, k) of the k points nearest to each query, in no order.

    points (..., point, coordinate), queries (..., query, coordinate), the same leading axes. The result is that of a
    direct search in float64, of equal distances the earlier point: candidates come from one matrix product in the
    wider of the two types, and queries for which its rounding could matter are looked at again.
    Raises ValueError for k outside 1 ... points, shapes that do not fit, and values that are not finite.
    """
    points, queries = widened(points, "points"), widened(queries, "queries")
    *leading, n, p = points.shape
    if not (points.numel() and queries.numel()):
        raise ValueError(f"points {tuple(points.shape)} or queries {tuple(queries.shape)} hold nothing")
    if queries.shape[:-2] != points.shape[:-2] or queries.shape[-1] != p:
        raise ValueError(f"points {tuple(points.shape)} and queries {tuple(queries.shape)} do not fit")
    k = whole(k, "k")
    if not 1 <= k <= n:
        raise ValueError(f"k = {k}: wanted is 1 to {n}, the number of points")
    if not (all_finite(points) and all_finite(queries)):
        raise ValueError("points or queries hold NaN or infinity")
    wider = torch.promote_types(points.dtype, queries.dtype)
    clouds, asked = (part.detach().to(wider).reshape(-1, *part.shape[-2:]) for part in (points, queries))
    size = torch.maximum(*(power_of_two(part, dim=(-2, -1)) for part in (clouds, asked)))
    clouds, asked = clouds / size, asked / size
    rows = max(1, min(asked.shape[1], budget // n))
    together = max(1, budget // (n * rows))
    found = [
        torch.cat([_search(cloud, part, k) for part in ask.split(rows, dim=1)], dim=1)
        for cloud, ask in zip(clouds.split(together), asked.split(together), strict=True)
    ]
    return torch.cat(found).view(*leading, -1, k)


def all_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite: without a mask, and without a copy of slices."""
    return values.numel() == 0 or bool(torch.isfinite(torch.stack([values.amin(), values.amax()])).all())


def _search(points: Tensor, queries: Tensor, k: int) -> Tensor:
    """(cloud, point, p), (cloud, query, p) -> (cloud, query, k)."""
    n, p = points.shape[-2:]
    if k == n:
        return torch.arange(n, device=points.device).expand(*queries.shape[:2], n)
    centre = points.mean(dim=-2, keepdim=True)
    centred, asked = points - centre, queries - centre
    squares = centred.square().sum(dim=-1)
    rough = torch.baddbmm(squares[:, None], asked, centred.mT, alpha=-2)
    values, candidates, bound = _shortlist(rough, k)
    # of a product of length p, two squares and their differences, for two points compared
    size = 2 * squares.amax(dim=-1, keepdim=True) + asked.square().sum(dim=-1)
    doubt = 2 * (p + 8) * torch.finfo(points.dtype).eps * size
    unsure = (values[..., k] - values[..., k - 1] <= doubt).nonzero()
    nearest = candidates[..., :k].clone()
    if len(unsure):
        cloud, row = unsure.unbind(-1)
        nearest[cloud, row] = _decide(points, queries, unsure, candidates[cloud, row].sort(dim=-1).values, k)
        too_short = bound[cloud, row] - values[cloud, row, k - 1] <= doubt[cloud, row]
        everything = torch.arange(n, device=points.device)[None]
        for which in unsure[too_short]:
            nearest[tuple(which)] = _decide(points, queries, which[None], everything, k)[0]
    return nearest


def _shortlist(rough: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The smallest entries of each row of (cloud, row, n), at least k + 1 of them, ascending, and their indices.

    Both (cloud, row, entry), filled up with infinity and n; and a bound (cloud, row) that all other entries reach. The
    (k + 3)-th smallest of the minima of blocks bounds the (k + 3)-th smallest entry: a third of the time of topk. Two
    more than k + 1 are kept, since rounding may put the k-th and the next in the wrong order, but seldom the others.
    """
    clouds, rows, n = rough.shape
    blocks = n // WIDTH
    if blocks <= k + 2 or rough.device.type != "cpu":
        values, indices = rough.topk(min(n, k + SPARE), dim=-1, largest=False)
        return values, indices, values[..., -1] if values.shape[-1] < n else torch.full_like(values[..., -1], torch.inf)
    least = rough[..., : blocks * WIDTH].unflatten(-1, (blocks, WIDTH)).amin(dim=-1)
    bound = torch.from_numpy(np.partition(least.numpy(), k + 2, axis=-1)[..., k + 2])
    found = torch.from_numpy(np.flatnonzero(rough.numpy() <= bound[..., None].numpy()))
    row, column = found // n, found % n
    count = row.bincount(minlength=clouds * rows)
    place = torch.arange(len(found)) - (count.cumsum(0) - count)[row]
    values = rough.new_full((clouds * rows, int(count.max())), torch.inf)
    indices = torch.full(values.shape, n)
    values[row, place], indices[row, place] = rough.view(-1)[found], column
    values, order = values.view(clouds, rows, -1).sort(dim=-1)
    return values, indices.view_as(order).gather(-1, order), bound


def _decide(points: Tensor, queries: Tensor, which: Tensor, candidates: Tensor, k: int) -> Tensor:
    """The k nearest of ascending candidates (row, candidate) to queries `which` (row, 2: cloud, query), directly."""
    cloud, row = which.unbind(-1)
    missing = candidates == points.shape[1]
    there = points[cloud[:, None], candidates.masked_fill(missing, 0)].to(torch.float64)
    squared = (there - queries[cloud, row][:, None].to(torch.float64)).square().sum(dim=-1)
    squared = squared.masked_fill(missing, torch.inf)
    return candidates.gather(-1, squared.sort(dim=-1, stable=True).indices[:, :k])
