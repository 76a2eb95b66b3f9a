"""What a step of a study is given: its seeds, its random streams, its device, and where it may save itself."""

from __future__ import annotations

import gc
import sys
import time
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dynatlas.seeds import numpy_stream, torch_stream

if TYPE_CHECKING:
    import numpy as np
    import torch

G = TypeVar("G", bound="torch.Generator | np.random.Generator")


class Streams:
    """The random generators that a job handed out, for as long as somebody holds them.

    A loop that saves itself has to save them, too: all that are alive when it begins, and later ones can be none.
    """

    def __init__(self) -> None:
        self.count = 0
        """How many were handed out by now, whether they are alive or not."""
        self._handed: weakref.WeakKeyDictionary[Any, tuple[str, int]] = weakref.WeakKeyDictionary()

    def hand_out(self, name: str, generator: G) -> G:
        """Remember `generator` under a name, which others may have as well."""
        self.count += 1
        self._handed[generator] = name, self.count
        return generator

    def alive(self, *, collect: bool = False) -> dict[str, torch.Generator | np.random.Generator]:
        """Those that somebody holds, under `<name>/<occurrence>`: the first of its name is 0, in the order of asking.

        Where names alone do not tell them apart, or with `collect`, garbage is collected first: which of those that
        nobody can reach are still there is chance.
        """
        found = list(self._handed.items())
        if collect or len({name for _, (name, _) in found}) < len(found):
            found.clear()
            gc.collect()
            found = list(self._handed.items())
        seen: Counter[str] = Counter()
        named = {}
        for generator, (name, _) in found:
            named[f"{name}/{seen[name]}"] = generator
            seen[name] += 1
        return named

    def refuse_later(self, count: int, where: str) -> int:
        """`count` as it is now, if none that was handed out after the first `count` is alive.

        Raises ValueError naming those that are, and `where` they were asked for.
        """
        if self.count > count and self._later(count):
            gc.collect()
            if later := self._later(count):
                raise ValueError(
                    f"{where} asked the job for random generators and kept them: {', '.join(sorted(set(later)))}. A "
                    "loop that is resumed could not know where they stood: ask for them before fit(), or anew in each "
                    "call, for use in this call alone"
                )
        return self.count

    def _later(self, count: int) -> list[str]:
        return [name for name, number in list(self._handed.values()) if number > count]


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
    streams: Streams = field(default_factory=Streams, repr=False, compare=False)
    """What was handed out by this job and by those that `dataclasses.replace` makes of it."""

    def rng(self, purpose: str, seed: int) -> np.random.Generator:
        """A fresh numpy generator at the start of stream (purpose, seed)."""
        made = numpy_stream(self.base_seed, self.study, purpose, seed)
        return self.streams.hand_out(f"numpy/{purpose}/{seed}", made)

    def generator(self, purpose: str, seed: int, *, device: str = "cpu") -> torch.Generator:
        """A fresh torch generator at the start of stream (purpose, seed).

        Data and initial weights are drawn on the CPU and moved, so that a seed is the same network on every device. For
        noise that is drawn within a loop ask for `device=job.device`: moving it would take longer than drawing it.
        """
        made = torch_stream(self.base_seed, self.study, purpose, seed, device)
        return self.streams.hand_out(f"torch/{purpose}/{seed}", made)

    def generators(self, purpose: str, *, device: str = "cpu") -> list[torch.Generator]:
        """One fresh torch generator for each of this job's seeds; `device` as in `generator`."""
        return [self.generator(purpose, seed, device=device) for seed in self.seeds]

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
