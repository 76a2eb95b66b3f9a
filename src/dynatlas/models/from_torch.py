"""Recurrent networks from torch's own: modules, state dicts or plain arrays under torch's names, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dynatlas.models.gated import GRU, LSTM, Elman, Stacked
from dynatlas.models.model import Params
from dynatlas.models.rnn import Nonlinearity
from dynatlas.models.torch_layout import own_copy

_KINDS: dict[int, type[Stacked]] = {1: Elman, 3: GRU, 4: LSTM}
_NAMES = {"weight_ih": "w_in", "weight_hh": "w_rec", "bias_ih": "b_in", "bias_hh": "b_rec"}
_KNOWN = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh)(?:_l(\d+))?")
_WANTED = "weight_ih_l0, weight_hh_l0, ... as of nn.LSTM, or weight_ih, weight_hh, ... as of nn.LSTMCell"

Recurrent = torch.nn.RNNBase | torch.nn.RNNCellBase
Arrays = Mapping[str, Any]


def recurrent_from_torch(
    source: Recurrent | Arrays | Sequence[Recurrent | Arrays],
    *,
    activation: Nonlinearity | None = None,
    readout: torch.nn.Linear | Arrays | None = None,
) -> tuple[Stacked, Params]:
    """The network and its parameters (leading axis member) that compute what torch's `RNN`, `GRU` or `LSTM` does.

    `source`: a module or cell (`LSTMCell`: a network of one layer); its `state_dict()`; arrays or tensors under those
    names (`weight_ih_l0` (gates n, n_in), `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_ih_l1`, ..., of a cell
    without `_l0`) with or without a leading member axis; or a sequence of modules or dicts, one for each member. Other
    names in a dict are left out, unless they are recurrent ones that have no place here. Which cell it is is seen from
    the shapes. `activation`: of an Elman network, where the source is not a module (default tanh). `readout`: a linear
    layer, or its `weight` (n_out, n) and, if any, `bias`, with or without a member axis. Types are kept; the parameters
    are copies.

    Raises ValueError for `bidirectional`, `proj_size`, active dropout, a module that is not recurrent (naming the
    parts of it that are), members that are not alike, and names, types or shapes that do not fit.
    """
    several = list(source) if isinstance(source, list | tuple | torch.nn.ModuleList) else [source]
    sources = [_checked(one) for one in several]
    if not sources:
        raise ValueError("there is no network in an empty list: wanted is one module or dict for each member")
    trees = [_tree(one) for one in sources]
    params = _joined(trees)
    layers, n_in, units, gates = _sizes(params)
    phi = _activation(sources, activation, gates)
    n_out = 0
    if readout is not None:
        params |= _linear(readout, like=params["w_rec_l0"])
        n_out = params["w_out"].shape[-1]
    network = _KINDS[gates](n_in, units, n_out, layers, bias="b_in_l0" in params, output_bias="b_out" in params)
    return replace(network, activation=phi) if isinstance(network, Elman) else network, params


def recurrent_to_torch(params: Mapping[str, Tensor], member: int) -> Params:
    """One member's recurrent weights under the names and in the layout of torch's modules: for `load_state_dict`."""
    back = {ours: theirs for theirs, ours in _NAMES.items()}
    tree = {}
    for name, tensor in params.items():
        stem, _, layer = name.rpartition("_l")
        if stem in back:
            one = tensor[member]
            tree[f"{back[stem]}_l{layer}"] = own_copy(one.T if one.dim() == 2 else one)
    return tree


def _checked(source: Any) -> Recurrent | Arrays:
    """The source of one member, if it is one that a stack of layers can be made of."""
    if isinstance(source, torch.nn.RNNBase):
        if source.bidirectional:
            raise ValueError("bidirectional: the state of such a network runs both ways in time; take one direction")
        if source.proj_size:
            raise ValueError(f"proj_size = {source.proj_size}: projected LSTMs are not supported; wanted is 0")
        if source.dropout and source.training and source.num_layers > 1:
            raise ValueError(f"dropout = {source.dropout} is active between layers: call .eval() first")
    elif isinstance(source, torch.nn.Module) and not isinstance(source, torch.nn.RNNCellBase):
        parts = ((name, part) for name, part in source.named_modules() if isinstance(part, Recurrent))
        inside = [f".{name} ({type(part).__name__})" for name, part in parts]
        holds = f"it holds {', '.join(inside)}: give that one" if inside else "and holds none"
        raise ValueError(f"{type(source).__name__} is not one of torch's recurrent modules; {holds}")
    elif not isinstance(source, torch.nn.Module | Mapping):
        raise ValueError(f"{type(source).__name__} is no network: wanted is a module, or a dict with {_WANTED}")
    return source


def _activation(sources: Sequence[Recurrent | Arrays], given: Nonlinearity | None, gates: int) -> Nonlinearity:
    """The nonlinearity that all members share."""
    if gates > 1:
        if given is not None:
            raise ValueError(f"activation = {given!r}: a {_KINDS[gates].__name__} has its own; leave it out")
        return "tanh"
    own = [getattr(one, "nonlinearity", given or "tanh") for one in sources]
    if len(set(own)) > 1:
        raise ValueError(f"members have different nonlinearities: {', '.join(map(str, own))}; make a network of each")
    if given not in (None, own[0]):
        raise ValueError(f"activation = {given!r}, but the module computes with {own[0]!r}: leave it out")
    return own[0]


def _tree(source: Recurrent | Arrays) -> Params:
    """Parameters under our names, row = source unit, from one module or dict."""
    given = source.state_dict() if isinstance(source, torch.nn.Module) else source
    tree: Params = {}
    for name, array in given.items():
        found = _KNOWN.fullmatch(str(name))
        if found:
            stem = _NAMES[found[1]]
            tensor = _real(name, array, 2 if stem.startswith("w") else 1)
            ours = f"{stem}_l{found[2] or 0}"
            if ours in tree:
                raise ValueError(f"{name} is there twice, with and without _l0")
            tree[ours] = tensor.mT if stem.startswith("w") else tensor
        elif str(name).startswith("weight_hr"):
            raise ValueError(f"{name}: projected LSTMs (proj_size) are not supported")
        elif str(name).endswith("_reverse"):
            raise ValueError(f"{name}: bidirectional networks are not supported")
    if "w_in_l0" not in tree or "w_rec_l0" not in tree:
        raise ValueError(f"wanted are {_WANTED}, not {', '.join(map(str, given)) or 'nothing'}{_prefix(given)}")
    return dict(sorted(tree.items()))


def _prefix(given: Arrays) -> str:
    """What to do about names such as `lstm.weight_ih_l0`."""
    for name in given:
        before, dot, last = str(name).rpartition(".")
        if dot and _KNOWN.fullmatch(last):
            return f"; names with {before!r} before them: give the state_dict() of that part alone"
    return ""


def _real(name: str, array: Any, axes: int) -> Tensor:
    """An array or tensor as a tensor of real numbers, with so many axes and perhaps one of members before them."""
    try:
        tensor = array.detach() if isinstance(array, Tensor) else torch.from_numpy(np.array(array))
    except TypeError as error:
        raise ValueError(f"{name} is {type(array).__name__}: {error}") from None
    if not tensor.is_floating_point() or tensor.dim() not in (axes, axes + 1):
        wanted = f"wanted are {axes} axes (or {axes + 1}, members first) of real numbers"
        raise ValueError(f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)}: {wanted}")
    return tensor


def _joined(trees: Sequence[Params]) -> Params:
    """The parameters of all members, (member, ...), new tensors."""
    first = trees[0]
    like = first["w_rec_l0"]
    for member, tree in enumerate(trees):
        if tree.keys() != first.keys():
            raise ValueError(f"member {member} has other parameters than the first: {', '.join(tree)}")
        for name, tensor in tree.items():
            kind, wanted = [(tuple(t.shape[like.dim() - 2 :]), t.dtype, t.device) for t in (tensor, first[name])]
            whole = 1 if name.startswith("b") else 2
            if tensor.dim() != whole + like.dim() - 2 or kind != wanted or tensor.dtype != like.dtype:
                raise ValueError(
                    f"member {member}: {name} is {tuple(tensor.shape)}, {tensor.dtype} on {tensor.device}; all tensors "
                    f"must be of one type, {like.dtype}, with or without a member axis, and members of one shape"
                )
    joined = torch.cat if like.dim() == 3 else torch.stack
    return {name: joined([tree[name] for tree in trees]).contiguous() for name in first}


def _sizes(params: Params) -> tuple[int, int, int, int]:
    """Layers, inputs, units and gates; ValueError for shapes that do not fit one another."""
    units, width = params["w_rec_l0"].shape[-2:]
    gates = width // units if units else 0
    if gates not in _KINDS or gates * units != width:
        raise ValueError(f"weight_hh_l0 is {(width, units)}: wanted are (n, n), (3n, n) for a GRU, (4n, n) for an LSTM")
    layers = 1 + max(int(name.rpartition("_l")[2]) for name in params)
    n_in, members = params["w_in_l0"].shape[-2], len(params["w_in_l0"])
    biased = any(name.startswith("b") for name in params)
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


def _linear(readout: torch.nn.Linear | Arrays, *, like: Tensor) -> Params:
    """`w_out` (E, n, n_out) and `b_out` (E, n_out) of a linear layer, for the recurrent weights `like` (E, n, ...)."""
    given = readout.state_dict() if isinstance(readout, torch.nn.Module) else readout
    if "weight" not in given:
        raise ValueError(f"a readout is a linear layer, or its weight and bias, not {', '.join(map(str, given))}")
    members, units = like.shape[:2]
    weight = _real("readout weight", given["weight"], 2).mT
    n_out = weight.shape[-1]
    tree: dict[str, tuple[Tensor, tuple[int, ...]]] = {"w_out": (weight, (units, n_out))}
    if given.get("bias") is not None:
        tree["b_out"] = (_real("readout bias", given["bias"], 1), (n_out,))
    for name, (tensor, shape) in tree.items():
        if tuple(tensor.shape) not in (shape, (members, *shape)) or tensor.dtype != like.dtype:
            raise ValueError(
                f"readout {name} (source, output) is {tuple(tensor.shape)} {tensor.dtype}: wanted is {shape}, or "
                f"{(members, *shape)}, in {like.dtype}, {units} being the units"
            )
    return {name: own_copy(tensor.expand(members, *shape)) for name, (tensor, shape) in tree.items()}
