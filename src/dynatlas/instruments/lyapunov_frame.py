"""A frame of tangent vectors, carried along by Jacobians and kept from collapsing: the engine of the exponents.

The QR method (Benettin et al. 1980) writes J_T ... J_1 Q_0 = Q_T R_T ... R_1 and reads the growth off the diagonals.
The identity holds for *any* frames B_t with J_t B_{t-1} = B_t R_t and R_t upper triangular, if the last one is made
orthonormal: J_T ... J_1 Q_0 = B_T (R_T ... R_1) = Q (R R_T ... R_1) with B_T = Q R. So at each step we split the
factor off by elimination with row pivoting, B = P^T L, R = U, and orthonormalise only where exponents are read. It is
the same number at about half the cost, and a better one where rows of J differ in scale: pivoting keeps the relative
accuracy of saturated units, and rows that are exactly zero give a factor that is exactly zero.

A Jacobian that adds a small matrix to a large one has lost the small one before any frame sees it. A cell that knows
its Jacobian as a product of matrices that lose nothing gives these *pieces*; where a step's factors spread, the frame
is carried through them one by one, with an elimination after each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from dynatlas.instruments.scale import power_of_two

SPREAD_LIMIT = 1e6
"""Largest ratio of a block's factors: the condition number is up to 80 times as large, the error of exponents 1e-10."""
LONGEST_BLOCK = 32
_SUSPICIOUS = 1e10
"""Factors that spread by more may have lost digits that count: rounding is looked at, and pieces are taken."""


class Tangents(Protocol):
    """The linear maps J_1, J_2, ... of some steps."""

    def __len__(self) -> int:
        """How many."""
        ...

    def carry(self, vectors: Tensor, start: int, stop: int) -> Tensor:
        """J_stop ... J_{start + 1} v for vectors (row, k, d), each row of the last two axes a vector."""
        ...

    def pieces(self, step: int) -> Sequence[Tensor]:
        """Matrices (row, d, d), the first to be applied first, whose product is the map of a step; none if unknown."""
        ...


@dataclass(frozen=True)
class Dense:
    """Given as matrices (step, row, d, d), row = output; `transposed` multiplies J^T instead."""

    jacobians: Tensor
    transposed: bool = False
    factorised: Callable[[], Sequence[Tensor]] | None = None
    """Gives the pieces of all steps, each (step, row, d, d); asked where they are wanted."""

    def __len__(self) -> int:
        return len(self.jacobians)

    def carry(self, vectors: Tensor, start: int, stop: int) -> Tensor:
        """As `Tangents`."""
        for jacobian in self.jacobians[start:stop]:
            vectors = torch.bmm(vectors, jacobian if self.transposed else jacobian.mT)
        return vectors

    def pieces(self, step: int) -> Sequence[Tensor]:
        """As `Tangents`."""
        return [piece[step] for piece in self._pieces]

    @cached_property
    def _pieces(self) -> Sequence[Tensor]:
        return self.factorised() if self.factorised else []


