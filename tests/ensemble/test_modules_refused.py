"""What an ensemble of modules refuses, and the way out that it names."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from dynatlas.ensemble.modules import ModuleEnsemble


class Leaky(nn.Module):
    def __init__(self, leak: object = 0.1):
        super().__init__()
        self.leak, self.layer = leak, nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x) * self.leak


def hooked(factor: float) -> nn.Module:
    module = nn.Linear(2, 2)
    module.register_forward_hook(lambda part, given, out: out * factor)
    return module


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([], "at least one"),
        ([Leaky(0.1), Leaky(0.9)], r"0 and 1 differ in leak: 0.1 and 0.9.*register_buffer"),
        ([Leaky(), Leaky(), Leaky({"a": [1, 2]})], "0 and 2 differ in leak: 0.1 and {'a'"),
        ([Leaky({"a": [1, 2]}), Leaky({"a": [1, 3]})], "leak: {'a'"),
        ([Leaky(torch.ones(2)), Leaky(torch.zeros(2))], r"leak: a Tensor of shape \(2,\)"),
        ([Leaky(np.ones(2)), Leaky(np.zeros(2))], "leak: a ndarray"),
        ([Leaky((lambda a: lambda x: a * x)(k)) for k in (1, 2)], "leak: <function"),
        ([Leaky(torch.Generator()), Leaky(torch.Generator())], "leak: <torch._C.Generator"),
        ([hooked(1.0), hooked(2.0)], "differ in _forward_hooks"),
        ([nn.Sequential(nn.Linear(2, 2), act()) for act in (nn.Tanh, nn.ReLU)], "differ in 1: Tanh and ReLU"),
        ([nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(s)) for s in (0.1, 0.2)], "1.negative_slope: 0.1 and 0.2"),
        ([nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.Tanh())], "their parts: 1"),
        ([nn.Linear(2, 2), nn.Linear(2, 2).eval()], "training: True and False"),
        ([nn.Linear(2, 2), nn.Linear(2, 3)], "out_features: 2 and 3"),
        ([nn.Linear(2, 2), nn.Linear(2, 2, bias=False)], "names or ties.*bias"),
        ([nn.Linear(2, 2), nn.Linear(2, 2).half()], "the type of weight: torch.float32 and torch.float16"),
        ([nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)], "the requires_grad of weight"),
        ([nn.LSTM(2, 2)], "LSTM.*recurrent_from_torch"),
        ([nn.Sequential(nn.Linear(2, 2), nn.GRU(2, 2))], r"1 \(GRU\).*recurrent_from_torch"),
        ([nn.LSTMCell(2, 2)], "LSTMCell.*recurrent_from_torch"),
        ([nn.Sequential(nn.BatchNorm1d(2))], r"running statistics.*: 0 \(BatchNorm1d\); call .eval"),
        (
            [nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))],
            r"frozen.*0.weight, 0.bias.*trainable",
        ),
        (nn.Sequential(nn.Linear(2, 2)), None),
    ],
)
def test_what_would_run_as_the_first_is_refused(modules, message):
    if message is None:
        assert len(ModuleEnsemble(modules).parameters["0.weight"]) == 1  # one module is an ensemble of one
        return
    with pytest.raises(ValueError, match=message):
        ModuleEnsemble(modules)


def test_modules_alike_in_everything_but_tensors_are_no_different():
    def one():
        module = Leaky({"a": [1, float("nan")], "f": (lambda a: lambda x: a * x)(2), "w": torch.tensor([float("nan")])})
        module.itself = [module]
        return module

    assert len(ModuleEnsemble([one(), one(), copy.deepcopy(one())]).parameters["layer.weight"]) == 3


class Changing(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.weight, self.change, self.last = nn.Parameter(torch.ones(3)), change, None
        self.last_ones, self.last_ones_by_name = [], {}
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x):
        self.change(self, x)
        return x * self.weight + self.seen


CHANGES = {
    "added to": lambda module, x: module.seen.add_(x.mean(0)),
    "added with weights": lambda module, x: module.seen.mul_(0.9).add_(module.weight.detach()),
    "set": lambda module, x: setattr(module, "seen", module.seen + x.mean(0)),
    "attribute": lambda module, x: setattr(module, "last", x.mean(0)),
    "number": lambda module, x: setattr(module, "last", 1 + (module.last or 0)),
    "word": lambda module, x: setattr(module, "last", "b" if module.last == "a" else "a"),
    "tuple": lambda module, x: setattr(module, "last", (x.mean(0), x)),
    "list": lambda module, x: module.last_ones.append(x.mean(0)),
    "dict": lambda module, x: module.last_ones_by_name.update(x=x.mean(0)),
    "weights": lambda module, x: module.weight.detach().mul_(2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_forward_pass_would_leave_behind_is_refused_each_time(change):
    ensemble = ModuleEnsemble([Changing(CHANGES[change])] * 2)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"forward pass changes (seen|last\w*|weight): .* an output"):
            ensemble(ensemble.parameters, torch.ones(4, 3))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), r"random layer \(1\).*call .eval\(\)"),
        (nn.TransformerEncoderLayer(3, 1, 4, batch_first=True), r"random layer.*call .eval\(\)"),
    ],
)
def test_random_layers_are_refused_with_the_way_out(module, message):
    random = ModuleEnsemble([module] * 2)
    with pytest.raises(ValueError, match=message):
        random(random.parameters, torch.ones(2, 4, 3))
    assert ModuleEnsemble([module.eval()]).parameters


class Refusing(nn.Linear):
    def forward(self, x):
        raise RuntimeError("not on a Sunday")


def test_other_errors_are_as_they_were_raised():
    ensemble = ModuleEnsemble([Refusing(2, 1), Refusing(2, 1)])
    with pytest.raises(RuntimeError, match=r"^not on a Sunday$"):
        ensemble(ensemble.parameters, torch.zeros(4, 2))


def test_a_branch_on_a_value_is_refused_with_the_way_out():
    class Branching(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum() * self.bias[0] > 0 else x

    ensemble = ModuleEnsemble([Branching(2, 2)])
    with pytest.raises(ValueError, match=r"branches.*torch.where"):
        ensemble(ensemble.parameters, torch.ones(3, 2))


class Leak(float):
    pass


class Word(str):
    pass


class Slotted:
    __slots__ = ("__dict__", "leak")

    def __init__(self, leak):
        self.leak, self.name = leak, "leak"


@pytest.mark.parametrize(
    ("one", "other"),
    [(Leak(0.1), Leak(0.9)), (Word("a"), Word("b")), (Slotted(0.1), Slotted(0.9)), ({1}, {2})],
)
def test_values_of_ones_own_classes_are_compared_by_value(one, other):
    def made(leak):
        module = nn.Linear(2, 2)
        module.leak = leak
        return module

    with pytest.raises(ValueError, match=r"modules 0 and 1 differ in leak"):
        ModuleEnsemble([made(one), made(other)])
    ModuleEnsemble([made(one), made(copy.copy(one))])


def test_a_closure_of_which_a_name_has_no_value_yet():
    def made():
        def inner(x):
            return later(x)

        module = nn.Linear(2, 2)
        module.inner = inner
        if module.bias is None:
            later = torch.relu
        return module

    assert len(ModuleEnsemble([made(), made()]).parameters["weight"]) == 2


def test_lazy_parts_and_operations_that_vmap_has_not_say_what_to_do():
    with pytest.raises(ValueError, match=r"LazyLinear\) has no weights yet: run each module once first"):
        ModuleEnsemble([nn.Sequential(nn.LazyLinear(2))])
    ensemble = ModuleEnsemble([nn.Sequential(nn.Linear(2, 2), nn.RReLU())])
    with pytest.raises(ValueError, match=r"for several members at once .*rrelu.*call \.eval\(\)"):
        ensemble(ensemble.parameters, torch.ones(3, 2))


@pytest.mark.parametrize(
    ("module", "shape"),
    [(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Linear(108, 2)), (5, 1, 8, 8)), (nn.Linear(4, 3), (5, 7))],
)
def test_inputs_and_layers_of_unlike_shapes_are_refused_with_the_way_out(module, shape):
    ensemble = ModuleEnsemble([module, copy.deepcopy(module)])
    with pytest.raises(ValueError, match=r"gets another shape than it takes .* \.flatten\(1\)"):
        ensemble(ensemble.parameters, torch.zeros(shape))
