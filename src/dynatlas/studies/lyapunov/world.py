"""What training and measuring share: the text that is read, and the networks that read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Generator, Tensor

from dynatlas.datasets.characters import read_book
from dynatlas.datasets.published import File
from dynatlas.ensemble.parameters import Params
from dynatlas.jobs import Job
from dynatlas.models.gated import GRU, LSTM, Elman, Stacked
from dynatlas.names import named
from dynatlas.tasks.lag_text import draw_windows, lag_text, windows
from dynatlas.tasks.symbols import SymbolBatch

CELLS: dict[str, type[Stacked]] = {"rnn": Elman, "gru": GRU, "lstm": LSTM}
HYPERPARAMETERS = ("gain", "learning_rate", "dropout")
"""What networks of a population differ in, beside their draw."""
LOGARITHMS = ("gain", "learning_rate")
"""Those that are drawn uniformly in their logarithm, which a readout of them sees."""
SPREAD = 3**0.5
"""U(-p, p) has standard deviation p / sqrt(3): a gain g (std x sqrt(N)) is p = g sqrt(3 / N)."""


@dataclass(frozen=True)
class Corpus:
    """A text, cut in two."""

    learned: Tensor
    """(length,), long."""
    held_out: Tensor
    """(length,), long."""
    symbols: int
    lag: int
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


@dataclass(frozen=True)
class Text:
    """Which text is read: lag text of `length` symbols, or the file at `path`; its first `share` is learned from."""

    kind: Literal["lag", "file"]
    share: float
    length: int = 0
    symbols: int = 4
    lag: int = 0
    keep: float = 0.85
    path: str = ""
    size: int = 0
    """Of the file, in bytes."""
    sha256: str = ""
    title: str = ""
    source: str = ""

    def read(self, job: Job) -> Corpus:
        """The text, the same for all seeds. Raises ValueError for another kind, else as `read_book` does."""
        if self.kind == "lag":
            text = lag_text(
                self.length, symbols=self.symbols, lag=self.lag, keep=self.keep, generators=[job.generator("text", 0)]
            )[0]
            symbols = self.symbols
        elif self.kind == "file":
            path = Path(self.path)
            file = File(path.name, self.size, self.sha256)
            alphabet, text = read_book(path, file, title=self.title, source=self.source)
            symbols = len(alphabet)
        else:
            raise ValueError(f"text: kind: {self.kind!r}: allowed is 'lag' or 'file'")
        text, cut = text.to(job.device), round(self.share * len(text))
        return Corpus(text[:cut], text[cut:], symbols, self.lag)


def network(cell: str, *, units: int, symbols: int, bias: bool = True) -> Stacked:
    """A network of gain 1: recurrent weights U(-p, p) with p = sqrt(3 / units), input weights U(-1, 1), biases 0.

    The readout is U(-1, 1) / sqrt(units). KeyError names the nearest cell.
    """
    kind = named(CELLS, cell, "cell")
    return kind(symbols, units, symbols, bias=bias, recurrent_gain=SPREAD, input_gain=symbols**0.5)


def with_gain(params: Params, gain: Tensor, *, inputs: str = "unit") -> Params:
    """The weights of networks of gain 1 with gains (member,): recurrent weights are multiplied by them.

    `inputs`: "unit" leaves the input weights at U(-1, 1); "recurrent" draws both from U(-p, p), as the paper does.
    Raises ValueError for any other.
    """
    if inputs not in ("unit", "recurrent"):
        raise ValueError(f"inputs: {inputs!r}: allowed is 'unit' or 'recurrent'")
    gain = gain.to(params["w_rec_l0"])[:, None, None]
    scaled = {"w_rec_l0": params["w_rec_l0"] * gain}
    if inputs == "recurrent":
        scaled["w_in_l0"] = params["w_in_l0"] * gain * SPREAD / params["w_rec_l0"].shape[1] ** 0.5
    return params | scaled
