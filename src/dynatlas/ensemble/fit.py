"""One loop that trains every ensemble: per-member gradients, clipping, rates, budgets; watched, saved, resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dynatlas.ensemble.checkpoint import Stream, describe, load, save
from dynatlas.ensemble.checks import (
    budget_of,
    check_clip,
    check_watches,
    checked_criterion,
    checked_measure,
    learning_and_fixed,
)
from dynatlas.ensemble.memory import keep_freed_memory
from dynatlas.ensemble.optimisers import Optimiser, PerMember, per_member
from dynatlas.ensemble.parameters import Layout, Params
from dynatlas.ensemble.schedules import Constant, Every, Occasion, Schedule
from dynatlas.ensemble.state import Learning, Log
from dynatlas.ensemble.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from dynatlas.jobs import Job, Progress

Loss = Callable[[Params, int], Tensor]
"""`loss(parameters, step)` gives each member's loss (member,); it draws its own batch of this step."""
Transform = Callable[[Params], Params]


@dataclass(frozen=True)
class Fitted:
    """What training left. Step numbers are counts of updates; -1 means never."""

    parameters: Params
    """At the end, leading axis member. A diverged member keeps its last finite parameters."""
    losses: Log
    """`losses.values["loss"]` (noted, member): the training loss of the batch of that step, before its update."""
    logs: Mapping[str, Log]
    """One for each watch."""
    diverged_at: Tensor
    """(member,): the step whose loss, gradient or update was not finite; from there the member stands still."""
    stopped_at: Tensor
    """(member,): the step at which a stopping watch's criterion was met."""
    crossed_at: Mapping[str, Tensor]
    """For each watch with a criterion, (member,): the first step at which it was seen to hold."""
    parameters_at: Mapping[str, Params]
    """For each watch that keeps, the parameters at the crossing (NaN for a member that never crossed)."""

    @property
    def diverged(self) -> int:
        """How many members diverged."""
        return int((self.diverged_at >= 0).sum())


def fit(
    loss: Loss,
    parameters: Mapping[str, Tensor],
    *,
    steps: int | Tensor,
    optimiser: Optimiser,
    schedule: Schedule | None = None,
    clip_norm: PerMember | None = None,
    project: Transform | None = None,
    trainable: Sequence[str] | None = None,
    watches: Mapping[str, Watch] | None = None,
    log_at: Occasion | None = None,
    streams: Sequence[Stream] = (),
    job: Job | None = None,
    name: str = "fit",
) -> Fitted:
    """Train all members of an ensemble at once; each one learns as if it were alone.

    parameters: tree of tensors with leading axis member (left as they are); `trainable` names those that learn.
    `steps`: updates, for all or (member,). `loss` gives (member,); none may depend on another member's parameters.
    Gradients are clipped to `clip_norm` (a number or (member,)) per member. `project` maps the optimiser's update (a
    tree) to the one that is added. `watches` measure, stop and keep. `log_at`: when the training loss is noted.
    Parameters in half precision (float16, bfloat16) reach `loss`, watches and result in their own type, while the
    loop adds up in float32. Nothing that is handed out or back shares memory with `parameters` or with the loop.

    `streams` are all generators that `loss` draws from: with them and a `job` that has a scratch folder the loop saves
    itself every `job.checkpoint_seconds`, and called again after being killed at any moment ends with the same bits.
    A member whose loss or gradient is not finite stands still from there, and is counted, not dropped. One more member
    leaves the others' bits as they were (on several threads: except beside an ensemble of one large network).
    Raises ValueError for trees, steps or settings whose shapes, types or names do not fit, and for a loss that is not
    (member,) or does not depend on what is to learn.
    """
    keep_freed_memory()
    trained, fixed = learning_and_fixed(parameters, trainable)
    check_clip(clip_norm)
    check_watches(watches or {})
    layout = Layout.of(trained)
    loop = _Loop(
        loss=loss,
        fixed=fixed,
        layout=layout,
        budget=budget_of(steps, layout.members, next(iter(trained.values())).device),
        optimiser=optimiser,
        schedule=schedule or Constant(),
        clip_norm=clip_norm,
        project=project,
        watches=watches or {},
        log_at=log_at or Every(10),
    )
    state = loop.start(layout.pack(trained))
    saver = _Saver.of(loop, state, streams=streams, job=job, name=name)
    saver.resume(state)
    report = job.progress(name, loop.total) if job else None
    loop.run(state, saver, report)
    return loop.fitted(state)


