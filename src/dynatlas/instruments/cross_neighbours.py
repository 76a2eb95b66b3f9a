"""Nearest neighbours of some points among others: exact, batched over pairs of clouds."""

from __future__ import annotations

import torch
from torch import Tensor

from dynatlas.instruments.neighbours import SPARE

BUDGET = 2**20
"""Distances held at once (a few MiB, which stay in the cache); larger searches go by blocks of pairs or of queries."""


def cross_neighbours(points: Tensor, queries: Tensor, k: int, *, budget: int = BUDGET) -> Tensor:
    """Indices (..., query, k) of the k points nearest to each query, in no order.

    points (..., point, coordinate), queries (..., query, coordinate), the same leading axes. The result is that of a
    direct search in float64, of equal distances the earlier point: candidates come from one matrix product in the
    type of `points`, and queries for which its rounding could matter are looked at again.
    Raises ValueError for k outside 1 ... points, shapes that do not fit, and values that are not finite.
    """
    *leading, n, p = points.shape
    if queries.shape[:-2] != points.shape[:-2] or queries.shape[-1] != p:
        raise ValueError(f"points {tuple(points.shape)} and queries {tuple(queries.shape)} do not fit")
    if not 1 <= k <= n:
        raise ValueError(f"k = {k}: wanted is 1 to {n}, the number of points")
    if not (torch.isfinite(points).all() and torch.isfinite(queries).all()):
        raise ValueError("points or queries hold NaN or infinity")
    clouds, asked = (
        points.detach().reshape(-1, n, p),
        queries.detach().to(points.dtype).reshape(-1, *queries.shape[-2:]),
    )
    rows = max(1, min(asked.shape[1], budget // n))
    together = max(1, budget // (n * rows))
    found = [
        torch.cat([_search(cloud, part, k) for part in ask.split(rows, dim=1)], dim=1)
        for cloud, ask in zip(clouds.split(together), asked.split(together), strict=True)
    ]
    return torch.cat(found).view(*leading, -1, k)


def _search(points: Tensor, queries: Tensor, k: int) -> Tensor:
    """(cloud, point, p), (cloud, query, p) -> (cloud, query, k)."""
    n, p = points.shape[-2:]
    if k == n:
        return torch.arange(n, device=points.device).expand(*queries.shape[:2], n)
    centre = points.mean(dim=-2, keepdim=True)
    centred, asked = points - centre, queries - centre
    squares = centred.square().sum(dim=-1)
    rough = torch.baddbmm(squares[:, None], asked, centred.mT, alpha=-2)
    values, candidates = rough.topk(min(n, k + SPARE), dim=-1, largest=False)
    # of a product of length p, two squares and their differences, for two points compared
    size = 2 * squares.amax(dim=-1, keepdim=True) + asked.square().sum(dim=-1)
    doubt = 2 * (p + 8) * torch.finfo(points.dtype).eps * size
    unsure = (values[..., k] - values[..., k - 1] <= doubt).nonzero()
    nearest = candidates[..., :k].clone()
    if len(unsure):
        cloud, row = unsure.unbind(-1)
        certain = values[cloud, row, -1] - values[cloud, row, k - 1] > doubt[cloud, row]
        nearest[cloud, row] = _decide(points, queries, unsure, candidates[cloud, row].sort(dim=-1).values, k)
        for one, other in unsure[~certain].tolist() if candidates.shape[-1] < n else ():
            everything = torch.arange(n, device=points.device)[None]
            nearest[one, other] = _decide(points, queries, torch.tensor([[one, other]]), everything, k)[0]
    return nearest


def _decide(points: Tensor, queries: Tensor, which: Tensor, candidates: Tensor, k: int) -> Tensor:
    """The k nearest of ascending candidates (row, candidate) to queries `which` (row, 2: cloud, query), directly."""
    cloud, row = which.unbind(-1)
    there = points[cloud[:, None], candidates].to(torch.float64)
    squared = (there - queries[cloud, row][:, None].to(torch.float64)).square().sum(dim=-1)
    return candidates.gather(-1, squared.sort(dim=-1, stable=True).indices[:, :k])
