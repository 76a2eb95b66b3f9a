"""What an instrument is given, brought into the form in which it can be computed with: types, labels, masks, counts.

Integers are widened before anything is done with them, half precision is computed in float32 or float64, and booleans
are masks, never numbers of units.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor


def real_tensor(values: Tensor, what: str) -> Tensor:
    """`values`, if they are a tensor of real numbers: TypeError for what is none, ValueError for complex numbers."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{what} must be a torch tensor, not {type(values).__name__}: see torch.as_tensor")
    if values.is_complex():
        raise ValueError(f"{what} must be real, not {values.dtype}")
    return values


def real(values: Tensor, what: str) -> Tensor:
    """`values` in float64, whatever real type they have; ValueError where there are none."""
    if not real_tensor(values, what).numel():
        raise ValueError(f"{what} of shape {tuple(values.shape)} hold nothing")
    return values.to(torch.float64)


def widened(values: Tensor, what: str) -> Tensor:
    """`values` in a type in which sums and products keep their digits: half precision in float32, integers in float64.

    float32 and float64 stay as they are. `narrowed` brings a result back.
    """
    if real_tensor(values, what).dtype in (torch.float32, torch.float64):
        return values
    return values.to(torch.float32 if values.is_floating_point() else torch.float64)


def narrowed(result: Tensor, like: Tensor) -> Tensor:
    """`result` in the caller's type; where that one cannot hold fractions (integers, booleans) as it is."""
    return result.to(like.dtype) if like.is_floating_point() else result


def finite(values: Tensor, what: str) -> Tensor:
    """`values`, unless one is NaN or infinite: then ValueError names its place."""
    if bool(values.isfinite().all()):
        return values
    place = (~values.isfinite()).nonzero()[0].tolist()
    raise ValueError(f"{what} hold NaN or infinity, first at {place}")


def whole_labels(y: Tensor, what: str = "labels") -> Tensor:
    """Labels as long integers; ValueError for fractions, negative numbers, and where there is none."""
    if y.is_floating_point() or y.is_complex():
        raise ValueError(f"{what} must be whole numbers >= 0, not {y.dtype}")
    if not y.numel():
        raise ValueError(f"{what} are empty")
    y = y.long()
    if int(y.min()) < 0:
        raise ValueError(f"{what} must be whole numbers >= 0, one is {int(y.min())}")
    return y


def unit_mask(mask: Tensor, units: int) -> Tensor:
    """A mask (..., unit) of booleans, or of the numbers 0 and 1, as booleans; ValueError for anything else."""
    if mask.shape[-1:] != (units,):
        raise ValueError(f"a mask of shape {tuple(mask.shape)} does not fit {units} units")
    if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError("a mask holds 0 and 1 (or booleans) alone; for numbers of units see `silence`")
    return mask.bool()


def whole(value: Any, what: str, *, least: int | None = None) -> int:
    """A count as int, from any kind of integer; ValueError for anything else, and below `least`."""
    try:
        count = operator.index(value)
    except TypeError:
        raise ValueError(f"{what} = {value!r}: wanted is a whole number") from None
    if least is not None and count < least:
        raise ValueError(f"{what} = {count}: wanted is a number >= {least}")
    return count
