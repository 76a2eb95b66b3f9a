"""What training and measuring share: the text that is read, and the networks that read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from dynatlas.ensemble.parameters import Params
from dynatlas.jobs import Job
from dynatlas.models.gated import GRU, LSTM, Elman, Stacked
from dynatlas.names import named
from dynatlas.problems.corpus import Corpus, book_corpus, lag_corpus

CELLS: dict[str, type[Stacked]] = {"rnn": Elman, "gru": GRU, "lstm": LSTM}
HYPERPARAMETERS = ("gain", "learning_rate", "dropout")
"""What networks of a population differ in, beside their draw."""
LOGARITHMS = ("gain", "learning_rate")
"""Those that are drawn uniformly in their logarithm, which a readout of them sees."""
SPREAD = 3**0.5
"""U(-p, p) has standard deviation p / sqrt(3): a gain g (std x sqrt(N)) is p = g sqrt(3 / N)."""
TEXTS: dict[str, Callable[..., Corpus]] = {"lag": lag_corpus, "file": book_corpus}
"""How a text is read, by its kind."""


def read_text(job: Job, *, kind: str, **about: Any) -> Corpus:
    """The text that the settings tell about, the same for all seeds. KeyError names the nearest kind."""
    return named(TEXTS, kind, "kind of text")(job, **about)


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
