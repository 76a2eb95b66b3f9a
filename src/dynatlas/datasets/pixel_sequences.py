"""Images read pixel by pixel in one fixed random order, as in permuted sequential MNIST (Le, Jaitly, Hinton 2015)."""

from __future__ import annotations

import numpy as np
import torch

from dynatlas.datasets.labelled import Labelled


def permuted_pixels(images: Labelled, pixels_per_step: int, *, seed: int = 0) -> Labelled:
    """Images x (example, row, column) as sequences (example, time, pixels_per_step), all in the same order of pixels.

    The order is `RandomState(seed).permutation(pixels)`: the same for every run. Raises ValueError when the number of
    pixels is not a multiple of `pixels_per_step`.
    """
    flat = images.x.flatten(1)
    pixels = flat.shape[1]
    if pixels_per_step < 1 or pixels % pixels_per_step:
        raise ValueError(f"pixels_per_step = {pixels_per_step}: wanted is a divisor of {pixels}")
    order = torch.from_numpy(np.random.RandomState(seed).permutation(pixels))
    return Labelled(flat[:, order].unflatten(1, (-1, pixels_per_step)), images.y)
