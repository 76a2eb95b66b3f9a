"""The 1797 handwritten digits that ship with the project, as images, as rows in time, and as permuted pixels in time.

Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998; CC BY 4.0: see digits.csv.LICENCE.txt beside the
file). Pixels are whole sixteenths, exact in every float type. At paper scale MNIST takes their place (`mnist.py`).
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from dynatlas.datasets.labelled import Labelled
from dynatlas.datasets.pixel_sequences import permuted_pixels

FILE = "digits.csv.gz"
SHA256 = "02633070f0eba52475fb2cfaedcf256826aa2b6c462429e2e6d0826619fc55c9"
LEVELS = 16
"""The largest value of a pixel in the file."""


def digits(*, dtype: torch.dtype = torch.float32) -> Labelled:
    """All images, x (1797, 8, 8) with pixels in 0 ... 1, and the digits y (1797,).

    Raises ValueError when the file in the package is not the one that was shipped.
    """
    table = _table()
    images = torch.from_numpy(table[:, :-1].reshape(-1, 8, 8)).to(dtype) / LEVELS
    return Labelled(images, torch.from_numpy(table[:, -1].astype(np.int64)))


def digits28(*, margin: int = 4, dtype: torch.dtype = torch.float32) -> Labelled:
    """The digits laid out as MNIST's: x (1797, 28, 28).

    Resized bilinearly (pixel centres, no aligned corners) to 28 - 2 x margin pixels a side, with a margin of zeros.
    """
    if not 0 <= margin <= 13:
        raise ValueError(f"margin = {margin}: wanted is 0 to 13 of 28 pixels")
    small = digits(dtype=torch.float64)
    side = 28 - 2 * margin
    resized = torch.nn.functional.interpolate(small.x[:, None], size=(side, side), mode="bilinear")[:, 0]
    return Labelled(torch.nn.functional.pad(resized, (margin,) * 4).to(dtype), small.y)


def digit_rows(*, margin: int = 4, dtype: torch.dtype = torch.float32) -> Labelled:
    """The digits read from top to bottom, one row of 28 pixels a step: x (1797, time 28, channel 28).

    Ink comes only at steps margin + 1 ... 28 - margin (counted from 1): the last `margin` rows of all are blank.
    """
    return digits28(margin=margin, dtype=dtype)


def permuted_digits(pixels_per_step: int = 4, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Labelled:
    """The 64 pixels in one fixed random order, several a step: x (1797, time 64 / pixels_per_step, pixels_per_step).

    See `pixel_sequences.permuted_pixels`, also for what it refuses.
    """
    return permuted_pixels(digits(dtype=dtype), pixels_per_step, seed=seed)


def inked_rows(x: Tensor) -> Tensor:
    """The share of pixels that are not 0 in each row, over all images: x (example, row, column) -> (row,)."""
    return (x != 0).to(torch.float64).mean(dim=(0, 2))


@functools.cache
def _table() -> np.ndarray:
    """(1797, 65): 64 pixels and the digit. Checked once; nobody writes to it, since `digits` makes copies."""
    raw = (resources.files("dynatlas.datasets") / FILE).read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if found != SHA256:
        raise ValueError(f"dynatlas/datasets/{FILE} has SHA-256 {found}, wanted is {SHA256}: install dynatlas again")
    return np.loadtxt(gzip.decompress(raw).decode().splitlines(), delimiter=",", dtype=np.uint8)
