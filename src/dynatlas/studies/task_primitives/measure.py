"""What is measured on the strategies: accuracy, costs, robustness, lesions, forgetting, dimension."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from dynatlas.devices import moved
from dynatlas.instruments.dimension import participation_ratio
from dynatlas.instruments.embedding import principal_components
from dynatlas.instruments.perturb import contiguous_lesions, family_named, perturb, random_lesions
from dynatlas.jobs import Job, Run
from dynatlas.models.model import Params
from dynatlas.models.rnn import rollout
from dynatlas.problems.cognitive import NineTasks
from dynatlas.reductions import mean_over_first
from dynatlas.studies.task_primitives import costs
from dynatlas.studies.task_primitives.strategies import MODULES, SHARED, TASKS, Strategy, own_of, strategies_of
from dynatlas.tables import gathered, tidy
from dynatlas.tasks.multitask import OUTPUT_CHANNELS, build_trial
from dynatlas.tasks.primitives import PRIMITIVES, STREAM_CHANNELS

if TYPE_CHECKING:
    from dynatlas.studies.task_primitives.settings import Families, Part, Setting, Sizes, Strategies, Tasks, Trials


ALL = "all"
"""In a condition column: over every task, part or magnitude."""
CHANCE = 0.1
NAMED_MODULES = tuple(primitive.name for primitive in PRIMITIVES)


@gathered
def measure_accuracy(
    job: Job, *, readouts: Run, separate: Run, joint: Run, sequential: Run, world: Setting
) -> Iterator[pd.DataFrame]:
    """Accuracy of every strategy on every task, unperturbed, on the shared evaluation trials."""
    setting = NineTasks(**world)
    for name, strategy in strategies_of(readouts, separate, joint, sequential, device=job.device).items():
        right = setting.accuracies(job, strategy.for_task)
        yield tidy({"accuracy": right}, {"seed": job.seeds, "task": TASKS}, strategy=name)


@gathered
def measure_perturbations(
    job: Job, *, readouts: Run, separate: Run, joint: Run, sequential: Run, strategies: Strategies, part: Part,
    families: Families, world: Setting,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """Accuracy (mean over tasks) under every family and magnitude of one `part` of the `families`.

    Also, per family, `retained` (see `retained_above_chance`) and `retained_raw`, the same without the floor of chance.
    """
    setting, seeds = NineTasks(**world), {"seed": job.seeds}
    found = strategies_of(readouts, separate, joint, sequential, device=job.device)
    for name in strategies:
        intact = setting.accuracies(job, found[name].for_task).mean(1)
        for family, magnitudes in families[part].items():
            where = {"strategy": name, "family": family, "unit": family_named(family).magnitude}
            hurt = torch.stack([perturbed_accuracy(job, setting, found[name], family, size) for size in magnitudes])
            yield tidy({"accuracy": hurt}, {"magnitude": [f"{size:g}" for size in magnitudes], **seeds}, **where)
            retained = {"retained": retained_above_chance(hurt, intact), "retained_raw": mean_over_first(hurt / intact)}
            yield tidy(retained, seeds, magnitude=ALL, **where)


def retained_above_chance(hurt: Tensor, intact: Tensor) -> Tensor:
    """Mean over magnitudes of (hurt - .1) / (intact - .1): (magnitude, seed), (seed,) -> (seed,). Never clipped."""
    return mean_over_first((hurt - CHANCE) / (intact - CHANCE))


def perturbed_accuracy(job: Job, setting: NineTasks, strategy: Strategy, family: str, magnitude: float) -> Tensor:
    """Accuracy (seed,) under one perturbation, mean over the nine tasks and the parts of a lesion.

    The draws depend neither on the magnitude nor, for networks of one size, on the strategy. Where there are nine
    networks, each is perturbed by draws of its own.
    """
    members, scores = strategy.network.members, []
    for part in range(family_named(family).parts):
        draws = job.generators(f"perturbation {family}")
        changed, overrides = perturb(strategy.network.flat(), family, magnitude=magnitude, generators=draws, part=part)
        hurt = Strategy(members.group(changed), strategy.readout)
        settings = {name: value for name, value in vars(overrides).items() if value is not None}
        mask = settings.pop("unit_mask", None)
        masks = members.group({} if mask is None else {"unit_mask": mask})
        for task in TASKS:
            scores.append(setting.accuracy(job, hurt.for_task(task), task, **settings, **own_of(masks, task)))
    return mean_over_first(torch.stack(scores))


@gathered
def measure_lesions(
    job: Job, *, readouts: Run, separate: Run, joint: Run, sequential: Run, strategies: Strategies, world: Setting
) -> Iterator[pd.DataFrame]:
    """Accuracy after silencing a quarter of the units, by task: a module (a contiguous quarter where there are none).

    For MP also cut elsewhere: random quarters, and quarters shifted by half a module. `lost` is the accuracy lost to
    each module, `interaction` the mean square of that matrix without its module and task means, `retained` as in the
    battery of perturbations.
    """
    setting = NineTasks(**world)
    for name, strategy in strategies_of(readouts, separate, joint, sequential, device=job.device).items():
        if name not in strategies:
            continue
        intact = setting.accuracies(job, strategy.for_task)
        for cut, masks in _cuts(job, strategy.units, everywhere=name == "MP").items():
            silenced = NAMED_MODULES if cut == "module" and name in ("MP", "MPu") else _quarters()
            hurt = torch.stack([setting.accuracies(job, strategy.for_task, unit_mask=mask) for mask in masks], dim=1)
            lost = intact[:, None] - hurt
            axes = {"seed": job.seeds, "silenced": silenced, "task": TASKS}
            yield tidy({"accuracy": hurt, "lost": lost}, axes, strategy=name, cut=cut)
            retained = retained_above_chance(hurt.mean((1, 2))[None], intact.mean(1))
            summary = {"interaction": interaction(lost), "retained": retained}
            yield tidy(summary, {"seed": job.seeds}, strategy=name, cut=cut, silenced=ALL, task=ALL)


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
        cuts["random"] = drawn.to(job.device).unflatten(0, (len(job.seeds), MODULES)).movedim(1, 0)
    return cuts


def interaction(lost: Tensor) -> Tensor:
    """Mean square of (seed, module, task) after removing the module means and the task means: (seed,)."""
    rest = lost - lost.mean(2, keepdim=True) - lost.mean(1, keepdim=True) + lost.mean((1, 2), keepdim=True)
    return rest.square().mean((1, 2))


@gathered
def measure_forgetting(job: Job, *, readouts: Run, sequential: Run) -> Iterator[pd.DataFrame]:
    """Accuracy on each task while the nine are learned in order; `change` from right after learning it to the end.

    `drop` is minus the change, for the eight tasks after which another was learned. That of `SHARED` is refitted.
    """
    told = [*readouts["learned"].at(strategy=["MP", SHARED]).each("strategy"), *sequential["learned"].each("strategy")]
    for name, learned in told:
        accuracy, where = learned["accuracy"], {"strategy": name, "learned": len(TASKS)}
        change = accuracy[:, -1] - accuracy.diagonal(dim1=1, dim2=2)
        yield tidy(learned, learned.members, strategy=name)
        yield tidy({"change": change}, {"seed": job.seeds, "task": TASKS}, **where)
        yield tidy({"drop": -change[:, :-1]}, {"seed": job.seeds, "task": TASKS[:-1]}, **where)


@gathered
def measure_dimension(
    job: Job, *, readouts: Run, separate: Run, joint: Run, sequential: Run, strategies: Strategies, trials: Trials,
    world: Setting,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """Participation ratio of the noise-free states on `trials` trials of each task, all steps of them together."""
    setting = NineTasks(**world)
    found = strategies_of(readouts, separate, joint, sequential, device=job.device)
    for task in TASKS:
        batch = setting.trials([task] * trials, job.generators(f"states {task}"), sigma_x=0.0)
        batch = moved(batch, job.device)
        inside = torch.arange(batch.x.shape[1], device=job.device)[:, None] <= batch.t_last[:, None]
        for name in strategies:
            params = found[name].for_task(task)
            states = rollout(params, batch.x[..., : params["w_in"].shape[1]], alpha=setting.alpha)
            ratios = [participation_ratio(own[there]) for own, there in zip(states, inside, strict=True)]
            yield tidy({"participation_ratio": torch.stack(ratios)}, {"seed": job.seeds}, strategy=name, task=task)


@gathered
def measure_examples(
    job: Job, *, readouts: Run, joint: Run, strategies: Strategies, tasks: Tasks, world: Setting
) -> Iterator[pd.DataFrame]:
    """What figures show of single trials, first seed only; `step` in ms.

    `shown` "trial": inputs and targets of one noise-free trial of each task. `shown` a strategy: states of eight trials
    of each of `tasks`, one a direction, on their first two principal components (signs so that the last state of the
    first trial is positive).
    """
    setting, seed = NineTasks(**world), job.seeds[0]
    for task in TASKS:
        batch = setting.trials([task], [job.generator(f"example {task}", seed)], sigma_x=0.0)
        steps = int(batch.t_last[0, 0]) + 1
        channels = {f"input_{name}": batch.x[0, :steps, 0, i] for i, name in enumerate(STREAM_CHANNELS)}
        channels |= {f"target_{name}": batch.y[0, :steps, 0, i] for i, name in enumerate(OUTPUT_CHANNELS)}
        yield tidy(channels, {"step": setting.clock(steps)}, seed=seed, shown="trial", task=task, trial=0)
    found = strategies_of(readouts, joint)
    for name in strategies:
        for task in tasks:
            paths = _projected(setting, found[name].for_task(task), task)
            axes = {"trial": range(len(paths)), "step": setting.clock(paths.shape[1])}
            yield tidy({"pc1": paths[..., 0], "pc2": paths[..., 1]}, axes, seed=seed, shown=name, task=task)


def _projected(setting: NineTasks, params: Params, task: str, directions: int = 8) -> Tensor:
    """States of the first seed (direction, time, 2) on their first two principal components, noise-free."""
    angles = torch.arange(directions) * (2 * math.pi / directions)
    trial = build_trial(
        [task] * directions, on1=300, off1=600, on2=900, off2=1200, go=1400, end=1700, dt=setting.dt,
        angle1=angles, angle2=angles + math.pi, strength1=(1.3, 1.3), strength2=(0.7, 0.7),
    )  # fmt: skip
    first = {name: w[:1].cpu() for name, w in params.items()}
    states = rollout(first, trial.x[..., : first["w_in"].shape[1]], alpha=setting.alpha)[0].movedim(1, 0)
    shown = principal_components(states.flatten(0, 1)).coordinates.unflatten(0, (directions, -1))
    return shown * torch.where(shown[0, -1] < 0, -1.0, 1.0)


@gathered
def measure_costs(
    job: Job, *, primitives: Run, dense_primitives: Run, readouts: Run, separate: Run, joint: Run, sequential: Run,
    sizes: Sizes, world: Setting,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """Parameters, updates and trials that each strategy costs.

    `count_error`: parameters of the built tensors minus those of the formulas, at the study's own size and for
    networks built at other `sizes` (modules, units); `marginal_error` the same for one more task. `updates`: trainable
    scalars times steps to the criterion, infinite where it is never reached (`updates_spent` is the budget then);
    "with pre-training" adds what the primitives took. `cumulative_updates` extrapolates to other numbers of tasks.
    """
    units, seeds = int(separate.settings["units"]), {"seed": job.seeds}
    found = strategies_of(readouts, separate, joint, sequential)
    for name in costs.FORMULAS:
        own = costs.counts(found[name], name, modules=MODULES, units=units)
        yield tidy(own, seeds, **costs.cost_of(name, size=f"{MODULES} x {units}"))
        for modules, small in (size for size in sizes if size != [MODULES, units]):
            built = costs.build(
                name, NineTasks(**world), modules=modules, units=small, generators=job.generators("sizes")
            )
            error = costs.counts(built, name, modules=modules, units=small)["count_error"]
            yield tidy({"count_error": error}, seeds, **costs.cost_of(name, size=f"{modules} x {small}"))
    before = float(primitives["sizes"].at(strategy="MP")["scalars"]) * primitives.settings["steps"]
    for name, run in {"MP": readouts, "SEP": separate, "JOINT": joint}.items():
        trainable = costs.count_parameters(name, modules=MODULES, units=units)
        if name == "MP":
            trainable = len(TASKS) * costs.count_trainable(name, modules=MODULES, units=units)
        for counting, extra in {"corpus": 0.0, "with pre-training": before}.items():
            if extra and name != "MP":
                continue
            nine, others = costs.updates(run, name, trainable=trainable, before=extra)
            yield tidy(nine, seeds, **costs.cost_of(name, counting=counting))
            where = {"strategy": name, "counting": counting, "size": "own"}
            yield tidy({"cumulative_updates": others}, {"tasks": costs.TASKS_SHOWN, **seeds}, **where)
    for name, trials in costs.trials_seen(primitives, dense_primitives, readouts, separate, joint, sequential).items():
        yield tidy({"trials_seen": trials}, seeds, **costs.cost_of(name))
