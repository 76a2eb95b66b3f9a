"""Members that were lost beside those that are measured."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.instruments.dimension_profile import measure_dimension
from dynatlas.instruments.lost import measurable, measure_kept


def clouds(**keywords):
    return torch.randn(4, 60, 3, generator=torch.Generator().manual_seed(0), **keywords)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_or_the_same_for_all_inputs_cannot_be_measured(value):
    first, second = clouds(), clouds()
    first[1, 5, 2] = value
    second[2] = second[2, :1]
    assert measurable([first, second]).tolist() == [True, False, False, True]
    assert measurable([clouds(dtype=torch.float64).mT]).all()
    assert measurable([(10 * clouds()).long()]).all()


def test_those_that_are_kept_have_the_numbers_that_they_have_alone():
    names, points = ("mle", "participation_ratio"), clouds()
    alone = measure_dimension(points[[0, 3]], names)
    points[1] = math.nan
    kept = torch.tensor([True, False, False, True])
    found = measure_kept(kept, names, lambda own: measure_dimension(own, names), points)
    for name in names:
        assert torch.equal(found[name][kept], alone[name])
        assert found[name][~kept].isnan().all()
        assert found[name].dtype == torch.float64


def test_where_all_are_lost_nothing_is_measured():
    found = measure_kept(torch.zeros(4, dtype=torch.bool), ["mle"], pytest.fail, clouds())
    assert found["mle"].isnan().tolist() == [True] * 4
