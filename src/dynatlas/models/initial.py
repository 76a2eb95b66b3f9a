"""Initial weights of recurrent networks, drawn from one generator for each seed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dynatlas.names import named


def gaussian(rows: int, columns: int, *, gain: float, generator: torch.Generator) -> Tensor:
    """Entries N(0, gain^2 / rows), float64; rows are the sources (fan-in)."""
    drawn = torch.randn(rows, columns, generator=generator, device=generator.device, dtype=torch.float64)
    return drawn * (gain / math.sqrt(rows))


def uniform(rows: int, columns: int, *, gain: float, generator: torch.Generator) -> Tensor:
    """Entries U(-p, p) with p = gain / sqrt(rows), float64; gain 1 is torch's default of linear layers."""
    drawn = torch.rand(rows, columns, generator=generator, device=generator.device, dtype=torch.float64)
    return (2 * drawn - 1) * (gain / math.sqrt(rows))


def orthogonal(rows: int, columns: int, *, gain: float, generator: torch.Generator) -> Tensor:
    """gain x a random orthogonal matrix (Haar: QR of a Gaussian with the signs of R's diagonal), float64.

    Of a matrix that is not square, the shorter side is orthonormal.
    """
    tall, thin = max(rows, columns), min(rows, columns)
    q, r = torch.linalg.qr(gaussian(tall, thin, gain=1.0, generator=generator))
    q = q * torch.diagonal(r).sign()
    return gain * (q if rows >= columns else q.T)


INITIALISERS = {"gaussian": gaussian, "uniform": uniform, "orthogonal": orthogonal}


def draw(kind: str, rows: int, columns: int, *, gain: float, generator: torch.Generator) -> Tensor:
    """A (rows, columns) matrix of this kind, float64; a KeyError lists the known kinds and the nearest."""
    return named(INITIALISERS, kind, "initialisation")(rows, columns, gain=gain, generator=generator)
