"""What a step of a study is given: its seeds, its random streams, its device, and where it may save itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynatlas import seeds as streams

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Job:
    """The surroundings of one step of one study.

    In the DAG it is made from the plan; in a notebook, `Job(study="mine", seeds=[0, 1, 2])` is enough.
    """

    study: str
    seeds: Sequence[int]
    base_seed: int = 0
    device: str = "cpu"
    scratch: Path | None = None
    """Folder for checkpoints of this very node (same code, same settings), or None: nothing is saved."""
    checkpoint_seconds: float = 60.0
    """A long loop saves itself this often."""

    def rng(self, purpose: str, seed: int) -> np.random.Generator:
        """A fresh numpy generator at the start of stream (purpose, seed)."""
        return streams.numpy_stream(self.base_seed, self.study, purpose, seed)

    def generator(self, purpose: str, seed: int) -> torch.Generator:
        """A fresh torch generator at the start of stream (purpose, seed), on this job's device."""
        return streams.torch_stream(self.base_seed, self.study, purpose, seed, self.device)

    def generators(self, purpose: str) -> list[torch.Generator]:
        """One fresh torch generator for each of this job's seeds."""
        return [self.generator(purpose, seed) for seed in self.seeds]

    def checkpoint(self, name: str) -> Path | None:
        """Where the loop called `name` saves itself, or None."""
        return None if self.scratch is None else self.scratch / f"{name}.safetensors"

    def progress(self, name: str, total: int) -> Progress:
        """A reporter of a long loop: prints a plain line now and then to standard error."""
        return Progress(name=name, total=total)


@dataclass
class Progress:
    """Prints `name: step 120/1000 loss 0.031, 45 s left` at most every `every` seconds.

    How much is left is told from the second report on: the first, also that of a loop that goes on where it saved
    itself, only starts the clock.
    """

    name: str
    total: int
    every: float = 10.0
    started: float = field(default_factory=time.monotonic)
    first: int | None = None
    spoken: float = 0.0

    def __call__(self, step: int, **values: float) -> None:
        """Report that `step` steps are done, with values such as `loss=0.03`."""
        self.first = step if self.first is None else self.first
        now = time.monotonic()
        if now - self.spoken < self.every and step < self.total:
            return
        self.spoken = now
        done = step - self.first
        left = f", {(now - self.started) / done * (self.total - step):.0f} s left" if done > 0 else ""
        shown = "".join(f" {key} {value:.4g}" for key, value in values.items())
        print(f"{self.name}: step {step}/{self.total}{shown}{left}", file=sys.stderr, flush=True)


class Run(Mapping[str, Any]):
    """The arrays that a training step left, with the seeds and settings they were made with.

    `run["chance"]` is a torch tensor (loaded once, on the CPU), `run["networks"]` a `dynatlas.members.Group` where the
    step returned one: arrays with named axes. `run.seeds` and `run.settings` say what they were made with.
    """

    def __init__(self, arrays: Mapping[str, Any], *, seeds: Sequence[int], settings: Mapping[str, Any]):
        self._arrays = dict(arrays)
        self.seeds = list(seeds)
        self.settings = dict(settings)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._arrays[name]
        except KeyError:
            raise KeyError(f"no array {name!r} in this run; there are: {', '.join(sorted(self._arrays))}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)
