"""What is read off a Lyapunov spectrum: one number each, float64, from exponents (..., k) in any order.

NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dynatlas.instruments.given import real, whole
from dynatlas.reductions import mean_over_first

if TYPE_CHECKING:
    import pandas

    from dynatlas.instruments.lyapunov import LyapunovResult


def spectrum_table(result: LyapunovResult, networks: Sequence[str | int] | None = None) -> pandas.DataFrame:
    """Columns network, order, exponent, standard_error: the mean over sequences, order 1 the largest, nats per step.

    `networks` are their names, by default numbers from 0. Raises ValueError for another number of names than networks.
    """
    import pandas as pd

    count, k = result.mean.shape
    names = range(count) if networks is None else networks
    if len(names) != count:
        raise ValueError(f"{len(names)} names for {count} networks")
    return pd.DataFrame(
        {
            "network": [name for name in names for _ in range(k)],
            "order": [*range(1, k + 1)] * count,
            "exponent": result.mean.flatten().tolist(),
            "standard_error": result.stderr.flatten().tolist(),
        }
    )


def mean_exponent(jacobians: Tensor) -> Tensor:
    """Mean of all d exponents of Jacobians (T, ..., d, d) -> (...), in nats per step; -inf where one is singular.

    The sum rule, sum_i lambda_i = mean_t log|det J_t|, holds exactly at every T: no triangular factor is needed.
    """
    factors = torch.linalg.lu_factor_ex(real(jacobians, "jacobians"))[0].diagonal(dim1=-2, dim2=-1)
    # torch's slogdet sums in an order that depends on how many matrices there are
    return mean_over_first(factors.abs().log().contiguous().sum(dim=-1)) / jacobians.shape[-1]


def kaplan_yorke(exponents: Tensor) -> Tensor:
    """Kaplan-Yorke dimension (Kaplan and Yorke 1979) of exponents (..., k) -> (...).

    j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}| with the largest j whose sum is not negative; 0 if lambda_1 < 0.
    Where no sum is negative the dimension is at least k, and k is returned: ask for more exponents.
    """
    descending = _descending(exponents)
    sums = descending.cumsum(dim=-1)
    count = (sums >= 0).sum(dim=-1, keepdim=True)
    k = exponents.shape[-1]
    within = (count > 0) & (count < k)
    total = sums.gather(-1, (count - 1).clamp_min(0))
    following = descending.gather(-1, count.clamp_max(k - 1))
    found = (count + torch.where(within, total / following.abs(), 0.0)).squeeze(-1)
    return torch.where(descending.isnan().any(dim=-1), torch.nan, found)


def spectrum_slope(exponents: Tensor, first: int, last: int) -> Tensor:
    """(lambda_last - lambda_first) / (last - first) of exponents (..., k), the largest has index 0 -> (...)."""
    first, last = whole(first, "first"), whole(last, "last")
    if not 0 <= first < last < exponents.shape[-1]:
        raise ValueError(f"indices {first}, {last}: wanted is 0 <= first < last < {exponents.shape[-1]}")
    descending = _descending(exponents)
    slope = (descending[..., last] - descending[..., first]) / (last - first)
    return torch.where(descending.isnan().any(dim=-1), torch.nan, slope)


def leading_half_mean(exponents: Tensor) -> Tensor:
    """Mean of the larger half (rounded up) of the exponents (..., k) -> (...).

    The mean of all is dominated by the few most negative ones; this one is not.
    """
    return _descending(exponents)[..., : (exponents.shape[-1] + 1) // 2].mean(dim=-1)


def fraction_above(exponents: Tensor, threshold: float = -0.3) -> Tensor:
    """Share of the exponents (..., k) above the threshold (nats per step) -> (...)."""
    exponents = real(exponents, "exponents")
    share = (exponents > threshold).to(torch.float64).mean(dim=-1)
    return torch.where(exponents.isnan().any(dim=-1), torch.nan, share)


def _descending(exponents: Tensor) -> Tensor:
    """The largest first; NaN before all."""
    return real(exponents, "exponents").sort(dim=-1, descending=True).values
