"""What a strategy costs: parameters of built networks against the formulas, updates to a criterion, trials seen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.instruments.accounting import count_built, count_updates
from dynatlas.jobs import Run
from dynatlas.members import Group, Members
from dynatlas.problems.cognitive import NineTasks
from dynatlas.studies.task_primitives.strategies import NETWORK, TASKS, Strategy, assembled
from dynatlas.tasks.multitask import INPUT_CHANNELS, OUTPUT_CHANNELS, SENSORY_INPUTS
from dynatlas.tasks.primitives import PRIMITIVES, inputs_seen

FORMULAS = ("MP", "MPu", "DP", "SEP", "JOINT", "GP", "SEQ", "MR", "RES")
FROZEN = ("MP", "MPu", "DP", "MR", "RES")
MODULAR = ("MP", "MPu", "MR")
CUED = ("JOINT", "GP", "SEQ")
INPUTS, OUTPUTS = 5, 3
PRIMITIVE_INPUTS = (5, 3, 3, 5)
"""Input channels that the primitives see: memory, comparison 1, comparison 2, comparison of sums."""
CRITERION = 0.8
"""Mean accuracy over the nine tasks at which updates are counted."""
TASKS_SHOWN = (1, 3, 9, 18, 45, 90)
"""Numbers of tasks to which updates are extrapolated."""


def cost_of(name: str, *, counting: str = "corpus", size: str = "own", tasks: int = len(TASKS)) -> dict[str, Any]:
    """The conditions of a row of the table of costs."""
    return {"strategy": name, "counting": counting, "size": size, "tasks": tasks}


def count_parameters(name: str, *, modules: int, units: int, tasks: int = 9) -> int:
    """All parameters of a strategy that has learned `tasks` tasks, from sizes alone: not what is counted in tensors.

    Modules of `units` units, or one network of as many as they have together; SEP has one of `units` for each task.
    MP's modules see the `PRIMITIVE_INPUTS`, and these over again where there are more than four.
    """
    total = modules * units
    if name == "SEP":
        return tasks * count_trainable(name, modules=modules, units=units)
    if name in CUED:
        return total * (total + INPUTS + tasks + 1) + OUTPUTS * (total + 1)
    recurrent = modules * units**2 if name in MODULAR else total**2
    seen = itertools.islice(itertools.cycle(PRIMITIVE_INPUTS if name == "MP" else (INPUTS,)), modules)
    return recurrent + units * sum(seen) + total + tasks * OUTPUTS * (total + 1)


def count_trainable(name: str, *, modules: int, units: int, tasks: int = 9) -> int:
    """Parameters adjusted for one more task: a readout, one small network, or the whole (GP: without biases)."""
    if name in FROZEN:
        return OUTPUTS * (modules * units + 1)
    if name == "SEP":
        return units * (units + INPUTS + 1) + OUTPUTS * (units + 1)
    whole = count_parameters(name, modules=modules, units=units, tasks=tasks)
    return whole - modules * units - OUTPUTS if name == "GP" else whole


def counts(strategy: Strategy, name: str, *, modules: int, units: int) -> dict[str, Tensor]:
    """Parameters counted in the tensors, and how far they are from the formulas."""
    seed = strategy.network.members.axes["seed"][0]
    total = sum(count_built(part.at(seed=seed).flat()).sum() for part in (strategy.network, strategy.readout))
    one_task = _one_task(strategy, name)
    found = {
        "total_parameters": total,
        "count_error": total - count_parameters(name, modules=modules, units=units),
        "parameters_per_task": one_task,
        "marginal_error": one_task - count_trainable(name, modules=modules, units=units),
    }
    return {metric: torch.as_tensor(value) for metric, value in found.items()}


def _one_task(strategy: Strategy, name: str) -> Tensor:
    """What is trained for one more task: a readout, a network of its own, or everything (GP: but biases)."""
    whole = strategy.for_task(TASKS[0])
    trained = ("w_out", "b_out") if name in FROZEN else ("w_in", "w_rec", "w_out") if name == "GP" else tuple(whole)
    return count_built({key: whole[key] for key in trained})[0]


def build(name: str, setting: NineTasks, *, modules: int, units: int, generators: Sequence[Generator]) -> Strategy:
    """An untrained strategy of another size, put together as the trained ones are."""
    each, outputs = Members(seed=range(len(generators))), len(OUTPUT_CHANNELS)
    copies = modules if name in MODULAR else len(TASKS) if name == "SEP" else 1
    inputs = len(INPUT_CHANNELS) if name in CUED else SENSORY_INPUTS
    size = units if name in (*MODULAR, "SEP") else modules * units
    drawn = setting.network(inputs, size, outputs).initialise(generators, copies)
    if name in MODULAR:
        apart = each.times(module=range(modules))
        if name == "MP":
            sees = inputs_seen()[torch.arange(modules) % len(PRIMITIVES)]
            drawn["w_in"] = drawn["w_in"] * apart.spread(sees, "module")[..., None]
        network = assembled(apart.group(drawn))
    else:
        network = (each.times(task=TASKS) if name == "SEP" else each).group(drawn).only(*NETWORK)
    readouts = each if name in CUED else each.times(task=TASKS)
    shape = (*readouts.shape, network["w_rec"].shape[-1], outputs)
    zeros = {"w_out": torch.zeros(shape), "b_out": torch.zeros(*readouts.shape, outputs)}
    return Strategy(network, Group(readouts, zeros))


def updates(run: Run, name: str, *, trainable: int, before: float = 0.0) -> tuple[dict[str, Tensor], Tensor]:
    """Updates to the criterion on the nine tasks: metric -> (seed,); and extrapolated, (number of `TASKS_SHOWN`, seed).

    MP and SEP pay task by task, JOINT for nine tasks at a time; `before` is paid once.
    """
    course = run["course"].at(strategy=name)
    curve, steps = course["accuracy"].mean(-1).T.double(), course.members.axes["update"]
    spent = count_updates(curve, steps, criterion=CRITERION, trainable=trainable)
    paid = spent.updates + before
    corpora = [tasks / len(TASKS) for tasks in TASKS_SHOWN]
    shares = [math.ceil(share) if name == "JOINT" else share for share in corpora]
    found = {"steps": spent.steps, "updates": torch.where(spent.reached, paid, torch.inf), "updates_spent": paid}
    return found, torch.stack([spent.updates * share + before for share in shares])


def trials_seen(
    primitives: Run, dense: Run, readouts: Run, separate: Run, joint: Run, sequential: Run
) -> dict[str, int]:
    """Trials (streams, for primitives) that each strategy has learned from."""

    def of(run: Run) -> int:
        return run.settings["steps"] * run.settings["trials"]

    tasks, fitted = len(TASKS), len(TASKS) * readouts.settings["trials"]
    dense_trials = dense.settings["steps"]["DP"] * dense.settings["trials"]
    return {
        **dict.fromkeys(("MP", "MPu"), of(primitives) + fitted),
        "DP": dense_trials + fitted,
        **dict.fromkeys(("MR", "RES"), fitted),
        "SEP": tasks * of(separate),
        "JOINT": tasks * of(joint),
        **dict.fromkeys(("GP", "SEQ"), tasks * of(sequential)),
    }