@dataclass
class Frame:
    """Tangent vectors of many trajectories, and how much they have grown since they were last read.

    `block`: how many Jacobians are multiplied before a triangular factor is split off; "auto" begins with one and
    doubles as long as the factors stay close. A block whose factors do not, or are 0 or so small that products may have
    underflowed, is done again in halves: all its rows are. What died or nearly did does so again: blocks stay short.
    """

    basis: Tensor
    """Transposed, (row, vector, coordinate), so that it lies in memory as LAPACK wants it."""
    block: int | str

    def __post_init__(self) -> None:
        self.growth = self.basis.new_zeros(self.basis.shape[:2])
        self.spread = self.basis.new_ones(self.basis.shape[0])
        self.span = 1 if self.block == "auto" else int(self.block)
        self._volume = _log_diagonal(self.basis)

    def advance(self, tangents: Tangents) -> None:
        """Carry the frame along by all of these steps; a factor is split off at the end in any case."""
        start = 0
        while start < len(tangents):
            stop = min(start + self.span, len(tangents))
            self._carry(tangents, start, stop)
            start = stop

    def read(self) -> Tensor:
        """Logarithms of the growth (row, vector) since the last reading; -inf where a direction died."""
        volume = _log_diagonal(self.basis)
        growth = self.growth + (volume - self._volume)
        self.growth, self._volume = torch.zeros_like(self.growth), volume
        return growth

    def _carry(self, tangents: Tangents, start: int, stop: int) -> None:
        basis, factors, spread, exact = eliminate(tangents.carry(self.basis, start, stop))
        widest, smallest = float(spread.max()), float(factors.min())
        whole = smallest >= torch.finfo(factors.dtype).tiny ** 0.5
        if stop - start > 1 and not (exact and whole and widest <= SPREAD_LIMIT):
            middle = (start + stop) // 2
            self._carry(tangents, start, middle)
            self._carry(tangents, middle, stop)
            self.span = middle - start if self.block == "auto" or not whole else self.span
            return
        growth = factors.log()
        lost = (spread > _SUSPICIOUS) | (factors == 0).any(dim=-1)
        if stop - start == 1 and bool(lost.any()) and (pieces := tangents.pieces(start)):
            whole_basis, whole_growth = carry_in_pieces(self.basis, pieces)
            basis = torch.where(lost[:, None, None], whole_basis, basis)
            growth = torch.where(lost[:, None], whole_growth, growth)
        self.basis, self.growth = basis, self.growth + growth
        self.spread = torch.maximum(self.spread, spread)
        if self.block == "auto" and stop - start == self.span and widest < SPREAD_LIMIT**0.4 and smallest > 0:
            self.span = min(2 * self.span, LONGEST_BLOCK)


def carry_in_pieces(basis: Tensor, pieces: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The frame (row, k, d) after matrices (row, d, d), and the logarithms (row, k) of all that was split off."""
    growth = basis.new_zeros(basis.shape[:2])
    for piece in pieces:
        basis, factors, _, _ = eliminate(torch.bmm(basis, piece.mT))
        growth = growth + factors.log()
    return basis, growth


def eliminate(moved: Tensor) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Z^T (row, k, d) -> next frame, transposed as well; |diag U| (row, k); its spread (row,); whether all are exact.

    Z = P^T L U. The spread is the largest over the smallest factor that is not 0. A factor below the rounding error of
    its own elimination, eps (|L| |U|)_ii, counts as 0, and is not exact if it was not 0 to the last bit.
    """
    packed, pivots, _ = torch.linalg.lu_factor_ex(moved.mT)
    dense = torch.lu_unpack(packed, pivots, unpack_data=False)[0]
    packed = packed.mT
    permutation = (dense @ torch.arange(dense.shape[-1]).to(dense)).long()
    lower = packed.triu(1)
    lower.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    basis = lower.gather(-1, permutation[:, None].expand(moved.shape))
    factors = packed.diagonal(dim1=-2, dim2=-1).abs()
    smallest, largest = factors.aminmax(dim=-1)
    spread = largest / smallest
    if bool((spread <= _SUSPICIOUS).all()):
        return basis, factors, spread, True
    size = _beyond_products(moved)
    if bool((size != 1).any()):
        basis, factors, spread, exact = eliminate(moved / size)
        return basis, factors * size[..., 0], spread, exact
    square = packed[..., : moved.shape[-2]]
    rounding = (square * square.mT).abs().triu(1).sum(-2) + factors
    lost = factors <= moved.shape[-1] * torch.finfo(factors.dtype).eps * rounding
    exact = bool((factors[lost] == 0).all())
    factors = torch.where(lost, 0.0, factors)
    return basis, factors, largest / torch.where(lost, torch.inf, factors).amin(-1), exact


def _beyond_products(moved: Tensor) -> Tensor:
    """The `power_of_two` (row, 1, 1) of what is so small or large that elimination would under- or overflow, else 1."""
    size, kind = power_of_two(moved, dim=(-2, -1)), torch.finfo(moved.dtype)
    return torch.where((size < kind.tiny / kind.eps) | (size > kind.max * kind.eps), size, 1.0)


def _log_diagonal(basis: Tensor) -> Tensor:
    """log of the diagonal of R, made positive, in the QR decomposition of each frame."""
    r = torch.linalg.qr(basis.mT, mode="r").R
    return r.diagonal(dim1=-2, dim2=-1).abs().log()
