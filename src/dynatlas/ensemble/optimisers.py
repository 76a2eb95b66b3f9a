"""Optimisers over the flat buffer (member, P): every member its own learning rate, decay and moments.

The formulas are torch.optim's, member by member. An optimiser returns the *update* that is to be added to the
parameters, so that a caller can transform it (project, mask) first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from dynatlas.ensemble.parameters import Memory

PerMember = float | Tensor
"""One number for all members, or a tensor (member,)."""


class Optimiser(Protocol):
    """What `fit` needs of an optimiser."""

    @property
    def lr(self) -> PerMember:
        """Learning rate, before any schedule."""

    def start(self, parameters: Tensor) -> Memory:
        """What is remembered before the first step, for parameters (member, P)."""

    def update(self, gradient: Tensor, memory: Memory, *, parameters: Tensor, step: int, rate: Tensor) -> Tensor:
        """What is added to the parameters at 0-based `step`.

        gradient and parameters (member, P) are left as they are; rate (member, 1) is the scheduled learning rate.
        Entries of `memory` may be written to, replaced, added and taken out. Those of shape (member, P), one number a
        parameter, are what a method sees as moments.
        """


def per_member(value: PerMember, like: Tensor) -> Tensor:
    """`value` as (member, 1), or (1, 1) for a number, in the type of `like` (member, P).

    Raises ValueError when a tensor is not (member,).
    """
    if isinstance(value, Tensor):
        if tuple(value.shape) != (like.shape[0],):
            raise ValueError(f"a setting per member must be ({like.shape[0]},), not {tuple(value.shape)}")
        return value.to(like)[:, None]
    return like.new_full((1, 1), value)


def zeros_for(parameters: Tensor) -> Tensor:
    """Where sums along training begin: 0 in the shape of the parameters, in float32 at least.

    In float16 eps is 0, and so is the square of a small gradient.
    """
    return torch.zeros_like(parameters, dtype=torch.promote_types(parameters.dtype, torch.float32))


def _is_zero(value: PerMember) -> bool:
    return not isinstance(value, Tensor) and value == 0


def _two_moments(parameters: Tensor) -> Memory:
    return {"mean": zeros_for(parameters), "square": zeros_for(parameters)}


def _adam_update(
    gradient: Tensor, memory: Memory, step: int, rate: Tensor, betas: tuple[float, float], eps: float
) -> Tensor:
    """The update of Adam without weight decay; both moments advance."""
    beta1, beta2 = betas
    own, gradient = gradient.dtype, gradient.to(memory["mean"].dtype)
    mean = memory["mean"].lerp_(gradient, 1 - beta1)
    square = memory["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    update = square.sqrt().div_(math.sqrt(1 - math.pow(beta2, step + 1))).add_(eps)
    return torch.div(mean, update, out=update).mul_(rate.to(update) / (math.pow(beta1, step + 1) - 1)).to(own)


@final
@dataclass(frozen=True, eq=False)
class Adam:
    """Adam (Kingma and Ba 2015); `weight_decay` is added to the gradient."""

    lr: PerMember = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: PerMember = 0.0

    def start(self, parameters: Tensor) -> Memory:
        """Both moments at 0."""
        return _two_moments(parameters)

    def update(self, gradient: Tensor, memory: Memory, *, parameters: Tensor, step: int, rate: Tensor) -> Tensor:
        """See `Optimiser`."""
        if not _is_zero(self.weight_decay):
            gradient = gradient + per_member(self.weight_decay, parameters) * parameters
        return _adam_update(gradient, memory, step, rate, self.betas, self.eps)


@final
@dataclass(frozen=True, eq=False)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    lr: PerMember = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: PerMember = 1e-2

    def start(self, parameters: Tensor) -> Memory:
        """Both moments at 0."""
        return _two_moments(parameters)

    def update(self, gradient: Tensor, memory: Memory, *, parameters: Tensor, step: int, rate: Tensor) -> Tensor:
        """See `Optimiser`."""
        decay = rate * per_member(self.weight_decay, parameters)
        return _adam_update(gradient, memory, step, rate, self.betas, self.eps).sub_(decay * parameters)


@final
@dataclass(frozen=True, eq=False)
class SGD:
    """Gradient descent with (heavy-ball or Nesterov) momentum; `weight_decay` is added to the gradient."""

    lr: PerMember = 1e-2
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: PerMember = 0.0

    def start(self, parameters: Tensor) -> Memory:
        """No velocity."""
        return {"velocity": zeros_for(parameters)} if self.momentum else {}

    def update(self, gradient: Tensor, memory: Memory, *, parameters: Tensor, step: int, rate: Tensor) -> Tensor:
        """See `Optimiser`."""
        if not _is_zero(self.weight_decay):
            gradient = gradient + per_member(self.weight_decay, parameters) * parameters
        if self.momentum:
            velocity = memory["velocity"].mul_(self.momentum).add_(gradient)
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        return (gradient * -rate).to(parameters.dtype)
