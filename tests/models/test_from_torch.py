"""Recurrent networks that were trained elsewhere: what may be given, what is refused, and nothing shared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dynatlas.models.from_torch import recurrent_from_torch, recurrent_to_torch
from dynatlas.models.gated import GRU, LSTM, Elman
from dynatlas.models.rnn import ElmanRNN
from dynatlas.models.torch_layout import to_torch

N_IN, N = 3, 5
CELLS = {"LSTM": (nn.LSTMCell, LSTM), "GRU": (nn.GRUCell, GRU), "Elman": (nn.RNNCell, Elman)}


@pytest.fixture(autouse=True)
def the_same_initial_weights_each_time():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def given(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def stepped(cell: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The hidden states of torch's cell along time, (T, B, n)."""
    state, found = None, []
    for x_t in x:
        state = cell(x_t, state)
        found.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(found).detach()


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", ["module", "state dict", "arrays", "several"])
def test_a_cell_is_a_network_of_one_layer(kind, bias, form):
    make, ours = CELLS[kind]
    cells = [make(N_IN, N, bias=bias).double() for _ in range(2)]
    source = {
        "module": cells[1],
        "state dict": cells[1].state_dict(),
        "arrays": {name: tensor.numpy() for name, tensor in cells[1].state_dict().items()},
        "several": nn.ModuleList(cells),
    }[form]
    network, params = recurrent_from_torch(source)
    assert isinstance(network, ours)
    x = given(7, 4, N_IN)
    torch.testing.assert_close(network.top(network.rollout(params, x))[-1], stepped(cells[1], x), rtol=0, atol=1e-12)
    back = recurrent_to_torch(params, len(params["w_rec_l0"]) - 1)
    again = make(N_IN, N, bias=bias).double()
    again.load_state_dict({name.removesuffix("_l0"): tensor for name, tensor in back.items()})
    assert torch.equal(stepped(again, x), stepped(cells[1], x))


def test_a_cells_nonlinearity_is_kept():
    cell = nn.RNNCell(N_IN, N, nonlinearity="relu").double()
    network, params = recurrent_from_torch(cell)
    x = given(7, 4, N_IN)
    torch.testing.assert_close(network.rollout(params, x)[0], stepped(cell, x), rtol=0, atol=1e-12)


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.answer = nn.LSTM(N_IN, N), nn.Linear(N, 2)


