"""Rows of a table: dimension of every layer on held-out inputs, what its profile comes to, accuracies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from dynatlas.ensemble.classification import accuracy
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


@dataclass(frozen=True)
class Networks:
    """Networks of one condition, a seed each."""

    model: PopulationMLP
    params: Params
    """Tensors (seed, ...)."""
    diverged: Tensor
    """(seed,): training had not stayed finite when these parameters were taken."""

    def layers(self, x: Tensor) -> list[Tensor]:
        """Inputs, hidden layers and logits, (seed, example, unit) each."""
        return [x.expand(len(self.diverged), *x.shape), *self.model.activations(self.params, x)]


def networks_of(
    run: Run, name: str, place: int | tuple[slice, int] | EllipsisType = ..., *, activation: str = "relu"
) -> Networks:
    """The networks that a run holds under `name`, at one place of their leading axes."""
    names = [f"{kind}{layer}" for layer in range(1, run.settings["depth"] + 2) for kind in "wb"]
    params = {key: run[f"{name}.{key}"][place] for key in names}
    weights = [w for key, w in params.items() if key[0] == "w"]
    model = PopulationMLP((weights[0].shape[-2], *(w.shape[-1] for w in weights)), activation)
    return Networks(model, params, run[f"{name}.diverged"][place])


def has_dimension(diverged: Tensor, clouds: Sequence[Tensor]) -> Tensor:
    """(seed,): all layers (seed, example, unit) are finite, and none is the same for all inputs."""
    finite = [cloud.isfinite().flatten(1).all(dim=1) for cloud in clouds]
    spread = [(cloud != cloud[:, :1]).flatten(1).any(dim=1) for cloud in clouds]
    return torch.stack([~diverged, *finite, *spread]).all(dim=0)


def layer_rows(
    job: Job, problem: Problem, networks: Networks, *, learned: Tensor | None = None, **where: Any
) -> list[pd.DataFrame]:
    """Dimension of every layer on held-out inputs, the summaries of this profile, accuracies, and which were `lost`.

    `train_accuracy` is that on the labels that were learned, (seed, example) of the first examples where not the true.
    A network that diverged, or has a layer that is the same for all inputs, has no dimension: it is `lost` (1), its
    accuracies are those of a guess.
    """
    clouds = networks.layers(problem.data.test.x)
    learned = problem.data.train.y[:CHECKED] if learned is None else learned
    answers = networks.model.logits(networks.params, problem.data.train.x[: learned.shape[-1]])
    kept = has_dimension(networks.diverged, [*clouds, answers])
    fitted = {
        "test_accuracy": accuracy(clouds[-1], problem.data.test.y),
        "train_accuracy": accuracy(answers, learned),
    }
    profile = [measure_dimension(cloud[kept], ESTIMATORS, dropped=True) for cloud in clouds[1:]] if kept.any() else []
    return profile_rows(job, problem, profile, fitted, kept, **where)


def profile_rows(
    job: Job, problem: Problem, found: Sequence[Values], fitted: Values, kept: Tensor, **where: Any
) -> list[pd.DataFrame]:
    """Rows of the inputs' dimensions, of those `found` in the layers, of their summaries, and of what was `fitted`.

    `found` are those of the seeds that were `kept` (seed,), and empty where none was; `fitted` of all.
    """
    guess = torch.tensor(1 / problem.classes, dtype=torch.float64)
    whole = {name: torch.where(kept, value, guess) for name, value in fitted.items()} | {"lost": (~kept).double()}
    frames = [rows(whole, job.seeds, layer=WHOLE, **where)]
    if not found:
        return frames
    seeds = chosen(job.seeds, kept)
    # all seeds see the same inputs
    inputs = measure_dimension(problem.data.test.x, ESTIMATORS, dropped=True)
    profile = [{name: value.expand(len(seeds)) for name, value in inputs.items()}, *found]
    frames += [rows(values, seeds, layer=layer, **where) for layer, values in enumerate(profile)]
    parts = [summary(name, [one[name] for one in profile]) for name in ESTIMATORS]
    return [*frames, rows({key: value for part in parts for key, value in part.items()}, seeds, layer=WHOLE, **where)]


def chosen(seeds: Sequence[int], kept: Tensor) -> list[int]:
    """The seeds that were `kept` (seed,)."""
    return [seed for seed, here in zip(seeds, kept.tolist(), strict=True) if here]


def summary(name: str, profile: Sequence[Tensor]) -> dict[str, Tensor]:
    """Of the dimensions (seed,) of inputs, hidden layers and logits: what phases of expansion and compression leave.

    `last_` of the last hidden layer; `expansion_` from the inputs to the largest hidden layer; `compression_` from
    there to the last hidden one.
    """
    hidden = torch.stack(list(profile[1:-1]))
    peak, last = hidden.amax(dim=0), hidden[-1]
    found = {"last": last, "expansion": peak - profile[0], "compression": peak - last}
    return {f"{key}_{name}": value for key, value in found.items()}
