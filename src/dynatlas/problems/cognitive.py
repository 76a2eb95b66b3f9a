"""The nine cognitive tasks as a problem: noisy trials for networks of all seeds, and an examination for all.

Rate networks in the setting of Marton, Lajoie and Rajan (2021): noise sigma sqrt(2 / alpha) on inputs and states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from dynatlas.devices import moved
from dynatlas.jobs import Job
from dynatlas.models.noise import StepNoise
from dynatlas.models.rnn import ElmanRNN, readout, rollout, states_at
from dynatlas.tasks.multitask import NINE_TASKS, Batch, correct, make_batch, masked_loss, task_ids
from dynatlas.tasks.primitives import Stream, make_stream
from dynatlas.tasks.timing import Timing, timing_named


@dataclass(frozen=True)
class NineTasks:
    """The nine tasks at one time step, with the noise of training and the trials that all networks are examined on.

    Times are in ms. Networks are trees of `models.rnn`, leading axis seed.
    """

    timing: str
    """Ranges of all intervals, by name: `tasks.timing`."""
    dt: float
    sigma_x: float
    """Standard deviation of the noise on inputs, times sqrt(2 tau / dt)."""
    sigma_rec: float
    """The same of the noise on states."""
    evaluation_trials: int
    """Trials of each task that networks are examined on."""
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
        """A rate network at this time step: relu, orthogonal recurrent weights of this gain."""
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

    def accuracies(self, job: Job, answering: Callable[[str], Mapping[str, Tensor]], **disturbed: Any) -> Tensor:
        """Share of right answers (seed, task) of the networks `answering` each task; keywords as in `final_states`."""
        return torch.stack([self.accuracy(job, answering(task), task, **disturbed) for task in NINE_TASKS], dim=1)

    def loss(
        self, params: Mapping[str, Tensor], x: Tensor, y: Tensor, mask: Tensor, noise: StepNoise | None = None
    ) -> Tensor:
        """Masked squared error (member,) on trials x, y, mask (member, time, trial, ...), with noise on states."""
        states = rollout(params, x[..., : params["w_in"].shape[1]], alpha=self.alpha, noise=noise)
        return masked_loss(readout(params, states), y, mask)
