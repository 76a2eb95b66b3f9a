"""Copy memory: a few symbols, a long blank delay, a marker; then the symbols are to be said again.

Hochreiter and Schmidhuber 1997; in the form of Arjovsky et al. 2016. With c symbols of an alphabet of L and delay T, a
trial is c symbols, T - 1 blanks, the marker and c blanks: T + 2c steps. Blank is 0, the symbols 1 ... L, the marker
L + 1; wanted are T + c blanks and then the symbols.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from dynatlas.tasks.draws import channel_noise
from dynatlas.tasks.symbols import SymbolBatch, draw_symbols, one_hot


def input_channels(symbols: int) -> tuple[str, ...]:
    """Names of the L + 2 input channels (one-hot)."""
    return ("blank", *(f"symbol{i}" for i in range(1, symbols + 1)), "marker")


def output_channels(symbols: int) -> tuple[str, ...]:
    """Names of the L + 1 outputs; the marker is never wanted."""
    return input_channels(symbols)[:-1]


def copy_memory(
    trials: int,
    *,
    delay: int,
    count: int,
    symbols: int = 8,
    generators: Sequence[Generator],
    sigma_x: float = 0.0,
    scalar: bool = False,
    dtype: torch.dtype = torch.float32,
) -> SymbolBatch:
    """Random trials, with a leading seed axis: `count` symbols (c) of `symbols` (L) over `delay` (T).

    Inputs are one-hot, or with `scalar` the number of the symbol in one channel; sigma_x N(0, 1) is added to them. The
    loss is read at every step, the accuracy at the last c. Raises ValueError for sizes below 1.
    """
    for name, size in (("delay", delay), ("count", count), ("symbols", symbols)):
        if size < 1:
            raise ValueError(f"{name} = {size}: wanted is at least 1")
    said = draw_symbols((count, trials), 1, symbols + 1, generators=generators)
    shown = said.new_zeros(len(said), delay + 2 * count, trials)
    target = torch.zeros_like(shown)
    shown[:, :count] = said
    shown[:, delay + count - 1] = symbols + 1
    target[:, delay + count :] = said
    x = shown[..., None].to(dtype) if scalar else one_hot(shown, symbols + 2, dtype)
    y = one_hot(target, symbols + 1, dtype)
    counted = torch.arange(shown.shape[1], device=shown.device) >= delay + count
    noise = channel_noise(tuple(x.shape[1:]), sigma_x, generators=generators, dtype=dtype)
    return SymbolBatch(x=x + noise, target=target, y=y, mask=torch.ones_like(y), counted=counted)


def baseline_loss(*, delay: int, count: int, symbols: int = 8) -> float:
    """c ln L / (T + 2c), in nats: the loss without memory, sure of the blanks and guessing the symbols."""
    return count * math.log(symbols) / (delay + 2 * count)


def oracle(x: Tensor, *, count: int) -> Tensor:
    """Outputs (..., time, trial, L + 1) that solve noise-free one-hot inputs (..., time, trial, L + 2)."""
    answers = torch.zeros_like(x[..., :-1])
    answers[..., 0] = 1
    answers[..., -count:, :, :] = x[..., :count, :, :-1]
    return answers


def ignorant(x: Tensor, generators: Sequence[Generator], *, count: int) -> Tensor:
    """Outputs (seed, time, trial, L + 1): blanks, then symbols at random; expected accuracy 1 / L."""
    symbols = x.shape[-1] - 2
    guessed = draw_symbols((count, x.shape[-2]), 1, symbols + 1, generators=generators)
    answers = torch.zeros_like(x[..., :-1])
    answers[..., 0] = 1
    answers[:, -count:] = one_hot(guessed, symbols + 1, x.dtype)
    return answers
