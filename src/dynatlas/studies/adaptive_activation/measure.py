"""What is measured: learning in every cell, the shapes that were learned, the dynamics behind it, and adaptation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dynatlas.devices import moved
from dynatlas.instruments.heldout import cross_fitted_best, heldout_readout
from dynatlas.jobs import Job, Run
from dynatlas.members import Group, Members
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.problems.sequences import SequenceBatch, all_images, permuted_images
from dynatlas.studies.adaptive_activation.problems import accuracies
from dynatlas.studies.adaptive_activation.train import (
    CLEAN,
    Changes,
    changed,
    network_for,
    spread_to,
)
from dynatlas.tables import gathered, tidy

if TYPE_CHECKING:
    from dynatlas.studies.adaptive_activation.settings import ChangesByName, Images, TaskNames, Units, Update


CORNERS = {"softplus": {"n": 1.0, "s": 0.0}, "sigmoid": {"n": 1.0, "s": 1.0}, "ReLU-like": {"n": 20.0, "s": 0.0}}


def course_of(run: Run, name: str = "accuracy") -> Tensor:
    """Held-out accuracy or loss (update, seed, cell); that of a guess from where a member diverged: it stays in."""
    guess = run["chance"] if name == "accuracy" else torch.tensor(float(run["networks"]["w_out"].shape[-1])).log()
    at, updates = run["outcome"]["diverged_at"], _updates(run)
    diverged = (at >= 0) & (at <= updates[:, None, None])
    return torch.where(diverged, guess, run["course"][name].double())


def _updates(run: Run) -> Tensor:
    return torch.tensor(run["course"].members.axes["update"])


def scores_of(run: Run) -> Group:
    """Larger is better: `final` accuracy, `area` under its curve over updates, `loss_area`, minus that under the loss.

    Axes (seed, cell). Areas are trapezia over the number of updates.
    """
    course, updates = course_of(run), _updates(run).double()
    span = updates[-1] - updates[0]
    areas = [torch.trapezoid(one, updates, dim=0) / span for one in (course, course_of(run, "loss"))]
    return Group(run["outcome"].members, {"final": course[-1], "area": areas[0], "loss_area": -areas[1]})


@gathered
def measure_performance(job: Job, *, grid: list[Run]) -> Iterator[pd.DataFrame]:
    """Scores of every cell on every task (see `scores_of`); `diverged`: 1 where training did not stay finite.

    Also `gain_sd` and `saturation_sd`, the spread over units at the end.
    """
    for run in grid:
        scores, last = scores_of(run), {name: run["course"][name][-1] for name in ("gain_sd", "saturation_sd")}
        found = {**scores, "diverged": run["outcome"]["diverged_at"] >= 0, **last}
        yield tidy(found, scores.members, task=run.settings["task"])


@gathered
def measure_course(job: Job, *, grid: list[Run]) -> Iterator[pd.DataFrame]:
    """Along training, in every cell: held-out accuracy, and mean and sd over units of gain and saturation."""
    for run in grid:
        course = run["course"]
        shapes = {name: values for name, values in course.items() if name not in ("accuracy", "loss")}
        yield tidy({"accuracy": course_of(run)} | shapes, course.members, task=run.settings["task"])


@gathered
def measure_gains(job: Job, *, grid: list[Run]) -> Iterator[pd.DataFrame]:
    """What learning the shape gains: score of each mode minus that of static networks of the same starts.

    Mean over the mode's starts, by `score`.
    """
    for run in grid:
        scores = scores_of(run)
        static = scores.at(mode="static")
        for mode, own in scores.each("mode"):
            if mode == "static":
                continue
            fixed = static.at(cell=own.members.axes["cell"])
            for score in scores:
                gain = (own[score] - fixed[score]).mean(dim=1)
                yield tidy({"gain": gain}, {"seed": job.seeds}, task=run.settings["task"], mode=mode, score=score)


@gathered
def measure_best(job: Job, *, grid: list[Run]) -> Iterator[pd.DataFrame]:
    """The static cell that is best on the other seeds, judged on this one, minus each corner of the family.

    Column `cells`: "own", or "permuted" where the choice sees cells exchanged within each seed at random. Rows of
    metric `gain` and `value` by `corner`; `n`, `s` and `value` of the cell that is "chosen".
    """
    for run in grid:
        static = scores_of(run).at(mode="static")
        for score, values in static.items():
            for kind, seen in (("own", values.numpy()), ("permuted", permuted(job, values.numpy()))):
                where = {"task": run.settings["task"], "score": score, "cells": kind}
                yield from best_rows(static.only(score), cross_fitted_best(seen)[0], **where)


def permuted(job: Job, values: np.ndarray) -> np.ndarray:
    """Values (seed, cell) with the cells of each seed in an order of its own."""
    rows = zip(job.seeds, values, strict=True)
    return np.stack([row[job.rng("permuted cells", seed).permutation(len(row))] for seed, row in rows])


def best_rows(static: Group, chosen: np.ndarray, **where: Any) -> Iterator[pd.DataFrame]:
    """Rows of the chosen cell of each seed (seed,) among the values of static networks (seed, cell)."""
    ((_, values),) = static.items()
    reached = values[torch.arange(len(values)), torch.from_numpy(chosen)]
    starts, seeds = static.members.axes["cell"], {"seed": static.members.axes["seed"]}
    picked = {name: [starts[at][name] for at in chosen] for name in ("n", "s")}
    yield tidy(picked | {"value": reached}, seeds, corner="chosen", **where)
    for corner, start in CORNERS.items():
        ((_, own),) = static.at(cell=start).items()
        yield tidy({"gain": reached - own, "value": own}, seeds, corner=corner, **where)


@gathered
def measure_decoding(job: Job, *, grid: list[Run], tasks: TaskNames, update: Update) -> Iterator[pd.DataFrame]:
    """Can the task be told from how (n, s) of homogeneous networks moved by `update`? 1-NN, leave one seed out.

    Features are (dn / n, ds), pooled over starts, each z-scored on the other seeds. Column `labels`: "own", or
    "exchanged" where the two tasks change places in a random half of all (seed, start).
    """
    moves = torch.stack([moved_shapes(run, update) for run in grid if run.settings["task"] in tasks], dim=1)
    seeds, kinds, starts, _ = moves.shape
    features = moves.flatten(1, 2).numpy()
    own = np.repeat(np.arange(kinds), starts)[None].repeat(seeds, axis=0)
    flips = np.stack([job.rng("exchanged tasks", seed).integers(0, 2, starts) for seed in job.seeds])
    exchanged = np.abs(own - np.tile(flips, (1, kinds)))
    for labels, target in (("own", own), ("exchanged", exchanged)):
        right = heldout_readout(features, target, k=1).predicted == target
        yield tidy({"accuracy": right.mean(axis=1)}, {"seed": job.seeds}, labels=labels)


def moved_shapes(run: Run, update: int) -> Tensor:
    """(dn / n, ds) from the start to an update, (seed, start, 2), of the homogeneous networks."""
    course = run["course"].at(mode="homogeneous")
    before, now = (course.at(update=one) for one in (course.members.axes["update"][0], update))
    gain = (now["gain_mean"] - before["gain_mean"]) / before["gain_mean"]
    return torch.stack([gain, now["saturation_mean"] - before["saturation_mean"]], dim=-1)


@gathered
def measure_units(job: Job, *, grid: list[Run]) -> Iterator[pd.DataFrame]:
    """Gain and saturation of every unit of the heterogeneous networks at the end of training."""
    for run in grid:
        shapes = run["networks"].only("gain", "saturation").at(mode="heterogeneous")
        units = shapes.members.times(unit=range(shapes["gain"].shape[-1]))
        yield tidy(shapes, units, task=run.settings["task"])


@gathered
def measure_adaptation(
    job: Job, *, base: Run, adapted: Run, images: Images, units: Units, changes: ChangesByName
) -> Iterator[pd.DataFrame]:
    """Held-out accuracy on changed inputs by `change` and `parameters` that adapted, and its `gain` over "nothing".

    "nothing": networks that learned on inputs as they are; "retrained": those that learned on changed inputs from the
    start. The change "none" is inputs as they are, with "nothing" alone.
    """
    test = moved(permuted_images(**images), job.device).test
    batch, rnn = all_images(test, len(job.seeds)), network_for(test.x, units)
    kinds: Changes = {CLEAN: {}, **changes}
    members, altered = Members(seed=job.seeds, change=list(kinds)), list(changes)
    shown = Group(members, {"x": changed(batch.x, kinds, job.generators("evaluation noise", device=job.device))})
    retrained, reached = (run["networks"].to(job.device) for run in (base, adapted))
    before = accuracies_on(rnn, spread_to(members, retrained.at(change=CLEAN)), shown, batch)
    after, again = (accuracies_on(rnn, networks, shown, batch) for networks in (reached, retrained))
    yield tidy(before.at(change=CLEAN), {"seed": job.seeds}, change=CLEAN, parameters="nothing")
    nothing = before.at(change=altered)["accuracy"]
    found = {"nothing": nothing, "retrained": again.at(change=altered)["accuracy"]}
    found |= {name: own["accuracy"] for name, own in after.each("parameters")}
    for name, value in found.items():
        axes = {"seed": job.seeds, "change": altered}
        yield tidy({"accuracy": value, "gain": value - nothing}, axes, parameters=name)


def accuracies_on(rnn: GainSaturationRNN, networks: Group, shown: Group, batch: SequenceBatch) -> Group:
    """Accuracy of networks (seed, change, ...) on the inputs that are shown to their seed under their change."""
    found = []
    for place, (seed, of_seed) in enumerate(networks.each("seed")):
        x = shown.at(seed=seed, change=of_seed.members.axes["change"])["x"]
        seen = replace(batch, x=of_seed.members.spread(x, "change"), target=batch.target[place : place + 1])
        with torch.no_grad():
            found.append(accuracies(of_seed.flat(), rnn.rollout(of_seed.flat(), seen.x), seen))
    return networks.members.group({"accuracy": torch.cat(found).cpu()})
