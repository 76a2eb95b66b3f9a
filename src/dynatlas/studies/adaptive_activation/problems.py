"""What the networks learn: permuted pixels, copying, and text, all as batches that are read at some steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.datasets.batches import batch_order
from dynatlas.datasets.characters import read_characters
from dynatlas.datasets.digits import permuted_digits
from dynatlas.datasets.labelled import Labelled, Split, split
from dynatlas.datasets.mnist import read_images
from dynatlas.datasets.pixel_sequences import permuted_pixels
from dynatlas.devices import moved
from dynatlas.ensemble.parameters import Params
from dynatlas.jobs import Job
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.models.rnn import readout
from dynatlas.names import named
from dynatlas.tasks.copy_memory import copy_memory
from dynatlas.tasks.lag_text import draw_windows, lag_text
from dynatlas.tasks.symbols import SymbolBatch


@dataclass(frozen=True)
class Batch:
    """Sequences and what is wanted of them, a row of the first axis for each seed."""

    x: Tensor
    """(seed, time, trial, input)."""
    target: Tensor
    """(seed, read step, trial), long."""
    read_from: int = 0
    """The first step at which the loss is read; counts from the end if negative."""
    counted_from: int = 0
    """Of the steps that are read, the first at which the accuracy is; the same."""

    def for_members(self, copies: int) -> Batch:
        """A row for each of so many members of every seed."""
        x, target = (part.repeat_interleave(copies, dim=0) for part in (self.x, self.target))
        return replace(self, x=x, target=target)

    def of(self, rows: slice) -> Batch:
        """These rows alone."""
        return replace(self, x=self.x[rows], target=self.target[rows])


@dataclass(frozen=True)
class Problem:
    """Where batches come from, and the sizes that a network for them has."""

    n_in: int
    n_out: int
    chance: float
    train: Callable[[int], Batch]
    """Batch of an update."""
    held_out: Callable[[], Batch]
    """The same batch whenever it is called."""
    input_init: str = "gaussian"
    """Of variance 2 / fan-in with "gaussian" (images, text), as in the paper's code."""
    output_init: str = "uniform"

    def network(self, units: int) -> GainSaturationRNN:
        """A network of this problem's sizes."""
        scale = math.sqrt(2) if self.input_init == "gaussian" else 1.0
        return GainSaturationRNN(
            self.n_in, units, self.n_out, input_init=self.input_init, input_gain=scale, output_init=self.output_init
        )


def problem_for(job: Job, task: str, settings: dict[str, Any]) -> Problem:
    """The problem of this name, on the job's seeds and device, for `updates` batches of `data`'s settings.

    Raises KeyError with the nearest name for an unknown task.
    """
    return named(_PROBLEMS, task, "task")(job, updates=settings["updates"], **settings["data"])


def losses(params: Params, states: Tensor, batch: Batch) -> Tensor:
    """Mean cross-entropy (member,) in nats of states (member, time, trial, unit); a seed's members lie in a row."""
    outputs, target = _outputs(params, states, batch)
    picked = outputs.gather(-1, target[..., None])[..., 0]
    return (outputs.logsumexp(dim=-1) - picked).mean(dim=(1, 2))


def accuracies(params: Params, states: Tensor, batch: Batch) -> Tensor:
    """Fraction (member,) of counted steps whose largest output is the wanted one."""
    outputs, target = _outputs(params, states, batch)
    return (outputs.argmax(dim=-1) == target)[:, batch.counted_from :].double().mean(dim=(1, 2))


