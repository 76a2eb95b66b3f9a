"""What the networks learn at each scale, the networks for it, and how their answers are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dynatlas.datasets.characters import read_characters
from dynatlas.ensemble.classification import accuracy, cross_entropy_by_logsumexp
from dynatlas.ensemble.parameters import Params
from dynatlas.jobs import Job
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.models.rnn import readout
from dynatlas.names import named
from dynatlas.problems.sequences import (
    SequenceBatch,
    SequenceProblem,
    character_problem,
    copy_problem,
    permuted_images,
    pixel_problem,
    text_problem,
)

COPY_INIT: dict[str, Any] = {"input_init": "xavier", "input_gain": 1.0, "output_init": "xavier"}
"""Initial weights of networks that copy, as in the paper's code; the others have `GainSaturationRNN`'s defaults."""


def problem_for(job: Job, task: str, settings: Mapping[str, Any]) -> SequenceProblem:
    """The problem of this name, on the job's seeds and device, for `updates` batches of `data`'s settings.

    Raises KeyError with the nearest name for an unknown task.
    """
    return named(_PROBLEMS, task, "task")(job, updates=settings["updates"], **settings["data"])


def network_for_task(task: str, problem: SequenceProblem, units: int) -> GainSaturationRNN:
    """A network of this problem's sizes."""
    return GainSaturationRNN(problem.n_in, units, problem.n_out, **(COPY_INIT if task == "copy" else {}))


def losses(params: Params, states: Tensor, batch: SequenceBatch) -> Tensor:
    """Mean cross-entropy (member,) in nats of states (member, time, trial, unit); a seed's members lie in a row."""
    return cross_entropy_by_logsumexp(readout(params, batch.read(states)), batch.wanted(len(states)))


def accuracies(params: Params, states: Tensor, batch: SequenceBatch) -> Tensor:
    """Fraction (member,) of counted steps whose largest output is the wanted one."""
    outputs, target = readout(params, batch.read(states)), batch.wanted(len(states))
    return accuracy(outputs[:, batch.counted_from :], target[:, batch.counted_from :])


def _pixels(job: Job, *, updates: int, batch: int, **images: Any) -> SequenceProblem:
    return pixel_problem(job, permuted_images(**images), updates=updates, batch=batch)


def _copy(job: Job, *, updates: int, **sizes: Any) -> SequenceProblem:
    return copy_problem(job, **sizes)


def _text(job: Job, *, updates: int, **sizes: Any) -> SequenceProblem:
    return text_problem(job, **sizes)


def _characters(job: Job, *, updates: int, name: str, folder: str = "downloads", **sizes: Any) -> SequenceProblem:
    return character_problem(job, read_characters(name, folder=Path(folder)), **sizes)


_PROBLEMS: dict[str, Callable[..., SequenceProblem]] = {
    "digits": _pixels,
    "copy": _copy,
    "text": _text,
    "characters": _characters,
}
