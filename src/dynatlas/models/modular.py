"""Modules side by side: many small networks as one block-diagonal one, and evaluated without the zero blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dynatlas.models.model import Params


def assemble_modules(modules: Sequence[Mapping[str, Tensor]]) -> Params:
    """One network of unconnected modules (Marton et al. 2021): recurrent weights block-diagonal, all inputs shared.

    Each module is a tree of `models.rnn` with the same members and inputs; units, and outputs where all modules have
    them, stand one module after the other: `w_in` (E, n_in, N), `w_rec` (E, N, N), `b` (E, N), `w_out` (E, N, O),
    `b_out` (E, O) with N and O summed over modules. A module without `b` counts as b = 0 beside others that have one.
    """
    assembled = {
        "w_in": torch.cat([m["w_in"] for m in modules], dim=-1),
        "w_rec": _block_diagonal([m["w_rec"] for m in modules]),
    }
    if any("b" in m for m in modules):
        assembled["b"] = torch.cat([m.get("b", torch.zeros_like(m["w_in"][:, 0])) for m in modules], dim=-1)
    if all("w_out" in m for m in modules):
        assembled["w_out"] = _block_diagonal([m["w_out"] for m in modules])
    if all("b_out" in m for m in modules):
        assembled["b_out"] = torch.cat([m["b_out"] for m in modules], dim=-1)
    return assembled


def _block_diagonal(blocks: Sequence[Tensor]) -> Tensor:
    """(E, r_i, c_i) blocks along the diagonal of one (E, sum r_i, sum c_i)."""
    rows, columns = sum(b.shape[1] for b in blocks), sum(b.shape[2] for b in blocks)
    whole = blocks[0].new_zeros(blocks[0].shape[0], rows, columns)
    row = column = 0
    for block in blocks:
        whole[:, row : row + block.shape[1], column : column + block.shape[2]] = block
        row, column = row + block.shape[1], column + block.shape[2]
    return whole


def module_slices(units: Sequence[int]) -> list[slice]:
    """Which units of the assembled network belong to each module."""
    ends = torch.tensor(list(units)).cumsum(0).tolist()
    return [slice(end - size, end) for end, size in zip(ends, units, strict=True)]


def join_states(states: Tensor, copies: int) -> Tensor:
    """States of seed x copies small networks, (E, ..., n), as those of assembled networks, (seed, ..., copies * n).

    `join_states(rollout(modules, x), copies)` is the assembled network's rollout without its zero blocks.
    """
    apart = states.unflatten(0, (-1, copies))
    return apart.movedim(1, -2).flatten(-2)
