"""What all models of the wing share: initial parameters of every member, and inputs and states that each of them sees.

Members are seed-major (member = seed_index * copies + copy).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Generator, Tensor

Params = dict[str, Tensor]
"""Name -> tensor, leading axis member."""


class Model(ABC):
    """An architecture that draws the initial parameters of its members, each seed from a stream of its own."""

    @abstractmethod
    def draw(self, generator: Generator) -> Params:
        """Initial tensors of one network, without an axis for members; the generator advances."""

    @final
    def initialise(
        self,
        generators: Sequence[Generator],
        copies: int = 1,
        *,
        shared: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> Params:
        """Initial parameters of len(generators) x `copies` members, drawn by `draw` and then cast.

        With `shared`, the copies of a seed start from the same draw. One more seed, or one more copy with a generator
        of its own, leaves the others' draws as they were.
        """
        trees: list[Params] = []
        for generator in generators:
            drawn = [self.draw(generator) for _ in range(1 if shared else copies)]
            trees += drawn * copies if shared else drawn
        return {name: torch.stack([tree[name] for tree in trees]).to(dtype) for name in trees[0]}


def inputs_of_members(x: Tensor, members: int, n_in: int, *, axes: tuple[str, ...] = ("T", "B")) -> Tensor:
    """x (member, *axes, n_in): as it is, or expanded where it is (*axes, n_in), the same for all members.

    Raises ValueError for any other shape; `axes` are the names that its message gives them.
    """
    given = tuple(x.shape)
    if x.dim() == len(axes) + 1:
        x = x.expand(members, *given)
    if x.dim() != len(axes) + 2 or x.shape[0] != members or x.shape[-1] != n_in:
        own = ", ".join((*axes, str(n_in)))
        raise ValueError(f"x must be ({own}) or ({members}, {own}), not {given}")
    return x


def states_of_members(state0: Tensor | None, shape: tuple[int, ...], *, like: Tensor) -> Tensor:
    """Where a rollout starts, `shape` (member, trial, unit): `state0`, or zeros of the type and device of `like`.

    Raises ValueError for a state of another shape.
    """
    if state0 is None:
        return like.new_zeros(shape)
    if tuple(state0.shape) != shape:
        raise ValueError(f"state0 must be {shape}, not {tuple(state0.shape)}")
    return state0