@dataclass(frozen=True)
class _Loop:
    """The settings of one call of `fit`, and the steps it is made of."""

    loss: Loss
    fixed: Params
    layout: Layout
    budget: Tensor
    optimiser: Optimiser
    schedule: Schedule
    clip_norm: PerMember | None
    project: Transform | None
    watches: Mapping[str, Watch]
    log_at: Occasion

    @property
    def total(self) -> int:
        return int(self.budget.max()) if len(self.budget) else 0

    def start(self, flat: Tensor) -> Learning:
        never = torch.full_like(self.budget, -1)
        state = Learning(flat, self.optimiser.start(flat), diverged_at=never, stopped_at=never.clone())
        for name, watch in self.watches.items():
            if watch.reached:
                state.crossed_at[name] = never.clone()
            if watch.keep:
                state.kept[name] = torch.full_like(flat, torch.nan)
        return state

    def run(self, state: Learning, saver: _Saver, report: Progress | None) -> None:
        """To the last step, or until no member learns any more."""
        while state.step < self.total:
            self.watch(state)
            if not bool(self.active(state).any()):
                break
            losses = self.advance(state)
            if report:
                report(state.step, loss=losses.nanmean().item())
            saver.save(state)
        self.watch(state, last=True)
        saver.save(state, now=True)

    def active(self, state: Learning) -> Tensor:
        """Which members still learn, (member,)."""
        return (state.step < self.budget) & (state.diverged_at < 0) & (state.stopped_at < 0)

    def tree(self, flat: Tensor) -> Params:
        """The parameters in their own type and in memory of their own, to be handed out."""
        own = {name: view.to(self.layout.dtype) for name, view in self.layout.unpack(flat.clone()).items()}
        return own | {name: tensor.clone() for name, tensor in self.fixed.items()}

    def advance(self, state: Learning) -> Tensor:
        """One update of every active member; returns the losses (member,) before it."""
        views, dtype = self.layout.unpack(state.flat), self.layout.dtype
        leaves = {name: view.detach().to(dtype).requires_grad_() for name, view in views.items()}
        losses = self.loss(leaves | self.fixed, state.step)
        if tuple(losses.shape) != (self.layout.members,):
            raise ValueError(f"loss must give ({self.layout.members},), one number a member, not {tuple(losses.shape)}")
        if not losses.requires_grad:
            raise ValueError(f"loss does not depend on any of {', '.join(leaves)}: was it detached, or in no_grad()?")
        grads = torch.autograd.grad(losses.sum(), list(leaves.values()), materialize_grads=True, allow_unused=True)
        losses = losses.detach()
        if self.log_at(state.step):
            state.note("loss", {"loss": losses})
        active = self.active(state)
        with torch.no_grad():
            gradient = self.layout.pack(dict(zip(leaves, grads, strict=True)))
            norm = torch.linalg.vector_norm(gradient, dim=1)
            moved = state.flat + self._update(state, gradient, norm)
            # a sum is finite only where all its terms are, and one pass
            total = moved.to(dtype).sum(dim=1, dtype=moved.dtype)
            finite = torch.isfinite(losses) & torch.isfinite(norm) & torch.isfinite(total)
            state.diverged_at = torch.where(active & ~finite, state.step, state.diverged_at)
            moves = active & finite
            state.flat = moved if bool(moves.all()) else torch.where(moves[:, None], moved, state.flat)
        state.step += 1
        return losses

    def _update(self, state: Learning, gradient: Tensor, norm: Tensor) -> Tensor:
        """What is to be added to the parameters."""
        if self.clip_norm is not None:
            allowed = per_member(self.clip_norm, gradient)
            gradient *= (allowed / (norm[:, None] + 1e-6)).clamp_max(1.0)  # as torch's clip_grad_norm_
        factor = self.schedule(state.step, self.budget).to(gradient)[:, None]
        rate = per_member(self.optimiser.lr, gradient) * factor
        update = self.optimiser.update(gradient, state.optimiser, parameters=state.flat, step=state.step, rate=rate)
        if self.project:
            update = self.layout.pack(self.project(self.layout.unpack(update)))
        return update

    def watch(self, state: Learning, *, last: bool = False) -> None:
        """Measure what is due after `state.step` updates, and at the end everything that was not just measured."""
        for name, watch in self.watches.items():
            noted = state.noted.get(name)
            if (noted and noted[-1] == state.step) or not (last or watch.at(state.step)):
                continue
            with torch.no_grad():
                found = watch.measure(self.tree(state.flat), state.step)
            measured = checked_measure(name, found, self.layout.members)
            state.note(name, measured)
            if watch.reached:
                self._cross(state, name, checked_criterion(name, watch.reached(measured), self.layout.members))

    def _cross(self, state: Learning, name: str, reached: Tensor) -> None:
        """Members whose criterion holds for the first time."""
        fresh = reached & (state.crossed_at[name] < 0)
        state.crossed_at[name] = torch.where(fresh, state.step, state.crossed_at[name])
        if self.watches[name].keep:
            state.kept[name] = torch.where(fresh[:, None], state.flat, state.kept[name])
        if self.watches[name].stop:
            state.stopped_at = torch.where(fresh & (state.stopped_at < 0), state.step, state.stopped_at)

    def fitted(self, state: Learning) -> Fitted:
        return Fitted(
            parameters=self.tree(state.flat),
            losses=state.log("loss"),
            logs={name: state.log(name) for name in self.watches},
            diverged_at=state.diverged_at,
            stopped_at=state.stopped_at,
            crossed_at=state.crossed_at,
            parameters_at={name: self.tree(flat) for name, flat in state.kept.items()},
        )


