"""The digits that ship, against scikit-learn's, and the ways in which they are shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynatlas.datasets import digits as module
from dynatlas.datasets.digits import digit_rows, digits, digits28, inked_rows, permuted_digits
from dynatlas.datasets.labelled import Labelled, split


def test_they_are_scikit_learns():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    ours = digits(dtype=torch.float64)
    assert np.array_equal(ours.x.numpy() * 16, theirs.images)
    assert np.array_equal(ours.y.numpy(), theirs.target)


def test_pixels_are_exact_in_single_precision_and_copies_are_ours():
    once = digits()
    assert torch.equal(once.x.double(), digits(dtype=torch.float64).x)
    once.x.zero_()
    once.y.zero_()
    assert digits().x.max() == 1
    assert digits().y.max() == 9


def test_another_file_is_refused(monkeypatch):
    monkeypatch.setattr(module, "SHA256", "0" * 64)
    module._table.cache_clear()
    with pytest.raises(ValueError, match=r"digits\.csv\.gz has SHA-256 0263.*install dynatlas again"):
        digits()
    monkeypatch.undo()
    assert len(digits()) == 1797


def test_layout_of_mnist():
    large = digits28(dtype=torch.float64)
    assert large.x.shape == (1797, 28, 28)
    assert large.y is not None
    assert torch.equal(large.y, digits().y)
    for border in (large.x[:, :4], large.x[:, -4:], large.x[:, :, :4], large.x[:, :, -4:]):
        assert (border == 0).all()
    assert large.x.max() <= 1


def test_resizing_is_bilinear_between_pixel_centres():
    small, large = digits(dtype=torch.float64).x[7].numpy(), digits28(dtype=torch.float64).x[7].numpy()
    centres = (np.arange(20) + 0.5) * 8 / 20 - 0.5
    low = np.floor(centres).astype(int)
    share = np.clip(centres, 0, 7) - np.clip(low, 0, 7)
    weights = np.zeros((20, 8))
    for i in range(20):
        weights[i, np.clip(low[i], 0, 7)] += 1 - share[i]
        weights[i, np.clip(low[i] + 1, 0, 7)] += share[i]
    np.testing.assert_allclose(large[4:24, 4:24], weights @ small @ weights.T, rtol=0, atol=1e-12)


def test_rows_in_time_are_blank_at_both_ends():
    ink = inked_rows(digit_rows().x)
    assert (ink[:4] == 0).all()
    assert (ink[4:24] > 0.3).all()
    assert (ink[24:] == 0).all()
    with pytest.raises(ValueError, match="margin = 14"):
        digits28(margin=14)


@pytest.mark.parametrize("pixels", [1, 4, 64])
def test_permuted_pixels_are_the_same_pixels_in_one_order(pixels):
    shown, plain = permuted_digits(pixels), digits()
    assert shown.x.shape == (1797, 64 // pixels, pixels)
    flat = shown.x.flatten(1)
    assert torch.equal(flat.sort(dim=1).values, plain.x.flatten(1).sort(dim=1).values)
    assert torch.equal(flat, permuted_digits(1).x.flatten(1))
    assert not torch.equal(flat, plain.x.flatten(1))
    assert not torch.equal(flat, permuted_digits(pixels, seed=1).x.flatten(1))


def test_pixels_per_step_must_divide():
    with pytest.raises(ValueError, match="pixels_per_step = 5: wanted is a divisor of 64"):
        permuted_digits(5)


def test_split_is_fixed_disjoint_and_whole():
    data = Labelled(torch.arange(20.0)[:, None], torch.arange(20))
    parts = split(data, 13)
    assert torch.equal(parts.train.y, torch.from_numpy(np.random.RandomState(0).permutation(20)[:13]))
    assert torch.equal(torch.cat([parts.train.y, parts.test.y]).sort().values, data.y)
    assert torch.equal(parts.test.x[:, 0].long(), parts.test.y)
    assert not torch.equal(split(data, 13, seed=1).train.y, parts.train.y)
    with pytest.raises(ValueError, match="train = 20: wanted is 1 to 19"):
        split(data, 20)
