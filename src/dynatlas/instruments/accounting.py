"""What a way of learning costs: parameters, and updates (trainable numbers times optimiser steps) to a criterion.

Parameters are counted twice, by two independent paths: from sizes alone (`count_parameters`), and from the tensors of
a built network (`count_built`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.instruments.given import whole
from dynatlas.names import named
from dynatlas.reductions import sum_over_first

SENSORY_INPUTS = 5
OUTPUTS = 3
PRIMITIVE_INPUTS = (5, 3, 3, 5)
"""Input channels that the primitives see: memory, comparison 1, comparison 2, comparison of sums."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the strategies compared: M modules of n units, or one network of N = M n."""

    modules: int
    units: int
    """Of one module, and of each one-task network."""
    tasks: int
    module_inputs: tuple[int, ...]

    @property
    def total(self) -> int:
        """N, units of the whole network."""
        return self.modules * self.units


def count_parameters(
    strategy: str, *, modules: int, units: int, tasks: int = 9, module_inputs: Sequence[int] | None = None
) -> int:
    """All parameters of a strategy that has learned `tasks` tasks, from sizes alone.

    MP modular primitives, MPu the same without the mask on inputs, DP dense primitives, MR modular random, RES dense
    reservoir, SEP one network per task, JOINT, GP, SEQ one network with a rule cue per task. `module_inputs` are the
    input channels each of MP's modules sees: by default 5, 3, 3, 5, and over again for more than four.
    Raises ValueError for an unknown strategy or sizes that do not fit.
    """
    return _look_up(_TOTAL, strategy)(_sizes(modules, units, tasks, module_inputs))


def count_trainable(strategy: str, *, modules: int, units: int, tasks: int = 9) -> int:
    """Parameters adjusted for one more task: a readout, one small network, or the whole (GP: without biases)."""
    return _look_up(_TRAINABLE, strategy)(_sizes(modules, units, tasks, None))


def count_built(params: Mapping[str, Tensor], *, masked: Sequence[str] = ("w_in", "w_rec")) -> Tensor:
    """Parameters of each member of a built network, long (member,): the existing entries of every tensor (member, ...).

    In the tensors named in `masked` an entry that is exactly 0 does not exist; everywhere else all entries count
    (biases start at 0 and exist).
    """
    counts = [
        (value != 0).flatten(1).sum(dim=1)
        if name in masked
        else torch.full((len(value),), value[0].numel(), device=value.device)
        for name, value in params.items()
    ]
    return sum_over_first(torch.stack(counts))


@dataclass(frozen=True)
class Updates:
    """Cost of reaching a criterion; where it was not reached, that of the whole budget: a lower bound."""

    steps: Tensor
    """(...), long: optimiser steps."""
    updates: Tensor
    """(...), float64: steps times trainable numbers."""
    reached: Tensor
    """(...), bool."""


def count_updates(curve: Tensor, steps: Sequence[int], *, criterion: float, trainable: int) -> Updates:
    """Updates until a learning curve (..., check) first is at `criterion` or above, checked after `steps` (check,).

    Raises ValueError for steps that do not ascend or do not match the curve, and for a NaN in it.
    """
    at = torch.tensor([whole(step, "steps") for step in steps], device=curve.device)
    if at.shape != curve.shape[-1:] or (at.diff() <= 0).any():
        raise ValueError(f"steps: wanted are {curve.shape[-1]} ascending numbers, one per point of the curve")
    if curve.isnan().any():
        raise ValueError(f"the curve is NaN at {curve.isnan().nonzero()[0].tolist()}")
    passed = curve >= criterion
    reached = passed.any(dim=-1)
    used = torch.where(reached, at[passed.to(torch.long).argmax(dim=-1)], at[-1])
    return Updates(used, used.to(torch.float64) * trainable, reached)


def _readouts(s: Sizes) -> int:
    return s.tasks * OUTPUTS * (s.total + 1)


def _modular_primitives(s: Sizes) -> int:
    return s.modules * s.units**2 + s.units * sum(s.module_inputs) + s.total + _readouts(s)


def _modular(s: Sizes) -> int:
    return s.modules * s.units**2 + SENSORY_INPUTS * s.total + s.total + _readouts(s)


def _dense(s: Sizes) -> int:
    return s.total**2 + SENSORY_INPUTS * s.total + s.total + _readouts(s)


def _one_task(s: Sizes) -> int:
    return s.units**2 + SENSORY_INPUTS * s.units + s.units + OUTPUTS * (s.units + 1)


def _separate(s: Sizes) -> int:
    return s.tasks * _one_task(s)


def _cued(s: Sizes) -> int:
    return s.total**2 + (SENSORY_INPUTS + s.tasks) * s.total + s.total + OUTPUTS * (s.total + 1)


def _cued_weights(s: Sizes) -> int:
    return _cued(s) - s.total - OUTPUTS


def _one_readout(s: Sizes) -> int:
    return OUTPUTS * (s.total + 1)


_TOTAL: dict[str, Callable[[Sizes], int]] = {
    "MP": _modular_primitives,
    "MPu": _modular,
    "DP": _dense,
    "MR": _modular,
    "RES": _dense,
    "SEP": _separate,
    "JOINT": _cued,
    "GP": _cued,
    "SEQ": _cued,
}
_TRAINABLE: dict[str, Callable[[Sizes], int]] = {
    **dict.fromkeys(("MP", "MPu", "DP", "MR", "RES"), _one_readout),
    "SEP": _one_task,
    "JOINT": _cued,
    "GP": _cued_weights,
    "SEQ": _cued,
}


def _look_up(formulas: dict[str, Callable[[Sizes], int]], strategy: str) -> Callable[[Sizes], int]:
    return named(formulas, strategy, "strategy")


def _sizes(modules: int, units: int, tasks: int, module_inputs: Sequence[int] | None) -> Sizes:
    if min(modules, units, tasks) < 1:
        raise ValueError(f"modules = {modules}, units = {units}, tasks = {tasks}: each must be at least 1")
    seen = tuple(
        itertools.islice(itertools.cycle(PRIMITIVE_INPUTS), modules) if module_inputs is None else module_inputs
    )
    if len(seen) != modules:
        raise ValueError(f"module_inputs = {list(seen)}: wanted is one number for each of the {modules} modules")
    return Sizes(modules, units, tasks, seen)
