"""How an ensemble gets its gradients, and what happens to it between two updates: backpropagation, or another method.

A method sees all members at once, leading axis member, and has to treat each as if it were alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor

from dynatlas.ensemble.parameters import Memory, Params

Draw = Callable[[int], Any]
"""`draw(step)` gives the batch of an update (0-based), whatever it is made of; it is asked once an update."""
Tree = Mapping[str, Tensor]
Loss = Callable[[Params, Any], Tensor]
"""`loss(parameters, batch)` gives each member's loss on a batch, (member,)."""


class Method(Protocol):
    """What `fit` needs of a method."""

    def start(self, parameters: Params) -> Memory:
        """What the method keeps from step to step, before the first one: tensors with leading axis member, by name."""

    def gradient(self, loss: Loss, parameters: Params, batch: Any, memory: Memory, step: int) -> tuple[Tensor, Tree]:
        """Losses (member,) of update `step` (0-based), and what the optimiser gets: a tree like `parameters`.

        `parameters` holds what learns, and is left as it is; `loss` adds what does not. It may be called any number of
        times, on trees of these names, also with `copies_of` each member: then it gives (member x copy,), a member's
        copies side by side. Every call sees the same `batch`, so what is random and has to be the same in all of them
        belongs there. Entries of `memory` may be written to, replaced, added and taken out.
        """

    def between(
        self, parameters: Tree, moments: Mapping[str, Tree], memory: Memory, *, step: int, active: Tensor
    ) -> None:
        """Called between two updates, before update `step` (1 or more); writes into the tensors that it is given.

        parameters: as the update before left them. moments: what the optimiser remembers of each parameter, by the name
        it has there (`mean` and `square` of Adam), as trees like `parameters`. Both are in float32 where parameters are
        in half precision. active (member,): which members go on; what is done to others is undone.
        """


@final
@dataclass(frozen=True)
class Backprop:
    """The exact gradient of the loss, by backpropagation; nothing is remembered."""

    def start(self, parameters: Params) -> Memory:
        """See `Method`."""
        return {}

    def gradient(self, loss: Loss, parameters: Params, batch: Any, memory: Memory, step: int) -> tuple[Tensor, Tree]:
        """See `Method`. Raises ValueError for a loss that does not depend on the parameters."""
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
        losses = loss(leaves, batch)
        if not losses.requires_grad:
            raise ValueError(f"loss does not depend on any of {', '.join(leaves)}: was it detached, or in no_grad()?")
        grads = torch.autograd.grad(losses.sum(), list(leaves.values()), materialize_grads=True, allow_unused=True)
        return losses.detach(), dict(zip(leaves, grads, strict=True))

    def between(
        self, parameters: Tree, moments: Mapping[str, Tree], memory: Memory, *, step: int, active: Tensor
    ) -> None:
        """Nothing."""
