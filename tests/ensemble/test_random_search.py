"""Hyperparameters from ranges: where they lie, how they spread, and what one more of them changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dynatlas.ensemble.random_search import Range, random_search

RANGES = {"rate": Range(1e-4, 1e-1, logarithmic=True), "dropout": Range(0, 0.3), "fixed": Range(2, 2)}


def streams(count):
    return [np.random.Generator(np.random.PCG64(seed)) for seed in range(count)]


def test_quantiles_of_a_range():
    u = torch.tensor([0, 0.5, 1], dtype=torch.float64)
    assert RANGES["rate"].at(u).tolist() == pytest.approx([1e-4, math.sqrt(1e-5), 1e-1])
    assert RANGES["dropout"].at(u).tolist() == pytest.approx([0, 0.15, 0.3])
    assert Range(-2, 2).at(u).tolist() == pytest.approx([-2, 0, 2])


def test_draws_fill_their_ranges_evenly_and_are_each_seeds_own():
    found = random_search(RANGES, 4000, generators=streams(2))
    assert all(values.shape == (2, 4000) and values.dtype == torch.float64 for values in found.values())
    assert (found["fixed"] == 2).all()
    for seed in range(2):
        # the mean of n uniform numbers has standard deviation width / sqrt(12 n)
        spread = 1 / math.sqrt(12 * 4000)
        assert abs(found["dropout"][seed].mean() / 0.3 - 0.5) < 5 * spread
        assert abs(found["rate"][seed].log10().mean() + 2.5) < 5 * 3 * spread
    assert not torch.equal(found["rate"][0], found["rate"][1])
    both = torch.stack([found["rate"][0].log(), found["dropout"][0]])
    assert abs(torch.corrcoef(both)[0, 1]) < 5 / math.sqrt(4000), "ranges are drawn apart"


def test_one_more_seed_or_range_leaves_the_others():
    few = random_search(RANGES, 6, generators=streams(2))
    more = random_search(RANGES | {"gain": Range(1, 3)}, 6, generators=streams(3))
    assert list(more) == ["rate", "dropout", "fixed", "gain"]
    assert all(torch.equal(more[name][:2], values) for name, values in few.items())


@pytest.mark.parametrize("ends", [(1, 0), (0, math.inf), (math.nan, 1), (0, math.nan)])
def test_ranges_that_cannot_be_are_refused(ends):
    with pytest.raises(ValueError, match="low <= high, both finite"):
        Range(*ends)


@pytest.mark.parametrize("ends", [(0, 1), (-1, 1), (2, 1), (1, math.inf)])
def test_logarithmic_ranges_begin_above_zero(ends):
    with pytest.raises(ValueError, match="0 < low <= high"):
        Range(*ends, logarithmic=True)