def _outputs(params: Params, states: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    copies = len(states) // len(batch.target)
    return readout(params, states[:, batch.read_from :]), batch.target.repeat_interleave(copies, dim=0)


def pixels(source: str, *, train: int, test: int | None, pixels_per_step: int, folder: str = "downloads") -> Split:
    """Images as sequences of permuted pixels: `digits` (shipped), or `mnist` and its like from `folder`.

    The first `train` of a fixed order are learned from (of MNIST: of its training part), `test` others held out.
    """
    if source == "digits":
        parts = split(permuted_digits(pixels_per_step), train)
        return Split(parts.train, parts.test[:test])
    own, other = (read_images(source, part, folder=Path(folder)) for part in ("train", "test"))
    return Split(permuted_pixels(own[:train], pixels_per_step), permuted_pixels(other[:test], pixels_per_step))


def image_batch(images: Labelled, chosen: Tensor, labels: Tensor | None = None) -> Batch:
    """Images x (image, time, pixel) chosen for each seed (seed, trial), read after their last pixel.

    Wanted are their own labels, or `labels` (seed, image).
    """
    target = images.y[chosen] if labels is None else labels.gather(1, chosen)
    return Batch(images.x[chosen].transpose(1, 2), target[:, None], read_from=-1)


def _pixel_problem(job: Job, *, updates: int, batch: int, **data: Any) -> Problem:
    parts = moved(pixels(**data), job.device)
    order = batch_order(len(parts.train), updates=updates, size=batch, generators=job.generators("batches"))
    order = order.to(job.device)
    everything = torch.arange(len(parts.test), device=job.device).expand(len(job.seeds), -1)
    return Problem(
        parts.train.x.shape[-1],
        10,
        0.1,
        lambda step: image_batch(parts.train, order[step]),
        lambda: image_batch(parts.test, everything),
    )


def _copy_problem(
    job: Job, *, updates: int, batch: int, test: int, delay: int, count: int, symbols: int, scalar: bool = False
) -> Problem:
    streams = job.generators("copy")

    def draw(trials: int, generators: Sequence[Generator]) -> Batch:
        found = copy_memory(trials, delay=delay, count=count, symbols=symbols, generators=generators, scalar=scalar)
        return moved(Batch(found.x, found.target, counted_from=-count), job.device)

    return Problem(
        1 if scalar else symbols + 2,
        symbols + 1,
        1 / symbols,
        lambda step: draw(batch, streams),
        lambda: draw(test, job.generators("copy evaluation")),
        input_init="xavier",
        output_init="xavier",
    )


def _text_problem(
    job: Job, *, updates: int, batch: int, test: int, steps: int, symbols: int, lag: int, length: int
) -> Problem:
    shared = {"steps": steps, "symbols": symbols, "lag": lag}
    streams = job.generators("windows")
    text, other = (
        lag_text(length, symbols=symbols, lag=lag, generators=job.generators(purpose))
        for purpose in ("text", "text evaluation")
    )

    def read(found: SymbolBatch) -> Batch:
        return moved(Batch(found.x, found.target[:, lag:], read_from=lag), job.device)

    return Problem(
        symbols,
        symbols,
        1 / symbols,
        lambda step: read(draw_windows(text, batch, generators=streams, **shared)),
        lambda: read(draw_windows(other, test, generators=job.generators("windows evaluation"), **shared)),
    )


def _character_problem(
    job: Job, *, updates: int, batch: int, test: int, steps: int, name: str, folder: str = "downloads"
) -> Problem:
    text = read_characters(name, folder=Path(folder))
    size, streams = len(text.alphabet), job.generators("windows")
    windows = {"steps": steps, "symbols": size, "lag": 1}
    parts = {part: getattr(text, part).to(job.device).expand(len(job.seeds), -1) for part in ("train", "test")}

    def draw(part: str, trials: int, generators: Sequence[Generator]) -> Batch:
        found = draw_windows(parts[part], trials, generators=generators, **windows)
        return Batch(found.x, found.target[:, 1:], read_from=1)

    return Problem(
        size,
        size,
        float(text.train.bincount().max() / len(text.train)),
        lambda step: draw("train", batch, streams),
        lambda: draw("test", test, job.generators("windows evaluation")),
    )


_PROBLEMS: dict[str, Callable[..., Problem]] = {
    "digits": _pixel_problem,
    "copy": _copy_problem,
    "text": _text_problem,
    "characters": _character_problem,
}
