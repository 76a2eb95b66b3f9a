"""Every generated task under its name, for the contract suite; no study imports this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.tasks import copy_memory, lag_text, multitask, policies
from dynatlas.tasks.symbols import SymbolBatch, accuracy, cross_entropy
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
    perfect: Callable[[Any], Tensor] = lambda trials: trials.y
    """Outputs whose loss is 0."""


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


def _sure(batch: SymbolBatch) -> Tensor:
    """Logits that leave no doubt."""
    return 1e4 * batch.y


def _draw_copies(trials: int, generators: Sequence[Generator], sigma: float) -> SymbolBatch:
    return copy_memory.copy_memory(trials, delay=10, count=3, generators=generators, sigma_x=sigma)


def _draw_periodic_text(trials: int, generators: Sequence[Generator], sigma: float) -> SymbolBatch:
    """Windows of a text in which every symbol repeats: the only one that can be foreseen without error."""
    text = lag_text.lag_text(400, keep=1.0, generators=generators)
    return lag_text.draw_windows(text, trials, steps=25, generators=generators, sigma_x=sigma)


TASKS: dict[str, RegisteredTask] = {
    **{
        f"{task}-{timing}": _entry(task, timing, dt)
        for task in multitask.NINE_TASKS
        for timing, dt in (("quick", 100.0), ("lineage", 50.0))
    },
    "copy_memory": RegisteredTask(
        inputs=copy_memory.input_channels(8),
        outputs=copy_memory.output_channels(8),
        draw=_draw_copies,
        loss=cross_entropy,
        score=accuracy,
        oracle=partial(copy_memory.oracle, count=3),
        ignorant=partial(copy_memory.ignorant, count=3),
        chance=1 / 8,
        perfect=_sure,
    ),
    "lag_text": RegisteredTask(
        inputs=tuple(f"symbol{i}" for i in range(4)),
        outputs=tuple(f"symbol{i}" for i in range(4)),
        draw=_draw_periodic_text,
        loss=cross_entropy,
        score=accuracy,
        oracle=lag_text.oracle,
        ignorant=lag_text.ignorant,
        chance=1 / 4,
        perfect=_sure,
    ),
}
