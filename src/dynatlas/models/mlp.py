"""Fully connected networks of many members at once.

    h_0 = x,    h_l = phi(h_{l-1} W_l + b_l)  (l = 1 ... D),    logits = h_D W_{D+1} + b_{D+1}

Parameters are a dictionary of tensors with the ensemble's members as leading axis: `w1` (E, n_0, n_1), `b1` (E, n_1),
and so on to the output layer. Row = source unit. A network without biases has no `b*` in its dictionary.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Generator, Tensor

from dynatlas.models.activations import activation_named
from dynatlas.models.initial import draw
from dynatlas.models.model import Model, Params, inputs_of_members
from dynatlas.reductions import batched_product


@final
@dataclass(frozen=True)
class PopulationMLP(Model):
    """Sizes, nonlinearity and initial weights of an ensemble of fully connected networks.

    `sizes` are the units of input, hidden layers and output. `activation` is a name (relu, tanh, identity, ...).
    Weights are drawn N(0, gain^2 / fan-in), biases start at 0; the default gain sqrt(2) is that of He et al. 2015.
    """

    sizes: tuple[int, ...]
    activation: str = "relu"
    bias: bool = True
    init: str = "gaussian"
    gain: float = math.sqrt(2)

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"sizes = {self.sizes}: wanted are the units of input, hidden layers and output, all >= 1")
        activation_named(self.activation)

    @classmethod
    def of(cls, params: Mapping[str, Tensor], activation: str = "relu") -> PopulationMLP:
        """The network that such parameters are of, `w1`, `b1`, ..., with any leading axes."""
        weights = [params[f"w{layer}"] for layer in range(1, 1 + sum(name[0] == "w" for name in params))]
        return cls((weights[0].shape[-2], *(w.shape[-1] for w in weights)), activation, bias="b1" in params)

    @property
    def layers(self) -> int:
        """Number of weight matrices, D + 1."""
        return len(self.sizes) - 1

    def draw(self, generator: Generator) -> Params:
        """Initial tensors of one network, float64; see `Model.initialise`."""
        tree = {}
        for layer, (rows, columns) in enumerate(itertools.pairwise(self.sizes), start=1):
            tree[f"w{layer}"] = draw(self.init, rows, columns, gain=self.gain, generator=generator)
            if self.bias:
                tree[f"b{layer}"] = tree[f"w{layer}"].new_zeros(columns)
        return tree

    def activations(self, params: Mapping[str, Tensor], x: Tensor) -> list[Tensor]:
        """What every layer gives: the D hidden layers after their nonlinearity, then the logits, (E, n, units) each.

        x (n, inputs), the same for all members, or (E, n, inputs).
        """
        phi = activation_named(self.activation).function
        members = params["w1"].shape[0]
        state = inputs_of_members(x, members, self.sizes[0], axes=("n",))
        found = []
        for layer in range(1, self.layers + 1):
            weight, bias = params[f"w{layer}"], params.get(f"b{layer}")
            state = batched_product(state, weight)
            state = state if bias is None else state + bias[:, None]
            state = phi(state) if layer < self.layers else state
            found.append(state)
        return found

    def logits(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The outputs of every member, (E, n, outputs); x as in `activations`."""
        return self.activations(params, x)[-1]


def mlp_from_torch(states: Sequence[Mapping[str, Tensor]]) -> Params:
    """Parameters of an ensemble from `state_dict()`s of `torch.nn.Sequential`s of `Linear` layers, in their order.

    Raises ValueError for a tensor that is neither a weight matrix nor a bias.
    """
    names = [name for name in states[0] if name.endswith("weight")]
    foreign = [name for name, tensor in states[0].items() if tensor.dim() != (2 if name.endswith("weight") else 1)]
    if foreign or not names:
        raise ValueError(f"wanted are weights and biases of Linear layers only, not {', '.join(foreign) or 'nothing'}")
    tree = {}
    for layer, name in enumerate(names, start=1):
        tree[f"w{layer}"] = torch.stack([state[name].T for state in states])
        bias = name.removesuffix("weight") + "bias"
        if bias in states[0]:
            tree[f"b{layer}"] = torch.stack([state[bias] for state in states])
    return tree
