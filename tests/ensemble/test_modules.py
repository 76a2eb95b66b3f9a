"""Ordinary torch modules as an ensemble."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.modules import ModuleEnsemble
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import select_members
from dynatlas.instruments.perturb import random_lesions


@pytest.fixture(autouse=True)
def the_same_initial_weights_each_time():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def network(seed: int) -> nn.Module:
    module = nn.Sequential(nn.Conv1d(2, 3, 2), nn.GroupNorm(1, 3), nn.Tanh(), nn.Flatten(), nn.Linear(9, 2)).double()
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.parameters():
        tensor.data = 0.5 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    return module


def data(seed: int = 3) -> torch.Tensor:
    return torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(modules, *inputs, shared=True, **tolerance):
    """The ensemble gives what each module gives alone."""
    ensemble = ModuleEnsemble(modules)
    found = ensemble(ensemble.parameters, *inputs, shared=shared)
    for member, module in enumerate(modules):
        alone = [one.clone() if shared else one[member] for one in inputs]
        torch.testing.assert_close(found[member], module(*alone).detach(), **{"rtol": 0, "atol": 1e-12} | tolerance)
    return ensemble


def by_step(step):
    """A batch that is the number of its step."""
    return step


def test_trains_like_each_module_alone_and_gives_its_state_dict_back():
    modules = [network(seed) for seed in range(3)]
    ensemble = ModuleEnsemble(modules)
    x = data()

    def loss(params, step):
        return (ensemble(params, x).sin() - step % 2).square().mean((1, 2))

    fitted = fit(by_step, loss, ensemble.parameters, steps=15, optimiser=Adam(lr=0.02), clip_norm=0.3)
    for member, module in enumerate(modules):
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        assert all(torch.equal(before[name], ensemble.member(ensemble.parameters, member)[name]) for name in before)
        optimiser = torch.optim.Adam(module.parameters(), lr=0.02)
        for step in range(15):
            optimiser.zero_grad()
            (module(x).sin() - step % 2).square().mean().backward()
            nn.utils.clip_grad_norm_(module.parameters(), 0.3)
            optimiser.step()
        for name, tensor in ensemble.member(fitted.parameters, member).items():
            torch.testing.assert_close(tensor, module.state_dict()[name], rtol=0, atol=1e-10)


def test_inputs_may_differ_from_member_to_member():
    agree([network(seed) for seed in range(2)], torch.stack([data(1), data(2)]), shared=False)


class Tied(nn.Module):
    """An autoencoder whose two layers share their weights, with one buffer that is kept and one that is not."""

    def __init__(self, seed: int = 0):
        super().__init__()
        self.code, self.decode = nn.Linear(3, 3).double(), nn.Linear(3, 3).double()
        self.decode.weight = self.code.weight
        g = torch.Generator().manual_seed(seed)
        self.code.weight.data = torch.randn(3, 3, generator=g, dtype=torch.float64)
        self.register_buffer("scale", torch.rand(3, generator=g, dtype=torch.float64))
        self.register_buffer("order", torch.randperm(3, generator=g), persistent=False)

    def forward(self, x):
        return self.decode(self.code(x * self.scale)[..., self.order])


@pytest.mark.parametrize("members", [1, 2, 3])
def test_tied_weights_and_buffers_of_any_kind_go_in_and_come_out(members):
    modules = [Tied(seed) for seed in range(members)]
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    ensemble = agree(modules, x)
    assert set(ensemble.parameters) == {"code.weight", "code.bias", "decode.bias"}
    for member, module in enumerate(modules):
        state = ensemble.member(ensemble.parameters, member)
        assert list(state) == list(module.state_dict())
        assert "order" not in state
        again = Tied(members)
        again.load_state_dict(state)
        again.order = module.order
        assert torch.equal(again(x), module(x))
        state["decode.weight"].zero_()  # a copy, also of its twin
        assert torch.equal(ensemble.parameters["code.weight"][member], module.code.weight)
        assert state["code.weight"].abs().min() > 0


def test_state_that_a_module_adds_itself_is_among_a_members():
    class Counted(nn.Linear):
        def get_extra_state(self):
            return {"version": [3]}

        def set_extra_state(self, state):
            self.found = state

    ensemble = ModuleEnsemble([Counted(2, 2), Counted(2, 2)])
    again = Counted(2, 2)
    again.load_state_dict(ensemble.member(ensemble.parameters, 1))
    assert again.found == {"version": [3]}


def test_nothing_that_happens_to_the_modules_later_reaches_the_ensemble():
    modules = [network(seed) for seed in range(2)]
    ensemble = ModuleEnsemble(modules)
    before = ensemble(ensemble.parameters, data())
    modules[0][2] = nn.ReLU()
    for module in modules:
        for tensor in module.parameters():
            tensor.data.zero_()
    assert torch.equal(ensemble(ensemble.parameters, data()), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_layers_that_write_over_their_input_and_half_precision(dtype):
    modules = [nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 4), nn.Tanh()).to(dtype) for _ in range(3)]
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = x.clone()
    agree(modules, x, atol=1e-2)
    assert torch.equal(x, before)


def test_strided_read_only_and_whole_number_inputs():
    modules = [nn.Linear(4, 2).double() for _ in range(3)]
    strided = torch.randn(4, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)[:, ::2].T
    agree(modules, strided)
    agree(modules, strided[:1])
    frozen = np.linspace(-1, 1, 8).reshape(2, 4)
    frozen.setflags(write=False)
    with warnings.catch_warnings(action="ignore"):  # torch's own, once a process
        agree(modules, torch.as_tensor(frozen))
    agree([nn.Embedding(5, 3) for _ in range(2)], torch.tensor([4, 0, 4]))


def test_missing_values_stay_with_their_member():
    modules = [nn.Linear(2, 2).double() for _ in range(3)]
    modules[1].bias.data[0] = torch.nan
    ensemble = ModuleEnsemble(modules)
    out = ensemble(ensemble.parameters, torch.ones(4, 2, dtype=torch.float64))
    assert out[1, :, 0].isnan().all()
    assert out[[0, 2]].isfinite().all()


def test_batch_norm_at_rest_and_parametrised_weights_run():
    x = data()[..., 0]
    norms = [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double() for _ in range(2)]
    for norm in norms:
        norm(5 * x)
    agree([norm.eval() for norm in norms], x)
    bent = [parametrizations.orthogonal(nn.Linear(2, 2).double()) for _ in range(2)]
    ensemble = agree(bent, x)
    bent[0].load_state_dict(ensemble.member(ensemble.parameters, 1))
    torch.testing.assert_close(bent[0](x), bent[1](x), rtol=0, atol=1e-12)


def test_masked_units_are_silent_in_every_member():
    """As if their outgoing weights were 0; another part of the network, images and half precision too."""
    modules = [nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double() for _ in range(4)]
    ensemble, x = ModuleEnsemble(modules), torch.randn(5, 3, dtype=torch.float64)
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    masks = random_lesions(8, 0.25, generators=generators, copies=2)
    cut = ensemble.parameters | {"2.weight": ensemble.parameters["2.weight"] * masks[:, None]}
    found = ensemble(ensemble.parameters, x, masks={"1": masks})
    torch.testing.assert_close(found, ensemble(cut, x), rtol=0, atol=1e-12)
    assert (found != ensemble(ensemble.parameters, x)).all()
    assert torch.equal(ensemble(ensemble.parameters, x, masks={"1": masks.bool()}), found)
    assert torch.equal(
        ensemble(ensemble.parameters, x), ensemble(ensemble.parameters, x, masks={"1": torch.ones(4, 8)})
    )
    whole = ensemble(ensemble.parameters, x, masks={"Sequential": torch.zeros(4, 1)})
    assert not whole.any()


def test_masked_channels_and_steps():
    channels = torch.ones(2, 3, 1)
    channels[1, 2] = 0
    ensemble = ModuleEnsemble([network(seed) for seed in range(2)])
    seen = ensemble(ensemble.parameters, data(), masks={"2": channels})
    weight = ensemble.parameters["4.weight"].clone()
    weight.view(2, 2, 3, 3)[1, :, 2] = 0
    torch.testing.assert_close(seen, ensemble(ensemble.parameters | {"4.weight": weight}, data()), rtol=0, atol=1e-12)

    class Stepping(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.phi = nn.Linear(2, 2, bias=False), nn.Tanh()

        def forward(self, x):
            for _ in range(3):
                x = self.phi(self.cell(x))
            return x

    stepping = ModuleEnsemble([Stepping().half()])
    out = stepping(stepping.parameters, torch.ones(1, 2).half(), masks={"phi": torch.tensor([[1.0, 0.0]])})
    h = torch.ones(1, 2).half()
    for _ in range(3):  # at every step
        h = (h @ stepping.parameters["cell.weight"][0].T).tanh() * torch.tensor([1.0, 0.0]).half()
    assert out.dtype == torch.float16
    torch.testing.assert_close(out[0], h, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"9": torch.ones(2, 3, 1)}, "unknown layer '9'"),
        ({"2": torch.ones(3, 1)}, r"mask of 2 is \(3, 1\): its leading axis must be the 2 members"),
        ({"2": torch.ones(2, 5)}, r"mask of layer '2' is \(5,\) for each member"),
        ({"2": torch.ones(2, 7, 6, 3, 3)}, "does not fit"),
    ],
)
def test_masks_that_do_not_fit_are_named(masks, message):
    ensemble = ModuleEnsemble([network(seed) for seed in range(2)])
    with pytest.raises(ValueError, match=message):
        ensemble(ensemble.parameters, data(), masks=masks)


def test_a_mask_of_a_part_that_does_not_run_is_an_error():
    class Idle(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.idle = nn.Identity()

    ensemble = ModuleEnsemble([Idle()])
    with pytest.raises(ValueError, match="idle did not run"):
        ensemble(ensemble.parameters, torch.ones(3, 2), masks={"idle": torch.ones(1, 2)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {"4.weight": p["4.weight"]}, "missing '0.bias', missing '0.weight'"),
        (lambda p: p | {"4.wieght": p["4.weight"]}, "unknown '4.wieght'"),
        (lambda p: p | {"4.weight": p["4.weight"][:1]}, "4.weight is"),
    ],
)
def test_parameters_that_are_not_the_modules_are_named(change, message):
    """A name that is missing would be the first module's for all members, one that is unknown would do nothing."""
    ensemble = ModuleEnsemble([network(seed) for seed in range(2)])
    with pytest.raises(ValueError, match=message):
        ensemble(change(ensemble.parameters), data())
    with pytest.raises(ValueError, match="input 0 is"):
        ensemble(ensemble.parameters, data(), shared=False)


def test_some_of_the_members_run_alone_unless_their_buffers_are_missing():
    modules = [network(seed) for seed in range(3)]
    ensemble = ModuleEnsemble(modules)
    out = ensemble(select_members(ensemble.parameters, [2]), data())
    torch.testing.assert_close(out[0], modules[2](data()).detach(), rtol=0, atol=1e-12)
    tied = ModuleEnsemble([Tied(seed) for seed in range(3)])
    with pytest.raises(ValueError, match="the 3 members"):
        tied(select_members(tied.parameters, [2]), torch.ones(5, 3).double())
