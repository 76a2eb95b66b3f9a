"""What is trained: grids of starts in all modes as one stack, and networks that adapt to changed inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor
from torch.utils.checkpoint import checkpoint

from dynatlas.datasets.batches import batch_order
from dynatlas.datasets.labels import shuffle_labels
from dynatlas.devices import moved
from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.masks import scaled_updates
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import Params, select_members
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import Watch
from dynatlas.instruments.input_statistics import transform_inputs
from dynatlas.jobs import Job, Run
from dynatlas.members import Group, Members
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.problems.sequences import SequenceBatch, SequenceProblem, image_batch, permuted_images
from dynatlas.studies.adaptive_activation.cells import Schedule, cells_of, start
from dynatlas.studies.adaptive_activation.problems import accuracies, losses, network_for_task, problem_for

if TYPE_CHECKING:
    from dynatlas.studies.adaptive_activation.settings import (
        Batch,
        Cells,
        ChangesByName,
        Gain,
        Grids,
        Images,
        Rate,
        Ratio,
        Saturation,
        Task,
        Tasks,
        Together,
        Units,
        Updates,
    )


Arrays = dict[str, Tensor]
Changes = Mapping[Any, Mapping[str, Any]]
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
    job: Job, *, task: Task, tasks: Tasks, cells: Cells, grids: Grids,
    shape_ratio: Ratio, together: Together,
) -> dict[str, Group | Tensor]:  # fmt: skip
    """Networks from all cells, all with the weights and batches of their seed; one stack.

    `tasks[task]` holds `units`, `updates`, `learning_rate`, `every` (how often held-out data are looked at) and `data`,
    the settings of the problem; `shape_ratio` is the learning rate of (n, s) over that of the weights; `together`: see
    `in_parts`. Returns the `networks` at the end, their `outcome` (`diverged_at`), `chance`; and as their `course`, by
    `update`, on held-out data `accuracy` and `loss`, and mean and sd over units of gain and saturation.
    """
    settings, members = tasks[task], Members(seed=job.seeds, cell=cells_of(cells, grids))
    copies = len(members) // len(job.seeds)
    problem, updates = problem_for(job, task, settings), int(settings["updates"])
    rnn = network_for_task(task, problem, settings["units"])
    schedule = Schedule.of(members, updates=updates, ratio=shape_ratio, device=job.device)

    def draw(step: int) -> tuple[SequenceBatch, int]:
        return problem.train(step).for_members(copies), step

    def loss(params: Params, drawn: tuple[SequenceBatch, int]) -> Tensor:
        batch, step = drawn
        return in_parts(rnn, schedule.in_use(params, step), batch, together)

    def look(params: Params, step: int) -> Arrays:
        used = schedule.in_use(params, step)
        return held_out(rnn, members.group(used), problem) | spread_of_shapes(used)

    fitted = fit(
        draw,
        loss,
        moved(start(rnn, job.generators("initialisation"), members.of("n"), members.of("s")), job.device),
        steps=updates,
        optimiser=Adam(lr=settings["learning_rate"]),
        project=scaled_updates({"gain": schedule.ratio, "saturation": schedule.ratio}),
        watches={"course": Watch(look, Every(settings["every"]))},
        job=job,
        name=f"{task}, {copies} starts",
    )
    log = fitted.logs["course"]
    course = {name: members.split(values, dim=1) for name, values in log.values.items()}
    return {
        "networks": members.group(schedule.in_use(fitted.parameters, updates)),
        "course": Group(Members(update=log.steps, **members.axes), course),
        "outcome": members.group({"diverged_at": fitted.diverged_at}),
        "chance": torch.tensor(problem.chance).double(),
    }


def in_parts(rnn: GainSaturationRNN, params: Params, batch: SequenceBatch, together: int) -> Tensor:
    """Losses (member,) on a batch with a row for each member.

    With `together` above 0 so many members are computed at once, and again in the backward pass, which needs the memory
    of these alone; 0: all.
    """

    def part(which: slice) -> Tensor:
        own, seen = select_members(params, which), batch.of(which)
        return losses(own, rnn.rollout(own, seen.x), seen)

    if together == 0:
        return part(slice(None))
    parts = [slice(at, at + together) for at in range(0, len(batch.x), together)]
    return torch.cat([checkpoint(part, one, use_reentrant=False, preserve_rng_state=False) for one in parts])


def held_out(rnn: GainSaturationRNN, networks: Group, problem: SequenceProblem) -> Arrays:
    """`accuracy` and `loss` (member,) on held-out data, one seed after the other: memory for all is not wanted."""
    batch, found = problem.held_out(), []
    for place, (_, of_seed) in enumerate(networks.each("seed")):
        own, one = of_seed.flat(), batch.of(slice(place, place + 1)).for_members(len(of_seed.members))
        states = rnn.rollout(own, one.x)
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
    job: Job, *, images: Images, units: Units, n: Gain, s: Saturation, updates: Updates, batch: Batch,
    learning_rate: Rate, changes: ChangesByName,
) -> dict[str, Group]:  # fmt: skip
    """Networks of fixed (n, s) that learn on inputs as they are, and on each kind of changed inputs from the start.

    Returns the `networks` by `change` (`CLEAN`: inputs as they are), and their `outcome`, `diverged_at`.
    """
    parts = moved(permuted_images(**images), job.device)
    order = batch_order(len(parts.train), updates=updates, size=batch, generators=job.generators("batches"))
    order = order.to(job.device)
    streams = job.generators("input noise", device=job.device)
    kinds: Changes = {CLEAN: {}, **changes}
    rnn = network_for(parts.train.x, units)
    members = Members(seed=job.seeds, change=list(kinds))

    def draw(step: int) -> tuple[Tensor, SequenceBatch]:
        seen = image_batch(parts.train, order[step])
        return members.flat(changed(seen.x, kinds, streams)), seen

    def loss(params: Params, drawn: tuple[Tensor, SequenceBatch]) -> Tensor:
        x, seen = drawn
        return losses(params, rnn.rollout(params, x), seen)

    begin = start(rnn, job.generators("initialisation"), [n] * len(members), [s] * len(members))
    fitted = fit(
        draw,
        loss,
        moved(begin, job.device),
        steps=updates,
        optimiser=Adam(lr=learning_rate),
        trainable=SETS["weights"],
        job=job,
        name="networks on clean and changed inputs",
    )
    outcome = members.group({"diverged_at": fitted.diverged_at})
    return {"networks": members.group(fitted.parameters), "outcome": outcome}


def adapt(
    job: Job, *, base: Run, images: Images, units: Units, updates: Updates, batch: Batch, learning_rate: Rate,
    changes: ChangesByName, together: Together,
) -> dict[str, Group]:  # fmt: skip
    """The networks of `base` that learned on inputs as they are, after adapting to each change in each set of SETS.

    All sets and changes are one stack, and see the same images; `together` as in `in_parts`. Returns the `networks` by
    `change` and `parameters`, which name the set, and their `outcome`, `diverged_at`.
    """
    parts = moved(permuted_images(**images), job.device)
    order = batch_order(len(parts.train), updates=updates, size=batch, generators=job.generators("adaptation batches"))
    order = order.to(job.device)
    wrong = shuffle_labels(parts.train.y, generators=job.generators("shuffled labels"))
    streams = job.generators("adaptation noise", device=job.device)
    rnn, members = (
        network_for(parts.train.x, units),
        Members(seed=job.seeds, change=list(changes), parameters=list(SETS)),
    )
    begin = spread_to(members, base["networks"].at(change=CLEAN).to(job.device)).flat()
    sets = [str(one) for one in members.of("parameters")]
    schedule = Schedule(
        shared=torch.tensor([one == "one shape" for one in sets], device=job.device),
        free_from=torch.zeros(len(sets), device=job.device),
        ratio=torch.ones(len(sets), device=job.device),
    )
    told_wrong = torch.tensor(["shuffled" in one for one in sets], device=job.device)
    learns = {name: torch.tensor([float(name in SETS[one]) for one in sets], device=job.device) for name in begin}

    def draw(step: int) -> tuple[SequenceBatch, int]:
        own, other = (image_batch(parts.train, order[step], labels) for labels in (None, wrong))
        x = members.spread(changed(own.x, changes, streams), "seed", "change")
        told = [members.spread(batch.target, "seed") for batch in (own, other)]
        target = torch.where(told_wrong[:, None, None], told[1], told[0])
        return replace(own, x=x, target=target), step

    def loss(params: Params, drawn: tuple[SequenceBatch, int]) -> Tensor:
        batch, step = drawn
        return in_parts(rnn, schedule.in_use(params, step), batch, together)

    fitted = fit(
        draw,
        loss,
        begin,
        steps=updates,
        optimiser=Adam(lr=learning_rate),
        project=scaled_updates(learns),
        job=job,
        name="adaptation",
    )
    outcome = members.group({"diverged_at": fitted.diverged_at})
    return {"networks": members.group(schedule.in_use(fitted.parameters, updates)), "outcome": outcome}


def network_for(x: Tensor, units: int) -> GainSaturationRNN:
    """The network for images x (image, time, pixel)."""
    return GainSaturationRNN(x.shape[-1], units, 10)


def spread_to(members: Members, networks: Group) -> Group:
    """The network of each seed (seed, ...) for all members of the seed."""
    return members.group({name: members.spread(w, "seed") for name, w in networks.items()})


def changed(x: Tensor, changes: Changes, streams: Sequence[Generator]) -> Tensor:
    """Inputs x (seed, time, trial, pixel) under each change in turn, (seed, change, time, trial, pixel)."""
    seen = []
    for settings in changes.values():
        noisy: dict[str, Any] = {"generators": streams} if settings.get("kind") == "noise" else {}
        seen.append(transform_inputs(x, dim=-3, **settings, **noisy) if settings else x)
    return torch.stack(seen, dim=1)
