"""Members that learn different parts of one network in one stack."""

from __future__ import annotations

import pytest
import torch

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.masks import scaled_updates
from dynatlas.ensemble.optimisers import SGD, Adam


def tree():
    stream = torch.Generator().manual_seed(1)
    return {
        "w": torch.randn(3, 4, 2, generator=stream, dtype=torch.float64),
        "b": torch.randn(3, 2, generator=stream, dtype=torch.float64),
    }


def by_step(step):
    """A batch that is the number of its step."""
    return step


def loss(parameters, step):
    x = torch.linspace(-1, 1, 4, dtype=torch.float64)
    return ((x @ parameters["w"] + parameters["b"] - 1 - 0.1 * step) ** 2).sum(dim=1)


FACTORS = {"w": torch.tensor([0.0, 1.0, 1.0]), "b": torch.tensor([1.0, 0.0, 1.0])}


def test_frozen_tensors_keep_their_bits_and_the_others_learn_as_if_alone():
    start = tree()
    stacked = fit(by_step, loss, start, steps=20, optimiser=Adam(lr=0.05), project=scaled_updates(FACTORS)).parameters
    assert torch.equal(stacked["w"][0], start["w"][0])
    assert torch.equal(stacked["b"][1], start["b"][1])
    for member, trainable in enumerate((["b"], ["w"], ["w", "b"])):
        alone = fit(by_step, loss, start, steps=20, optimiser=Adam(lr=0.05), trainable=trainable).parameters
        for name in start:
            torch.testing.assert_close(stacked[name][member], alone[name][member], rtol=0, atol=1e-12)


def test_a_factor_is_a_ratio_of_learning_rates():
    start = tree()
    tenth = scaled_updates({"b": torch.full((3,), 0.1, dtype=torch.float64)})
    found = fit(by_step, loss, start, steps=1, optimiser=SGD(lr=0.1), project=tenth).parameters
    whole = fit(by_step, loss, start, steps=1, optimiser=SGD(lr=0.1)).parameters
    torch.testing.assert_close(found["b"] - start["b"], 0.1 * (whole["b"] - start["b"]), rtol=0, atol=1e-12)
    assert torch.equal(found["w"], whole["w"])


def test_a_tensor_that_is_not_there_is_named():
    with pytest.raises(KeyError, match="bias"):
        fit(by_step, loss, tree(), steps=1, optimiser=SGD(lr=0.1), project=scaled_updates({"bias": torch.ones(3)}))
