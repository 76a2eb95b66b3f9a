"""One loop that trains every ensemble: per-member gradients, clipping, rates, budgets; watched, saved, resumed.

An *ensemble* is many networks of one kind that train at once, its *members*; every tensor has them on its first axis.

A member whose loss, gradient or update is not finite stands still from there, and is counted, not dropped. One that
stands still, for that or as it has stopped or made all its updates, also keeps what optimiser and method remember of
it. One more member leaves the bits of the others as they were, with one exception: on several threads a large network
that trains by itself is computed in parts, one a thread, and may differ in the last bits from the same network among
others.

With a job that has a scratch folder the loop saves itself: parameters, memories, logs, and the state of every generator
that the job handed out and that somebody holds when the loop begins. Called again after being killed at any moment it
ends with the same bits. A generator that is asked for within the loop is for the call alone that asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dynatlas.ensemble.checkpoint import Stream, describe, load, save
from dynatlas.ensemble.checks import (
    budget_of,
    check_clip,
    check_watches,
    checked_criterion,
    checked_gradient,
    checked_measure,
    checked_memory,
    learning_and_fixed,
)
from dynatlas.ensemble.memory import keep_freed_memory
from dynatlas.ensemble.methods import Backprop, Draw, Loss, Method
from dynatlas.ensemble.optimisers import Optimiser, PerMember, per_member
from dynatlas.ensemble.parameters import Layout, Memory, Params, copies_of
from dynatlas.ensemble.schedules import Constant, Every, Occasion, Schedule
from dynatlas.ensemble.state import Learning, Log
from dynatlas.ensemble.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from dynatlas.jobs import Job, Progress, Streams

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
    optimiser: Memory
    """What the optimiser remembers, (member, ...): of Adam `mean` and `square`, (member, P), in the order of `Layout`.
    Of a diverged member it has taken up the update that was refused."""
    method: Memory
    """What the method remembers, (member, ...)."""
    watched: Mapping[str, Memory]
    """For each watch, what it remembers, (member, ...)."""

    @property
    def diverged(self) -> int:
        """How many members diverged."""
        return int((self.diverged_at >= 0).sum())

    def diverged_by(self, steps: Sequence[int]) -> Tensor:
        """(step, member), bool: which members had not stayed finite after so many updates."""
        after = torch.tensor(list(steps), device=self.diverged_at.device)[:, None]
        return (self.diverged_at >= 0) & (self.diverged_at < after)


def fit(
    draw: Draw,
    loss: Loss,
    parameters: Mapping[str, Tensor],
    *,
    steps: int | Tensor,
    optimiser: Optimiser,
    method: Method | None = None,
    schedule: Schedule | None = None,
    clip_norm: PerMember | None = None,
    project: Transform | None = None,
    trainable: Sequence[str] | None = None,
    watches: Mapping[str, Watch] | None = None,
    log_at: Occasion | None = None,
    job: Job | None = None,
    name: str = "fit",
) -> Fitted:
    """Train all members of an ensemble at once; each one learns as if it were alone.

    `draw(step)` gives the batch of an update, once an update; `loss(parameters, batch)` gives (member,), and none may
    depend on another member's parameters. parameters: tree of tensors with leading axis member (left as they are);
    `trainable` names those that learn. `steps`: updates, for all or (member,). `method` makes gradients of losses and
    may change what it likes between updates (see `methods`); None is `Backprop`.
    Gradients are clipped to `clip_norm` (a number or (member,)) per member. `project` maps the optimiser's update (a
    tree) to the one that is added. `watches` measure, stop and keep. `log_at`: when the training loss is noted.
    Parameters in half precision (float16, bfloat16) reach `loss`, watches and result in their own type, while the
    loop adds up in float32. Nothing that is handed out or back shares memory with `parameters` or with the loop.

    With a `job` that has a scratch folder the loop saves itself every `job.checkpoint_seconds`, and goes on from there.
    Raises ValueError for trees, steps or settings whose shapes, types or names do not fit, for a loss that is not
    (member,) or does not depend on what is to learn, and for generators of the job that are kept from within the loop.
    """
    keep_freed_memory()
    trained, fixed = learning_and_fixed(parameters, trainable)
    check_clip(clip_norm)
    check_watches(watches or {})
    layout = Layout.of(trained)
    loop = _Loop(
        draw=draw,
        loss=loss,
        method=method or Backprop(),
        fixed=fixed,
        layout=layout,
        budget=budget_of(steps, layout.members, next(iter(trained.values())).device),
        optimiser=optimiser,
        schedule=schedule or Constant(),
        clip_norm=clip_norm,
        project=project,
        watches=watches or {},
        log_at=log_at or Every(10),
        guard=_Guard(job.streams if job else None),
    )
    state = loop.start(layout.pack(trained))
    saver = _Saver.of(loop, state, job=job, name=name)
    saver.resume(state)
    report = job.progress(name, loop.total) if job else None
    loop.run(state, saver, report)
    return loop.fitted(state)


@dataclass(frozen=True)
class _Loop:
    """The settings of one call of `fit`, and the steps it is made of."""

    draw: Draw
    loss: Loss
    method: Method
    fixed: Params
    layout: Layout
    budget: Tensor
    optimiser: Optimiser
    schedule: Schedule
    clip_norm: PerMember | None
    project: Transform | None
    watches: Mapping[str, Watch]
    log_at: Occasion
    guard: _Guard

    @property
    def total(self) -> int:
        return int(self.budget.max()) if len(self.budget) else 0

    def start(self, flat: Tensor) -> Learning:
        never = torch.full_like(self.budget, -1)
        state = Learning(
            flat, self.optimiser.start(flat), dict(self.method.start(self.own(flat))), never, never.clone()
        )
        for name, watch in self.watches.items():
            state.watched[name] = {}
            if watch.reached:
                state.crossed_at[name] = never.clone()
            if watch.keep:
                state.kept[name] = torch.full_like(flat, torch.nan)
        self.check_memories(state)
        return state

    def run(self, state: Learning, saver: _Saver, report: Progress | None) -> None:
        """To the last step, or until no member learns any more."""
        self.guard.begin()
        while state.step < self.total:
            self.watch(state)
            active = self.active(state)
            going = int(active.sum())
            if going == 0:
                break
            if going + sum(len(rows.members) for rows in state.settled) < self.layout.members:
                state.settle(active)
            losses = self.advance(state, active)
            self.guard(f"update {state.step}")
            if report:
                report(state.step, loss=losses.nanmean().item())
            saver.save(state)
        self.watch(state, last=True)
        saver.save(state, now=True)

    def active(self, state: Learning) -> Tensor:
        """Which members still learn, (member,)."""
        return (state.step < self.budget) & (state.diverged_at < 0) & (state.stopped_at < 0)

    def own(self, flat: Tensor) -> Params:
        """What learns, in its own type and in memory of its own."""
        return {name: view.to(self.layout.dtype) for name, view in self.layout.unpack(flat.clone()).items()}

    def tree(self, flat: Tensor) -> Params:
        """All parameters in their own type and in memory of their own, to be handed out."""
        return self.own(flat) | {name: tensor.clone() for name, tensor in self.fixed.items()}

    def advance(self, state: Learning, active: Tensor) -> Tensor:
        """One update of every active member; returns the losses (member,) before it."""
        views = self.layout.unpack(state.flat)
        with torch.no_grad():
            if state.step:
                self.between(state, views, active)
            batch = self.draw(state.step)
        parameters = {name: view.to(self.layout.dtype) for name, view in views.items()}
        losses, gradients = self.method.gradient(self.whole_loss, parameters, batch, state.method, state.step)
        checked_gradient(losses, gradients, self.layout)
        losses = losses.detach()
        if self.log_at(state.step):
            state.note("loss", {"loss": losses})
        with torch.no_grad():
            gradient = self.layout.pack(gradients)
            norm = torch.linalg.vector_norm(gradient, dim=1)
            moved = state.flat + self._update(state, gradient, norm)
            # a sum is finite only where all its terms are, and one pass
            total = moved.to(self.layout.dtype).sum(dim=1, dtype=moved.dtype)
            finite = torch.isfinite(losses) & torch.isfinite(norm) & torch.isfinite(total)
            state.diverged_at = torch.where(active & ~finite, state.step, state.diverged_at)
            moves = active & finite
            state.flat = moved if bool(moves.all()) else torch.where(moves[:, None], moved, state.flat)
        self.check_memories(state)
        state.step += 1
        return losses

    def between(self, state: Learning, views: Params, active: Tensor) -> None:
        """Let the method change what it likes of the members that go on."""
        before = state.flat._version
        moments = state.moments(self.layout)
        self.method.between(MappingProxyType(views), moments, state.method, step=state.step, active=active)
        if state.flat._version != before:  # written to, through some view
            state.put_back()

    def whole_loss(self, parameters: Params, batch: Any) -> Tensor:
        """The losses of these parameters and those that do not learn; of copies where there are several of a member."""
        copies = len(next(iter(parameters.values()))) // self.layout.members
        fixed = self.fixed if copies == 1 else copies_of(self.fixed, copies)
        losses, wanted = self.loss(parameters | fixed, batch), self.layout.members * copies
        if tuple(losses.shape) != (wanted,):
            raise ValueError(f"loss must give ({wanted},), one number a member, not {tuple(losses.shape)}")
        return losses

    def check_memories(self, state: Learning) -> None:
        """Before something is lost: tensors with leading axis member, nothing else."""
        checked_memory("the optimiser", state.optimiser, self.layout.members)
        checked_memory("the method", state.method, self.layout.members)
        for name, memory in state.watched.items():
            checked_memory(f"watch {name!r}", memory, self.layout.members)

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
                if watch.remember:
                    found = watch.remember(checked_measure(name, found, self.layout.members), state.watched[name])
            self.guard(f"watch {name!r}")
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
        state.put_back()
        return Fitted(
            parameters=self.tree(state.flat),
            losses=state.log("loss"),
            logs={name: state.log(name) for name in self.watches},
            diverged_at=state.diverged_at,
            stopped_at=state.stopped_at,
            crossed_at=state.crossed_at,
            parameters_at={name: self.tree(flat) for name, flat in state.kept.items()},
            optimiser=state.optimiser,
            method=state.method,
            watched=state.watched,
        )


@dataclass
class _Guard:
    """Refuses generators that were asked for in a step or by a watch, and are still held after it."""

    streams: Streams | None
    count: int = 0
    """Handed out by the end of the last step or look."""

    def begin(self) -> None:
        """What was handed out by now is known."""
        self.count = self.streams.count if self.streams else 0

    def __call__(self, where: str) -> None:
        if self.streams:
            self.count = self.streams.refuse_later(self.count, where)


@dataclass
class _Saver:
    """Saves the loop now and then, and takes it up where it was left."""

    path: Path | None
    every: float
    key: str
    streams: Mapping[str, Stream]
    saved_at: float

    @classmethod
    def of(cls, loop: _Loop, state: Learning, *, job: Job | None, name: str) -> _Saver:
        path = job.checkpoint(name) if job else None
        if job is None or path is None:
            return cls(None, 0.0, "", {}, 0.0)
        settings = (loop.layout, loop.budget, loop.optimiser, loop.method, loop.schedule, loop.clip_norm, loop.log_at)
        watched = {each: (watch.at, watch.remember, watch.stop, watch.keep) for each, watch in loop.watches.items()}
        key = describe(name, settings, loop.fixed, watched, state.flat)
        streams = job.streams.alive(collect=path.exists())
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
