"""Ensembles of fully connected networks against torch's own layers, one network at a time."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import SGD
from dynatlas.ensemble.parameters import select_members
from dynatlas.models.mlp import PopulationMLP, mlp_from_torch
from dynatlas.models.weight_noise import WeightNoise

SIZES = (5, 7, 6, 3)
MODULES = {"relu": nn.ReLU, "tanh": nn.Tanh, "identity": nn.Identity}


def streams(count=4, first=0):
    return [torch.Generator().manual_seed(first + seed) for seed in range(count)]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sequential(activation, bias=True):
    parts = []
    for rows, columns in itertools.pairwise(SIZES):
        parts += [nn.Linear(rows, columns, bias=bias, dtype=torch.float64), MODULES[activation]()]
    return nn.Sequential(*parts[:-1])


def loaded(params, member, activation):
    """The same member as torch writes it."""
    module = sequential(activation, bias="b1" in params)
    for layer in range(1, len(SIZES)):
        module[2 * layer - 2].weight.data = params[f"w{layer}"][member].T.clone()
        if "b1" in params:
            module[2 * layer - 2].bias.data = params[f"b{layer}"][member].clone()
    return module


@pytest.fixture(params=[(name, bias) for name in MODULES for bias in (True, False)])
def network(request):
    activation, bias = request.param
    return PopulationMLP(SIZES, activation=activation, bias=bias)


@pytest.fixture
def params(network):
    tree = network.initialise(streams(), dtype=torch.float64)
    return {name: tensor + 0.1 * normal(*tensor.shape, seed=9) for name, tensor in tree.items()}


@pytest.mark.parametrize("shared", [True, False])
def test_every_layer_is_what_torch_gives(network, params, shared):
    x = normal(11, 5) if shared else normal(4, 11, 5)
    together = network.activations(params, x)
    assert [tuple(layer.shape) for layer in together] == [(4, 11, 7), (4, 11, 6), (4, 11, 3)]
    for member in range(4):
        state = x if shared else x[member]
        module = loaded(params, member, network.activation)
        for layer in range(3):
            state = module[2 * layer : 2 * layer + 2](state)
            torch.testing.assert_close(together[layer][member], state, rtol=0, atol=1e-12)
    assert torch.equal(network.logits(params, x), together[-1])


def test_members_do_not_meet(network, params):
    x = normal(11, 5)
    together = network.logits(params, x)
    alone = [network.logits(select_members(params, [member]), x)[0] for member in range(4)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=0, atol=1e-12)


def by_step(step):
    """A batch that is the number of its step."""
    return step


def test_trains_like_one_network_at_a_time(network, params):
    x, y = normal(4, 20, 5), normal(4, 20, 3, seed=1)

    def loss(tree, step):
        return (network.logits(tree, x) - y).square().mean(dim=(1, 2))

    fitted = fit(by_step, loss, params, steps=12, optimiser=SGD(lr=0.05))
    for member in range(4):
        module = loaded(params, member, network.activation)
        optimiser = torch.optim.SGD(module.parameters(), lr=0.05)
        for _ in range(12):
            optimiser.zero_grad()
            (module(x[member]) - y[member]).square().mean().backward()
            optimiser.step()
        theirs = mlp_from_torch([module.state_dict()])
        assert theirs.keys() == params.keys()
        for name, tensor in theirs.items():
            torch.testing.assert_close(fitted.parameters[name][member], tensor[0], rtol=0, atol=1e-10)


def test_initial_weights_are_he_s():
    network = PopulationMLP((200, 300, 10))
    tree = network.initialise(streams(3))
    assert tree["w1"].dtype == torch.float32
    assert tree["w1"].std().item() == pytest.approx(math.sqrt(2 / 200), rel=0.01)
    assert tree["w2"].std().item() == pytest.approx(math.sqrt(2 / 300), rel=0.03)
    assert not tree["b1"].any()
    linear = PopulationMLP((200, 300, 10), activation="identity", gain=1.0).initialise(streams(1))
    assert linear["w1"].std().item() == pytest.approx(math.sqrt(1 / 200), rel=0.01)


def test_he_s_weights_keep_the_size_of_relu_layers():
    network = PopulationMLP((300,) * 9)
    params = network.initialise(streams(3), dtype=torch.float64)
    layers = network.activations(params, normal(200, 300))
    assert layers[-2].square().mean().item() == pytest.approx(1, abs=0.2)


def test_copies_and_more_seeds():
    network = PopulationMLP(SIZES)
    few, more = network.initialise(streams(2), copies=3), network.initialise(streams(3), copies=3)
    shared = network.initialise(streams(2), copies=3, shared=True)
    for name in few:
        assert torch.equal(more[name][:6], few[name])
        assert torch.equal(shared[name][0], shared[name][2])
        assert torch.equal(shared[name][0], few[name][0])
    assert not torch.equal(few["w1"][0], few["w1"][1])


def test_weight_noise_has_its_spread_and_leaves_the_parameters():
    params = PopulationMLP((40, 50, 3)).initialise(streams(2), copies=2, dtype=torch.float64)
    before = {name: tensor.clone() for name, tensor in params.items()}
    scale = torch.tensor([0.0, 0.1, 0.2, 0.4], dtype=torch.float64)
    noisy = WeightNoise(streams(2, 50), scale, copies=2).add(params)
    for name, tensor in params.items():
        assert torch.equal(tensor, before[name])
        assert torch.equal(noisy[name][0], tensor[0])
    spread = (noisy["w1"] - params["w1"]).flatten(1).std(dim=1)
    torch.testing.assert_close(spread[1:], scale[1:], rtol=0.06, atol=0)
    assert (noisy["b2"][1:] != 0).all()


def test_weight_noise_is_paired_where_it_is_shared():
    params = PopulationMLP(SIZES).initialise(streams(2), copies=2, shared=True, dtype=torch.float64)
    paired = WeightNoise(streams(2, 50), 0.1, copies=2, shared=True).add(params)
    own = WeightNoise(streams(2, 50), 0.1, copies=2).add(params)
    alone = WeightNoise(streams(1, 51), 0.1, copies=2).add(select_members(params, slice(2, 4)))
    for name in params:
        assert torch.equal(paired[name][0], paired[name][1])
        assert torch.equal(own[name][2:], alone[name])
    assert not torch.equal(own["w1"][0], own["w1"][1])
    noise = WeightNoise(streams(2, 50), 0.1, copies=2)
    assert not torch.equal(noise.add(params)["w1"], noise.add(params)["w1"])


def test_the_gradient_is_taken_at_the_noisy_point():
    network = PopulationMLP(SIZES, activation="tanh")
    params = network.initialise(streams(2), dtype=torch.float64)
    x = normal(9, 5)

    def gradients(tree, point):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in tree.items()}
        loss = network.logits(point(leaves), x).square().sum()
        return torch.autograd.grad(loss, list(leaves.values()))

    through = gradients(params, WeightNoise(streams(2, 50), 0.3).add)
    at = gradients(WeightNoise(streams(2, 50), 0.3).add(params), lambda leaves: leaves)
    for one, other in zip(through, at, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="sizes = "):
        PopulationMLP((3,))
    with pytest.raises(KeyError, match="did you mean 'tanh'"):
        PopulationMLP(SIZES, activation="tanhh")
    network = PopulationMLP(SIZES)
    params = network.initialise(streams(2))
    with pytest.raises(ValueError, match=r"x must be \(n, 5\) or \(2, n, 5\), not \(9, 4\)"):
        network.logits(params, torch.zeros(9, 4))
    with pytest.raises(ValueError, match=r"2 generators x 1 copies, but there are 4"):
        WeightNoise(streams(2), 0.1).add(network.initialise(streams(4)))
    with pytest.raises(ValueError, match=r"Linear layers only, not 0\.weight"):
        mlp_from_torch([nn.Sequential(nn.Conv1d(2, 3, 2)).state_dict()])


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 7), (1, 4, 5), (2, 4, 5), (3, 2, 4, 5), (5,)])
def test_inputs_that_do_not_fit_are_refused(shape):
    params = PopulationMLP(SIZES).initialise(streams(3))
    with pytest.raises(ValueError, match=r"x must be \(n, 5\) or \(3, n, 5\), not"):
        PopulationMLP(SIZES).logits(params, torch.zeros(shape))


@pytest.mark.parametrize("bias", [True, False])
def test_the_network_of_given_parameters_is_the_one_that_they_were_drawn_for(bias):
    sizes = (3, *range(2, 13), 4)
    model = PopulationMLP(sizes, "tanh", bias=bias)
    params = model.initialise([torch.Generator().manual_seed(0)])
    found = PopulationMLP.of(dict(reversed(params.items())), "tanh")
    assert (found.sizes, found.activation, found.bias) == (sizes, "tanh", bias)
    x = torch.ones(5, 3)
    assert torch.equal(found.logits(params, x), model.logits(params, x))
