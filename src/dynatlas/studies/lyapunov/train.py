"""What is trained: populations of networks that predict the next symbol, each with hyperparameters of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dynatlas.devices import moved
from dynatlas.ensemble.classification import cross_entropy
from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.random_search import Range, random_search
from dynatlas.ensemble.schedules import AtSteps, StepDecay
from dynatlas.ensemble.watch import Watch, snapshot_at
from dynatlas.jobs import Job
from dynatlas.members import Group, Members
from dynatlas.models.dropout import Dropout
from dynatlas.models.gated import Stacked
from dynatlas.models.rnn import readout
from dynatlas.studies.lyapunov.networks import HYPERPARAMETERS, LOGARITHMS, network, read_text, with_gain
from dynatlas.tasks.symbols import SymbolBatch

if TYPE_CHECKING:
    from dynatlas.studies.lyapunov.settings import (
        Batch,
        Bias,
        Cell,
        Cells,
        Configurations,
        Decay,
        Inputs,
        Ranges,
        Snapshots,
        Steps,
        TextName,
        Texts,
        Validation,
        Window,
    )

CHUNK = 64
"""Validation windows that go through all networks at once."""


def train_networks(
    job: Job, *, cell: Cell, text: TextName, texts: Texts, cells: Cells, bias: Bias, inputs: Inputs,
    configurations: Configurations, ranges: Ranges, window: Window, batch: Batch, steps: Steps, decay: Decay | None,
    snapshots: Snapshots, validation: Validation,
) -> dict[str, Group]:  # fmt: skip
    """`configurations` networks of each seed that read windows of a text and predict the next symbol.

    Gain, learning rate and dropout of each network are drawn from `ranges` (see `draw_configurations`). All networks of
    a seed see the same batches, which other seeds do not; `cells` says how many units each cell has. Cross-entropy over
    the positions that the text scores; Adam, gradients clipped to norm 1 for each network. `decay`: arguments of
    `StepDecay`, or None.

    Returns, with axes (step, seed, configuration), the parameters of the `networks` at each snapshot and their
    `course`: `loss`, the validation loss in nats a symbol; and of each network (seed, configuration) as `drawn` its
    `gain`, `learning_rate` and `dropout`, and whether it `diverged`: such a one keeps its last finite parameters, and
    has the loss of a guess. Raises ValueError for snapshots that do not begin at 0 and end at `steps`.
    """
    if snapshots != sorted(set(snapshots)) or (snapshots[0], snapshots[-1]) != (0, steps):
        raise ValueError(f"snapshots: {snapshots}: wanted are rising steps from 0 to {steps}")
    corpus = read_text(job, **texts[text])
    members = Members(seed=job.seeds, configuration=range(configurations))
    drawn = draw_configurations(job, configurations, ranges)
    net = network(cell, units=cells[cell], symbols=corpus.symbols, bias=bias)
    start = with_gain(
        net.initialise(job.generators("initialisation"), configurations), drawn["gain"].flatten(), inputs=inputs
    )
    batches, masks = job.generators("batches"), job.generators("dropout", device=job.device)
    dropout = Dropout(masks, drawn["dropout"].flatten().to(job.device).float(), copies=configurations)
    held_out = corpus.evenly(validation, steps=window)

    def draw(step: int) -> tuple[SymbolBatch, Tensor | None]:
        shown = corpus.draw(batch, steps=window, generators=batches)
        return shown, dropout.draw(window, batch, net.units)

    def validate(params: Params, step: int) -> dict[str, Tensor]:
        return {"loss": validation_loss(net, params, held_out)}

    fitted = fit(
        draw,
        lambda params, drawn: prediction_loss(net, params, *drawn),
        moved(start, job.device),
        steps=steps,
        optimiser=Adam(lr=drawn["learning_rate"].flatten().to(job.device)),
        schedule=StepDecay(**decay) if decay else None,
        clip_norm=1.0,
        watches={"networks": snapshot_at(snapshots), "course": Watch(validate, at=AtSteps(frozenset(snapshots)))},
        job=job,
        name=f"{cell} on {text}",
    )
    noted, course = (fitted.logs[name].at(snapshots) for name in ("networks", "course"))
    losses = torch.where(
        fitted.diverged_by(snapshots) | ~course["loss"].isfinite(), math.log(corpus.symbols), course["loss"]
    )
    along = Members(step=snapshots, **members.axes)
    return {
        "networks": Group(along, {name: members.split(noted[name], dim=1) for name in start}),
        "course": Group(along, {"loss": members.split(losses, dim=1)}),
        "drawn": Group(members, drawn | {"diverged": members.split(fitted.diverged_at >= 0)}),
    }


def draw_configurations(job: Job, count: int, ranges: Ranges) -> dict[str, Tensor]:
    """Hyperparameters of `count` networks of each seed, float64 (seed, configuration).

    `gain` (standard deviation of the recurrent weights times sqrt(units)) and `learning_rate` are log-uniform in their
    range, `dropout` (of the units that the readout sees) is uniform.
    """
    ends = {name: ranges[name] for name in HYPERPARAMETERS}
    wanted = {name: Range(low, high, logarithmic=name in LOGARITHMS) for name, (low, high) in ends.items()}
    return random_search(wanted, count, generators=[job.rng("configurations", seed) for seed in job.seeds])


def prediction_loss(net: Stacked, params: Params, shown: SymbolBatch, masks: Tensor | None = None) -> Tensor:
    """Mean cross-entropy in nats over the scored positions of windows (seed or 1, time, trial, ...) -> (member,).

    Members are seeds x configurations; those of a seed see the same windows. `masks` (member, time, trial, unit)
    multiply the units that the readout sees.
    """
    members = len(params["w_out"])
    copies = members // len(shown.x)
    x, target = (part.repeat_interleave(copies, dim=0) for part in (shown.x, shown.target))
    states = net.top(net.rollout(params, x))[:, shown.counted]
    states = states if masks is None else states * masks[:, shown.counted]
    return cross_entropy(readout(params, states), target[:, shown.counted])


def validation_loss(net: Stacked, params: Params, held_out: SymbolBatch) -> Tensor:
    """`prediction_loss` on the held-out windows, a few at a time -> (member,)."""
    trials = held_out.target.shape[2]
    total = torch.zeros(len(params["w_out"]), device=held_out.x.device)
    for chosen in torch.arange(trials, device=held_out.x.device).split(CHUNK):
        total = total + prediction_loss(net, params, held_out.trials(chosen)) * len(chosen)
    return total / trials
