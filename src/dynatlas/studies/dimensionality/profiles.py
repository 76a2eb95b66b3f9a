"""Rows of a table: dimension of every layer on held-out inputs, what its profile comes to, accuracies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from dynatlas.ensemble.classification import accuracy
from dynatlas.ensemble.parameters import Params
from dynatlas.instruments.dimension_profile import measure_dimension
from dynatlas.jobs import Job
from dynatlas.members import Group
from dynatlas.models.mlp import PopulationMLP
from dynatlas.studies.dimensionality.problems import Problem
from dynatlas.tables import tidy

ESTIMATORS = ("mle", "twonn", "participation_ratio")
MEASURED = (*ESTIMATORS, "dropped")
"""Of every layer; `dropped` are points that were copies of another."""
CHECKED = 5000
"""Of a large set so many training examples are enough to tell how well it was fitted."""
WHOLE = -1
"""In the column `layer`: of the whole network."""
Values = Mapping[str, Tensor]


@dataclass(frozen=True)
class Networks:
    """Networks of one condition, a seed each."""

    model: PopulationMLP
    params: Params
    """Tensors (seed, ...)."""
    diverged: Tensor
    """(seed,): training had not stayed finite when these parameters were taken."""

    @classmethod
    def of(cls, group: Group, *, activation: str = "relu") -> Networks:
        """Those of a group with members (seed,): `w1`, `b1`, ... and which `diverged`."""
        params = {name: tensor for name, tensor in group.items() if name != "diverged"}
        weights = [w for name, w in params.items() if name[0] == "w"]
        model = PopulationMLP((weights[0].shape[-2], *(w.shape[-1] for w in weights)), activation)
        return cls(model, params, group["diverged"])

    def layers(self, x: Tensor) -> list[Tensor]:
        """Inputs, hidden layers and logits, (seed, example, unit) each."""
        return [x.expand(len(self.diverged), *x.shape), *self.model.activations(self.params, x)]


def has_dimension(diverged: Tensor, clouds: Sequence[Tensor]) -> Tensor:
    """(seed,): all layers (seed, example, unit) are finite, and none is the same for all inputs."""
    finite = [cloud.isfinite().flatten(1).all(dim=1) for cloud in clouds]
    spread = [(cloud != cloud[:, :1]).flatten(1).any(dim=1) for cloud in clouds]
    return torch.stack([~diverged, *finite, *spread]).all(dim=0)


def dimensions(cloud: Tensor, kept: Tensor, estimators: Sequence[str] = ESTIMATORS) -> Values:
    """`estimators` and `dropped` of a layer (seed, example, unit), (seed,) each; NaN for seeds that are not `kept`."""
    found = measure_dimension(cloud[kept], estimators, dropped=True) if kept.any() else {}
    return {name: over_seeds(found.get(name), kept) for name in (*estimators, "dropped")}


def over_seeds(values: Tensor | None, kept: Tensor) -> Tensor:
    """Values (seed, ...) of all seeds from those of the seeds that were `kept`; NaN for the others."""
    if values is None:
        return torch.full(kept.shape, nan)
    whole = torch.full((len(kept), *values.shape[1:]), nan, dtype=torch.promote_types(values.dtype, torch.float32))
    whole[kept] = values.to(whole)
    return whole


def layer_rows(
    job: Job, problem: Problem, networks: Networks, *, learned: Tensor | None = None, **where: Any
) -> Iterator[pd.DataFrame]:
    """Dimension of every layer on held-out inputs, the summaries of this profile, accuracies, and which were `lost`.

    `train_accuracy` is that on the labels that were learned, (seed, example) of the first examples where not the true.
    A network that diverged, or has a layer that is the same for all inputs, has no dimension: it is `lost` (1), its
    accuracies are those of a guess, and its dimensions are infinite.
    """
    clouds = networks.layers(problem.data.test.x)
    learned = problem.data.train.y[:CHECKED] if learned is None else learned
    answers = networks.model.logits(networks.params, problem.data.train.x[: learned.shape[-1]])
    kept = has_dimension(networks.diverged, [*clouds, answers])
    fitted = {
        "test_accuracy": accuracy(clouds[-1], problem.data.test.y),
        "train_accuracy": accuracy(answers, learned),
    }
    yield from profile_rows(job, problem, [dimensions(cloud, kept) for cloud in clouds[1:]], fitted, kept, **where)


def profile_rows(
    job: Job, problem: Problem, found: Sequence[Values], fitted: Values, kept: Tensor, **where: Any
) -> Iterator[pd.DataFrame]:
    """Rows of the inputs' dimensions, of those `found` in the layers, of their summaries, and of what was `fitted`.

    All are (seed,); what is found of seeds that were not `kept` does not count.
    """
    seeds, lost = {"seed": job.seeds}, ~kept
    guess = torch.tensor(1 / problem.classes, dtype=torch.float64)
    whole = {name: torch.where(kept, value, guess) for name, value in fitted.items()} | {"lost": lost}
    yield tidy(whole, seeds, layer=WHOLE, **where)
    # all seeds see the same inputs
    inputs = measure_dimension(problem.data.test.x, ESTIMATORS, dropped=True)
    profile = [{name: value.expand(len(kept)) for name, value in inputs.items()}, *found]
    layers = {name: torch.stack([one[name].double() for one in profile], dim=1) for name in MEASURED}
    yield tidy(layers, {**seeds, "layer": range(len(profile))}, lost=lost, **where)
    for name in ESTIMATORS:
        yield tidy(summary(name, [one[name] for one in profile]), seeds, lost=lost, layer=WHOLE, **where)


def summary(name: str, profile: Sequence[Tensor]) -> dict[str, Tensor]:
    """Of the dimensions (seed,) of inputs, hidden layers and logits: what phases of expansion and compression leave.

    `last_` of the last hidden layer; `expansion_` from the inputs to the largest hidden layer; `compression_` from
    there to the last hidden one.
    """
    hidden = torch.stack(list(profile[1:-1]))
    peak, last = hidden.amax(dim=0), hidden[-1]
    found = {"last": last, "expansion": peak - profile[0], "compression": peak - last}
    return {f"{key}_{name}": value for key, value in found.items()}
