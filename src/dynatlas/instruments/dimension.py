"""How many dimensions a cloud of points has: of its spread (participation ratio) and of the manifold that it lies on.

Clouds are (..., point, coordinate), results (...), float64. Local estimators read the distances r_1 <= r_2 <= ... to
each point's neighbours, found once by `neighbours.nearest_neighbours` and shared. Two-NN and maximum likelihood are
biased low above about eight dimensions at a thousand points: compare clouds of equal size, and neighbourhoods of
equal k.

Copies of a point count once (`neighbours`): of points that coincide the first is kept, rows whose r_1 = 0 are left out,
and `count_duplicates` says how many were. Constant coordinates and units of measurement change nothing. A cloud with
nothing left to measure is an error that names it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.instruments.given import finite, real, whole
from dynatlas.instruments.neighbours import Neighbours, checked_clouds, nearest_neighbours
from dynatlas.instruments.scale import power_of_two, scaled
from dynatlas.names import named

BLOCK = 2**18
"""Numbers gathered at once for local covariances: 2 MiB stay in the cache."""


def participation_ratio(points: Tensor) -> Tensor:
    """(tr C)^2 / tr C^2 of the covariance C of each cloud, (..., point, coordinate) -> (...).

    1 for points on a line, d for d directions of equal variance. ValueError where all points of a cloud coincide.
    """
    points, _ = scaled(checked_clouds(points), dim=(-2, -1))
    return _usable(_spread_ratio(points), "all points coincide")


def twonn_dimension(distances: Tensor, discard: float = 0.1, *, method: str = "linear") -> Tensor:
    """Two-NN dimension from the distances (..., point, k >= 2) to nearest neighbours -> (...).

    Facco et al. 2017 (Scientific Reports 7, 12140): log(r_2 / r_1) is exponential with rate d. The largest `discard` of
    the n ratios is left out. "linear": slope through the origin of -log(1 - i / n) on the i-th smallest log ratio.
    "mle": for the K smallest, (K - 1) / (their sum + (n - K) x the largest of them), unbiased under this censoring.
    """
    if not 0 <= discard < 1 or (method == "linear" and discard == 0):
        raise ValueError(f"discard = {discard}: wanted is 0 < discard < 1 (0 only with method='mle')")
    distances = _checked_distances(distances, 2)
    distinct = distances[..., 0] > 0
    log_ratio = torch.where(distinct, distances[..., 1].log() - distances[..., 0].log(), torch.inf).sort(dim=-1).values
    n = distinct.sum(dim=-1, keepdim=True, dtype=torch.float64)
    keep = (n * (1 - discard)).floor()
    rank = torch.arange(1, distances.shape[-2] + 1, dtype=torch.float64, device=distances.device)
    x = torch.where(rank <= keep, log_ratio, 0.0)
    if method == "linear":
        y = torch.where(rank <= keep, -torch.log1p(-rank / n), 0.0)
        found = (x * y).sum(dim=-1) / x.square().sum(dim=-1)
    elif method == "mle":
        censored = ((n - keep) * x.amax(dim=-1, keepdim=True)).squeeze(-1)
        found = (keep.squeeze(-1) - 1) / (x.sum(dim=-1) + censored)
    else:
        raise ValueError(f"method = {method!r}: wanted is 'linear' or 'mle'")
    return _usable(
        torch.where(keep.squeeze(-1) >= 2, found, torch.nan), "fewer than 2 usable ratios of distances, or all are 1"
    )


def mle_dimension(distances: Tensor, k: int = 20, *, combine: str = "harmonic") -> Tensor:
    """Maximum-likelihood dimension from the distances (..., point, >= k) to nearest neighbours -> (...).

    Levina and Bickel 2004: at each point d = (k - 1) / sum_{j < k} log(r_k / r_j). "harmonic" combines the points by
    1 / mean(1 / d) (MacKay and Ghahramani 2005), the likelihood of all of them; "mean" by their mean, which does not
    exist where a point has k neighbours at one distance.
    """
    k = whole(k, "k")
    if k < 2:
        raise ValueError(f"k = {k}: at least 2 neighbours are needed")
    distances = _checked_distances(distances, k)
    distinct = distances[..., 0] > 0
    inverse = (distances[..., k - 1 : k].log() - distances[..., : k - 1].log()).mean(dim=-1)
    if combine == "harmonic":
        found = 1 / _mean_where(distinct, inverse)
    elif combine == "mean":
        if bool((distinct & (inverse == 0)).any()):
            raise ValueError(f"a point has {k} neighbours at equal distances, no unequal distances: use 'harmonic'")
        found = _mean_where(distinct, 1 / inverse)
    else:
        raise ValueError(f"combine = {combine!r}: wanted is 'harmonic' or 'mean'")
    return _usable(found, f"no point has {k} neighbours at positive, unequal distances")


def local_participation_ratio(points: Tensor, k: int = 50, *, neighbours: Neighbours | None = None) -> Tensor:
    """Mean participation ratio of each point's neighbourhood of `k` points, itself included, -> (...).

    `neighbours` (at least k - 1 of each point of the same clouds) saves the search. Copies of a point are left out.
    """
    k = whole(k, "k")
    if k < 3:
        raise ValueError(f"k = {k}: a neighbourhood needs at least 3 points")
    points = checked_clouds(points)
    found = neighbours or nearest_neighbours(points, k - 1)
    if found.indices.shape[-1] < k - 1:
        raise ValueError(f"k = {k}: needs {k - 1} neighbours of each point, given are {found.indices.shape[-1]}")
    n, p = points.shape[-2:]
    cloud = torch.arange(points[..., 0, 0].numel(), device=points.device)[:, None, None] * n
    near = (found.indices[..., : k - 1].reshape(-1, n, k - 1) + cloud).flatten(0, 1)
    itself = torch.arange(len(near), device=points.device)[:, None]
    blocks = torch.cat([itself, near], dim=-1).split(max(1, BLOCK // (k * p)))
    rows = scaled(points, dim=(-2, -1))[0].reshape(-1, p)
    local = torch.cat([_spread_ratio(rows[block]) for block in blocks]).view(points.shape[:-1])
    return _usable(_mean_where(local.isfinite(), local), "no neighbourhood has any spread")


@dataclass(frozen=True)
class ScaleCurve:
    """Dimension against the scale at which it is looked for."""

    neighbours: Tensor
    """(scale,): the order n of the nearer of the two neighbours compared."""
    radius: Tensor
    """(..., scale): mean distance of distinct points to the 2n-th neighbour."""
    dimension: Tensor
    """(..., scale)."""


def scale_curve(distances: Tensor, largest: int = 64) -> ScaleCurve:
    """Dimension from r_2n / r_n for n = 1, 2, 4, ... `largest`, from distances (..., point, >= 2 largest).

    The generalised ratio estimator (Denti et al. 2022, Scientific Reports 12, 20005): for mu = r_2n / r_n the density
    is d (mu^d - 1)^(n-1) / (B(n, n) mu^((2n-1) d + 1)); n = 1 is n_points / sum(log mu).
    """
    orders = [1 << i for i in range(whole(largest, "largest", least=1).bit_length())]
    distances = _checked_distances(distances, 2 * orders[-1])
    curve = [_ratio_dimension(distances, n) for n in orders]
    distinct = distances[..., 0] > 0
    radius = [_mean_where(distinct, distances[..., 2 * n - 1]) for n in orders]
    return ScaleCurve(torch.tensor(orders), torch.stack(radius, dim=-1), torch.stack(curve, dim=-1))


def effective_rank(spectrum: Tensor, kind: str = "entropy", *, threshold: float = 0.05) -> Tensor:
    """How many of the non-negative values (..., n) count, -> (...), from 1 to n.

    With p the values divided by their sum: "entropy" exp(-sum p log p) (Roy and Vetterli 2007); "participation"
    1 / sum p^2; "largest" 1 / max p; "threshold" the number of values above `threshold` times the largest.
    """
    spectrum = real(spectrum, "a spectrum")
    if not (spectrum >= 0).all() or not torch.isfinite(spectrum).all():
        raise ValueError("a spectrum must be finite and not negative; take absolute or squared values first")
    spectrum, _ = scaled(spectrum, dim=-1)
    share = spectrum / spectrum.sum(dim=-1, keepdim=True)
    kinds = {
        "entropy": lambda: torch.special.entr(share).sum(dim=-1).exp(),
        "participation": lambda: 1 / share.square().sum(dim=-1),
        "largest": lambda: 1 / share.amax(dim=-1),
        "threshold": lambda: (share > threshold * share.amax(dim=-1, keepdim=True)).sum(dim=-1).to(torch.float64),
    }
    rank = named(kinds, kind, "kind")
    return _usable(torch.where(spectrum.sum(dim=-1) > 0, rank(), torch.nan), "all values are 0")


def count_duplicates(distances: Tensor) -> Tensor:
    """How many points of each cloud are copies of an earlier one, and left out: distances (..., point, k) -> (...)."""
    return (distances[..., 0] == 0).sum(dim=-1)


def _ratio_dimension(distances: Tensor, n: int) -> Tensor:
    """Root of the likelihood's derivative in d, by bisection of log d between 1e-3 and 1e4."""
    distinct = distances[..., n - 1] > 0
    log_mu = torch.where(distinct, distances[..., 2 * n - 1].log() - distances[..., n - 1].log(), 0.0)
    count = distinct.sum(dim=-1)
    low = torch.full(count.shape, 1e-3, dtype=torch.float64, device=distances.device).log()
    high = torch.full_like(low, 1e4).log_().where(log_mu.sum(dim=-1) > 0, torch.nan)
    for _ in range(60):
        d = ((low + high) / 2).exp()
        # log mu mu^d / (mu^d - 1), whose limit at log mu = 0 is 1 / d
        pull = torch.where(log_mu > 0, log_mu / -torch.expm1(-d[..., None] * log_mu), 1 / d[..., None])
        score = count / d + (n - 1) * (pull * distinct).sum(dim=-1) - (2 * n - 1) * log_mu.sum(dim=-1)
        low, high = torch.where(score > 0, (low + high) / 2, low), torch.where(score > 0, high, (low + high) / 2)
    return _usable(((low + high) / 2).exp(), f"no point has neighbours {n} and {2 * n} at positive, unequal distances")


