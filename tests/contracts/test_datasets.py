"""What every data set must do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynatlas.datasets.labelled import split
from dynatlas.datasets.registry import DATASETS


@pytest.fixture(params=sorted(DATASETS))
def make(request):
    return DATASETS[request.param]


def test_examples_are_finite_and_labels_count_classes_from_zero(make):
    data = make()
    assert len(data.x) == len(data.y) == len(data)
    assert data.x.is_floating_point()
    assert torch.isfinite(data.x).all()
    assert data.x.flatten(1).std(dim=1).min() > 0, "no example is blank"
    assert data.y.dtype == torch.int64
    counts = data.y.bincount()
    assert counts.min() > 0.5 * len(data) / len(counts), "every class is there, and about as often as the others"


def test_the_same_bits_twice_whatever_is_done_to_a_copy(make):
    first, second = make(), make()
    kept = second.x.clone(), second.y.clone()
    first.x.fill_(7)
    first.y.fill_(7)
    third = make()
    for data in (second, third):
        assert torch.equal(data.x, kept[0])
        assert torch.equal(data.y, kept[1])


def test_global_random_state_is_not_moved(make):
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    make()
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002


def test_labels_can_be_told_from_the_examples_above_chance(make):
    """The class whose training mean is nearest: labels and examples belong together, after splitting too."""
    parts = split(make(), 1000)
    x, y = parts.train.x.flatten(1).double(), parts.train.y
    means = torch.stack([x[y == label].mean(dim=0) for label in range(int(y.max()) + 1)])
    guessed = torch.cdist(parts.test.x.flatten(1).double(), means).argmin(dim=1)
    assert (guessed == parts.test.y).double().mean() > 1.5 / len(means)
