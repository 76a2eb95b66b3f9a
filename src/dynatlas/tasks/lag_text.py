"""Text that can be foreseen only with memory: each symbol repeats the one `lag` steps before it, or is drawn anew.

x_t = x_{t - lag} with probability `keep`, else uniform over V symbols (study lyapunov). The network is shown x_t
and predicts x_{t + 1}.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from dynatlas.tasks.draws import channel_noise, uniforms
from dynatlas.tasks.symbols import SymbolBatch, draw_symbols, one_hot


def lag_text(
    length: int, *, symbols: int = 4, lag: int = 5, keep: float = 0.85, generators: Sequence[Generator]
) -> Tensor:
    """Text, long (seed, length), values 0 ... symbols - 1; the first `lag` symbols are uniform.

    Raises ValueError for keep outside 0 ... 1 and sizes below 1.
    """
    if not 0 <= keep <= 1 or min(length, symbols, lag) < 1:
        raise ValueError(
            f"keep = {keep}, length = {length}, symbols = {symbols}, lag = {lag}: wanted are 0 to 1 and at least 1"
        )
    rows = math.ceil(length / lag)
    drawn = draw_symbols((rows, lag), 0, symbols, generators=generators)
    fresh = uniforms(rows, lag, generators=generators) >= keep
    fresh[:, 0] = True
    # the row in which the symbol that is still repeated here was drawn
    row = torch.arange(rows, device=drawn.device)[:, None].where(fresh, 0)
    return drawn.gather(1, row.cummax(dim=1).values).flatten(1)[:, :length]


def entropy_floor(*, symbols: int = 4, keep: float = 0.85) -> float:
    """The lowest possible cross-entropy in nats, reached from position `lag` on: q = keep + (1 - keep) / V is right."""
    wrong = (1 - keep) / symbols
    right = keep + wrong
    parts = [right, *[wrong] * (symbols - 1)]
    return -sum(p * math.log(p) for p in parts if p > 0)


def windows(
    text: Tensor, starts: Tensor, *, steps: int, symbols: int = 4, lag: int = 5, dtype: torch.dtype = torch.float32
) -> SymbolBatch:
    """Windows of a text (seed, length) that begin at `starts` (seed, trial): `steps` symbols, each with its successor.

    Loss and accuracy are read at positions >= lag of a window, where the symbol that decides was seen. Inputs and
    outputs are one-hot (V). Raises ValueError for windows that do not fit, and where nothing would be scored.
    """
    if steps <= lag:
        raise ValueError(f"steps = {steps}: nothing is scored before position lag = {lag}")
    if starts.numel() and not 0 <= int(starts.min()) <= int(starts.max()) <= text.shape[1] - steps - 1:
        raise ValueError(f"starts must lie in 0..{text.shape[1] - steps - 1}: {steps} symbols and their successors")
    place = starts[:, None] + torch.arange(steps + 1, device=text.device)[:, None]
    shown = torch.take_along_dim(text[:, None], place, dim=2)
    y = one_hot(shown[:, 1:], symbols, dtype)
    counted = torch.arange(steps, device=text.device) >= lag
    mask = counted.to(dtype)[:, None, None].expand_as(y)
    return SymbolBatch(x=one_hot(shown[:, :-1], symbols, dtype), target=shown[:, 1:], y=y, mask=mask, counted=counted)


def draw_windows(
    text: Tensor,
    trials: int,
    *,
    steps: int,
    generators: Sequence[Generator],
    symbols: int = 4,
    lag: int = 5,
    sigma_x: float = 0.0,
) -> SymbolBatch:
    """`trials` windows of each seed's text (seed, length) at uniform places; sigma_x N(0, 1) is added to inputs."""
    starts = draw_symbols((trials,), 0, text.shape[1] - steps, generators=generators).to(text.device)
    batch = windows(text, starts, steps=steps, symbols=symbols, lag=lag)
    noise = channel_noise(tuple(batch.x.shape[1:]), sigma_x, generators=generators, dtype=batch.x.dtype)
    return replace(batch, x=batch.x + noise.to(text.device))


def oracle(x: Tensor, *, lag: int = 5) -> Tensor:
    """Outputs (..., time, trial, V) that foresee one-hot inputs: the symbol lag - 1 steps ago (at first: this one)."""
    answers = x.clone()
    answers[..., lag - 1 :, :, :] = x[..., : x.shape[-3] - lag + 1, :, :]
    return answers


def ignorant(x: Tensor, generators: Sequence[Generator]) -> Tensor:
    """Outputs (seed, time, trial, V) at random; expected accuracy 1 / V."""
    guessed = draw_symbols(tuple(x.shape[1:-1]), 0, x.shape[-1], generators=generators)
    return one_hot(guessed, x.shape[-1], x.dtype)
