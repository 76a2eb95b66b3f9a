"""Linear readouts of frozen networks: fitted in closed form task after task, or by gradient descent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.devices import moved
from dynatlas.ensemble.fit import Fitted, fit
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import Watch
from dynatlas.jobs import Job
from dynatlas.models.initial import gaussian
from dynatlas.models.rnn import readout, rollout
from dynatlas.optim.ridge import Moments, moments, solve
from dynatlas.problems.cognitive import NineTasks
from dynatlas.studies.task_primitives.strategies import TASKS
from dynatlas.tasks.multitask import correct

CHANNEL_WEIGHTS = (4.0, 1.0, 1.0)
"""Fixation has twice the c of the other outputs, and the loss squares it."""


@dataclass(frozen=True)
class Exam:
    """What the readouts of a frozen network are examined on."""

    states: Sequence[Tensor]
    """For each task: states at the last step of its evaluation trials, (seed, trial, unit)."""
    loc: Sequence[Tensor]
    """For each task: the wanted directions (seed, trial)."""

    @classmethod
    def of(cls, job: Job, setting: NineTasks, network: Mapping[str, Tensor]) -> Exam:
        """The states that a network (seed, ...) has on the evaluation trials."""
        states, loc = zip(*(setting.final_states(job, network, task) for task in TASKS), strict=True)
        return cls(states, loc)

    def mark(self, task: int, w_out: Tensor, b_out: Tensor) -> Tensor:
        """Share of right answers (seed,) on a task with one readout (seed, unit, 3), (seed, 3)."""
        return correct(readout({"w_out": w_out, "b_out": b_out}, self.states[task]), self.loc[task]).mean(-1)


def sums_over_trials(
    job: Job, setting: NineTasks, network: Mapping[str, Tensor], task: str, *, trials: int
) -> tuple[Moments, Moments]:
    """Moments of states and targets on new trials: weighted by c, for ridge; by c^2, with a 1, for the loss."""
    batch = moved(setting.trials([task] * trials, job.generators(f"readout {task}")), job.device)
    noise = setting.noise(job.generators(f"readout noise {task}", device=job.device))
    x = batch.x[..., : network["w_in"].shape[1]]
    states = rollout(network, x, alpha=setting.alpha, noise=noise).flatten(1, 2)
    y, c = batch.y.flatten(1, 2), batch.mask[..., 1].flatten(1, 2)
    with_one = torch.cat([states, torch.ones_like(states[..., :1])], dim=-1)
    return moments(states, y, weights=c), moments(with_one, y, weights=c.square())


def ridge_readouts(sums: Sequence[Moments], *, penalty: float) -> tuple[Tensor, Tensor]:
    """One readout a task: weights (seed, task, unit, 3) and constants (seed, task, 3)."""
    solved = [solve(one, penalty=penalty) for one in sums]
    w_out, b_out = (torch.stack([one[part] for one in solved], dim=1).float() for part in (0, 1))
    return w_out, b_out


def learned_in_turn(exam: Exam, w_out: Tensor, b_out: Tensor) -> Tensor:
    """(seed, tasks learned, task): all tasks are marked anew after each fit, with the readouts there are by then."""
    now_w, now_b, rows = torch.zeros_like(w_out), torch.zeros_like(b_out), []
    for k in range(w_out.shape[1]):
        now_w[:, k], now_b[:, k] = w_out[:, k], b_out[:, k]
        rows.append(torch.stack([exam.mark(j, now_w[:, j], now_b[:, j]) for j in range(w_out.shape[1])], dim=1))
    return torch.stack(rows, dim=1)


def refitted_in_turn(exam: Exam, w_out: Tensor, b_out: Tensor) -> Tensor:
    """The same for a single readout that is refitted to each task in turn, and answers all of them."""
    tasks = range(w_out.shape[1])
    rows = [torch.stack([exam.mark(j, w_out[:, k], b_out[:, k]) for j in tasks], dim=1) for k in tasks]
    return torch.stack(rows, dim=1)


def loss_from_sums(w: Tensor, gram: Tensor, cross: Tensor) -> Tensor:
    """The tasks' masked loss of linear readouts w (member, unit + 1, 3), up to a constant and a factor of each member.

    gram (member, unit + 1, unit + 1) and cross (member, unit + 1, 3) are sums over steps and trials with weights c^2.
    """
    return (w * (gram @ w - 2 * cross) * w.new_tensor(CHANNEL_WEIGHTS)).sum((1, 2))


def learn_by_gradient(job: Job, sums: Sequence[Moments], exam: Exam, *, steps: int, learning_rate: float) -> Fitted:
    """Readouts by full-batch Adam from standard initial weights, marked after every step.

    `sums` have weights c^2 and a constant: the loss depends on the trials through them alone.
    """
    scale = torch.stack([one.weight for one in sums], dim=1).flatten()[:, None, None]
    gram = (torch.stack([one.xx for one in sums], dim=1).flatten(0, 1) / scale).float()
    cross = (torch.stack([one.xy for one in sums], dim=1).flatten(0, 1) / scale).float()
    rows, columns = cross.shape[1] - 1, cross.shape[2]
    drawn = [gaussian(rows, columns, gain=1.0, generator=g) for g in job.generators("initialisation") for _ in sums]
    start = torch.nn.functional.pad(torch.stack(drawn).float(), (0, 0, 0, 1)).to(job.device)

    def loss(params: Params, whole: tuple[Tensor, Tensor]) -> Tensor:
        return loss_from_sums(params["readout"], *whole)

    def marks(params: Params, step: int) -> dict[str, Tensor]:
        w = params["readout"].unflatten(0, (-1, len(sums)))
        rows = [exam.mark(k, w[:, k, :-1], w[:, k, -1]) for k in range(len(sums))]
        return {"accuracy": torch.stack(rows, dim=1).flatten()}

    watches = {"evaluation": Watch(marks, at=Every(1))}
    return fit(
        lambda step: (gram, cross),
        loss,
        {"readout": start},
        steps=steps,
        optimiser=Adam(lr=learning_rate),
        watches=watches,
        job=job,
        name="readouts",
    )
