"""Lyapunov spectra of recurrent networks and other dynamical systems: how fast nearby states part or meet.

For a state s_t = f(s_{t-1}, x_t) with Jacobians J_t = d s_t / d s_{t-1}, the exponents are
lambda_i = lim (1/T) log sigma_i(J_T ... J_1), in nats per step (Oseledets 1968). Results are
(network, sequence, exponent). Vogt, Puelma Touzel, Shlizerman, Lajoie 2020 (arXiv 2006.14123) use them to read the
stability of training; their code multiplies the transposed Jacobians in order of time, which is the spectrum of
J_1 J_2 ... J_T: `order="reversed"` gives those numbers (in nats; theirs are bits).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from dynatlas.instruments.given import real, real_tensor, whole
from dynatlas.instruments.lyapunov_cells import Orbits
from dynatlas.instruments.lyapunov_frame import LONGEST_BLOCK, Dense, Frame, Tangents
from dynatlas.instruments.threads import over_threads

Order = Literal["forward", "reversed"]
Which = Literal["full", "hidden"]
BLOCKS, SHORTEST_BLOCK = 10, 20
"""Stretches of time after which the running estimate is read, and how many steps they have where there are so many."""
_GROUP = 2**16
_CHUNK = 2**20
"""Numbers in the frames, and in the Jacobians, that are worked on at once: they stay in the cache."""
_RUN_TOGETHER, _FORESEEN = 8, 2**22
"""Networks whose states are computed together, and how many numbers these may be."""


@dataclass(frozen=True)
class LyapunovResult:
    """Lyapunov exponents in nats per step, of every network on every sequence."""

    exponents: Tensor
    """(network, sequence, k), in the order of the frame's vectors, which is that of `running` and `by_block`. -inf: it
    died.

    They descend as time grows; over finite time neighbours may stand the other way round, since each belongs to its
    vector: `descending` has them in order of size.
    """
    running: Tensor
    """(network, sequence, block, k): the estimate from the end of the burn-in up to `steps`."""
    steps: Tensor
    """(block,): steps counted at each running estimate; the last is T - burn_in."""
    by_block: Tensor
    """(network, sequence, block, k): the growth rates within each stretch of time alone."""
    spread: Tensor
    """(network,): largest ratio of the factors that were split off together, of those that are not 0."""

    @property
    def descending(self) -> Tensor:
        """(network, sequence, k): the exponents of each sequence, the largest first; NaN before all."""
        return self.exponents.sort(dim=-1, descending=True).values

    @property
    def mean(self) -> Tensor:
        """(network, k): mean over sequences, sorted after averaging, descending."""
        return self.exponents.mean(dim=1).sort(dim=-1, descending=True).values

    @property
    def stderr(self) -> Tensor:
        """(network, k): standard error of `mean`, over sequences; of a single sequence, over its blocks of time.

        0 where an exponent is -inf throughout, inf where it is -inf in part, or where there is one block only.
        """
        samples = self.exponents if self.exponents.shape[1] > 1 else self.by_block[:, 0]
        order = self.exponents.mean(dim=1).argsort(dim=-1, descending=True)
        return _standard_error(samples).gather(-1, order)

    @property
    def dead(self) -> Tensor:
        """(network, sequence): how many exponents are -inf."""
        return (self.exponents == -torch.inf).sum(dim=-1)


def lyapunov_spectrum(
    cell: Any,
    params: Mapping[str, Tensor] | None,
    inputs: Tensor | None = None,
    *,
    state0: Tensor | None = None,
    q0: Tensor | None = None,
    generator: torch.Generator | None = None,
    steps: int | None = None,
    k: int | None = None,
    burn_in: int = 50,
    qr_every: int | Literal["auto"] = 1,
    order: Order = "forward",
    state: Which = "full",
    dtype: torch.dtype = torch.float64,
) -> LyapunovResult:
    """The k leading Lyapunov exponents of each network on each sequence.

    `cell`: what steps (`lyapunov_cells` says what is expected of it): a model of this wing, an object of one's own, or
    a function `step(params, x, s)`. `params`: tree of tensors with leading axis network; None for a cell without any.
    `inputs` (T, sequence, n_in), the same for all networks, or (network, T, sequence, n_in); without inputs the system
    is autonomous: it is run for `steps`, with zeros coming in where the cell has inputs. `state0`
    (sequence, d) or (network, sequence, d); default zeros.

    `q0`: the first frame, (d, k) or (network, sequence, d, k); default a random orthonormal one from `generator` (of a
    fixed seed if there is none), the same for all: the identity is not generic for stacked layers. The first `burn_in`
    steps turn the frame and are not counted. `qr_every`: after how many steps a triangular factor is split off the
    product, sooner where factors would be lost; "auto" finds a number for each network by itself. Results differ by
    rounding only (1e-10). Above 1 networks are measured one by one, since how often a factor is split off depends on
    the network and must not depend on others in the batch: quicker for many sequences or units, slower for few.
    `state="hidden"` leaves memory cells out of the Jacobian (what published LSTM spectra do), `order="reversed"`
    multiplies the transposed Jacobians (module docstring).

    The Jacobian of an LSTM's full state adds its output gates' part, row by row, to a multiple of its memory cells'
    rows, and loses it where saturation makes it 1e16 times smaller. Such steps are taken in pieces (`lyapunov_frame`);
    of 60 networks of 1 to 3 units with inputs up to 200 (exponents down to -170) three then have a lowest exponent
    that is off by more than 1e-9 of itself (by 3e-9 and 2e-6, and -inf), against 34 without.
    `order="reversed"`, and k up to half of d, do without.

    A network whose states or Jacobians are not finite has exponents NaN. Raises ValueError for shapes and settings
    that do not fit, and for a `dtype` other than float32 and float64, in which all is computed.
    """
    orbits = Orbits.of(cell, params, inputs, state0=state0, steps=steps, state=state, dtype=dtype)
    run = _Run.of(orbits.steps, orbits.kept, k=k, burn_in=burn_in, qr_every=qr_every, order=order)
    frames = run.frames(q0, orbits.state, generator)

    members, sequences, d = orbits.state.shape
    together = max(1, min(_RUN_TOGETHER, _FORESEEN // (orbits.steps * sequences * d)))

    def measure(start: int) -> list[tuple[Tensor, Tensor]]:
        some = slice(start, min(start + together, members))
        with torch.no_grad():
            part, found = orbits.part(some).foreseen(), []
            for group in run.groups(some.stop - start, sequences):
                tangents = partial(part.part(group).tangents, few=run.few, transposed=run.reverse)
                found.append(run.measure(tangents, frames[some][group].flatten(0, 1)))
        return found

    return run.result([one for found in over_threads(measure, range(0, members, together)) for one in found], sequences)


def jacobians_along(
    cell: Any,
    params: Mapping[str, Tensor] | None,
    inputs: Tensor | None = None,
    *,
    state0: Tensor | None = None,
    steps: int | None = None,
    state: Which = "full",
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """All Jacobians J_1 ... J_T, (T, network, sequence, d, d), row = output; arguments as in `lyapunov_spectrum`."""
    orbits = Orbits.of(cell, params, inputs, state0=state0, steps=steps, state=state, dtype=dtype)
    with torch.no_grad():
        return orbits.jacobians(orbits.steps).unflatten(1, tuple(orbits.state.shape[:2]))


def lyapunov_from_jacobians(
    jacobians: Tensor,
    *,
    q0: Tensor | None = None,
    generator: torch.Generator | None = None,
    k: int | None = None,
    burn_in: int = 0,
    qr_every: int | Literal["auto"] = 1,
    order: Order = "forward",
) -> LyapunovResult:
    """`lyapunov_spectrum` from Jacobians (T, d, d), (T, sequence, d, d) or (T, network, sequence, d, d), row = output.

    The other arguments as there; one network or one sequence where the axis is not given. Jacobians may be of any real
    type, results are float64.
    """
    if real_tensor(jacobians, "jacobians").dim() not in (3, 4, 5) or jacobians.shape[-1] != jacobians.shape[-2]:
        raise ValueError(f"jacobians must be (T, network, sequence, d, d), not {tuple(jacobians.shape)}")
    for _ in range(5 - jacobians.dim()):
        jacobians = jacobians[:, None]
    jacobians = jacobians.detach()
    run = _Run.of(len(jacobians), jacobians.shape[-1], k=k, burn_in=burn_in, qr_every=qr_every, order=order)
    frames = run.frames(q0, real(jacobians[:1], "jacobians")[0, ..., 0], generator)

    def measure(group: slice) -> tuple[Tensor, Tensor]:
        parts = iter(jacobians[:, group].flatten(1, 2).split(1))

        def tangents(count: int) -> Dense:
            return Dense(torch.cat([next(parts) for _ in range(count)]).to(torch.float64), run.reverse)

        return run.measure(tangents, frames[group].flatten(0, 1))

    return run.result(over_threads(measure, run.groups(*jacobians.shape[1:3])), jacobians.shape[2])


@dataclass(frozen=True)
class _Run:
    """The settings of one call, checked."""

    burn_in: int
    ends: Sequence[int]
    """Counted steps at the end of each block."""
    d: int
    k: int
    qr_every: int | Literal["auto"]
    reverse: bool

    @classmethod
    def of(cls, total: int, d: int, *, k: int | None, burn_in: int, qr_every: Any, order: str) -> _Run:
        k, burn_in = whole(d if k is None else k, "k"), whole(burn_in, "burn_in")
        if not 1 <= k <= d:
            raise ValueError(f"k = {k}: there are 1 to {d} exponents")
        if not 0 <= burn_in < total:
            raise ValueError(f"burn_in = {burn_in}: of {total} steps, at least one must be counted")
        if not isinstance(qr_every, str):
            qr_every = whole(qr_every, "qr_every")
        if qr_every != "auto" and (isinstance(qr_every, str) or qr_every < 1):
            raise ValueError(f"qr_every = {qr_every!r}: wanted is a number >= 1, or 'auto'")
        if order not in ("forward", "reversed"):
            raise ValueError(f"order = {order!r}: wanted is 'forward' or 'reversed'")
        blocks = max(min(BLOCKS, (total - burn_in) // SHORTEST_BLOCK), min(2, total - burn_in))
        ends = [round((total - burn_in) * (i + 1) / blocks) for i in range(blocks)]
        return cls(burn_in, ends, d, k, qr_every, order == "reversed")

    def frames(self, q0: Tensor | None, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """First frames (network, sequence, d, k), for states `like` (network, sequence, ...)."""
        if q0 is None:
            q0 = random_frame(self.d, self.k, generator).to(like)
        if tuple(q0.shape[-2:]) != (self.d, self.k):
            raise ValueError(f"q0 must end in ({self.d}, {self.k}), not be {tuple(q0.shape)}")
        return q0.to(like).expand(*like.shape[:2], self.d, self.k)

    def groups(self, members: int, sequences: int) -> list[slice]:
        """Networks that are measured together: one by one if each has a schedule of its own."""
        size = max(1, _GROUP // (sequences * self.d * self.k)) if self.qr_every == 1 else 1
        return [slice(start, min(start + size, members)) for start in range(0, members, size)]

    @property
    def few(self) -> bool:
        """So few exponents that it is quicker to carry vectors than to make matrices."""
        return 2 * self.k <= self.d

    def measure(self, tangents: Callable[[int], Tangents], frames: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithmic growth (row, block, k) and spread (row,), from what gives the maps of so many next steps."""
        with torch.no_grad():
            frame = Frame(frames.mT.contiguous(), self.qr_every)
            chunk = _CHUNK // (len(frames) * self.d**2)
            if self.qr_every == "auto":
                chunk = LONGEST_BLOCK if self.few else min(max(chunk, 8), LONGEST_BLOCK)
            else:
                chunk = max(chunk // self.qr_every, 1) * self.qr_every
            self._advance(frame, tangents, self.burn_in, chunk)
            frame.read()
            growth = []
            for start, end in zip([0, *self.ends[:-1]], self.ends, strict=True):
                self._advance(frame, tangents, end - start, chunk)
                growth.append(frame.read())
            return torch.stack(growth, dim=1), frame.spread

    @staticmethod
    def _advance(frame: Frame, tangents: Callable[[int], Tangents], count: int, chunk: int) -> None:
        for start in range(0, count, chunk):
            frame.advance(tangents(min(chunk, count - start)))

    def result(self, measured: Sequence[tuple[Tensor, Tensor]], sequences: int) -> LyapunovResult:
        growth, spread = (torch.cat(parts).unflatten(0, (-1, sequences)) for parts in zip(*measured, strict=True))
        steps = torch.tensor(self.ends, device=growth.device)
        lengths = steps.diff(prepend=steps.new_zeros(1))
        running = growth.cumsum(dim=2) / steps[:, None]
        return LyapunovResult(running[:, :, -1], running, steps, growth / lengths[:, None], spread.amax(dim=1))


def random_frame(d: int, k: int, generator: torch.Generator | None = None) -> Tensor:
    """k random orthonormal vectors of d coordinates (Haar), (d, k) in float64; without a generator always the same."""
    generator = generator or torch.Generator().manual_seed(0)
    drawn = torch.randn(d, k, generator=generator, dtype=torch.float64, device=generator.device)
    (q, r), *_ = over_threads(torch.linalg.qr, [drawn])  # by one thread: several would round in another order
    return q * r.diagonal().sign()


def _standard_error(samples: Tensor) -> Tensor:
    """Over axis 1 of (network, sample, k)."""
    count = samples.shape[1]
    dead = (samples == -torch.inf).sum(dim=1)
    if count < 2:
        return torch.where(dead == count, 0.0, samples.new_full((), torch.inf))
    error = torch.where(samples == -torch.inf, 0.0, samples).std(dim=1) / count**0.5
    error = torch.where(dead > 0, torch.inf, error)
    return torch.where(dead == count, 0.0, error)
