"""What every model of the wing must keep: members do not meet, time does not run backwards, state survives.

Each test runs on the models that can do what it is about; the registry says which those are.
"""

from __future__ import annotations

import pytest
import torch

from dynatlas.ensemble.parameters import select_members
from dynatlas.models.noise import StepNoise
from dynatlas.models.registry import MODELS, RATE, RECURRENT, STACKED

MEMBERS, STEPS, TRIALS = 4, 9, 5


def streams(count: int = MEMBERS) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Case:
    """A registered model with parameters, none of them 0, and inputs."""

    def __init__(self, entry):
        self.entry, self.model = entry, entry.make()
        drawn = self.model.initialise(streams(), dtype=torch.float64)
        self.params = {name: tensor + 0.1 * normal(*tensor.shape, seed=7) for name, tensor in drawn.items()}
        self.x = normal(MEMBERS, STEPS, TRIALS, entry.n_in)

    def run(self, params, x):
        return self.entry.run(self.model, params, x)


@pytest.fixture(params=MODELS)
def any_case(request):
    return Case(MODELS[request.param])


@pytest.fixture(params=RECURRENT)
def recurrent(request):
    return Case(RECURRENT[request.param])


@pytest.fixture(params=STACKED)
def stacked(request):
    return Case(STACKED[request.param])


@pytest.fixture(params=RATE)
def rate(request):
    return Case(RATE[request.param])


# ---------------------------------------------------------------- all models


def test_outputs_have_the_stated_shape_and_type(any_case):
    for dtype in (torch.float64, torch.float32):
        params = {name: tensor.to(dtype) for name, tensor in any_case.params.items()}
        outputs = any_case.run(params, any_case.x.to(dtype))
        assert outputs.shape == (MEMBERS, STEPS, TRIALS, any_case.entry.outputs)
        assert outputs.dtype == dtype
        assert outputs.isfinite().all()
        assert outputs.std() > 0.01


def test_together_equals_one_network_at_a_time(any_case):
    together = any_case.run(any_case.params, any_case.x)
    for member in range(MEMBERS):
        alone = any_case.run(select_members(any_case.params, [member]), any_case.x[member : member + 1])
        torch.testing.assert_close(together[member], alone[0], rtol=0, atol=1e-10)


def test_gradients_together_equal_one_at_a_time(any_case):
    def gradients(tree, given):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in tree.items()}
        loss = any_case.run(leaves, given).square().sum()
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
        return dict(zip(leaves, found, strict=True))

    together = gradients(any_case.params, any_case.x)
    reached = {name for name, gradient in together.items() if (gradient != 0).flatten(1).any(dim=1).all()}
    assert reached == set(together) - {"w_out", "b_out"}
    for member in range(MEMBERS):
        one = select_members(any_case.params, [member])
        for name, alone in gradients(one, any_case.x[member : member + 1]).items():
            torch.testing.assert_close(together[name][member], alone[0], rtol=0, atol=1e-10)


def test_batched_trials_equal_looped_ones(any_case):
    whole = any_case.run(any_case.params, any_case.x)
    for trial in range(TRIALS):
        alone = any_case.run(any_case.params, any_case.x[:, :, trial : trial + 1])
        torch.testing.assert_close(whole[:, :, trial : trial + 1], alone, rtol=0, atol=1e-10)


def test_later_inputs_do_not_change_earlier_outputs(any_case):
    changed = any_case.x.clone()
    changed[:, 5] += 1
    before, after = any_case.run(any_case.params, any_case.x), any_case.run(any_case.params, changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5], after[:, 5])


