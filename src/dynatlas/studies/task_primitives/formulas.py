"""Parameters of a strategy from its sizes alone: the other path to what `accounting.count_built` counts in tensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dynatlas.names import named

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
    return named(_TOTAL, strategy, "strategy")(_sizes(modules, units, tasks, module_inputs))


def count_trainable(strategy: str, *, modules: int, units: int, tasks: int = 9) -> int:
    """Parameters adjusted for one more task: a readout, one small network, or the whole (GP: without biases)."""
    return named(_TRAINABLE, strategy, "strategy")(_sizes(modules, units, tasks, None))


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


def _sizes(modules: int, units: int, tasks: int, module_inputs: Sequence[int] | None) -> Sizes:
    if min(modules, units, tasks) < 1:
        raise ValueError(f"modules = {modules}, units = {units}, tasks = {tasks}: each must be at least 1")
    seen = tuple(
        itertools.islice(itertools.cycle(PRIMITIVE_INPUTS), modules) if module_inputs is None else module_inputs
    )
    if len(seen) != modules:
        raise ValueError(f"module_inputs = {list(seen)}: wanted is one number for each of the {modules} modules")
    return Sizes(modules, units, tasks, seen)
