"""What every model of the wing must keep: members do not meet, time does not run backwards, state survives."""

from __future__ import annotations

import pytest
import torch

from dynatlas.ensemble.parameters import select_members
from dynatlas.models.noise import StepNoise
from dynatlas.models.registry import MODELS

MEMBERS, STEPS, TRIALS = 4, 9, 5


def streams(count: int = MEMBERS) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def inputs(model: object) -> torch.Tensor:
    return torch.randn(MEMBERS, STEPS, TRIALS, model.n_in, generator=streams(1)[0], dtype=torch.float64)


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.fixture
def params(model):
    return model.initialise(streams(), dtype=torch.float64)


def test_states_have_the_stated_shape_and_type(model, params):
    states = model.rollout(params, inputs(model))
    assert states.shape == (MEMBERS, STEPS, TRIALS, model.units)
    assert states.dtype == torch.float64
    assert states.isfinite().all()
    assert states.std() > 0.01


def test_together_equals_one_network_at_a_time(model, params):
    x = inputs(model)
    noise = StepNoise(streams(), 0.1)
    together = model.rollout(params, x, noise=noise)
    for member in range(MEMBERS):
        one = select_members(params, [member])
        alone = model.rollout(one, x[member], noise=StepNoise(streams()[member : member + 1], 0.1))
        torch.testing.assert_close(together[member], alone[0], rtol=0, atol=1e-10)


def test_gradients_together_equal_one_at_a_time(model, params):
    x = inputs(model)

    def gradients(tree, given):
        leaves = {
            name: tensor.clone().requires_grad_() for name, tensor in tree.items() if name not in ("w_out", "b_out")
        }
        loss = model.rollout(leaves, given).square().sum()
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    together = gradients(params, x)
    for member in range(MEMBERS):
        for name, alone in gradients(select_members(params, [member]), x[member]).items():
            torch.testing.assert_close(together[name][member], alone[0], rtol=0, atol=1e-10)


def test_batched_trials_equal_looped_ones(model, params):
    x = inputs(model)
    whole = model.rollout(params, x)
    for trial in range(TRIALS):
        alone = model.rollout(params, x[:, :, trial : trial + 1])
        torch.testing.assert_close(whole[:, :, trial : trial + 1], alone, rtol=0, atol=1e-10)


def test_later_inputs_do_not_change_earlier_states(model, params):
    x = inputs(model)
    changed = x.clone()
    changed[:, 5] += 1
    before, after = model.rollout(params, x), model.rollout(params, changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5], after[:, 5])


def test_state_survives_a_pause(model, params):
    x = inputs(model)
    whole = model.rollout(params, x)
    first = model.rollout(params, x[:, :4])
    second = model.rollout(params, x[:, 4:], state0=first[:, -1])
    torch.testing.assert_close(whole[:, 4:], second, rtol=0, atol=1e-12)


def test_rollout_repeats_step_and_states_at_picks(model, params):
    x = inputs(model)
    whole = model.rollout(params, x)
    broadcast = {name: tensor[:, None] for name, tensor in params.items()}
    state = torch.zeros_like(whole[:, 0])
    for t in range(STEPS):
        state = model.step(broadcast, x[:, t], state)
        torch.testing.assert_close(whole[:, t], state, rtol=0, atol=1e-12)
    at = torch.arange(TRIALS)
    torch.testing.assert_close(model.states_at(params, x, steps=at), whole[:, at, at], rtol=0, atol=1e-12)


def test_jacobian_is_the_derivative_of_step(model, params):
    one = {name: tensor[0] for name, tensor in params.items()}
    x = inputs(model)[0, 0, 0]
    state = torch.linspace(-0.5, 0.8, model.units, dtype=torch.float64)
    after, ours = model.jacobian(one, x, state)
    torch.testing.assert_close(after, model.step(one, x, state), rtol=0, atol=1e-14)
    by_autograd = torch.func.jacrev(lambda s: model.step(one, x, s))(state)
    torch.testing.assert_close(ours, by_autograd, rtol=0, atol=1e-12)


def test_more_members_leave_earlier_ones_bits(model, params):
    more = model.initialise(streams(MEMBERS + 3), dtype=torch.float64)
    assert all(torch.equal(more[name][:MEMBERS], params[name]) for name in params)
    x = inputs(model)[0]
    few = model.rollout(params, x, noise=StepNoise(streams(), 0.1))
    many = model.rollout(more, x, noise=StepNoise(streams(MEMBERS + 3), 0.1))
    assert torch.equal(many[:MEMBERS], few)