def _spread_ratio(points: Tensor) -> Tensor:
    """(tr C)^2 / tr C^2 of points (..., point, coordinate), by the smaller Gram matrix; NaN without spread."""
    # from the first point, not the origin: points that coincide then have no spread at all, not one of rounding
    centred = points - points[..., :1, :]
    centred -= centred.mean(dim=-2, keepdim=True)
    narrow = centred.mT @ centred if centred.shape[-1] <= centred.shape[-2] else centred @ centred.mT
    trace = narrow.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    size = power_of_two(trace[..., None, None], dim=(-2, -1))  # squares of squares: small neighbourhoods would vanish
    return (trace / size[..., 0, 0]).square() / (narrow / size).square().sum(dim=(-2, -1))


def _mean_where(valid: Tensor, values: Tensor) -> Tensor:
    """Mean over the last axis of the valid values; NaN where there is none."""
    return torch.where(valid, values, 0.0).sum(dim=-1) / valid.sum(dim=-1)


def _checked_distances(distances: Tensor, k: int) -> Tensor:
    if distances.shape[-1] < k:
        raise ValueError(f"{k} neighbours of each point are needed, distances are given to {distances.shape[-1]}")
    distances = finite(real(distances, "distances"), "distances")
    if (distances < 0).any() or (distances.diff(dim=-1) < 0).any():
        raise ValueError(
            "distances must be numbers >= 0 in ascending order along the last axis, as knn_distances gives"
        )
    return distances


def _usable(values: Tensor, reason: str) -> Tensor:
    """`values`, unless one is not finite: then ValueError names the cloud."""
    if torch.isfinite(values).all():
        return values
    first = (~torch.isfinite(values)).nonzero()[0].tolist()
    raise ValueError((f"cloud {first}: " if first else "") + reason)
