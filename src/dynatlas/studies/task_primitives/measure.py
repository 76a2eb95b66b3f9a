"""What is measured on the strategies: accuracy, costs, robustness, lesions, forgetting, dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from dynatlas.instruments.dimension import participation_ratio
from dynatlas.instruments.perturb import contiguous_lesions, family_named, perturb, random_lesions
from dynatlas.jobs import Job, Run
from dynatlas.models.model import Params
from dynatlas.models.rnn import rollout
from dynatlas.reductions import mean_over_first
from dynatlas.studies.task_primitives.costs import FORMULAS, build, cost_of, counts, trials_seen, updates
from dynatlas.studies.task_primitives.formulas import count_parameters, count_trainable
from dynatlas.studies.task_primitives.world import MODULES, TASKS, Strategy, World, own_of, strategies_of
from dynatlas.tasks.multitask import OUTPUT_CHANNELS, build_trial
from dynatlas.tasks.primitives import PRIMITIVES, STREAM_CHANNELS

ALL = "all"
"""In a condition column: over every task, part or magnitude."""
CHANCE = 0.1
NAMED_MODULES = tuple(primitive.name for primitive in PRIMITIVES)


def rows(values: Tensor, seeds: Sequence[int], metric: str, **where: Any) -> pd.DataFrame:
    """One row a seed of `values` (seed,)."""
    return pd.DataFrame({"seed": list(seeds), **where, "metric": metric, "value": values.double().tolist()})


def measure_accuracy(
    job: Job, *, readouts: Run, separate: Run, joint: Run, sequential: Run, world: dict[str, Any]
) -> pd.DataFrame:
    """Accuracy of every strategy on every task, unperturbed, on the shared evaluation trials."""
    setting = World(**world)
    found = strategies_of(readouts, separate, joint, sequential, device=job.device)
    frames = []
    for name, strategy in found.items():
        for task in TASKS:
            right = setting.accuracy(job, strategy.for_task(task), task)
            frames.append(rows(right, job.seeds, "accuracy", strategy=name, task=task))
    return pd.concat(frames, ignore_index=True)


def measure_perturbations(
    job: Job, *, readouts: Run, separate: Run, joint: Run, sequential: Run, strategies: list[str], part: str,
    families: dict[str, dict[str, list[float]]], world: dict[str, Any],
) -> pd.DataFrame:  # fmt: skip
    """Accuracy (mean over tasks) under every family and magnitude of one `part` of the `families`.

    Also, per family, `retained` (see `retained_above_chance`) and `retained_raw`, the same without the floor of chance.
    """
    setting, frames = World(**world), []
    found = strategies_of(readouts, separate, joint, sequential, device=job.device)
    for name in strategies:
        each = [setting.accuracy(job, found[name].for_task(task), task) for task in TASKS]
        intact = mean_over_first(torch.stack(each))
        for family, magnitudes in families[part].items():
            where = {"strategy": name, "family": family, "unit": family_named(family).magnitude}
            hurt = torch.stack([perturbed_accuracy(job, setting, found[name], family, size) for size in magnitudes])
            for size, right in zip(magnitudes, hurt, strict=True):
                frames.append(rows(right, job.seeds, "accuracy", magnitude=f"{size:g}", **where))
            retained = retained_above_chance(hurt, intact)
            frames.append(rows(retained, job.seeds, "retained", magnitude=ALL, **where))
            frames.append(rows(mean_over_first(hurt / intact), job.seeds, "retained_raw", magnitude=ALL, **where))
    return pd.concat(frames, ignore_index=True)


def retained_above_chance(hurt: Tensor, intact: Tensor) -> Tensor:
    """Mean over magnitudes of (hurt - .1) / (intact - .1): (magnitude, seed), (seed,) -> (seed,). Never clipped."""
    return mean_over_first((hurt - CHANCE) / (intact - CHANCE))


def perturbed_accuracy(job: Job, setting: World, strategy: Strategy, family: str, magnitude: float) -> Tensor:
    """Accuracy (seed,) under one perturbation, mean over the nine tasks and the parts of a lesion.

    The draws depend neither on the magnitude nor, for networks of one size, on the strategy. Where there are nine
    networks, each is perturbed by draws of its own.
    """
    seeds, networks = strategy.network["w_rec"].shape[:2]
    flat = {name: w.flatten(0, 1) for name, w in strategy.network.items()}
    scores = []
    for part in range(family_named(family).parts):
        draws = job.generators(f"perturbation {family}")
        changed, overrides = perturb(flat, family, magnitude=magnitude, generators=draws, part=part)
        hurt = Strategy(
            {name: w.unflatten(0, (seeds, networks)) for name, w in changed.items()}, strategy.w_out, strategy.b_out
        )
        settings = {name: value for name, value in vars(overrides).items() if value is not None}
        mask = settings.pop("unit_mask", None)
        for task in TASKS:
            own = {} if mask is None else {"unit_mask": own_of(mask.unflatten(0, (seeds, networks)), task)}
            scores.append(setting.accuracy(job, hurt.for_task(task), task, **settings, **own))
    return mean_over_first(torch.stack(scores))


def measure_lesions(
    job: Job, *, readouts: Run, separate: Run, joint: Run, sequential: Run, strategies: list[str], world: dict[str, Any]
) -> pd.DataFrame:
    """Accuracy after silencing a quarter of the units, by task: a module (a contiguous quarter where there are none).

    For MP also cut elsewhere: random quarters, and quarters shifted by half a module. `lost` is the accuracy lost to
    each module, `interaction` the mean square of that matrix without its module and task means, `retained` as in the
    battery of perturbations.
    """
    setting, frames = World(**world), []
    for name, strategy in strategies_of(readouts, separate, joint, sequential, device=job.device).items():
        if name not in strategies:
            continue
        intact = torch.stack([setting.accuracy(job, strategy.for_task(task), task) for task in TASKS], dim=1)
        for cut, masks in _cuts(job, strategy.units, everywhere=name == "MP").items():
            silenced = NAMED_MODULES if cut == "module" and name in ("MP", "MPu") else _quarters()
            hurt = torch.stack([_lesioned(job, setting, strategy, mask) for mask in masks], dim=1)
            lost = intact[:, None] - hurt
            for metric, matrix in (("accuracy", hurt), ("lost", lost)):
                for m, module in enumerate(silenced):
                    for k, task in enumerate(TASKS):
                        where = {"strategy": name, "cut": cut, "silenced": module, "task": task}
                        frames.append(rows(matrix[:, m, k], job.seeds, metric, **where))
            summary = {"interaction": interaction(lost)}
            summary["retained"] = retained_above_chance(hurt.mean((1, 2))[None], intact.mean(1))
            for metric, value in summary.items():
                frames.append(rows(value, job.seeds, metric, strategy=name, cut=cut, silenced=ALL, task=ALL))
    return pd.concat(frames, ignore_index=True)


def _quarters() -> list[str]:
    return [f"quarter {m + 1}" for m in range(MODULES)]


def _cuts(job: Job, units: int, *, everywhere: bool) -> dict[str, Tensor]:
    """Masks (quarter, seed, unit): contiguous quarters, and if `everywhere` two other ways to cut."""
    contiguous = contiguous_lesions(units, MODULES).to(job.device)
    cuts = {"module": contiguous}
    if everywhere:
        cuts["shifted"] = contiguous.roll(units // (2 * MODULES), dims=1)
    cuts = {name: masks[:, None].expand(-1, len(job.seeds), -1) for name, masks in cuts.items()}
    if everywhere:
        drawn = random_lesions(units, 1 / MODULES, generators=job.generators("random quarter"), copies=MODULES)
        cuts["random"] = drawn.unflatten(0, (len(job.seeds), MODULES)).movedim(1, 0)
    return cuts


def _lesioned(job: Job, setting: World, strategy: Strategy, mask: Tensor) -> Tensor:
    """Accuracy (seed, task) with units clamped by `mask` (seed, unit) in every network."""
    scores = [setting.accuracy(job, strategy.for_task(task), task, unit_mask=mask) for task in TASKS]
    return torch.stack(scores, dim=1)


def interaction(lost: Tensor) -> Tensor:
    """Mean square of (seed, module, task) after removing the module means and the task means: (seed,)."""
    rest = lost - lost.mean(2, keepdim=True) - lost.mean(1, keepdim=True) + lost.mean((1, 2), keepdim=True)
    return rest.square().mean((1, 2))


def measure_forgetting(job: Job, *, readouts: Run, sequential: Run) -> pd.DataFrame:
    """Accuracy on each task while the nine are learned in order; `change` from right after learning it to the end.

    `drop` is minus the change, for the eight tasks after which another was learned. "MP, one readout" is refitted.
    """
    names = {"MP": readouts, "shared": readouts} | dict.fromkeys(
        [key.removesuffix(".learned") for key in sequential if key.endswith(".learned")], sequential
    )
    frames = []
    for name, run in names.items():
        where = {"strategy": "MP, one readout" if name == "shared" else name}
        learned = run[f"{name}.learned"]
        for j, task in enumerate(TASKS):
            for k in range(len(TASKS)):
                frames.append(rows(learned[:, k, j], job.seeds, "accuracy", task=task, learned=k + 1, **where))
            change = learned[:, -1, j] - learned[:, j, j]
            frames.append(rows(change, job.seeds, "change", task=task, learned=len(TASKS), **where))
            if j < len(TASKS) - 1:
                frames.append(rows(-change, job.seeds, "drop", task=task, learned=len(TASKS), **where))
    return pd.concat(frames, ignore_index=True)


def measure_dimension(
    job: Job, *, readouts: Run, separate: Run, joint: Run, sequential: Run, strategies: list[str], trials: int,
    world: dict[str, Any],
) -> pd.DataFrame:  # fmt: skip
    """Participation ratio of the noise-free states on `trials` trials of each task, all steps of them together."""
    setting, frames = World(**world), []
    found = strategies_of(readouts, separate, joint, sequential, device=job.device)
    for task in TASKS:
        batch = setting.trials([task] * trials, job.generators(f"states {task}"), sigma_x=0.0)
        inside = torch.arange(batch.x.shape[1], device=job.device)[:, None] <= batch.t_last[:, None]
        for name in strategies:
            params = found[name].for_task(task)
            states = rollout(params, batch.x[..., : params["w_in"].shape[1]], alpha=setting.alpha)
            ratios = [participation_ratio(own[there]) for own, there in zip(states, inside, strict=True)]
            frames.append(rows(torch.stack(ratios), job.seeds, "participation_ratio", strategy=name, task=task))
    return pd.concat(frames, ignore_index=True)


def measure_examples(
    job: Job, *, readouts: Run, joint: Run, strategies: list[str], tasks: list[str], world: dict[str, Any]
) -> pd.DataFrame:
    """What figures show of single trials, first seed only; `step` in ms.

    `shown` "trial": inputs and targets of one noise-free trial of each task. `shown` a strategy: states of eight trials
    of each of `tasks`, one a direction, on their first two principal components (signs so that the last state of the
    first trial is positive).
    """
    setting, frames = World(**world), []
    for task in TASKS:
        batch = setting.trials([task], [job.generator(f"example {task}", job.seeds[0])], sigma_x=0.0)
        steps = int(batch.t_last[0, 0]) + 1
        channels = {f"input_{name}": batch.x[0, :steps, 0, i] for i, name in enumerate(STREAM_CHANNELS)}
        channels |= {f"target_{name}": batch.y[0, :steps, 0, i] for i, name in enumerate(OUTPUT_CHANNELS)}
        frames += [_course(job, setting, line, metric, "trial", task, 0) for metric, line in channels.items()]
    found = strategies_of(readouts, joint)
    for name in strategies:
        for task in tasks:
            paths = _projected(setting, found[name].for_task(task), task)
            for trial, path in enumerate(paths):
                for axis, metric in enumerate(("pc1", "pc2")):
                    frames.append(_course(job, setting, path[:, axis], metric, name, task, trial))
    return pd.concat(frames, ignore_index=True)


def _course(job: Job, setting: World, line: Tensor, metric: str, shown: str, task: str, trial: int) -> pd.DataFrame:
    """One row a time step."""
    times = [t * setting.dt for t in range(len(line))]
    where = {"shown": shown, "task": task, "trial": trial, "step": times}
    return pd.DataFrame({"seed": job.seeds[0], **where, "metric": metric, "value": line.double().tolist()})


def _projected(setting: World, params: Params, task: str, directions: int = 8) -> Tensor:
    """States of the first seed (direction, time, 2) on their first two principal components, noise-free."""
    angles = torch.arange(directions) * (2 * math.pi / directions)
    trial = build_trial(
        [task] * directions, on1=300, off1=600, on2=900, off2=1200, go=1400, end=1700, dt=setting.dt,
        angle1=angles, angle2=angles + math.pi, strength1=(1.3, 1.3), strength2=(0.7, 0.7),
    )  # fmt: skip
    first = {name: w[:1].cpu() for name, w in params.items()}
    states = rollout(first, trial.x[..., : first["w_in"].shape[1]], alpha=setting.alpha)[0].movedim(1, 0).double()
    centred = states - states.mean((0, 1))
    axes = torch.linalg.svd(centred.flatten(0, 1), full_matrices=False).Vh[:2]
    shown = centred @ axes.T
    return shown * torch.where(shown[0, -1] < 0, -1.0, 1.0)


def measure_costs(
    job: Job, *, primitives: Run, dense_primitives: Run, readouts: Run, separate: Run, joint: Run, sequential: Run,
    sizes: list[list[int]], world: dict[str, Any],
) -> pd.DataFrame:  # fmt: skip
    """Parameters, updates and trials that each strategy costs.

    `count_error`: parameters of the built tensors minus those of the formulas, at the study's own size and for
    networks built at other `sizes` (modules, units); `marginal_error` the same for one more task. `updates`: trainable
    scalars times steps to the criterion, infinite where it is never reached (`updates_spent` is the budget then);
    "with pre-training" adds what the primitives took. `cumulative_updates` extrapolates to other numbers of tasks.
    """
    units, count = int(separate.settings["units"]), len(job.seeds)
    found = strategies_of(readouts, separate, joint, sequential)
    frames, on_cpu = [], replace(job, device="cpu")
    for name in FORMULAS:
        for metric, value in counts(found[name], name, modules=MODULES, units=units).items():
            frames.append(rows(value.expand(count), job.seeds, metric, **cost_of(name, size=f"{MODULES} x {units}")))
        for modules, small in (size for size in sizes if size != [MODULES, units]):
            built = build(name, World(**world), modules=modules, units=small, generators=on_cpu.generators("sizes"))
            error = counts(built, name, modules=modules, units=small)["count_error"]
            frames.append(
                rows(error.expand(count), job.seeds, "count_error", **cost_of(name, size=f"{modules} x {small}"))
            )
    before = float(primitives["MP.scalars"]) * primitives.settings["steps"]
    for name, run in {"MP": readouts, "SEP": separate, "JOINT": joint}.items():
        trainable = count_parameters(name, modules=MODULES, units=units)
        if name == "MP":
            trainable = len(TASKS) * count_trainable(name, modules=MODULES, units=units)
        for counting, extra in {"corpus": 0.0, "with pre-training": before}.items():
            if extra and name != "MP":
                continue
            for (metric, tasks), value in updates(run, name, trainable=trainable, before=extra).items():
                frames.append(rows(value, job.seeds, metric, **cost_of(name, counting=counting, tasks=tasks)))
    for name, trials in trials_seen(primitives, dense_primitives, readouts, separate, joint, sequential).items():
        frames.append(rows(torch.full((count,), float(trials)), job.seeds, "trials_seen", **cost_of(name)))
    return pd.concat(frames, ignore_index=True)
