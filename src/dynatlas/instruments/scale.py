"""Sums of squares that neither over- nor underflow, and what counts as having any spread.

Values are divided by a power of two near the largest of them, which costs no digit: wherever nothing would have been
lost without it, the result has the same bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDING = 4 * torch.finfo(torch.float64).eps
"""Values that differ by less than this share of the largest are equal up to rounding."""


def power_of_two(values: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """The power of two next below the largest magnitude over `dim` (kept, of size 1); 1 where it is 0 or not finite."""
    largest = values.abs().amax(dim=dim, keepdim=True)
    mantissa, _ = torch.frexp(largest)
    return torch.where((largest > 0) & largest.isfinite(), largest / (2 * mantissa), 1.0)


def scaled(values: Tensor, dim: int | tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """`values` divided by their `power_of_two`, and that: magnitudes over `dim` are below 2, the largest at least 1."""
    power = power_of_two(values, dim)
    return values / power, power


def norm(values: Tensor, dim: int = -1) -> Tensor:
    """Euclidean norm over `dim`."""
    values, power = scaled(values, dim)
    return values.norm(dim=dim) * power.squeeze(dim)


def varies(values: Tensor, dim: int, *, computed_in: torch.dtype = torch.float64) -> Tensor:
    """Whether values differ along `dim` by more than the rounding of their type; bool, without that axis.

    Values that were computed in another type than they have now say so.
    """
    low, high = values.aminmax(dim=dim)
    rounding = 4 * torch.finfo(computed_in).eps if computed_in.is_floating_point else ROUNDING
    return high - low > rounding * torch.maximum(high.abs(), low.abs())
