"""Every generated task under its name, for the contract suite; no study imports this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.tasks import multitask, policies
from dynatlas.tasks.timing import TIMINGS


@dataclass(frozen=True)
class RegisteredTask:
    """A task with the policies that bound it."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    draw: Callable[[int, Sequence[Generator], float], Any]
    """(trials, one generator a seed, input noise) -> a batch: `x`, `y`, `mask` (seed, time, trial, channel)."""
    loss: Callable[[Tensor, Any], Tensor]
    """(outputs, trials) -> (seed,)."""
    score: Callable[[Tensor, Any], Tensor]
    """(outputs, trials) -> (seed,), between 0 and 1."""
    oracle: Callable[[Tensor], Tensor]
    ignorant: Callable[[Tensor, Sequence[Generator]], Tensor]
    chance: float


def _draw(
    task: str, timing: str, dt: float, trials: int, generators: Sequence[Generator], sigma: float
) -> multitask.Batch:
    tasks = multitask.task_ids([task]).repeat(trials)
    return multitask.make_batch(tasks, TIMINGS[timing], dt=dt, sigma_x=sigma, generators=generators)


def _loss(yhat: Tensor, batch: multitask.Batch) -> Tensor:
    return multitask.masked_loss(yhat, batch.y, batch.mask)


def _score(yhat: Tensor, batch: multitask.Batch) -> Tensor:
    return multitask.circular_accuracy(yhat, batch.loc, batch.t_last)


def _entry(task: str, timing: str, dt: float) -> RegisteredTask:
    return RegisteredTask(
        inputs=multitask.INPUT_CHANNELS,
        outputs=multitask.OUTPUT_CHANNELS,
        draw=partial(_draw, task, timing, dt),
        loss=_loss,
        score=_score,
        oracle=policies.oracle,
        ignorant=policies.ignorant,
        chance=multitask.TOLERANCE / torch.pi,
    )


TASKS: dict[str, RegisteredTask] = {
    f"{task}-{timing}": _entry(task, timing, dt)
    for task in multitask.NINE_TASKS
    for timing, dt in (("quick", 100.0), ("lineage", 50.0))
}
