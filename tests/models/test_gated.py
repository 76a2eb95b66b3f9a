"""GRU, LSTM and stacked Elman networks against torch's own, autograd, and one network at a time."""

from __future__ import annotations

import pytest
import torch

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import select_members
from dynatlas.models.from_torch import recurrent_from_torch, recurrent_to_torch
from dynatlas.models.gated import GRU, LSTM, Elman

E, T, B, N_IN, N, N_OUT = 3, 7, 4, 3, 5, 2
CELLS = {"elman": Elman, "gru": GRU, "lstm": LSTM}
THEIRS = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def stream(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=9):
    return torch.randn(shape, generator=stream(seed), dtype=torch.float64)


def streams(count):
    return [stream(seed) for seed in range(count)]


@pytest.fixture(params=CELLS)
def kind(request):
    return request.param


@pytest.fixture(params=[(1, True), (1, False), (2, True), (3, False)], ids=lambda p: f"{p[0]} layers, bias {p[1]}")
def shape(request):
    return {"layers": request.param[0], "bias": request.param[1]}


def small(kind, shape, members=E):
    network = CELLS[kind](N_IN, N, N_OUT, **shape)
    params = network.initialise(streams(members), dtype=torch.float64)
    return network, {name: tensor + 0.2 * normal(*tensor.shape[1:], seed=5) for name, tensor in params.items()}


def torch_twin(kind, shape, params, member):
    module = THEIRS[kind](N_IN, N, num_layers=shape["layers"], bias=shape["bias"]).double()
    module.load_state_dict(recurrent_to_torch(params, member))
    return module


def torch_states(kind, module, x):
    """Everything that torch can show: the top layer along time, and the last state of all layers."""
    output, last = module(x)
    last = torch.cat([part.transpose(0, 1).flatten(1) for part in (last if kind == "lstm" else (last,))], dim=-1)
    return output, last


def test_equals_torch(kind, shape):
    network, params = small(kind, shape)
    x = normal(E, T, B, N_IN)
    states = network.rollout(params, x)
    for member in range(E):
        output, last = torch_states(kind, torch_twin(kind, shape, params, member), x[member])
        torch.testing.assert_close(network.top(states)[member], output.detach(), rtol=0, atol=1e-12)
        torch.testing.assert_close(states[member, -1], last.detach(), rtol=0, atol=1e-12)


def test_gradients_equal_torch(kind, shape):
    network, params = small(kind, shape)
    leaves = {name: tensor.requires_grad_() for name, tensor in params.items() if "out" not in name}
    x, weight = normal(E, T, B, N_IN).requires_grad_(), normal(E, T, B, N, seed=2)
    found = torch.autograd.grad((network.top(network.rollout(leaves, x)) * weight).sum(), [x, *leaves.values()])
    for member in range(E):
        module, given = torch_twin(kind, shape, leaves, member), x[member].detach().requires_grad_()
        named = dict(module.named_parameters())
        wanted = torch.autograd.grad((module(given)[0] * weight[member]).sum(), [given, *named.values()])
        torch.testing.assert_close(found[0][member], wanted[0], rtol=0, atol=1e-12)
        ours = recurrent_to_torch(dict(zip(leaves, found[1:], strict=True)), member)
        for name, gradient in zip(named, wanted[1:], strict=True):
            torch.testing.assert_close(ours[name], gradient, rtol=0, atol=1e-12)


