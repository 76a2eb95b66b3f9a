"""The dynamics behind learning: Lyapunov exponents, Jacobians and information of static networks over their starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from dynatlas.devices import moved
from dynatlas.ensemble.parameters import Params
from dynatlas.instruments.embedding import principal_components
from dynatlas.instruments.gradients import jacobian_norms
from dynatlas.instruments.information import mixed_ksg
from dynatlas.instruments.lyapunov import jacobians_along, lyapunov_spectrum
from dynatlas.jobs import Job, Run
from dynatlas.members import Members
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.reductions import mean_over_first
from dynatlas.studies.adaptive_activation.cells import Grids, cells_of, start
from dynatlas.studies.adaptive_activation.measure import scores_of
from dynatlas.studies.adaptive_activation.problems import network_for_task, problem_for
from dynatlas.tables import gathered, tidy

if TYPE_CHECKING:
    from dynatlas.studies.adaptive_activation.settings import (
        BurnIn,
        GridNames,
        Grids,
        Information,
        NormSteps,
        Sequences,
        Task,
        Tasks,
    )


@gathered
def measure_dynamics(
    job: Job, *, grid: list[Run], task: Task, tasks: Tasks, grids: Grids, starts: GridNames,
    sequences: Sequences, burn_in: BurnIn, norm_steps: NormSteps, information: Information,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """Lyapunov exponents and Jacobians of static networks of these starts, before and after training (`network`).

    `lyapunov`: the leading exponent, in nats a step, driven by the first `sequences` held-out sequences of the task,
    joined, with the state carried on. Of untrained networks also `closeness` = -|lyapunov|; `area`, the score of the
    same start after training; `lyapunov_autonomous`, without input and bias; mean norms of the Jacobians of the first
    `norm_steps` steps (`norm_2`, `norm_inf`, and `norm_vector`, that of the vector gamma'(h) V); and `information`
    (see `shared_information`).
    """
    problem, wanted = problem_for(job, task, tasks[task]), cells_of({"static": starts}, grids)
    members = Members(seed=job.seeds, cell=wanted).at(mode="static")
    rnn, batch = network_for_task(task, problem, tasks[task]["units"]), problem.held_out()
    x = batch.x[0, :, :sequences].transpose(0, 1).flatten(0, 1)[:, None].double()
    run = next(run for run in grid if run.settings["task"] == task)
    begin = start(rnn, job.generators("initialisation"), members.of("n"), members.of("s"))
    networks = {
        "untrained": moved(begin, job.device),
        "trained": run["networks"].at(cell=wanted).to(job.device).flat(),
    }
    driven = {network: leading_exponent(rnn, params, x, burn_in) for network, params in networks.items()}
    untrained = networks["untrained"]
    unbiased = {name: part for name, part in untrained.items() if name != "b"}
    found = jacobian_norms_along(rnn, untrained, x[:norm_steps]) | {
        "lyapunov": driven["untrained"],
        "closeness": -driven["untrained"].abs(),
        "area": members.flat(scores_of(run).at(cell=wanted)["area"]),
        "lyapunov_autonomous": leading_exponent(rnn, unbiased, torch.zeros_like(x), burn_in),
        "information": shared_information(rnn, untrained, batch.x[0], **information),
    }
    yield tidy(members.group(found), members, network="untrained")
    yield tidy(members.group({"lyapunov": driven["trained"]}), members, network="trained")


def leading_exponent(rnn: GainSaturationRNN, params: Params, x: Tensor, burn_in: int) -> Tensor:
    """The leading Lyapunov exponent (member,) along x (T, 1, input), from a small constant state."""
    begin = x.new_full((1, rnn.units), 0.1)
    return lyapunov_spectrum(rnn, params, x, state0=begin, k=1, burn_in=burn_in).mean[:, 0]


def jacobian_norms_along(rnn: GainSaturationRNN, params: Params, x: Tensor) -> dict[str, Tensor]:
    """Mean norms (member,) of the Jacobians along x (T, 1, input)."""
    jacobians = jacobians_along(rnn, params, x)[:, :, 0]
    return {
        "norm_2": mean_over_first(jacobian_norms(jacobians)),
        "norm_inf": mean_over_first(jacobian_norms(jacobians, order=torch.inf)),
        "norm_vector": mean_over_first(jacobians.sum(dim=-2).abs().amax(dim=-1)),
    }


def shared_information(
    rnn: GainSaturationRNN, params: Params, x: Tensor, *, samples: int, components: int, k: int
) -> Tensor:
    """Mutual information (member,), in nats, of the last input of sequences x (T, sequence, input) and the state.

    Mixed-KSG on the first `samples` sequences and the leading principal `components` of the state after the last step.
    """
    x = x[:, :samples]
    last = torch.full((x.shape[1],), len(x) - 1, device=x.device)
    states = rnn.states_at(params, x, steps=last).double()
    return mixed_ksg(x[-1].expand(len(states), -1, -1), principal_components(states, components).coordinates, k=k)
