"""Recording: every output of every named part, as it is, and the module as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dynatlas.instruments.recording import record


@pytest.fixture
def stack():
    g = torch.Generator().manual_seed(0)
    made = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 2), nn.ReLU())).double()
    for parameter in made.parameters():
        parameter.data = torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    return made


def x():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_leaves_in_the_order_in_which_they_run(stack):
    found = record(stack, x())
    assert list(found) == ["0", "1", "2.0", "2.1"]
    first = x() @ stack[0].weight.T + stack[0].bias
    torch.testing.assert_close(found["0"], first)
    torch.testing.assert_close(found["1"], first.tanh())
    assert torch.equal(found["2.1"], stack(x()))
    assert not any(tensor.requires_grad for tensor in found.values())


def test_named_parts_alone_also_such_as_have_parts(stack):
    found = record(stack, x(), layers=["2", "1"])
    assert list(found) == ["1", "2"]
    assert torch.equal(found["2"], stack(x()))


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_part_that_gives_a_tuple_is_its_first_entry(batch_first):
    lstm = nn.LSTM(3, 4, batch_first=batch_first).double()
    given = x().expand(2, 5, 3)
    torch.testing.assert_close(record(lstm, given)["LSTM"], lstm(given)[0].detach())


def test_nothing_is_left_behind(stack):
    training = stack.training
    record(stack, x())
    with pytest.raises(RuntimeError):
        record(stack, torch.zeros(5, 7, dtype=torch.float64))
    assert not any(part._forward_hooks for part in stack.modules())
    assert stack.training == training


class Twice(nn.Module):
    def __init__(self, give):
        super().__init__()
        self.part, self.give = nn.Linear(3, 3), give

    def forward(self, x):
        return self.give(self.part, x)


class Answer(nn.Module):
    def forward(self, x):
        return {"answer": x}


@pytest.mark.parametrize(
    ("module", "layers", "message"),
    [
        (Twice(lambda part, x: part(part(x))), None, "'part' runs more than once"),
        (nn.Sequential(Answer()), None, "'0' gives dict, not a tensor"),
        (nn.Sequential(nn.Linear(3, 3)), ["1"], r"unknown layer '1'.*\(known: Sequential, 0\)"),
        (nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), None, r"'1' \(Dropout\) is in training mode: call .eval"),
        (nn.GRU(3, 3, 2, dropout=0.5), None, r"'GRU' \(GRU\) is in training mode"),
        (nn.Sequential(nn.BatchNorm1d(3)), None, "BatchNorm1d"),
    ],
)
def test_what_has_no_answer_is_named(module, layers, message):
    with pytest.raises(ValueError, match=message):
        record(module, torch.zeros(5, 3), layers=layers)


def test_at_rest_dropout_and_batch_norm_are_recorded():
    module = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3)).eval()
    assert list(record(module, torch.zeros(5, 3))) == ["0", "1", "2"]
