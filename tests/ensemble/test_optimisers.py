"""Per-member optimisers and schedules against torch.optim and closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import SGD, Adam, AdamW, per_member
from dynatlas.ensemble.schedules import AtSteps, Constant, CosineDecay, Every, Geometric, LinearDecay, StepDecay

CASES = {
    "sgd": (SGD, torch.optim.SGD, {"weight_decay": 0.1}),
    "momentum": (SGD, torch.optim.SGD, {"momentum": 0.8}),
    "nesterov": (SGD, torch.optim.SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05}),
    "adam": (Adam, torch.optim.Adam, {"betas": (0.8, 0.95), "weight_decay": 0.1}),
    "adamw": (AdamW, torch.optim.AdamW, {"weight_decay": 0.2}),
}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_step(step):
    """A batch that is the number of its step."""
    return step


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_equals_torch_one_member_at_a_time(name, clip):
    ours, theirs, settings = CASES[name]
    start, curvature = normal(3, 4), 1 + normal(3, 4, seed=1) ** 2
    rates = torch.tensor([0.1, 0.01, 0.05], dtype=torch.float64)

    def loss(params, step):
        return ((curvature * (params["a"] - 1) ** 2).sum(1) + params["b"].cos().sum((1, 2))) * (1 + step % 3)

    tree = {"a": start, "b": normal(3, 2, 2, seed=2)}
    fitted = fit(by_step, loss, tree, steps=25, optimiser=ours(lr=rates, **settings), clip_norm=clip)
    for member in range(3):
        a = torch.nn.Parameter(start[member].clone())
        b = torch.nn.Parameter(tree["b"][member].clone())
        optimiser = theirs([a, b], lr=float(rates[member]), **settings)
        for step in range(25):
            optimiser.zero_grad()
            value = ((curvature[member] * (a - 1) ** 2).sum() + b.cos().sum()) * (1 + step % 3)
            value.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_([a, b], clip)
            optimiser.step()
        torch.testing.assert_close(fitted.parameters["a"][member], a.detach(), rtol=0, atol=1e-12)
        torch.testing.assert_close(fitted.parameters["b"][member], b.detach(), rtol=0, atol=1e-12)


def test_per_member_settings_of_the_wrong_length_are_refused():
    with pytest.raises(ValueError, match=r"must be \(3,\), not \(2,\)"):
        per_member(torch.ones(2), torch.zeros(3, 5))


@pytest.mark.parametrize("schedule", [Constant(4), LinearDecay(4, 0.1), CosineDecay(4, 0.1)])
def test_schedules_warm_up_and_end_where_they_say_for_each_budget(schedule):
    budget = torch.tensor([20, 50])
    factors = torch.stack([schedule(step, budget) for step in range(50)])
    torch.testing.assert_close(factors[:4, 0], torch.tensor([0.25, 0.5, 0.75, 1.0], dtype=torch.float64))
    assert factors[4].tolist() == [1, 1]
    last = 1.0 if isinstance(schedule, Constant) else 0.1
    assert factors[19, 0].item() == pytest.approx(last)
    assert factors[49, 1].item() == pytest.approx(last)
    assert (factors[4:, 1].diff() <= 1e-15).all()


def test_linear_and_cosine_halfway():
    budget = torch.tensor([21])
    assert LinearDecay(0, 0.2)(10, budget).item() == pytest.approx(0.6)
    assert CosineDecay(0, 0.2)(10, budget).item() == pytest.approx(0.6)
    assert CosineDecay(0, 0.0)(5, budget).item() == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


@pytest.mark.parametrize(("start", "every", "factor"), [(5, 5, 0.5), (7, 3, 0.95), (0, 4, 0.1)])
def test_steps_of_decay_are_torchs(start, every, factor):
    decay = StepDecay(start, every, factor)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    milestones = range(start, 40, every)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimiser, [m for m in milestones if m > 0], factor)
    first = factor if start == 0 else 1.0
    for step in range(40):
        factors = decay(step, torch.tensor([20, 50]))
        assert factors.dtype == torch.float64
        assert factors.tolist() == pytest.approx([first * theirs.get_last_lr()[0]] * 2, rel=1e-12)
        optimiser.step()
        theirs.step()


@pytest.mark.parametrize("given", [(-1, 2, 0.5), (0, 0, 0.5), (0, 2, 0.0), (0, 2, -0.5), (0, 2, math.nan)])
def test_steps_of_decay_that_cannot_be_are_refused(given):
    with pytest.raises(ValueError, match=r"StepDecay\(.*wanted are start >= 0, every >= 1"):
        StepDecay(*given)


def test_occasions():
    assert [s for s in range(11) if Every(5)(s)] == [0, 5, 10]
    assert [s for s in range(11) if AtSteps(frozenset({3, 7}))(s)] == [3, 7]
    expected = {0} | {round(5 * (1.15**i - 1) / 0.15) for i in range(1, 40)}
    assert {s for s in range(2000) if Geometric()(s)} == {s for s in expected if s < 2000}
