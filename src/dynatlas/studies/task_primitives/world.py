"""What all strategies of one scale share: time step, timings, noise, evaluation trials, and how they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.devices import moved
from dynatlas.jobs import Job, Run
from dynatlas.members import Group
from dynatlas.models.model import Params
from dynatlas.models.noise import StepNoise
from dynatlas.models.rnn import ElmanRNN, readout, states_at
from dynatlas.tasks.multitask import NINE_TASKS, Batch, correct, make_batch, task_ids
from dynatlas.tasks.primitives import Stream, make_stream
from dynatlas.tasks.timing import Timing, timing_named

TASKS = NINE_TASKS
NETWORK = ("w_in", "w_rec", "b")
SHARED = "MP, one readout"
"""The strategy in which one readout on MP's states answers all tasks, refitted to each in turn."""
MODULES = 4
"""Modules of a modular network, and quarters of any other."""


@dataclass(frozen=True)
class World:
    """The numbers `world:` of a scale; times in ms."""

    timing: str
    dt: float
    sigma_x: float
    sigma_rec: float
    evaluation_trials: int
    tau: float = 100.0

    @property
    def alpha(self) -> float:
        """Share of the state that is replaced in one step."""
        return self.dt / self.tau

    @property
    def times(self) -> Timing:
        """The ranges of all intervals and strengths."""
        return timing_named(self.timing)

    def clock(self, steps: int) -> list[float]:
        """The time of each step (ms)."""
        return [step * self.dt for step in range(steps)]

    def network(self, n_in: int, units: int, n_out: int, *, gain: float = 0.9) -> ElmanRNN:
        """The rate network of the study: relu, orthogonal recurrent weights of this gain."""
        return ElmanRNN(n_in, units, n_out, alpha=self.alpha, recurrent_gain=gain)

    def noise(self, generators: Sequence[Generator], copies: int = 1, *, sigma: float | None = None) -> StepNoise:
        """Transition noise sigma sqrt(2 / alpha), sigma as in training by default; the copies of a seed share draws."""
        scale = (self.sigma_rec if sigma is None else sigma) * (2 / self.alpha) ** 0.5
        return StepNoise(generators, scale, copies=copies, shared=True)

    def trials(
        self,
        tasks: Sequence[str],
        generators: Sequence[Generator],
        *,
        timing: Timing | None = None,
        sigma_x: float | None = None,
    ) -> Batch:
        """Random trials (seed, time, trial, ...) of these tasks; timing and input noise as in training by default."""
        sigma = self.sigma_x if sigma_x is None else sigma_x
        return make_batch(
            task_ids(tasks), timing or self.times, dt=self.dt, tau=self.tau, sigma_x=sigma, generators=generators
        )

    def streams(self, count: int, generators: Sequence[Generator]) -> Stream:
        """Random streams (seed, time, stream, ...) on which primitives are learned."""
        return make_stream(count, self.times, dt=self.dt, sigma_x=self.sigma_x, tau=self.tau, generators=generators)

    def final_states(
        self,
        job: Job,
        params: Mapping[str, Tensor],
        task: str,
        *,
        sigma_x: float | None = None,
        sigma_rec: float | None = None,
        activity: float | None = None,
        gap: float | None = None,
        unit_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """States (seed, trial, unit) at the last step of the evaluation trials, and wanted directions (seed, trial).

        Trials and noise are the same for every strategy and whenever they are asked for. The keywords replace the noise
        levels and the memory gap (ms) of training, add noise to the rates, and clamp units (`unit_mask`). Channels that
        the network has no input for (the rule) are not shown to it.
        """
        timing = self.times if gap is None else self.times.with_gap(gap)
        names = [task] * self.evaluation_trials
        batch = self.trials(names, job.generators(f"evaluation {task}"), timing=timing, sigma_x=sigma_x)
        batch = moved(batch, job.device)
        noise = self.noise(job.generators(f"evaluation noise {task}", device=job.device), sigma=sigma_rec)
        activities = job.generators(f"activity noise {task}", device=job.device) if activity else []
        added = StepNoise(activities, activity) if activity else None
        x = batch.x[..., : params["w_in"].shape[1]]
        states = states_at(
            params, x, steps=batch.t_last, alpha=self.alpha, noise=noise, activity_noise=added, unit_mask=unit_mask
        )
        return states, batch.loc

    def accuracy(self, job: Job, params: Mapping[str, Tensor], task: str, **disturbed: Any) -> Tensor:
        """Share of right answers (seed,) on the evaluation trials of a task; keywords as in `final_states`."""
        states, loc = self.final_states(job, params, task, **disturbed)
        return correct(readout(params, states), loc).mean(dim=-1)

    def accuracies(self, job: Job, strategy: Strategy, **disturbed: Any) -> Tensor:
        """Share of right answers (seed, task) of what answers each task; keywords as in `final_states`."""
        return torch.stack([self.accuracy(job, strategy.for_task(t), t, **disturbed) for t in TASKS], dim=1)


@dataclass(frozen=True)
class Strategy:
    """A solution of all nine tasks by every seed: members (seed,), or (seed, task) where there is one for each task."""

    network: Group
    """w_in, w_rec, b."""
    readout: Group
    """w_out, b_out."""

    @property
    def units(self) -> int:
        """Units of each network."""
        return self.readout["w_out"].shape[-2]

    def for_task(self, task: str) -> Params:
        """The parameters that answer `task`, leading axis seed."""
        return {**own_of(self.network, task), **own_of(self.readout, task)}


def own_of(group: Group, task: str) -> Group:
    """What belongs to a task; all of it where it belongs to every task."""
    return group.at(task=task) if "task" in group.members.fields else group


def strategies_of(*runs: Run, device: str = "cpu") -> dict[str, Strategy]:
    """Every solution that the runs hold, by the strategy's name."""
    return {
        name: Strategy(network.to(device), run["readouts"].at(strategy=name).to(device))
        for run in runs
        for name, network in run["networks"].each("strategy")
    }
