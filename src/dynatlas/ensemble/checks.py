"""What `fit` is given, looked at before anything is computed: ValueError names the setting and the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dynatlas.ensemble.parameters import Layout, Memory, Params
from dynatlas.ensemble.watch import Measured, Watch
from dynatlas.names import named


def learning_and_fixed(parameters: Mapping[str, Tensor], trainable: Sequence[str] | None) -> tuple[Params, Params]:
    """The tensors that learn, and copies of the others, which nobody can change from outside."""
    if isinstance(trainable, str):
        raise ValueError(f"trainable = {trainable!r}: wanted is a list of names, such as [{trainable!r}]")
    for name, tensor in parameters.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"parameter {name!r} is {type(tensor).__name__}: wanted is a tensor, see torch.as_tensor")
    names = parameters if trainable is None else trainable
    learning = {name: named(parameters, name, "parameter").detach() for name in names}
    return learning, {name: tensor.detach().clone() for name, tensor in parameters.items() if name not in learning}


def budget_of(steps: int | Tensor, members: int, device: torch.device) -> Tensor:
    """Updates of each member, (member,)."""
    given = torch.as_tensor(steps, device=device)
    whole = given.dtype != torch.bool and bool((given == given.round()).all() and given.isfinite().all())
    if given.dim() > 1 or (given.dim() and len(given) != members) or not whole or bool((given < 0).any()):
        raise ValueError(f"steps must be a whole number >= 0 or a tensor ({members},) of them, not {steps}")
    return given.to(torch.int64).expand(members)


def check_clip(clip_norm: float | Tensor | None) -> None:
    """A norm is not negative: such a one would turn the gradient round."""
    if clip_norm is not None and not bool((torch.as_tensor(clip_norm) >= 0).all()):
        raise ValueError(f"clip_norm must be >= 0, not {clip_norm}; None clips nothing")


def check_watches(watches: Mapping[str, Watch]) -> None:
    """Names that logs and checkpoints can tell apart."""
    for name in watches:
        if name == "loss" or "|" in name:
            raise ValueError(
                f"a watch cannot be called {name!r}: 'loss' is the training loss, and | parts names on disk"
            )


def checked_measure(name: str, measured: Measured, members: int) -> Measured:
    """What a watch measured, if it has one value (or row, ...) for each member."""
    for key, value in measured.items():
        if not isinstance(value, Tensor) or value.dim() == 0 or len(value) != members:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"watch {name!r}: {key!r} is {found}; wanted are tensors with leading axis member, {members}"
            )
    return measured


def checked_criterion(name: str, reached: Tensor, members: int) -> Tensor:
    """Booleans of which members are there."""
    if not isinstance(reached, Tensor) or reached.dtype != torch.bool or tuple(reached.shape) != (members,):
        found = f"{tuple(reached.shape)} {reached.dtype}" if isinstance(reached, Tensor) else type(reached).__name__
        raise ValueError(f"watch {name!r}: reached gives {found}; wanted are booleans ({members},)")
    return reached


def checked_gradient(losses: object, gradient: Mapping[str, Tensor], layout: Layout) -> None:
    """What a method gave: one loss a member, and a tree like the parameters."""
    if not isinstance(losses, Tensor) or tuple(losses.shape) != (layout.members,):
        found = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(f"gradient gives losses {found}; wanted is one number a member, ({layout.members},)")
    for name, shape in layout.shapes.items():
        found = tuple(named(gradient, name, "gradient").shape)
        if found != (layout.members, *shape):
            raise ValueError(f"the gradient of {name!r} is {found}; wanted is {(layout.members, *shape)}")


def checked_memory(owner: str, memory: Memory, members: int) -> None:
    """Tensors that belong to members, so that they can be told apart, saved and given back."""
    for name, value in memory.items():
        if not isinstance(value, Tensor) or value.dim() == 0 or len(value) != members:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"{owner} remembers {name!r} as {found}; wanted are tensors with leading axis member, {members}"
            )
