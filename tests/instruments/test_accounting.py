"""Entries of built tensors, and updates to the first crossing of a criterion."""

from __future__ import annotations

import pytest
import torch

from dynatlas.instruments.accounting import count_built, count_updates


def test_members_are_counted_one_by_one():
    w = torch.ones(3, 4, 4)
    w[1, 0, 0] = 0
    w[2] = 0
    assert count_built({"w_rec": w, "b": torch.zeros(3, 4)}).tolist() == [20, 19, 4]
    assert count_built({"w_rec": w, "b": torch.zeros(3, 4)}, masked=()).tolist() == [20, 20, 20]


def test_updates_to_the_first_crossing_or_the_budget():
    curve = torch.tensor([[0.1, 0.8, 0.7, 0.9], [0.1, 0.2, 0.3, 0.79], [0.9, 0.9, 0.1, 0.1]])
    cost = count_updates(curve, [25, 50, 75, 100], criterion=0.8, trainable=483)
    assert cost.steps.tolist() == [50, 100, 25]
    assert cost.reached.tolist() == [True, False, True]
    assert cost.updates.tolist() == [50 * 483, 100 * 483, 25 * 483]


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match=r"steps = 1\.5: wanted is a whole number"):
        count_updates(torch.zeros(2), [1.5, 3], criterion=0.8, trainable=1)
    with pytest.raises(ValueError, match="3 ascending"):
        count_updates(torch.zeros(3), [1, 3, 2], criterion=0.8, trainable=1)
    with pytest.raises(ValueError, match=r"NaN at \[1\]"):
        count_updates(torch.tensor([0.1, torch.nan]), [1, 2], criterion=0.8, trainable=1)