@dataclass
class _Saver:
    """Saves the loop now and then, and takes it up where it was left."""

    path: Path | None
    every: float
    key: str
    streams: Sequence[Stream]
    saved_at: float

    @classmethod
    def of(cls, loop: _Loop, state: Learning, *, streams: Sequence[Stream], job: Job | None, name: str) -> _Saver:
        path = job.checkpoint(name) if job else None
        if job is None or path is None:
            return cls(None, 0.0, "", streams, 0.0)
        settings = (loop.layout, loop.budget, loop.optimiser, loop.schedule, loop.clip_norm, loop.log_at)
        watched = {each: (watch.at, watch.stop, watch.keep) for each, watch in loop.watches.items()}
        kinds = [type(getattr(stream, "bit_generator", stream)).__name__ for stream in streams]
        key = describe(name, settings, loop.fixed, watched, kinds, state.flat)
        return cls(path, job.checkpoint_seconds, key, streams, time.monotonic())

    def resume(self, state: Learning) -> None:
        found = load(self.path, key=self.key, streams=self.streams) if self.path else None
        if found:
            tensors, values = found
            state.restore(tensors, values["step"], values["noted"])

    def save(self, state: Learning, *, now: bool = False) -> None:
        if self.path is None or not (now or time.monotonic() - self.saved_at >= self.every):
            return
        values = {"step": state.step, "noted": state.noted}
        save(self.path, key=self.key, tensors=state.tensors(), values=values, streams=self.streams)
        self.saved_at = time.monotonic()
