"""Recurrent weights under torch's own names and in its own layout (row = target unit)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dynatlas.models.model import Params


def own_copy(tensor: Tensor) -> Tensor:
    """The same numbers in contiguous memory of their own (`contiguous()` alone shares what is contiguous already)."""
    return tensor.clone(memory_format=torch.contiguous_format)


def to_torch(params: Mapping[str, Tensor], member: int) -> Params:
    """One member's recurrent weights under the names and in the layout of `torch.nn.RNN` (equal to it at alpha = 1)."""
    b = params["b"][member] if "b" in params else params["w_rec"].new_zeros(params["w_rec"].shape[-1])
    return {
        "weight_ih_l0": own_copy(params["w_in"][member].T),
        "weight_hh_l0": own_copy(params["w_rec"][member].T),
        "bias_ih_l0": b.clone(),
        "bias_hh_l0": torch.zeros_like(b),
    }


def from_torch(states: Sequence[Mapping[str, Tensor]]) -> Params:
    """Recurrent parameters of an ensemble from `state_dict()`s of `torch.nn.RNN`; their two biases are added."""
    tree = {
        "w_in": torch.stack([s["weight_ih_l0"].T for s in states]),
        "w_rec": torch.stack([s["weight_hh_l0"].T for s in states]),
    }
    if "bias_ih_l0" in states[0]:
        tree["b"] = torch.stack([s["bias_ih_l0"] + s["bias_hh_l0"] for s in states])
    return tree
