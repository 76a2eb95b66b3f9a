"""Images as sequences of pixels."""

from __future__ import annotations

import pytest
import torch

from dynatlas.datasets.labelled import Labelled
from dynatlas.datasets.pixel_sequences import permuted_pixels


def images(side=28):
    return Labelled(torch.arange(3 * side * side).view(3, side, side).double(), torch.tensor([4, 0, 7]))


@pytest.mark.parametrize("pixels", [1, 28])
def test_all_images_are_read_in_one_order_that_no_pixel_escapes(pixels):
    data = images()
    read = permuted_pixels(data, pixels)
    assert read.x.shape == (3, 784 // pixels, pixels)
    assert torch.equal(read.y, data.y)
    flat = read.x.flatten(1)
    assert torch.equal(flat[0].sort().values, data.x[0].flatten())
    assert torch.equal(flat[1] - 784, flat[0])
    assert not torch.equal(flat, permuted_pixels(data, pixels, seed=1).x.flatten(1))


def test_pixels_per_step_must_divide_the_image():
    with pytest.raises(ValueError, match="pixels_per_step = 5: wanted is a divisor of 784"):
        permuted_pixels(images(), 5)
