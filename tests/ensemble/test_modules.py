"""Ordinary torch modules as an ensemble."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.modules import ModuleEnsemble
from dynatlas.ensemble.optimisers import Adam


def network(seed: int) -> nn.Module:
    module = nn.Sequential(nn.Conv1d(2, 3, 2), nn.GroupNorm(1, 3), nn.Tanh(), nn.Flatten(), nn.Linear(9, 2)).double()
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.parameters():
        tensor.data = 0.5 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    return module


def data(seed: int = 3) -> torch.Tensor:
    return torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_trains_like_each_module_alone_and_gives_its_state_dict_back():
    modules = [network(seed) for seed in range(3)]
    ensemble = ModuleEnsemble(modules)
    x = data()

    def loss(params, step):
        return (ensemble(params, x).sin() - step % 2).square().mean((1, 2))

    fitted = fit(loss, ensemble.parameters, steps=15, optimiser=Adam(lr=0.02), clip_norm=0.3)
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
    modules = [network(seed) for seed in range(2)]
    ensemble = ModuleEnsemble(modules)
    x = torch.stack([data(1), data(2)])
    out = ensemble(ensemble.parameters, x, shared=False)
    for member, module in enumerate(modules):
        torch.testing.assert_close(out[member], module(x[member]), rtol=0, atol=1e-12)


def test_what_an_ensemble_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        ModuleEnsemble([])
    with pytest.raises(ValueError, match="running statistics"):
        ModuleEnsemble([nn.Sequential(nn.BatchNorm1d(2))])
    random = ModuleEnsemble([nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)) for _ in range(2)])
    with pytest.raises(RuntimeError, match="random"):
        random(random.parameters, torch.ones(4, 2))
