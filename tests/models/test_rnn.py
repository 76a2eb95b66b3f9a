"""The rate RNN against autograd, torch's own RNN, its equations and its Jacobian."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatlas.models.noise import StepNoise
from dynatlas.models.rnn import ElmanRNN, jacobian, readout, rollout, states_at, step
from dynatlas.models.torch_layout import from_torch, to_torch

E, T, B, N_IN, N, N_OUT = 3, 7, 4, 5, 6, 2
NAMES = ("relu", "tanh", "sigmoid", "softplus", "identity")


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 9) -> torch.Tensor:
    return torch.randn(shape, generator=stream(seed), dtype=torch.float64)


def streams(count: int) -> list[torch.Generator]:
    return [stream(seed) for seed in range(count)]


def small(**settings: object) -> dict[str, torch.Tensor]:
    params = ElmanRNN(N_IN, N, N_OUT, **settings).initialise(streams(E), dtype=torch.float64)
    if "b" in params:
        params["b"] = 0.3 * normal(E, N, seed=5)
    return {name: tensor.requires_grad_() for name, tensor in params.items()}


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("leak", ["outside", "inside"])
def test_hand_written_backward_equals_autograd(activation, alpha, leak):
    params = small()
    x, state0 = normal(E, T, B, N_IN, seed=1).requires_grad_(), normal(E, B, N, seed=2).requires_grad_()
    wanted = [params["w_in"], params["w_rec"], params["b"], x, state0]
    results = []
    for fused in (True, False):
        states = rollout(
            params,
            x,
            alpha=alpha,
            activation=activation,
            leak=leak,
            noise=normal(E, T, B, N, seed=3),
            state0=state0,
            fused=fused,
        )
        gradients = torch.autograd.grad((states * normal(E, T, B, N, seed=4)).sum(), wanted)
        results.append([states, *gradients])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_gradients_equal_finite_differences(activation):
    params = small()
    x, state0 = normal(2, 2, N_IN).requires_grad_(), normal(E, 2, N).requires_grad_()

    def run(w_in, w_rec, b, x, state0):
        return rollout({"w_in": w_in, "w_rec": w_rec, "b": b}, x, alpha=0.4, activation=activation, state0=state0)

    assert torch.autograd.gradcheck(run, (params["w_in"], params["w_rec"], params["b"], x, state0))


def test_readout_gradients_equal_finite_differences():
    params = small()
    states = normal(E, 3, B, N).requires_grad_()

    def run(states, w_out, b_out):
        return readout({"w_out": w_out, "b_out": b_out}, states)

    arguments = (states, params["w_out"], params["b_out"])
    assert torch.autograd.gradcheck(run, arguments)
    assert torch.autograd.gradgradcheck(run, arguments)
    expected = torch.einsum("etbn,eno->etbo", states, params["w_out"]) + params["b_out"][:, None, None]
    torch.testing.assert_close(run(*arguments), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["relu", "tanh"])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_torch_rnn_with_its_gradients(name, bias):
    modules = []
    for seed in range(E):
        module = torch.nn.RNN(N_IN, N, nonlinearity=name, bias=bias).double()
        for i, tensor in enumerate(module.parameters()):
            tensor.data = 0.4 * normal(*tensor.shape, seed=10 * seed + i)
        modules.append(module)
    params = {k: v.requires_grad_() for k, v in from_torch([m.state_dict() for m in modules]).items()}
    x, weight = normal(T, B, N_IN), normal(T, B, N, seed=8)
    states = rollout(params, x, activation=name)
    (states * weight).sum().backward()
    for member, module in enumerate(modules):
        theirs = module(x)[0]
        (theirs * weight).sum().backward()
        torch.testing.assert_close(states[member], theirs, rtol=0, atol=1e-12)
        torch.testing.assert_close(params["w_rec"].grad[member].T, module.weight_hh_l0.grad, rtol=0, atol=1e-12)
        torch.testing.assert_close(params["w_in"].grad[member].T, module.weight_ih_l0.grad, rtol=0, atol=1e-12)


def test_torch_layout_survives_the_way_there_and_back():
    params = {name: tensor.detach() for name, tensor in small().items()}
    module = torch.nn.RNN(N_IN, N, nonlinearity="relu").double()
    module.load_state_dict(to_torch(params, 1))
    x = normal(T, B, N_IN)
    torch.testing.assert_close(module(x)[0], rollout(params, x)[1], rtol=0, atol=1e-12)
    back = from_torch([to_torch(params, member) for member in range(E)])
    assert all(torch.equal(back[name], params[name]) for name in back)


@pytest.mark.parametrize("activation", [*NAMES, lambda h: h.sin()])
@pytest.mark.parametrize("leak", ["outside", "inside"])
def test_jacobian_equals_autograd_and_rollout_repeats_step(activation, leak):
    params = {name: tensor.detach()[0] for name, tensor in small().items()}
    x, s = normal(N_IN), normal(N, seed=3)
    after, ours = jacobian(params, x, s, alpha=0.3, activation=activation, leak=leak)
    by_autograd = torch.func.jacrev(lambda s: step(params, x, s, alpha=0.3, activation=activation, leak=leak))(s)
    torch.testing.assert_close(ours, by_autograd, rtol=0, atol=1e-13)
    whole = rollout(
        {name: tensor[None] for name, tensor in params.items()},
        x.expand(2, 1, N_IN),
        alpha=0.3,
        activation=activation,
        leak=leak,
        state0=s[None, None],
    )
    again = step(params, x, after, alpha=0.3, activation=activation, leak=leak)
    torch.testing.assert_close(whole[0, :, 0], torch.stack([after, again]), rtol=0, atol=1e-13)


def test_step_and_jacobian_take_any_leading_axes():
    params = {name: tensor.detach() for name, tensor in small().items()}
    x, s = normal(E, B, N_IN), normal(E, B, N)
    broadcast = {name: tensor[:, None] for name, tensor in params.items()}
    after, whole = jacobian(broadcast, x, s, activation="tanh")
    for member in range(E):
        one = {name: tensor[member] for name, tensor in params.items()}
        alone, jac = jacobian(one, x[member, 1], s[member, 1], activation="tanh")
        torch.testing.assert_close(after[member, 1], alone, rtol=0, atol=1e-14)
        torch.testing.assert_close(whole[member, 1], jac, rtol=0, atol=1e-14)


def test_equation_by_hand():
    params = {"w_in": torch.tensor([[[2.0]]]), "w_rec": torch.tensor([[[0.5]]]), "b": torch.tensor([[-1.0]])}
    x = torch.tensor([1.0, 0.0, 1.0])[:, None, None]
    # r1 = .5 relu(2 - 1) = .5; r2 = .25 + .5 relu(.25 - 1) = .25; r3 = .125 + .5 relu(2 + .125 - 1) = .6875
    assert rollout(params, x, alpha=0.5).flatten().tolist() == [0.5, 0.25, 0.6875]
    # inside: relu(.5*1) = .5; relu(.25 + .5*(.25 - 1)) = 0; relu(.5*1) = .5
    assert rollout(params, x, alpha=0.5, leak="inside").flatten().tolist() == [0.5, 0.0, 0.5]


def test_unit_mask_clamps_and_activity_noise_comes_after_the_nonlinearity():
    params = {name: tensor.detach() for name, tensor in small().items()}
    x, noise = normal(T, B, N_IN), normal(E, T, B, N, seed=2)
    mask = torch.ones(E, N, dtype=torch.float64)
    mask[1, 2] = 0
    states = rollout(params, x, unit_mask=mask)
    assert (states[1, ..., 2] == 0).all()
    torch.testing.assert_close(states[0], rollout(params, x)[0], rtol=0, atol=1e-13)
    cut = {name: tensor.clone() for name, tensor in params.items()}
    cut["w_rec"][1, 2] = 0  # a unit that is silent is a unit that nobody hears
    others = [u for u in range(N) if u != 2]
    torch.testing.assert_close(states[1][..., others], rollout(cut, x)[1][..., others], rtol=0, atol=1e-12)
    noisy = rollout(params, x, activity_noise=noise)
    torch.testing.assert_close(noisy[:, 0], rollout(params, x)[:, 0] + noise[:, 0], rtol=0, atol=1e-13)
    after = step({k: v[:, None] for k, v in params.items()}, x[1].expand(E, B, N_IN), noisy[:, 0])
    torch.testing.assert_close(noisy[:, 1], after + noise[:, 1], rtol=0, atol=1e-13)


def test_states_at_is_the_rollout_at_each_trials_own_step():
    params = small()
    x = normal(T, B, N_IN)
    steps = torch.tensor([0, 6, 3, 3])
    kept = states_at(params, x, steps=steps, alpha=0.5, noise=StepNoise(streams(E), 0.1))
    whole = rollout(params, x, alpha=0.5, noise=StepNoise(streams(E), 0.1))
    torch.testing.assert_close(kept, whole[:, steps, torch.arange(B)].detach(), rtol=0, atol=1e-13)
    assert not kept.requires_grad
    own = torch.stack([steps, steps.flip(0), steps])
    assert torch.equal(states_at(params, x, steps=own)[1], states_at(params, x, steps=steps.flip(0))[1])
    with pytest.raises(ValueError, match=r"0\.\.6"):
        states_at(params, x, steps=torch.tensor([7, 0, 0, 0]))


def test_step_noise_is_drawn_per_seed_and_step():
    like = torch.empty(6, 50, 40, dtype=torch.float64)
    first = StepNoise(streams(2), 0.5, copies=3)
    drawn = [first.draw(like), first.draw(like)]
    assert not torch.equal(drawn[0], drawn[1])
    assert abs(drawn[0].std().item() - 0.5) < 0.01  # 12 000 draws: standard error .003
    more = StepNoise(streams(4), 0.5, copies=3).draw(torch.empty(12, 50, 40, dtype=torch.float64))
    assert torch.equal(more[:6], drawn[0])
    shared = StepNoise(streams(2), 0.5, copies=3, shared=True).draw(like)
    assert torch.equal(shared[0], shared[2])
    assert not torch.equal(shared[0], shared[3])
    scaled = StepNoise(streams(2), torch.arange(6.0), copies=3).draw(like)
    torch.testing.assert_close(scaled[3], 6 * drawn[0][3], rtol=1e-12, atol=0)
    with pytest.raises(ValueError, match="6 members"):
        StepNoise(streams(2), 0.5, copies=2).draw(like)


def test_noise_enters_inside_the_nonlinearity_scaled_by_the_inside_leak():
    params = {"w_in": torch.zeros(1, 1, 1), "w_rec": torch.zeros(1, 1, 1)}
    noise = torch.full((1, 1, 1, 1), -2.0)
    x = torch.zeros(1, 1, 1)
    assert rollout(params, x, noise=noise, activation="relu").item() == 0
    assert rollout(params, x, noise=noise, activation="identity", alpha=0.25).item() == -0.5
    assert rollout(params, x, noise=noise, activation="identity", alpha=0.25, leak="inside").item() == -0.5


def test_initial_weights_have_the_stated_laws():
    network = ElmanRNN(50, 200, 3, recurrent_gain=0.7, input_gain=2.0, output_init="uniform")
    params = network.initialise(streams(2), copies=2, dtype=torch.float64)
    gram = params["w_rec"] @ params["w_rec"].mT
    torch.testing.assert_close(gram, 0.49 * torch.eye(200, dtype=torch.float64).expand(4, -1, -1), rtol=0, atol=1e-12)
    assert params["w_in"].std().item() == pytest.approx(2 / math.sqrt(50), rel=0.03)
    assert params["w_out"].abs().max().item() <= 1 / math.sqrt(200)
    assert params["w_out"].std().item() == pytest.approx(1 / math.sqrt(600), rel=0.1)
    assert (params["b"] == 0).all()
    assert not torch.equal(params["w_rec"][0], params["w_rec"][1])


def test_initial_weights_keep_when_seeds_are_added_and_can_be_shared():
    network = ElmanRNN(N_IN, N, N_OUT)
    few, many = network.initialise(streams(2), copies=3), network.initialise(streams(4), copies=3)
    assert all(torch.equal(few[name], many[name][:6]) for name in few)
    shared = network.initialise(streams(2), copies=3, shared=True)
    assert torch.equal(shared["w_rec"][0], shared["w_rec"][2])
    assert torch.equal(shared["w_rec"][3], few["w_rec"][3])


def test_activation_may_be_a_function_with_parameters_of_its_own():
    params = small(activation="tanh")
    gain = (1 + 0.1 * normal(E, 1, N)).requires_grad_()
    states = rollout(params, normal(T, B, N_IN), activation=lambda h: torch.tanh(gain * h))
    states.square().sum().backward()
    assert (gain.grad.abs() > 0).all()
    unit = rollout(params, normal(T, B, N_IN), activation=lambda h: torch.tanh(1.0 * h))
    torch.testing.assert_close(unit, rollout(params, normal(T, B, N_IN), activation="tanh"), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: rollout(p, normal(T, B, N_IN), activation="rleu"), "did you mean 'relu'"),
        (lambda p: rollout(p, normal(T, B, N_IN + 1)), r"x must be \(T, B, 5\)"),
        (lambda p: rollout(p, normal(T, B, N_IN), leak="sideways"), "'outside' or 'inside'"),
        (lambda p: rollout(p, normal(T, B, N_IN), state0=normal(B, N)), "state0"),
        (
            lambda p: ElmanRNN(N_IN, N, N_OUT, recurrent_init="ortogonal").initialise(streams(1)),
            "did you mean 'orthogonal'",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises((KeyError, ValueError), match=message):
        call(small())


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 5),
    alpha=st.sampled_from([1.0, 0.7]),
    bias=st.booleans(),
    own_inputs=st.booleans(),
)
def test_fused_pass_holds_for_any_sizes(sizes, alpha, bias, own_inputs):
    members, steps, trials, n_in, units = sizes
    network = ElmanRNN(n_in, units, 1, alpha=alpha, activation="tanh", bias=bias)
    params = {k: v.requires_grad_() for k, v in network.initialise(streams(members), dtype=torch.float64).items()}
    x = normal(members, steps, trials, n_in) if own_inputs else normal(steps, trials, n_in)
    weight = normal(members, steps, trials, units, seed=1)
    wanted = [params[name] for name in ("w_in", "w_rec", "b") if name in params]
    pairs = []
    for fused in (True, False):
        states = rollout(params, x, alpha=alpha, activation="tanh", fused=fused)
        pairs.append([states, *torch.autograd.grad((states * weight).sum(), wanted)])
    for ours, plain in zip(*pairs, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-10)