def test_nothing_is_changed_in_place(any_case):
    params, x = {name: tensor.clone() for name, tensor in any_case.params.items()}, any_case.x.clone()
    any_case.run(any_case.params, any_case.x)
    assert torch.equal(x, any_case.x)
    assert all(torch.equal(tensor, any_case.params[name]) for name, tensor in params.items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("more", [2, 3, 5, 7])
def test_more_members_leave_earlier_ones_bits(any_case, more, dtype):
    """Odd counts and sizes: what one more member moves from the rest of a vector into a vector must not change."""
    trials = 3
    many = any_case.model.initialise(streams(more), dtype=dtype)
    x = (3 * normal(more, STEPS, trials, any_case.entry.n_in)).to(dtype)

    def outputs_and_gradients(members):
        drawn = any_case.model.initialise(streams(members), dtype=dtype)
        assert all(torch.equal(many[name][:members], drawn[name]) for name in drawn)
        leaves = {name: tensor.requires_grad_() for name, tensor in drawn.items()}
        outputs = any_case.run(leaves, x[:members])
        loss = outputs.square().sum()
        return outputs, *torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)

    together = outputs_and_gradients(more)
    for members in range(1, more):
        for few, all_of_them in zip(outputs_and_gradients(members), together, strict=True):
            assert torch.equal(few, all_of_them[:members])


@pytest.mark.parametrize("more", [2, 3, 7])
def test_more_members_leave_the_bits_of_earlier_ones_jacobians(recurrent, more):
    many = recurrent.model.initialise(streams(more), dtype=torch.float64)
    x, state = 3 * normal(more, 3, recurrent.entry.n_in), normal(more, 3, recurrent.entry.outputs, seed=5)

    def found(members):
        broadcast = {name: tensor[:members, None] for name, tensor in many.items()}
        return recurrent.model.jacobian(broadcast, x[:members], state[:members])

    for members in range(1, more):
        for few, all_of_them in zip(found(members), found(more), strict=True):
            assert torch.equal(few, all_of_them[:members])


def test_copies_are_seed_major_and_may_share_their_draw(any_case):
    plain, shared = (any_case.model.initialise(streams(2), 3, shared=s, dtype=torch.float64) for s in (False, True))
    first = any_case.model.initialise(streams(1), 3, dtype=torch.float64)
    for name, tensor in plain.items():
        assert tensor.shape[0] == 6
        assert torch.equal(tensor[:3], first[name])
        assert torch.equal(shared[name][0], shared[name][2])
        assert torch.equal(shared[name][3], shared[name][5])
    assert any(not torch.equal(tensor[0], tensor[1]) for tensor in plain.values())
    assert any(not torch.equal(tensor[0], tensor[3]) for tensor in shared.values())


def test_initial_parameters_are_what_the_model_draws_one_network_at_a_time(any_case):
    for dtype in (torch.float32, torch.float64):
        together = any_case.model.initialise(streams(2), 2, dtype=dtype)
        assert all(tensor.dtype == dtype for tensor in together.values())
        for seed, generator in enumerate(streams(2)):
            for copy in range(2):
                one = any_case.model.draw(generator)
                assert list(one) == list(together)
                assert all(torch.equal(together[name][2 * seed + copy], own.to(dtype)) for name, own in one.items())


# ---------------------------------------------------------------- recurrent ones


@pytest.mark.parametrize("shape", [(MEMBERS + 1, STEPS, TRIALS), (STEPS,), (1, MEMBERS, STEPS, TRIALS)])
def test_inputs_of_other_members_or_without_an_axis_are_refused(recurrent, shape):
    with pytest.raises(ValueError, match=r"x must be \(T, B, 3\) or \(4, T, B, 3\), not"):
        recurrent.run(recurrent.params, normal(*shape, recurrent.entry.n_in))
    with pytest.raises(ValueError, match="x must be"):
        recurrent.run(recurrent.params, recurrent.x[..., :-1])


@pytest.mark.parametrize("shape", [(MEMBERS, TRIALS + 1, 6), (TRIALS, 6), (1, TRIALS, 6)])
def test_first_states_of_another_shape_are_refused(recurrent, shape):
    with pytest.raises(ValueError, match="state0 must be"):
        recurrent.model.rollout(recurrent.params, recurrent.x, state0=normal(*shape))