def test_hand_written_backward_equals_finite_differences(kind):
    network, params = small(kind, {"layers": 2, "bias": True}, members=2)
    names = [name for name in params if "out" not in name]
    arguments = [params[name].requires_grad_() for name in names]

    def run(x, state0, *tensors):
        return network.rollout(dict(zip(names, tensors, strict=True)), x, state0=state0)

    x, state0 = normal(2, 3, 2, N_IN).requires_grad_(), normal(2, 2, network.state_size, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(run, (x, state0, *arguments))


def test_rollout_repeats_step_and_survives_a_pause(kind, shape):
    network, params = small(kind, shape)
    x, state = normal(E, T, B, N_IN), normal(E, B, network.state_size, seed=1)
    whole = network.rollout(params, x, state0=state)
    broadcast = {name: tensor[:, None] for name, tensor in params.items()}
    for t in range(T):
        state = network.step(broadcast, x[:, t], state)
        torch.testing.assert_close(whole[:, t], state, rtol=0, atol=1e-12)
    second = network.rollout(params, x[:, 4:], state0=whole[:, 3])
    torch.testing.assert_close(whole[:, 4:], second, rtol=0, atol=1e-12)


def test_jacobian_equals_autograd_for_any_leading_axes(kind, shape):
    network, params = small(kind, shape)
    x, s = normal(T, E, B, N_IN), normal(T, E, B, network.state_size, seed=4)
    after, found = network.jacobian({name: tensor[:, None] for name, tensor in params.items()}, x, s)
    assert found.shape == (T, E, B, network.state_size, network.state_size)
    for member in range(E):
        alone = {name: tensor[member] for name, tensor in params.items()}
        row = torch.func.vmap(torch.func.jacrev(lambda g, v, p=alone: network.step(p, g, v), argnums=1))
        wanted = row(x[:, member].flatten(0, 1), s[:, member].flatten(0, 1))
        torch.testing.assert_close(found[:, member].flatten(0, 1), wanted, rtol=0, atol=1e-12)
        torch.testing.assert_close(
            after[1, member], network.step(alone, x[1, member], s[1, member]), rtol=0, atol=1e-12
        )


def test_together_equals_one_network_at_a_time_and_more_members_change_nothing(kind, shape):
    network, params = small(kind, shape)
    x = normal(E, T, B, N_IN)
    together = network.rollout(params, x)
    for member in range(E):
        alone = network.rollout(select_members(params, [member]), x[member])
        torch.testing.assert_close(together[member], alone[0], rtol=0, atol=1e-10)
    many = network.initialise(streams(E + 2), dtype=torch.float64)
    few = network.initialise(streams(E), dtype=torch.float64)
    assert torch.equal(network.rollout(many, x[0])[:E], network.rollout(few, x[0]))


def by_step(step):
    """A batch that is the number of its step."""
    return step


def test_an_ensemble_learns(kind):
    """To say with its state what came in two steps before."""
    network = CELLS[kind](1, 12, 1)
    x = normal(10, 32, 1, seed=21)

    def loss(params, step):
        said = network.readout(params, network.rollout(params, x))
        return (said[:, 2:] - x[:-2]).square().mean(dim=(1, 2, 3))

    fitted = fit(by_step, loss, network.initialise(streams(2), dtype=torch.float64), steps=150, optimiser=Adam(lr=0.02))
    assert loss(fitted.parameters, 0).max() < 0.3 * loss(network.initialise(streams(2), dtype=torch.float64), 0).min()


@pytest.mark.parametrize("member_axis", [False, True])
def test_built_from_arrays_under_torchs_names(kind, shape, member_axis):
    module = THEIRS[kind](N_IN, N, num_layers=shape["layers"], bias=shape["bias"]).double()
    arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    if member_axis:
        arrays = {name: array[None].repeat(2, axis=0) for name, array in arrays.items()}
    network, params = recurrent_from_torch(arrays)
    assert isinstance(network, CELLS[kind])
    assert (network.n_in, network.units, network.layers, network.bias) == (N_IN, N, shape["layers"], shape["bias"])
    x = normal(T, B, N_IN)
    output, last = torch_states(kind, module, x)
    states = network.rollout(params, x)
    assert len(states) == (2 if member_axis else 1)
    torch.testing.assert_close(network.top(states)[-1], output.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(states[-1, -1], last.detach(), rtol=0, atol=1e-12)


def test_built_from_modules_with_their_readout(kind):
    modules = [THEIRS[kind](N_IN, N, num_layers=2).double() for _ in range(2)]
    linear = torch.nn.Linear(N, N_OUT).double()
    network, params = recurrent_from_torch(modules, readout=linear.state_dict())
    x = normal(T, B, N_IN)
    said = network.readout(params, network.rollout(params, x))
    for member, module in enumerate(modules):
        torch.testing.assert_close(said[member], linear(module(x)[0]).detach(), rtol=0, atol=1e-12)
        again = recurrent_to_torch(params, member)
        assert all(torch.equal(again[name], tensor) for name, tensor in module.state_dict().items())


def test_relu_of_a_module_is_kept():
    module = torch.nn.RNN(N_IN, N, nonlinearity="relu").double()
    network, params = recurrent_from_torch(module)
    x = normal(T, B, N_IN)
    torch.testing.assert_close(network.rollout(params, x)[0], module(x)[0].detach(), rtol=0, atol=1e-12)


def test_any_activation_of_an_elman_network():
    named, own = Elman(N_IN, N, 1, 2, activation="softplus"), Elman(N_IN, N, 1, 2, activation=lambda h: h.exp().log1p())
    params, x = named.initialise(streams(E), dtype=torch.float64), normal(T, B, N_IN)
    torch.testing.assert_close(own.rollout(params, x), named.rollout(params, x), rtol=0, atol=1e-12)
    broadcast = {name: tensor[:, None] for name, tensor in params.items()}
    s = normal(E, B, 2 * N, seed=6)
    theirs, ours = (network.jacobian(broadcast, x[0], s)[1] for network in (named, own))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bidirectional": True}, "bidirectional"),
        ({"proj_size": 2}, "proj_size = 2"),
        ({"dropout": 0.5, "num_layers": 2}, r"dropout = 0.5 is active between layers: call .eval\(\)"),
    ],
)
def test_what_cannot_be_said_is_refused(settings, message):
    module = torch.nn.LSTM(N_IN, N, **settings)
    with pytest.raises(ValueError, match=message):
        recurrent_from_torch(module)
    if "dropout" in settings:
        assert recurrent_from_torch(module.eval())[0].layers == 2
    else:
        with pytest.raises(ValueError, match=r"proj_size|bidirectional"):
            recurrent_from_torch(module.state_dict())


def test_shapes_that_do_not_fit_are_named():
    state = torch.nn.LSTM(N_IN, N).state_dict()
    with pytest.raises(ValueError, match="weight_hh_l0 is"):
        recurrent_from_torch(state | {"weight_hh_l0": torch.zeros(2 * N, N)})
    with pytest.raises(ValueError, match="layer 0: w_in"):
        recurrent_from_torch(state | {"weight_ih_l0": torch.zeros(3 * N, N_IN)})
    with pytest.raises(ValueError, match="layer 0: b_rec"):
        recurrent_from_torch({name: tensor for name, tensor in state.items() if name != "bias_hh_l0"})
    with pytest.raises(ValueError, match="wanted are weight_ih_l0"):
        recurrent_from_torch({"weight": torch.zeros(2, 2)})
    network, params = recurrent_from_torch(state)
    with pytest.raises(ValueError, match="x must be"):
        network.rollout(params, torch.zeros(T, B, N_IN + 1))
    with pytest.raises(ValueError, match="state0 must be"):
        network.rollout(params, torch.zeros(T, B, N_IN), state0=torch.zeros(1, B, N))
