"""Starts (n, s) in each mode, stacked into one ensemble: which members learn their shape, from when, and how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.ensemble.parameters import Params
from dynatlas.members import Members, Record
from dynatlas.models.gain_saturation import pooled, shape_parameters
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN

SMALLEST_GAIN = 1e-2
"""Below it a gain counts as this (n enters as 1 / n and must stay positive)."""
MODES = ("static", "homogeneous", "heterogeneous", "frozen", "late homogeneous", "late heterogeneous")
"""static: (n, s) fixed; homogeneous: one pair a network; heterogeneous: one a unit; frozen: at learning rate 0.

late: fixed for the first half of the updates.
"""
Grids = Mapping[Any, Mapping[str, Sequence[float]]]


def cells_of(cells: Mapping[Any, Sequence[str]], grids: Grids) -> list[Record]:
    """The cells (`mode`, `n`, `s`) of every mode: the products n x s of its grids, each once, in declared order.

    Raises ValueError for an unknown mode or grid.
    """
    for given, known in ((cells, MODES), (chain.from_iterable(cells.values()), grids)):
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ValueError(f"cells: {unknown[0]!r}: known are {', '.join(known)}")
    listed = [
        (mode, float(n), float(s))
        for mode, names in cells.items()
        for name in names
        for n, s in product(grids[name]["n"], grids[name]["s"])
    ]
    return [{"mode": mode, "n": n, "s": s} for mode, n, s in dict.fromkeys(listed)]


def start(rnn: GainSaturationRNN, generators: Sequence[Generator], n: Sequence[Any], s: Sequence[Any]) -> Params:
    """Parameters of members that begin at (n, s), seed by seed: all of a seed have the same weights."""
    params = rnn.initialise(generators, len(n) // len(generators), shared=True)
    shapes = (params["w_rec"].new_tensor(one) for one in (n, s))
    return params | shape_parameters("heterogeneous", *shapes, units=rnn.units)


@dataclass(frozen=True)
class Schedule:
    """How the shapes of an ensemble's members learn; (member,) each."""

    shared: Tensor
    """One pair a network?"""
    free_from: Tensor
    """The update from which on gradients reach the shape."""
    ratio: Tensor
    """Learning rate of the shape over that of the weights."""

    @classmethod
    def of(cls, members: Members, *, updates: int, ratio: float, device: str) -> Schedule:
        """By the `mode` of each member."""
        modes = [str(mode) for mode in members.of("mode")]
        begin = {"static": updates, "late homogeneous": updates // 2, "late heterogeneous": updates // 2}
        parts = (
            [mode.endswith("homogeneous") for mode in modes],
            [begin.get(mode, 0) for mode in modes],
            [0.0 if mode == "frozen" else ratio for mode in modes],
        )
        return cls(*(torch.tensor(part, device=device) for part in parts))

    def in_use(self, params: Params, step: int) -> Params:
        """The parameters that a network computes with at an update: shared where they are, detached while fixed."""
        free = (step >= self.free_from)[:, None]
        shapes = {name: torch.where(free, params[name], params[name].detach()) for name in ("gain", "saturation")}
        return pooled(params | shapes | {"gain": shapes["gain"].clamp_min(SMALLEST_GAIN)}, self.shared)
