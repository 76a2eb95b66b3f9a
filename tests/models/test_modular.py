"""Modules as one block-diagonal network, and the same without its zero blocks."""

from __future__ import annotations

import torch

from dynatlas.members import Members
from dynatlas.models.modular import assemble_modules, join_states, module_slices
from dynatlas.models.rnn import ElmanRNN, readout, rollout


def seeded(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_assembled_network_runs_as_its_modules_do():
    modules = ElmanRNN(5, 7, 3, alpha=0.5).initialise(seeded(2), copies=4, dtype=torch.float64)
    modules["b"] = torch.rand(8, 7, generator=seeded(1)[0], dtype=torch.float64)
    apart = Members(seed=[0, 1], module=range(4)).group(modules).each("module")
    whole = assemble_modules([own for _, own in apart])
    x = torch.randn(6, 3, 5, generator=seeded(1)[0], dtype=torch.float64)
    states = rollout(whole, x, alpha=0.5)
    small = rollout(modules, x, alpha=0.5)
    torch.testing.assert_close(states, join_states(small, 4), rtol=0, atol=1e-12)
    outputs = readout(whole, states)
    torch.testing.assert_close(outputs, join_states(readout(modules, small), 4), rtol=0, atol=1e-12)


def test_modules_do_not_hear_each_other_and_may_differ_in_size():
    trees = [ElmanRNN(2, n, 1, bias=n == 3).initialise(seeded(2), dtype=torch.float64) for n in (3, 5)]
    whole = assemble_modules(trees)
    first, second = module_slices([3, 5])
    assert whole["w_rec"].shape == (2, 8, 8)
    assert (whole["w_rec"][:, first, second] == 0).all()
    assert (whole["w_rec"][:, second, first] == 0).all()
    assert torch.equal(whole["w_rec"][:, second, second], trees[1]["w_rec"])
    assert torch.equal(whole["b"][:, second], torch.zeros(2, 5, dtype=torch.float64))
    assert whole["w_out"].shape == (2, 8, 2)
