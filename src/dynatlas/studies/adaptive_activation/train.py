"""What is trained: grids of starts in all modes as one stack, and networks that adapt to changed inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.datasets.batches import batch_order
from dynatlas.datasets.labels import shuffle_labels
from dynatlas.ensemble.fit import Fitted, fit
from dynatlas.ensemble.masks import scaled_updates
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import Watch
from dynatlas.instruments.input_statistics import transform_inputs
from dynatlas.jobs import Job, Run
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.studies.adaptive_activation.cells import Cell, Schedule, cells_of, start
from dynatlas.studies.adaptive_activation.problems import (
    Batch,
    Problem,
    accuracies,
    image_batch,
    losses,
    moved,
    pixels,
    problem_for,
)

Arrays = dict[str, Tensor]
Changes = dict[str, dict[str, Any]]
"""Name of a change -> its kind and settings, as `transform_inputs` takes them; empty: inputs as they are."""
CLEAN = "none"
"""The name of inputs as they are."""
SETS: dict[str, tuple[str, ...]] = {
    "one shape": ("gain", "saturation"),
    "shapes": ("gain", "saturation"),
    "bias": ("b",),
    "readout": ("w_out", "b_out"),
    "weights": ("w_in", "w_rec", "b", "w_out", "b_out"),
    "shapes, shuffled labels": ("gain", "saturation"),
}
"""What adapts. "one shape": the same pair for all units; the last learns from labels that say nothing."""


def train_grid(
    job: Job, *, task: str, tasks: dict[str, Any], units: int, cells: dict[str, list[str]], grids: dict[str, Any],
    learning_rate: float, shape_ratio: float, every: int,
) -> Arrays:  # fmt: skip
    """Networks from all cells, all with the weights and batches of their seed; one stack.

    `tasks[task]` are the settings of the problem, `updates` among them; `shape_ratio` is the learning rate of (n, s)
    over that of the weights. Returns the final parameters (seed x cell, ...), `diverged_at` (seed x cell,), and, noted
    at `steps` (note,), `accuracy` and `loss` on held-out data, and mean and sd over units of gain and saturation, all
    (note, seed x cell).
    """
    problem, listed = problem_for(job, task, tasks[task]), cells_of(cells, grids)
    rnn, updates = problem.network(units), int(tasks[task]["updates"])
    schedule = Schedule.of(listed, len(job.seeds), updates=updates, ratio=shape_ratio, device=job.device)

    def loss(params: Params, step: int) -> Tensor:
        batch, used = problem.train(step), schedule.in_use(params, step)
        return losses(used, rnn.rollout(used, spread(batch.x, len(listed))), batch)

    def look(params: Params, step: int) -> Arrays:
        used = schedule.in_use(params, step)
        return held_out(rnn, used, problem, len(listed)) | spread_of_shapes(used)

    fitted = fit(
        loss,
        start(rnn, job.generators("initialisation"), listed),
        steps=updates,
        optimiser=Adam(lr=learning_rate),
        project=scaled_updates({"gain": schedule.ratio, "saturation": schedule.ratio}),
        watches={"course": Watch(look, Every(every))},
        streams=problem.streams,
        job=job,
        name=f"{task}, {len(listed)} starts",
    )
    log = fitted.logs["course"]
    used = schedule.in_use(fitted.parameters, updates)
    return used | dict(log.values) | {"steps": log.steps, "diverged_at": fitted.diverged_at}


def spread(x: Tensor, copies: int) -> Tensor:
    """Inputs of each seed (seed, ...) for all its members, (seed x copy, ...)."""
    return x.repeat_interleave(copies, dim=0)


def held_out(rnn: GainSaturationRNN, params: Params, problem: Problem, copies: int) -> Arrays:
    """`accuracy` and `loss` (member,) on held-out data, one seed after the other: memory for all is not wanted."""
    batch, found = problem.held_out(), []
    for seed in range(len(batch.x)):
        own = {name: part[seed * copies : (seed + 1) * copies] for name, part in params.items()}
        one = Batch(batch.x[seed : seed + 1], batch.target[seed : seed + 1], batch.read_from, batch.counted_from)
        states = rnn.rollout(own, spread(one.x, copies))
        found.append((accuracies(own, states, one), losses(own, states, one)))
    accuracy, loss = (torch.cat(parts) for parts in zip(*found, strict=True))
    return {"accuracy": accuracy, "loss": loss}


def spread_of_shapes(params: Params) -> Arrays:
    """Mean and standard deviation over units, (member,), of gains and saturations."""
    return {
        f"{name}_{what}": getattr(params[name].double(), how)(dim=-1)
        for name in ("gain", "saturation")
        for what, how in (("mean", "mean"), ("sd", "std"))
    }


def train_on_changes(
    job: Job, *, images: dict[str, Any], units: int, n: float, s: float, updates: int, batch: int,
    learning_rate: float, changes: Changes,
) -> Arrays:  # fmt: skip
    """Networks of fixed (n, s) that learn on inputs as they are, and on each kind of changed inputs from the start.

    Returns parameters (seed x (1 + changes), ...), those on inputs as they are first, and `diverged_at`.
    """
    parts = moved(pixels(**images), job.device)
    order = batch_order(len(parts.train), updates=updates, size=batch, generators=job.generators("batches"))
    streams = job.generators("input noise")
    kinds: Changes = {CLEAN: {}} | changes
    rnn = network_for(parts.train.x, units)
    cell = [Cell("static", n, s)] * len(kinds)

    def loss(params: Params, step: int) -> Tensor:
        seen = image_batch(parts.train, order[step])
        return losses(params, rnn.rollout(params, changed(seen.x, kinds, streams)), seen)

    return kept(
        fit(
            loss,
            start(rnn, job.generators("initialisation"), cell),
            steps=updates,
            optimiser=Adam(lr=learning_rate),
            trainable=SETS["weights"],
            streams=streams,
            job=job,
            name="networks on clean and changed inputs",
        )
    )


def adapt(
    job: Job, *, base: Run, images: dict[str, Any], units: int, updates: int, batch: int, learning_rate: float,
    changes: Changes,
) -> Arrays:  # fmt: skip
    """The networks of `base` that learned on inputs as they are, after adapting to each change in each set of SETS.

    All sets and changes are one stack, and see the same images. Returns parameters (seed x change x set, ...) and
    `diverged_at`.
    """
    parts = moved(pixels(**images), job.device)
    order = batch_order(len(parts.train), updates=updates, size=batch, generators=job.generators("adaptation batches"))
    wrong = shuffle_labels(parts.train.y, generators=job.generators("shuffled labels"))
    streams, rnn, sets = job.generators("adaptation noise"), network_for(parts.train.x, units), list(SETS)
    copies = len(changes) * len(sets)
    begin = {name: spread(part, copies) for name, part in learned_clean(base, len(changes), job.device).items()}
    members = sets * (len(job.seeds) * len(changes))
    schedule = Schedule(
        shared=torch.tensor([one == "one shape" for one in members], device=job.device),
        free_from=torch.zeros(len(members), device=job.device),
        ratio=torch.ones(len(members), device=job.device),
    )
    told_wrong = torch.tensor(["shuffled" in one for one in members], device=job.device)
    learns = {name: torch.tensor([float(name in SETS[one]) for one in members], device=job.device) for name in begin}

    def loss(params: Params, step: int) -> Tensor:
        chosen, used = order[step], schedule.in_use(params, step)
        own, other = image_batch(parts.train, chosen), image_batch(parts.train, chosen, wrong)
        x = spread(changed(own.x, changes, streams), len(sets))
        targets = [spread(batch.target, copies) for batch in (own, other)]
        target = torch.where(told_wrong[:, None, None], targets[1], targets[0])
        return losses(used, rnn.rollout(used, x), Batch(x, target, own.read_from))

    fitted = fit(
        loss,
        begin,
        steps=updates,
        optimiser=Adam(lr=learning_rate),
        project=scaled_updates(learns),
        streams=streams,
        job=job,
        name="adaptation",
    )
    return kept(fitted) | schedule.in_use(fitted.parameters, updates)


def network_for(x: Tensor, units: int) -> GainSaturationRNN:
    """The network for images x (image, time, pixel)."""
    return GainSaturationRNN(x.shape[-1], units, 10)


def learned_clean(base: Run, changes: int, device: str) -> Params:
    """Parameters (seed, ...) of the networks of `train_on_changes` that learned on inputs as they are."""
    names = ("w_in", "w_rec", "b", "w_out", "b_out", "gain", "saturation")
    return {name: base[name][:: 1 + changes].to(device) for name in names}


def changed(x: Tensor, changes: Changes, streams: Sequence[Generator]) -> Tensor:
    """Inputs x (seed, time, trial, pixel) under each change in turn, (seed x change, time, trial, pixel)."""
    seen = []
    for settings in changes.values():
        noisy: dict[str, Any] = {"generators": streams} if settings.get("kind") == "noise" else {}
        seen.append(transform_inputs(x, dim=-3, **settings, **noisy) if settings else x)
    return torch.stack(seen, dim=1).flatten(0, 1)


def kept(fitted: Fitted) -> Arrays:
    """What a run keeps of training."""
    return fitted.parameters | {"diverged_at": fitted.diverged_at}
