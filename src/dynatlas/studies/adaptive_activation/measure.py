"""What is measured: learning in every cell, the shapes that were learned, the dynamics behind it, and adaptation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dynatlas.devices import moved
from dynatlas.ensemble.parameters import Params, select_members
from dynatlas.instruments.heldout import cross_fitted_best, heldout_readout
from dynatlas.jobs import Job, Run
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.problems.sequences import SequenceBatch, all_images, permuted_images
from dynatlas.studies.adaptive_activation.cells import Cell, cells_of
from dynatlas.studies.adaptive_activation.problems import accuracies
from dynatlas.studies.adaptive_activation.train import (
    CLEAN,
    SETS,
    Changes,
    changed,
    network_for,
    params_of,
    spread,
)

CORNERS = {"softplus": (1.0, 0.0), "sigmoid": (1.0, 1.0), "ReLU-like": (20.0, 0.0)}


def grid_rows(
    values: Tensor | np.ndarray, seeds: Sequence[int], cells: Sequence[Cell], metric: str, **where: Any
) -> pd.DataFrame:
    """One row for each of values (seed, cell)."""
    listed = pd.DataFrame([{"mode": c.mode, "n": c.n, "s": c.s} for c in cells])
    table = pd.concat([listed.assign(seed=seed) for seed in seeds], ignore_index=True)
    return table.assign(**where, metric=metric, value=np.asarray(values, dtype=float).ravel())


def jobs_of(grid: list[Run]) -> Iterator[tuple[str, list[Cell], Run]]:
    """Task, cells and run of each job."""
    for run in grid:
        yield str(run.settings["task"]), cells_of(run.settings["cells"], run.settings["grids"]), run


def by_cell(values: Tensor, cells: Sequence[Cell]) -> Tensor:
    """(..., seed x cell) -> (..., seed, cell)."""
    return values.unflatten(-1, (-1, len(cells)))


def course_of(run: Run, name: str = "accuracy") -> Tensor:
    """Held-out accuracy or loss (note, member); at that of a guess from where a member diverged: it is not dropped."""
    guess = run["chance"] if name == "accuracy" else torch.tensor(float(run["w_out"].shape[-1])).log()
    diverged = (run["diverged_at"] >= 0) & (run["diverged_at"] <= run["steps"][:, None])
    return torch.where(diverged, guess, run[name].double())


def scores_of(run: Run) -> dict[str, Tensor]:
    """Larger is better: `final` accuracy, `area` under its curve over updates, `loss_area`, minus that under the loss.

    Areas are trapezia over the number of updates.
    """
    course, steps = course_of(run), run["steps"].double()
    areas = [torch.trapezoid(one, steps, dim=0) / (steps[-1] - steps[0]) for one in (course, course_of(run, "loss"))]
    return {"final": course[-1], "area": areas[0], "loss_area": -areas[1]}


def measure_performance(job: Job, *, grid: list[Run]) -> pd.DataFrame:
    """Scores of every cell on every task (see `scores_of`); `diverged`: 1 where training did not stay finite.

    Also `gain_sd` and `saturation_sd`, the spread over units at the end.
    """
    frames = []
    for task, cells, run in jobs_of(grid):
        scores = scores_of(run) | {"diverged": (run["diverged_at"] >= 0).double()}
        scores |= {name: run[name][-1] for name in ("gain_sd", "saturation_sd")}
        frames += [grid_rows(by_cell(v, cells), job.seeds, cells, metric, task=task) for metric, v in scores.items()]
    return pd.concat(frames, ignore_index=True)


def measure_course(job: Job, *, grid: list[Run]) -> pd.DataFrame:
    """Along training, in every cell: held-out accuracy, and mean and sd over units of gain and saturation."""
    frames = []
    for task, cells, run in jobs_of(grid):
        logged = {name: run[name] for name in run if name.startswith(("gain_", "saturation_"))}
        for metric, course in ({"accuracy": course_of(run)} | logged).items():
            for update, values in zip(run["steps"].tolist(), by_cell(course, cells), strict=True):
                frames.append(grid_rows(values, job.seeds, cells, metric, task=task, update=update))
    return pd.concat(frames, ignore_index=True)


def measure_gains(job: Job, *, grid: list[Run]) -> pd.DataFrame:
    """What learning the shape gains: score of each mode minus that of static networks of the same starts.

    Mean over the mode's starts, by `score`.
    """
    frames = []
    for task, cells, run in jobs_of(grid):
        place = {(cell.mode, cell.n, cell.s): at for at, cell in enumerate(cells)}
        for mode in dict.fromkeys(cell.mode for cell in cells if cell.mode != "static"):
            own = [at for at, cell in enumerate(cells) if cell.mode == mode]
            fixed = [place["static", cells[at].n, cells[at].s] for at in own]
            for score, value in scored(run, cells).items():
                gain = (value[:, own] - value[:, fixed]).mean(dim=1)
                rows = {"seed": job.seeds, "value": gain.tolist()}
                frames.append(pd.DataFrame(rows).assign(task=task, mode=mode, score=score, metric="gain"))
    return pd.concat(frames, ignore_index=True)


def scored(run: Run, cells: Sequence[Cell]) -> dict[str, Tensor]:
    """`scores_of`, (seed, cell) each."""
    return {name: by_cell(value, cells) for name, value in scores_of(run).items()}


def measure_best(job: Job, *, grid: list[Run]) -> pd.DataFrame:
    """The static cell that is best on the other seeds, judged on this one, minus each corner of the family.

    Column `cells`: "own", or "permuted" where the choice sees cells exchanged within each seed at random. Rows of
    metric `gain` and `value` by `corner`; `n`, `s` and `value` of the cell that is "chosen".
    """
    frames = []
    for task, cells, run in jobs_of(grid):
        static = [at for at, cell in enumerate(cells) if cell.mode == "static"]
        listed = [cells[at] for at in static]
        for score, value in scored(run, cells).items():
            own = value[:, static].numpy()
            for kind, seen in (("own", own), ("permuted", permuted(job, own))):
                rows = best_rows(own, cross_fitted_best(seen)[0], listed, job.seeds)
                frames.append(rows.assign(task=task, score=score, cells=kind))
    return pd.concat(frames, ignore_index=True)


def permuted(job: Job, values: np.ndarray) -> np.ndarray:
    """Values (seed, cell) with the cells of each seed in an order of its own."""
    rows = zip(job.seeds, values, strict=True)
    return np.stack([row[job.rng("permuted cells", seed).permutation(len(row))] for seed, row in rows])


def best_rows(values: np.ndarray, chosen: np.ndarray, cells: Sequence[Cell], seeds: Sequence[int]) -> pd.DataFrame:
    """Rows of the chosen cell of each seed (seed,) among values (seed, cell)."""
    place = {(cell.n, cell.s): at for at, cell in enumerate(cells)}
    reached = values[np.arange(len(values)), chosen]
    gains = {name: reached - values[:, place[corner]] for name, corner in CORNERS.items()}
    found = [("gain", corner, value) for corner, value in gains.items()]
    found += [
        ("n", "chosen", np.array([cells[at].n for at in chosen])),
        ("s", "chosen", np.array([cells[at].s for at in chosen])),
        ("value", "chosen", reached),
        *(("value", name, values[:, place[corner]]) for name, corner in CORNERS.items()),
    ]
    return pd.concat(
        [
            pd.DataFrame({"seed": seeds, "corner": corner, "metric": metric, "value": value})
            for metric, corner, value in found
        ],
        ignore_index=True,
    )


def measure_decoding(job: Job, *, grid: list[Run], tasks: list[str], update: int) -> pd.DataFrame:
    """Can the task be told from how (n, s) of homogeneous networks moved by `update`? 1-NN, leave one seed out.

    Features are (dn / n, ds), pooled over starts, each z-scored on the other seeds. Column `labels`: "own", or
    "exchanged" where the two tasks change places in a random half of all (seed, start).
    """
    moves = torch.stack([move for task, move in moved_shapes(grid, update) if task in tasks], dim=1)
    seeds, kinds, starts, _ = moves.shape
    features = moves.flatten(1, 2).numpy()
    own = np.repeat(np.arange(kinds), starts)[None].repeat(seeds, axis=0)
    flips = np.stack([job.rng("exchanged tasks", seed).integers(0, 2, starts) for seed in job.seeds])
    exchanged = np.abs(own - np.tile(flips, (1, kinds)))
    rows = []
    for labels, target in (("own", own), ("exchanged", exchanged)):
        right = heldout_readout(features, target, k=1).predicted == target
        rows.append(pd.DataFrame({"seed": job.seeds, "labels": labels, "value": right.mean(axis=1)}))
    return pd.concat(rows, ignore_index=True).assign(metric="accuracy")


def moved_shapes(grid: list[Run], update: int) -> Iterator[tuple[str, Tensor]]:
    """(dn / n, ds), (seed, start, 2), of the homogeneous networks of each task."""
    for task, cells, run in jobs_of(grid):
        own = [at for at, cell in enumerate(cells) if cell.mode == "homogeneous"]
        at = run["steps"].tolist().index(update)
        gain, saturation = (by_cell(run[f"{name}_mean"], cells)[:, :, own] for name in ("gain", "saturation"))
        yield task, torch.stack([(gain[at] - gain[0]) / gain[0], saturation[at] - saturation[0]], dim=-1)


def measure_units(job: Job, *, grid: list[Run]) -> pd.DataFrame:
    """Gain and saturation of every unit of the heterogeneous networks at the end of training."""
    frames = []
    for task, cells, run in jobs_of(grid):
        for at, cell in enumerate(cells):
            if cell.mode != "heterogeneous":
                continue
            for metric in ("gain", "saturation"):
                values = run[metric][at :: len(cells)]
                for seed, units in zip(job.seeds, values.double().tolist(), strict=True):
                    rows = pd.DataFrame({"unit": range(len(units)), "value": units})
                    frames.append(rows.assign(seed=seed, task=task, n=cell.n, s=cell.s, metric=metric))
    return pd.concat(frames, ignore_index=True)


def measure_adaptation(
    job: Job, *, base: Run, adapted: Run, images: dict[str, Any], units: int, changes: Changes
) -> pd.DataFrame:
    """Held-out accuracy on changed inputs by `change` and `parameters` that adapted, and its `gain` over "nothing".

    "nothing": networks that learned on inputs as they are; "retrained": those that learned on changed inputs from the
    start. The change "none" is inputs as they are, with "nothing" alone.
    """
    test = moved(permuted_images(**images), job.device).test
    batch, rnn = all_images(test, len(job.seeds)), network_for(test.x, units)
    kinds: Changes = {CLEAN: {}} | changes
    x = changed(batch.x, kinds, job.generators("evaluation noise", device=job.device)).unflatten(
        0, (len(job.seeds), -1)
    )
    retrained, reached = params_of(base, job.device), params_of(adapted, job.device)
    unadapted = {name: spread(part[:: len(kinds)], len(kinds)) for name, part in retrained.items()}
    before = accuracies_on(rnn, unadapted, x, batch)
    after = accuracies_on(rnn, reached, x[:, 1:], batch).unflatten(1, (len(changes), len(SETS)))
    again = accuracies_on(rnn, retrained, x, batch)
    rows = [adaptation_rows(job, before[:, 0], CLEAN, "nothing", "accuracy")]
    for at, change in enumerate(changes, start=1):
        found = {"nothing": before[:, at], "retrained": again[:, at]}
        found |= {name: after[:, at - 1, which] for which, name in enumerate(SETS)}
        for name, value in found.items():
            rows.append(adaptation_rows(job, value, change, name, "accuracy"))
            rows.append(adaptation_rows(job, value - before[:, at], change, name, "gain"))
    return pd.concat(rows, ignore_index=True)


def adaptation_rows(job: Job, values: Tensor, change: str, parameters: str, metric: str) -> pd.DataFrame:
    """One row for each of values (seed,)."""
    rows = pd.DataFrame({"seed": job.seeds, "value": values.tolist()})
    return rows.assign(change=change, parameters=parameters, metric=metric)


def accuracies_on(rnn: GainSaturationRNN, params: Params, x: Tensor, batch: SequenceBatch) -> Tensor:
    """Accuracy (seed, member) of members (seed x change x copy) on x (seed, change, time, trial, pixel)."""
    found, each = [], len(params["w_rec"]) // len(x)
    for seed, inputs in enumerate(x):
        own = select_members(params, slice(seed * each, (seed + 1) * each))
        seen = replace(batch, x=spread(inputs, each // len(inputs)), target=batch.target[seed : seed + 1])
        with torch.no_grad():
            found.append(accuracies(own, rnn.rollout(own, seen.x), seen))
    return torch.stack(found).cpu()
