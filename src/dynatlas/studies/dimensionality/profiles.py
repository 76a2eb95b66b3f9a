"""Rows of a table: dimension of every layer on held-out inputs, what its profile comes to, accuracies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from dynatlas.ensemble.parameters import Params
from dynatlas.instruments.dimension_profile import measure_dimension
from dynatlas.jobs import Job, Run
from dynatlas.models.mlp import PopulationMLP
from dynatlas.studies.dimensionality.problems import Problem

ESTIMATORS = ("mle", "twonn", "participation_ratio")
CHECKED = 5000
"""Of a large set so many training examples are enough to tell how well it was fitted."""
WHOLE = -1
"""In the column `layer`: of the whole network."""
Values = Mapping[str, Tensor]


def rows(values: Values, seeds: Sequence[int], **where: Any) -> pd.DataFrame:
    """One row a seed and metric, of metric -> (seed,)."""
    frames = [
        pd.DataFrame({"seed": list(seeds), **where, "metric": name, "value": value.double().tolist()})
        for name, value in values.items()
    ]
    return pd.concat(frames, ignore_index=True)


def network_at(run: Run, name: str, *place: int) -> Params:
    """The tensors of `name`, at one place of their leading axes."""
    return {
        key.removeprefix(f"{name}."): value[place]
        for key, value in run.items()
        if key.startswith((f"{name}.w", f"{name}.b"))
    }


def mlp_of(run: Run, name: str, activation: str = "relu") -> PopulationMLP:
    """The model whose weights a run holds under `name`."""
    weights = [run[f"{name}.w{layer}"] for layer in range(1, run.settings["depth"] + 2)]
    return PopulationMLP((weights[0].shape[-2], *(w.shape[-1] for w in weights)), activation)


def layers_of(model: PopulationMLP, params: Params, x: Tensor) -> list[Tensor]:
    """Inputs, hidden layers and logits, (seed, example, unit) each."""
    seeds = params["w1"].shape[0]
    return [x.expand(seeds, *x.shape), *model.activations(params, x)]


def layer_rows(
    job: Job, problem: Problem, model: PopulationMLP, params: Params, *, learned: Tensor | None = None, **where: Any
) -> list[pd.DataFrame]:
    """Dimension of every layer on held-out inputs, the summaries of this profile, and accuracies.

    `train_accuracy` is that on the labels that were learned, (seed, example) of the first examples where not the true.
    """
    clouds = layers_of(model, params, problem.data.test.x)
    found = [measure_dimension(cloud, ESTIMATORS, dropped=True) for cloud in clouds[1:]]
    learned = problem.data.train.y[:CHECKED] if learned is None else learned
    fitted = {"test_accuracy": accuracy(clouds[-1], problem.data.test.y)}
    fitted["train_accuracy"] = accuracy(model.logits(params, problem.data.train.x[: learned.shape[-1]]), learned)
    return profile_rows(job, problem, found, fitted, **where)


def profile_rows(
    job: Job, problem: Problem, found: Sequence[Values], fitted: Values, **where: Any
) -> list[pd.DataFrame]:
    """Rows of the inputs' dimensions, of those `found` in the layers, of their summaries, and of what was `fitted`."""
    # all seeds see the same inputs
    inputs = measure_dimension(problem.data.test.x, ESTIMATORS, dropped=True)
    profile = [{name: value.expand(len(job.seeds)) for name, value in inputs.items()}, *found]
    frames = [rows(values, job.seeds, layer=layer, **where) for layer, values in enumerate(profile)]
    parts = [summary(name, [one[name] for one in profile]) for name in ESTIMATORS]
    whole = {key: value for part in parts for key, value in part.items()}
    return [*frames, rows(whole | dict(fitted), job.seeds, layer=WHOLE, **where)]


def summary(name: str, profile: Sequence[Tensor]) -> dict[str, Tensor]:
    """Of the dimensions (seed,) of inputs, hidden layers and logits: what phases of expansion and compression leave.

    `last_` of the last hidden layer; `expansion_` from the inputs to the largest hidden layer; `compression_` from
    there to the last hidden one.
    """
    hidden = torch.stack(list(profile[1:-1]))
    peak, last = hidden.amax(dim=0), hidden[-1]
    found = {"last": last, "expansion": peak - profile[0], "compression": peak - last}
    return {f"{key}_{name}": value for key, value in found.items()}


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """Share of right answers: (member, example, class), (example,) or (member, example) -> (member,)."""
    return (logits.argmax(dim=-1) == y).double().mean(dim=-1)
