"""Recording: every output of every named part, as it is, and the module as it was."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch
from torch import nn

from dynatlas.instruments.dimension_profile import dimension_profile
from dynatlas.instruments.recording import record


@pytest.fixture(autouse=True)
def the_same_initial_weights_each_time():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_layers_own_output_whatever_a_later_one_writes_over_it(dtype):
    """A linear layer before an in-place nonlinearity, a sum in place, and an input that the first layer writes over."""

    class Adding(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.then = nn.ReLU(inplace=True), nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True))

        def forward(self, x):
            x = self.then(self.first(x))
            x += 1
            return x

    module = Adding().to(dtype)
    module.then[0].bias.data[0] = -3.0
    given = x().to(dtype)
    found = record(module, given)
    linear = given.relu() @ module.then[0].weight.T + module.then[0].bias
    wanted = {"first": given.relu(), "then.0": linear, "then.1": linear.relu()}
    assert torch.equal(given, x().to(dtype))
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor.detach(), rtol=0, atol=1e-2 if dtype.itemsize == 2 else 1e-6)
    assert found["then.0"].min() < 0
    assert found["then.0"].dtype == dtype


def test_nothing_that_is_recorded_shares_memory_with_anything():
    module = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(3, 3)).double()
    given = x()
    found = record(module, given)
    found["0"].zero_()
    assert torch.equal(found["1"], x())
    assert torch.equal(given, x())


def test_strided_single_missing_and_whole_number_inputs():
    linear = nn.Linear(3, 2).double()
    strided = torch.randn(6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)[::2, ::2].T
    for given in (strided, strided[:1], strided.clone().fill_(torch.nan)):
        torch.testing.assert_close(record(linear, given)["Linear"], linear(given).detach(), equal_nan=True)
    table = nn.Embedding(4, 3)
    assert torch.equal(record(table, torch.tensor([3, 0]))["Embedding"], table.weight[[3, 0]].detach())


def test_a_list_and_a_tuple_among_the_inputs_are_copied_too():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Identity()

        def forward(self, pair):
            return self.part(pair[0].add_(1) + pair[1][0].add_(1))

    a, b = torch.zeros(2), torch.zeros(2)
    assert record(Pair(), (a, [b]))["part"].tolist() == [2, 2]
    assert a.tolist() == b.tolist() == [0, 0]


class Remembering(nn.Module):
    """Changes its buffers, in place and by another, and an attribute, each time that it runs."""

    def __init__(self):
        super().__init__()
        self.part, self.state = nn.Identity(), None
        self.register_buffer("runs", torch.zeros(2))
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        self.runs += 1
        self.mean = 0.5 * self.mean + x.mean(0)
        self.state = x if self.state is None else self.state + x
        return self.part(self.state)


def test_a_module_that_remembers_is_left_as_it_was():
    module = Remembering()
    runs = module.runs
    for _ in range(2):
        assert torch.equal(record(module, torch.ones(3, 2))["part"], torch.ones(3, 2))
    assert module.runs is runs
    assert runs.tolist() == module.mean.tolist() == [0, 0]
    assert module.state is None


@pytest.mark.parametrize("module", [nn.RReLU(), nn.MultiheadAttention(4, 2, dropout=0.5)])
def test_random_numbers_from_anywhere_are_refused_and_the_global_generator_is_as_it_was(module):
    before = torch.get_rng_state()
    given = (-torch.ones(3, 4),) * (3 if isinstance(module, nn.MultiheadAttention) else 1)
    with pytest.raises(ValueError, match=r"draws random numbers: call .eval\(\)"):
        record(module, *given, layers=[type(module).__name__])
    assert torch.equal(before, torch.get_rng_state())
    assert record(module.eval(), *given, layers=[type(module).__name__])


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
        (Twice(lambda part, x: x), ["part"], "did not run: part; those that did: none"),
        (nn.Sequential(nn.Linear(3, 3)), "0", r"a list of names, such as \['0'\]"),
        (nn.Sequential(nn.LazyLinear(3)), None, "run the module once first"),
    ],
)
def test_what_has_no_answer_is_named(module, layers, message):
    with pytest.raises(ValueError, match=message):
        record(module, torch.zeros(5, 3), layers=layers)


def test_parts_that_do_not_run_are_left_out_where_none_is_named():
    assert record(Twice(lambda part, x: x), torch.zeros(5, 3)) == {}


def test_packed_sequences_are_named():
    packed = nn.utils.rnn.pack_padded_sequence(torch.zeros(4, 2, 3), torch.tensor([4, 2]))
    with pytest.raises(ValueError, match="gives PackedSequence"):
        record(nn.LSTM(3, 2), packed)


def test_at_rest_dropout_and_batch_norm_are_recorded():
    module = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3)).eval()
    assert list(record(module, torch.zeros(5, 3))) == ["0", "1", "2"]


def test_images_have_a_way_to_a_dimension():
    """What a convolution gives is no cloud, and the refusal says how it becomes one."""
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten())
    layers = record(net, torch.randn(60, 1, 5, 5, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match=r"layer '0'.*\.flatten\(1\)"):
        dimension_profile(layers)
    found = dimension_profile({name: tensor.flatten(1) for name, tensor in layers.items()})
    values = found.pivot_table(index="estimator", columns="layer", values="value")
    assert (values["0"] == values["1"]).all()


class Writing(nn.Module):
    """Writes over what it is given in a dictionary, past torch's version counters, and into lists."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen, self.named = nn.Linear(3, 3), [], {}
        self.register_buffer("count", torch.zeros(1))

    def forward(self, given):
        x = given["x"] if isinstance(given, dict) else given.x
        self.count.data.add_(1)
        self.layer.weight.data.mul_(2)
        self.seen.append(x)
        self.named["x"] = x
        return self.layer(x.relu_())


class Given(NamedTuple):
    x: torch.Tensor


@pytest.mark.parametrize("wrapped", [lambda one: {"x": one}, Given, lambda one: OrderedDict(x=one)])
def test_module_and_inputs_are_as_they_were_whatever_forward_does(wrapped):
    module, states = Writing(), torch.randn(5, 3)
    weight, before = module.layer.weight.detach().clone(), states.clone()
    twice = [record(module, wrapped(states))["layer"] for _ in range(2)]
    assert torch.equal(*twice)
    assert torch.equal(states, before)
    assert torch.equal(module.layer.weight, weight)
    assert float(module.count) == 0
    assert (module.seen, module.named) == ([], {})