def test_state_survives_a_pause(recurrent):
    whole = recurrent.run(recurrent.params, recurrent.x)
    second = recurrent.model.rollout(recurrent.params, recurrent.x[:, 4:], state0=whole[:, 3])
    torch.testing.assert_close(whole[:, 4:], second, rtol=0, atol=1e-12)


def test_inputs_may_be_the_same_for_all_members(recurrent):
    own = recurrent.x[:1].expand_as(recurrent.x)
    shared = recurrent.model.rollout(recurrent.params, recurrent.x[0])
    torch.testing.assert_close(shared, recurrent.run(recurrent.params, own), rtol=0, atol=1e-12)


def test_rollout_repeats_step(recurrent):
    whole = recurrent.run(recurrent.params, recurrent.x)
    broadcast = {name: tensor[:, None] for name, tensor in recurrent.params.items()}
    state = torch.zeros_like(whole[:, 0])
    for t in range(STEPS):
        state = recurrent.model.step(broadcast, recurrent.x[:, t], state)
        torch.testing.assert_close(whole[:, t], state, rtol=0, atol=1e-12)


def test_jacobian_is_the_derivative_of_step(recurrent):
    one = {name: tensor[0] for name, tensor in recurrent.params.items()}
    x, state = recurrent.x[0, 0, 0], torch.linspace(-0.5, 0.8, recurrent.entry.outputs, dtype=torch.float64)
    after, ours = recurrent.model.jacobian(one, x, state)
    torch.testing.assert_close(after, recurrent.model.step(one, x, state), rtol=0, atol=1e-14)
    by_autograd = torch.func.jacrev(lambda s: recurrent.model.step(one, x, s))(state)
    torch.testing.assert_close(ours, by_autograd, rtol=0, atol=1e-12)


def test_carried_vectors_are_the_jacobians_products(stacked):
    d, k = stacked.entry.outputs, 3
    s, v = normal(MEMBERS, TRIALS, d, seed=2), normal(MEMBERS, TRIALS, k, d, seed=3)
    broadcast = {name: tensor[:, None] for name, tensor in stacked.params.items()}
    jacobian = stacked.model.jacobian(broadcast, stacked.x[:, 0], s)[1]
    carried = stacked.model.carry(stacked.params, stacked.model.slopes(broadcast, stacked.x[:, 0], s), v)
    torch.testing.assert_close(carried, v @ jacobian.mT, rtol=0, atol=1e-12)


def test_the_readout_sees_the_top_layer_alone(stacked):
    states = normal(MEMBERS, STEPS, TRIALS, stacked.entry.outputs, seed=4)
    said = stacked.model.readout(stacked.params, states)
    expected = torch.einsum("etbn,eno->etbo", stacked.model.top(states), stacked.params["w_out"])
    torch.testing.assert_close(said, expected + stacked.params["b_out"][:, None, None], rtol=0, atol=1e-12)


# ---------------------------------------------------------------- those that are run with noise


def test_noise_together_equals_one_network_at_a_time_and_more_members_leave_its_bits(rate):
    noise = StepNoise(streams(), 0.1)
    together = rate.model.rollout(rate.params, rate.x, noise=noise)
    for member in range(MEMBERS):
        own = StepNoise(streams()[member : member + 1], 0.1)
        alone = rate.model.rollout(select_members(rate.params, [member]), rate.x[member], noise=own)
        torch.testing.assert_close(together[member], alone[0], rtol=0, atol=1e-10)
    more = {name: torch.cat([tensor, tensor[:3]]) for name, tensor in rate.params.items()}
    x = torch.cat([rate.x, rate.x[:3]])
    many = rate.model.rollout(more, x, noise=StepNoise(streams(MEMBERS + 3), 0.1))
    assert torch.equal(many[:MEMBERS], together)
    assert not torch.equal(together, rate.run(rate.params, rate.x))


def test_states_at_picks_from_the_rollout(rate):
    whole, at = rate.run(rate.params, rate.x), torch.arange(TRIALS)
    picked = rate.model.states_at(rate.params, rate.x, steps=at)
    torch.testing.assert_close(picked, whole[:, at, at], rtol=0, atol=1e-12)
