"""Sequences to classify: permuted pixels, copy memory, generated text and characters, all in the same form.

A problem gives batches with a row for each seed. All networks of a seed see the same; another seed sees others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from dynatlas.datasets.batches import batch_order
from dynatlas.datasets.characters import Characters
from dynatlas.datasets.images import image_split
from dynatlas.datasets.labelled import Labelled, Split
from dynatlas.datasets.pixel_sequences import permuted_pixels
from dynatlas.devices import moved
from dynatlas.jobs import Job
from dynatlas.tasks.copy_memory import copy_memory
from dynatlas.tasks.lag_text import draw_windows, lag_text


@dataclass(frozen=True)
class SequenceBatch:
    """Sequences and what is wanted of them."""

    x: Tensor
    """(seed, time, trial, input)."""
    target: Tensor
    """(seed, read step, trial), long."""
    read_from: int = 0
    """The first step at which the loss is read; counts from the end if negative."""
    counted_from: int = 0
    """Of the steps that are read, the first at which the accuracy is; the same."""

    def for_members(self, copies: int) -> SequenceBatch:
        """A row for each of so many members of every seed, (seed x copy, ...)."""
        x, target = (part.repeat_interleave(copies, dim=0) for part in (self.x, self.target))
        return replace(self, x=x, target=target)

    def of(self, rows: slice) -> SequenceBatch:
        """These rows alone."""
        return replace(self, x=self.x[rows], target=self.target[rows])

    def read(self, states: Tensor) -> Tensor:
        """Of states (member, time, trial, unit) those at which the loss is read, (member, read step, trial, unit)."""
        return states[:, self.read_from :]

    def wanted(self, members: int) -> Tensor:
        """The classes (member, read step, trial); a seed's members lie in a row."""
        return self.target.repeat_interleave(members // len(self.target), dim=0)


@dataclass(frozen=True)
class SequenceProblem:
    """Where batches come from, and the sizes that a network for them has."""

    n_in: int
    n_out: int
    chance: float
    """Accuracy of a guess that has seen nothing."""
    train: Callable[[int], SequenceBatch]
    """Batch of an update."""
    held_out: Callable[[], SequenceBatch]
    """The same batch whenever it is called."""


def permuted_images(
    source: str, *, train: int, test: int | None, pixels_per_step: int, folder: str = "downloads"
) -> Split:
    """Images as sequences of permuted pixels, x (image, time, pixel); arguments as those of `images.image_split`."""
    parts = image_split(source, train=train, test=test, folder=folder)
    return Split(*(permuted_pixels(part, pixels_per_step) for part in (parts.train, parts.test)))


def image_batch(images: Labelled, chosen: Tensor, labels: Tensor | None = None) -> SequenceBatch:
    """Images x (image, time, pixel) chosen for each seed (seed, trial), read after their last pixel.

    Wanted are their own labels, or `labels` (seed, image).
    """
    target = images.y[chosen] if labels is None else labels.gather(1, chosen)
    return SequenceBatch(images.x[chosen].transpose(1, 2), target[:, None], read_from=-1)


def all_images(images: Labelled, seeds: int) -> SequenceBatch:
    """Every image once, the same for all seeds."""
    return image_batch(images, torch.arange(len(images), device=images.y.device).expand(seeds, -1))


def pixel_problem(job: Job, images: Split, *, updates: int, batch: int, classes: int = 10) -> SequenceProblem:
    """Name the class of x (image, time, pixel) after its last pixel; training images come in epochs (`batch_order`)."""
    parts = moved(images, job.device)
    order = batch_order(len(parts.train), updates=updates, size=batch, generators=job.generators("batches"))
    order = order.to(job.device)
    return SequenceProblem(
        n_in=parts.train.x.shape[-1],
        n_out=classes,
        chance=1 / classes,
        train=lambda step: image_batch(parts.train, order[step]),
        held_out=lambda: all_images(parts.test, len(job.seeds)),
    )


def copy_problem(
    job: Job, *, batch: int, test: int, delay: int, count: int, symbols: int, scalar: bool = False
) -> SequenceProblem:
    """Say `count` symbols again after a delay (`tasks.copy_memory`): loss at every step, accuracy at those symbols."""
    streams = job.generators("copy")

    def draw(trials: int, generators: Sequence[Generator]) -> SequenceBatch:
        found = copy_memory(trials, delay=delay, count=count, symbols=symbols, generators=generators, scalar=scalar)
        return moved(SequenceBatch(found.x, found.target, counted_from=-count), job.device)

    return SequenceProblem(
        n_in=1 if scalar else symbols + 2,
        n_out=symbols + 1,
        chance=1 / symbols,
        train=lambda step: draw(batch, streams),
        held_out=lambda: draw(test, job.generators("copy evaluation")),
    )


def text_problem(
    job: Job, *, batch: int, test: int, steps: int, symbols: int, lag: int, length: int
) -> SequenceProblem:
    """Foresee a text whose symbols repeat after `lag` steps (`tasks.lag_text`), a text of its own for each seed.

    Windows of `steps` symbols, read from the step `lag` on, where the symbol that decides was seen.
    """
    text, other = (
        lag_text(length, symbols=symbols, lag=lag, generators=job.generators(purpose))
        for purpose in ("text", "text evaluation")
    )
    return _window_problem(job, text, other, batch=batch, test=test, steps=steps, symbols=symbols, lag=lag)


def character_problem(job: Job, text: Characters, *, batch: int, test: int, steps: int) -> SequenceProblem:
    """Foresee the next character in windows of `steps`, read from the second on; chance: always the most frequent."""
    own, other = (part.expand(len(job.seeds), -1) for part in (text.train, text.test))
    found = _window_problem(job, own, other, batch=batch, test=test, steps=steps, symbols=len(text.alphabet), lag=1)
    return replace(found, chance=float(text.train.bincount().max() / len(text.train)))


def _window_problem(
    job: Job, text: Tensor, other: Tensor, *, batch: int, test: int, steps: int, symbols: int, lag: int
) -> SequenceProblem:
    """Windows of texts (seed, length), one to learn from and one held out."""
    streams = job.generators("windows")

    def draw(source: Tensor, trials: int, generators: Sequence[Generator]) -> SequenceBatch:
        found = draw_windows(source, trials, steps=steps, symbols=symbols, lag=lag, generators=generators)
        return moved(SequenceBatch(found.x, found.target[:, lag:], read_from=lag), job.device)

    return SequenceProblem(
        n_in=symbols,
        n_out=symbols,
        chance=1 / symbols,
        train=lambda step: draw(text, batch, streams),
        held_out=lambda: draw(other, test, job.generators("windows evaluation")),
    )
