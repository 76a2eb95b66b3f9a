"""Linear readouts of frozen networks on the nine tasks: what they are fitted on, and what they are examined on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.devices import moved
from dynatlas.jobs import Job
from dynatlas.models.rnn import readout, rollout
from dynatlas.optim.ridge import Moments, moments, solve
from dynatlas.problems.cognitive import NineTasks
from dynatlas.tasks.multitask import NINE_TASKS, correct

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
        states, loc = zip(*(setting.final_states(job, network, task) for task in NINE_TASKS), strict=True)
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


def loss_from_sums(w: Tensor, gram: Tensor, cross: Tensor) -> Tensor:
    """The tasks' masked loss of linear readouts w (member, unit + 1, 3), up to a constant and a factor of each member.

    gram (member, unit + 1, unit + 1) and cross (member, unit + 1, 3) are sums over steps and trials with weights c^2.
    """
    return (w * (gram @ w - 2 * cross) * w.new_tensor(CHANNEL_WEIGHTS)).sum((1, 2))
