"""Recurrent networks from torch's own: modules, state dicts or plain arrays under torch's names, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dynatlas.models.gated import GRU, LSTM, Elman, Stacked
from dynatlas.models.rnn import Nonlinearity, Params

_KINDS: dict[int, type[Stacked]] = {1: Elman, 3: GRU, 4: LSTM}
_NAMES = {"weight_ih": "w_in", "weight_hh": "w_rec", "bias_ih": "b_in", "bias_hh": "b_rec"}
_KNOWN = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh)_l(\d+)")

Arrays = Mapping[str, Any]


def recurrent_from_torch(
    source: torch.nn.RNNBase | Arrays | Sequence[torch.nn.RNNBase | Arrays],
    *,
    activation: Nonlinearity | None = None,
    readout: Arrays | None = None,
) -> tuple[Stacked, Params]:
    """The network and its parameters (leading axis member) that compute what torch's `RNN`, `GRU` or `LSTM` does.

    `source`: a module; its `state_dict()`; arrays or tensors under those names (`weight_ih_l0` (gates n, n_in),
    `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_ih_l1`, ...) with or without a leading member axis; or a
    sequence of modules or dicts, one for each member. Other names in a dict are left out, unless they are recurrent
    ones that have no place here. Which cell it is is seen from the shapes. `activation`: of an Elman network, where
    the source is not a module (default tanh). `readout`: `weight` (n_out, n) and, if any, `bias` of a linear layer,
    with or without a member axis. Types are kept.

    Raises ValueError for `bidirectional`, `proj_size`, active dropout, and names or shapes that do not fit.
    """
    sources = list(source) if isinstance(source, Sequence) else [source]
    for one in sources:
        if isinstance(one, torch.nn.RNNBase):
            _check_module(one)
            activation = activation or getattr(one, "nonlinearity", None)
    trees = [_tree(one) for one in sources]
    if len({tuple(tree) for tree in trees}) != 1:
        raise ValueError(f"members have different parameters: {sorted(trees[0])} and others")
    joined = torch.cat if trees[0]["w_rec_l0"].dim() == 3 else torch.stack
    params = {name: joined([tree[name] for tree in trees]).contiguous() for name in trees[0]}
    layers, n_in, units, gates = _sizes(params)
    n_out = 0
    if readout is not None:
        params |= _linear(readout, members=len(params["w_in_l0"]), units=units)
        n_out = params["w_out"].shape[-1]
    network = _KINDS[gates](n_in, units, n_out, layers, bias="b_in_l0" in params, output_bias="b_out" in params)
    return replace(network, activation=activation or "tanh") if isinstance(network, Elman) else network, params


def recurrent_to_torch(params: Mapping[str, Tensor], member: int) -> Params:
    """One member's recurrent weights under the names and in the layout of torch's modules: for `load_state_dict`."""
    back = {ours: theirs for theirs, ours in _NAMES.items()}
    tree = {}
    for name, tensor in params.items():
        stem, _, layer = name.rpartition("_l")
        if stem in back:
            one = tensor[member]
            tree[f"{back[stem]}_l{layer}"] = (one.T if one.dim() == 2 else one).contiguous()
    return tree


def _check_module(module: torch.nn.RNNBase) -> None:
    """What a stack of layers cannot do."""
    if module.bidirectional:
        raise ValueError("bidirectional: the state of such a network runs both ways in time; take one direction")
    if module.proj_size:
        raise ValueError(f"proj_size = {module.proj_size}: projected LSTMs are not supported; wanted is 0")
    if module.dropout and module.training and module.num_layers > 1:
        raise ValueError(f"dropout = {module.dropout} is active between layers: call .eval() first")


def _tree(source: torch.nn.RNNBase | Arrays) -> Params:
    """Parameters under our names, row = source unit, from one module or dict."""
    given = source.state_dict() if isinstance(source, torch.nn.RNNBase) else source
    tree = {}
    for name, array in given.items():
        found = _KNOWN.fullmatch(name)
        if found:
            tensor = torch.as_tensor(array).detach()
            stem = _NAMES[found[1]]
            tree[f"{stem}_l{found[2]}"] = tensor.mT if stem.startswith("w") else tensor
        elif name.startswith("weight_hr"):
            raise ValueError(f"{name}: projected LSTMs (proj_size) are not supported")
        elif name.endswith("_reverse"):
            raise ValueError(f"{name}: bidirectional networks are not supported")
    if "w_in_l0" not in tree or "w_rec_l0" not in tree:
        raise ValueError(f"wanted are weight_ih_l0, weight_hh_l0, ..., not {', '.join(map(str, given)) or 'nothing'}")
    return dict(sorted(tree.items()))


def _sizes(params: Params) -> tuple[int, int, int, int]:
    """Layers, inputs, units and gates; ValueError for shapes that do not fit one another."""
    units, width = params["w_rec_l0"].shape[-2:]
    gates = width // units
    if gates not in _KINDS or gates * units != width:
        raise ValueError(f"weight_hh_l0 is {(width, units)}: wanted are (n, n), (3n, n) for a GRU, (4n, n) for an LSTM")
    layers = sum(name.startswith("w_rec") for name in params)
    n_in, members = params["w_in_l0"].shape[-2], len(params["w_in_l0"])
    biased = "b_in_l0" in params
    for at in range(layers):
        wanted: dict[str, tuple[int, ...]] = {"w_in": (n_in if at == 0 else units, width), "w_rec": (units, width)}
        wanted |= {"b_in": (width,), "b_rec": (width,)} if biased else {}
        for stem, shape in wanted.items():
            name = f"{stem}_l{at}"
            found = tuple(params[name].shape) if name in params else None
            if found != (members, *shape):
                wanted_shape = (members, *shape)
                raise ValueError(f"layer {at}: {stem} (member, source, gates x units) is {found}, not {wanted_shape}")
    return layers, n_in, units, gates


def _linear(readout: Arrays, *, members: int, units: int) -> Params:
    """`w_out` (E, n, n_out) and `b_out` (E, n_out) of a linear layer."""
    weight = torch.as_tensor(readout["weight"]).detach().mT
    weight = weight.expand(members, *weight.shape[-2:])
    if weight.shape[-2] != units:
        raise ValueError(f"readout weight is {tuple(weight.mT.shape)}: its last axis must be the {units} units")
    tree = {"w_out": weight.contiguous()}
    if readout.get("bias") is not None:
        bias = torch.as_tensor(readout["bias"]).detach()
        tree["b_out"] = bias.expand(members, bias.shape[-1]).contiguous()
    return tree