def test_a_readout_may_be_the_layer_itself():
    reader = Reader().double()
    network, params = recurrent_from_torch(reader.lstm, readout=reader.answer)
    x = given(7, 4, N_IN)
    said = network.readout(params, network.rollout(params, x))
    torch.testing.assert_close(said[0], reader.answer(reader.lstm(x)[0]).detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("units", [1, 5])
@pytest.mark.parametrize("outputs", [1, 2])
def test_parameters_share_no_memory_with_the_module_nor_with_what_is_made_of_them(units, outputs):
    """Axes of length 1, where a transposed matrix is contiguous as it is."""
    gru, linear = nn.GRU(1, units), nn.Linear(units, outputs)
    before = {name: tensor.clone() for name, tensor in (gru.state_dict() | linear.state_dict()).items()}
    _, params = recurrent_from_torch(gru, readout=linear)
    kept = {name: tensor.clone() for name, tensor in params.items()}
    for tensor in recurrent_to_torch(params, 0).values():
        tensor.fill_(7.0)
    assert all(torch.equal(params[name], kept[name]) for name in params)
    for tensor in params.values():
        tensor.fill_(7.0)
    after = gru.state_dict() | linear.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after)
    elman = {"w_in": torch.ones(1, 1, units), "w_rec": torch.ones(1, units, units), "b": torch.ones(1, units)}
    for tensor in to_torch(elman, 0).values():
        tensor.fill_(7.0)
    assert all(bool((tensor == 1).all()) for tensor in elman.values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_types_are_kept(dtype):
    module = nn.LSTM(N_IN, N).to(dtype)
    network, params = recurrent_from_torch([module, module])
    assert {tensor.dtype for tensor in params.values()} == {dtype}
    x = given(7, 4, N_IN).to(dtype)
    torch.testing.assert_close(network.top(network.rollout(params, x))[1], module(x)[0].detach(), rtol=0.05, atol=0.02)


def test_read_only_and_strided_arrays_are_taken_as_they_are():
    module = nn.GRU(N_IN, N).double()
    plain = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    odd = {name: np.repeat(array[::-1], 2, axis=0)[::-2] for name, array in plain.items()}  # the same, backwards
    for array in odd.values():
        array.setflags(write=False)
    _, wanted = recurrent_from_torch(module)
    _, found = recurrent_from_torch(odd)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_missing_values_stay_with_their_member():
    modules = [nn.GRU(N_IN, N).double() for _ in range(3)]
    modules[1].weight_hh_l0.data[0, 0] = torch.nan
    network, params = recurrent_from_torch(modules)
    states = network.rollout(params, given(7, 1, N_IN))
    assert states[1, -1].isnan().all()
    assert states[[0, 2]].isfinite().all()


def without(name: str) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in nn.LSTM(N_IN, N, 3).state_dict().items() if not key.startswith(name)}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Reader(), r"Reader is not one of .*it holds .lstm \(LSTM\): give that one"),
        (nn.Linear(2, 2), "Linear is not one of torch's recurrent modules; and holds none"),
        (Reader().state_dict(), r"not lstm.weight_ih_l0.*'lstm' before them: give the state_dict\(\) of that part"),
        ([], "an empty list: wanted is one module or dict for each member"),
        (None, "NoneType is no network"),
        ("lstm", "str is no network"),
        ([nn.RNN(N_IN, N, nonlinearity="relu"), nn.RNN(N_IN, N)], "different nonlinearities: relu, tanh"),
        ([nn.LSTM(N_IN, N), nn.GRU(N_IN, N)], "member 1: b_in_l0 is"),
        ([nn.LSTM(N_IN, N), nn.LSTM(N_IN, N + 1)], "member 1: b_in_l0 is"),
        ([nn.LSTM(N_IN, N), nn.LSTM(N_IN, N).double()], "member 1: b_in_l0 is .* torch.float64"),
        ([nn.LSTM(N_IN, N), nn.LSTM(N_IN, N, 2)], "member 1 has other parameters"),
        ({name: tensor.long() for name, tensor in nn.GRU(N_IN, N).state_dict().items()}, "int64.*real numbers"),
        (dict.fromkeys(nn.GRU(N_IN, N).state_dict(), "a"), "is str"),
        (nn.GRU(N_IN, N).state_dict() | nn.GRUCell(N_IN, N).state_dict(), "twice, with and without _l0"),
        (without("bias_ih"), r"layer 0: b_in .* is None"),
        (without("weight_hh_l1"), r"layer 1: w_rec .* is None"),
        (
            nn.GRU(N_IN, N).state_dict() | {"bias_ih_l0": torch.zeros(2, 3 * N)},
            "b_in_l0 is .* with or without a member",
        ),
        (
            {"weight_ih_l0": torch.zeros(3), "weight_hh_l0": torch.zeros(3)},
            r"weight_ih_l0 is .*\(3,\): wanted are 2 axes",
        ),
    ],
)
def test_what_is_no_network_is_refused_with_the_way_out(source, message):
    with pytest.raises(ValueError, match=message):
        recurrent_from_torch(source)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "tanh"}, "activation = 'tanh': a GRU has its own"),
        ({"readout": {"kernel": torch.zeros(2, N)}}, "its weight and bias, not kernel"),
        ({"readout": nn.Linear(N + 1, 2)}, r"readout w_out \(source, output\) is \(6, 2\)"),
        ({"readout": nn.Linear(N, 2).double()}, "torch.float64: wanted is"),
        ({"readout": {"weight": torch.zeros(3, 2, N)}}, r"or \(1, 5, 2\)"),
        ({"readout": {"weight": torch.zeros(2, N), "bias": torch.zeros(3)}}, "readout b_out"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        recurrent_from_torch(nn.GRU(N_IN, N), **settings)


def test_an_activation_beside_a_module_that_has_another_is_refused():
    with pytest.raises(ValueError, match="the module computes with 'relu'"):
        recurrent_from_torch(nn.RNN(N_IN, N, nonlinearity="relu"), activation="tanh")
    network, _ = recurrent_from_torch(nn.RNN(N_IN, N).state_dict(), activation="relu")
    assert network.activation == "relu"


@pytest.mark.parametrize("in_place", [torch.tanh_, lambda h: h.mul_(2).tanh_()])
@pytest.mark.parametrize(
    "make", [lambda phi: Elman(N_IN, N, 1, activation=phi), lambda phi: ElmanRNN(N_IN, N, 1, activation=phi)]
)
def test_a_function_that_works_in_place_is_as_good_as_any(make, in_place):
    writing, plain = make(in_place), make(lambda h: in_place(h.clone()))
    params = plain.initialise([torch.Generator().manual_seed(0)], dtype=torch.float64)
    assert torch.equal(writing.rollout(params, given(6, 2, N_IN)), plain.rollout(params, given(6, 2, N_IN)))
    spread = {name: tensor[:, None] for name, tensor in params.items()}
    found, wanted = (one.jacobian(spread, given(1, 2, N_IN), given(1, 2, N)) for one in (writing, plain))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    moved = [plain.step(spread, given(1, 2, N_IN), given(1, 2, N) + sign * 1e-6) for sign in (1, -1)]
    torch.testing.assert_close(found[1].sum(-1), (moved[0] - moved[1]) / 2e-6, rtol=0, atol=1e-8)
