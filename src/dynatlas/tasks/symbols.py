"""Tasks over a finite alphabet: what a trial is, the loss that is trained and the accuracy that is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class SymbolBatch:
    """Trials as a network sees them, time before trial."""

    x: Tensor
    """(seed, time, trial, input)."""
    target: Tensor
    """(seed, time, trial), long: the class that is wanted at each step."""
    y: Tensor
    """(seed, time, trial, output): `target`, one-hot."""
    mask: Tensor
    """As y: 1 at the steps that the loss is read at, else 0."""
    counted: Tensor
    """(time,), bool: the steps that the accuracy is read at."""

    def trials(self, chosen: Tensor | slice) -> SymbolBatch:
        """These trials alone."""
        parts = {name: getattr(self, name)[:, :, chosen] for name in ("x", "target", "y", "mask")}
        return replace(self, **parts)


def cross_entropy(outputs: Tensor, batch: SymbolBatch) -> Tensor:
    """Mean cross-entropy in nats over scored steps and trials, outputs (seed, time, trial, output) -> (seed,)."""
    scored = batch.mask[..., 0]
    error = torch.nn.functional.cross_entropy(outputs.movedim(-1, 1), batch.target, reduction="none")
    return (error * scored).sum(dim=(1, 2)) / scored.sum(dim=(1, 2))


def accuracy(outputs: Tensor, batch: SymbolBatch) -> Tensor:
    """Fraction of counted steps whose largest output is the wanted one (the first of equal ones) -> (seed,)."""
    right = outputs.argmax(dim=-1) == batch.target
    return right[:, batch.counted].to(outputs.dtype).mean(dim=(1, 2))


def one_hot(symbols: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """(...) -> (..., size)."""
    return torch.nn.functional.one_hot(symbols.long(), size).to(dtype)


def draw_symbols(shape: tuple[int, ...], low: int, high: int, *, generators: Sequence[Generator]) -> Tensor:
    """Uniform whole numbers low ... high - 1, long (seed, *shape): one call of each seed's own generator."""
    return torch.stack([torch.randint(low, high, shape, generator=g, device=g.device) for g in generators])
