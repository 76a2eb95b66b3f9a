"""One text for all seeds, cut in two: windows to learn from, even ones to validate on, sequences to measure on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from dynatlas.datasets.characters import read_book
from dynatlas.datasets.published import File
from dynatlas.devices import moved
from dynatlas.jobs import Job
from dynatlas.tasks.lag_text import draw_windows, lag_text, windows
from dynatlas.tasks.symbols import SymbolBatch


@dataclass(frozen=True)
class Corpus:
    """A text, cut in two."""

    learned: Tensor
    """(length,), long."""
    held_out: Tensor
    """(length,), long."""
    symbols: int
    lag: int = 0
    """Positions below it are not scored; in lag text, how far back the symbol stands that decides."""

    def draw(self, trials: int, *, steps: int, generators: list[Generator]) -> SymbolBatch:
        """Windows of the learned part at random places, anew for each generator: axes (seed, time, trial, symbol)."""
        text = self.learned.expand(len(generators), -1)
        return draw_windows(text, trials, steps=steps, symbols=self.symbols, lag=self.lag, generators=generators)

    def evenly(self, trials: int, *, steps: int) -> SymbolBatch:
        """Windows of the held-out part at equal distances, the same for all seeds: axes (1, time, trial, symbol)."""
        starts = torch.linspace(0, len(self.held_out) - steps - 1, trials, device=self.held_out.device).long()
        return windows(self.held_out[None], starts[None], steps=steps, symbols=self.symbols, lag=self.lag)

    def sequences(self, trials: int, *, steps: int, generator: Generator) -> Tensor:
        """One-hot stretches of the held-out part at random places, float64 (time, trial, symbol)."""
        text = self.held_out[None]
        drawn = draw_windows(text, trials, steps=steps, symbols=self.symbols, lag=0, generators=[generator])
        return drawn.x[0].double()


def lag_corpus(job: Job, *, share: float, length: int, symbols: int, lag: int, keep: float) -> Corpus:
    """Text made up by `tasks.lag_text`, the same for all seeds; its first `share` is learned from."""
    text = lag_text(length, symbols=symbols, lag=lag, keep=keep, generators=[job.generator("text", 0)])[0]
    return _cut(job, text, share, symbols=symbols, lag=lag)


def book_corpus(job: Job, *, share: float, path: str, size: int, sha256: str, title: str, source: str) -> Corpus:
    """The characters of a published file of `size` bytes; its first `share` is learned from. Raises as `read_book`."""
    place = Path(path)
    alphabet, text = read_book(place, File(place.name, size, sha256), title=title, source=source)
    return _cut(job, text, share, symbols=len(alphabet))


def _cut(job: Job, text: Tensor, share: float, *, symbols: int, lag: int = 0) -> Corpus:
    cut = round(share * len(text))
    return moved(Corpus(text[:cut], text[cut:], symbols, lag), job.device)
