"""Every problem of the wing at a small size, for the contract suite; no study imports this."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dynatlas.datasets.characters import Characters
from dynatlas.jobs import Job
from dynatlas.problems.sequences import (
    SequenceProblem,
    character_problem,
    copy_problem,
    permuted_images,
    pixel_problem,
    text_problem,
)

BATCH, TEST, UPDATES = 6, 40, 8


def _pixels(job: Job) -> SequenceProblem:
    images = permuted_images("digits", train=1000, test=TEST, pixels_per_step=8)
    return pixel_problem(job, images, updates=UPDATES, batch=BATCH)


def _characters(job: Job) -> SequenceProblem:
    """A text of three characters that come round, read from memory."""
    text = torch.arange(90) % 3
    parts = {"train": text, "valid": text[:20], "test": text[1:61]}
    return character_problem(job, Characters(("a", "b", "c"), **parts), batch=BATCH, test=TEST, steps=7)


PROBLEMS: dict[str, Callable[[Job], SequenceProblem]] = {
    "pixels": _pixels,
    "copy": lambda job: copy_problem(job, batch=BATCH, test=TEST, delay=4, count=2, symbols=3),
    "copy of numbers": lambda job: copy_problem(job, batch=BATCH, test=TEST, delay=4, count=2, symbols=3, scalar=True),
    "text": lambda job: text_problem(job, batch=BATCH, test=TEST, steps=9, symbols=4, lag=3, length=200),
    "characters": _characters,
}
