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


def rotation(rows: int, columns: int, *, gain: float, generator: torch.Generator) -> Tensor:
    """gain x a block-diagonal matrix of plane rotations by angles U(-pi, 0), float64 (Henaff, Szlam and LeCun 2016).

    It is exp of a block-diagonal skew matrix, hence orthogonal; the last of an odd number of units stays where it is.
    Raises ValueError for a matrix that is not square.
    """
    if rows != columns:
        raise ValueError(f"a rotation is square, not {rows} x {columns}")
    drawn = torch.rand(rows // 2, generator=generator, device=generator.device, dtype=torch.float64)
    angles = (drawn - 1) * math.pi
    even = torch.arange(0, rows - 1, 2, device=angles.device)
    matrix = torch.eye(rows, dtype=torch.float64, device=angles.device)
    matrix[even, even] = matrix[even + 1, even + 1] = angles.cos()
    matrix[even, even + 1], matrix[even + 1, even] = angles.sin(), -angles.sin()
    return gain * matrix


def xavier(rows: int, columns: int, *, gain: float, generator: torch.Generator) -> Tensor:
    """Entries N(0, 2 gain^2 / (rows + columns)), float64 (Glorot and Bengio 2010)."""
    drawn = torch.randn(rows, columns, generator=generator, device=generator.device, dtype=torch.float64)
    return drawn * (gain * math.sqrt(2 / (rows + columns)))


INITIALISERS = {
    "gaussian": gaussian,
    "uniform": uniform,
    "orthogonal": orthogonal,
    "rotation": rotation,
    "xavier": xavier,
}


def draw(kind: str, rows: int, columns: int, *, gain: float, generator: torch.Generator) -> Tensor:
    """A (rows, columns) matrix of this kind, float64; a KeyError lists the known kinds and the nearest."""
    return named(INITIALISERS, kind, "initialisation")(rows, columns, gain=gain, generator=generator)
