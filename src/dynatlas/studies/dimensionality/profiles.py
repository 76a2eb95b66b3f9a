"""Rows of a table: dimension of every layer on held-out inputs, what its profile comes to, decodability, accuracies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from dynatlas.ensemble.classification import accuracy
from dynatlas.instruments.dimension_profile import measure_dimension
from dynatlas.instruments.lost import measurable, measure_kept
from dynatlas.instruments.probes import decodability
from dynatlas.members import Group, Members
from dynatlas.models.convnet import ConvNet, ResNet
from dynatlas.models.mlp import PopulationMLP
from dynatlas.problems.vectors import VectorProblem
from dynatlas.tables import tidy

ESTIMATORS = ("mle", "twonn", "participation_ratio")
CHECKED = 5000
"""Of a large set so many training examples are enough to tell how well it was fitted."""
WHOLE = -1
"""In the column `layer`: of the whole network."""
RELEVANT = 2
"""The first latent variables of the manifold decide the label, the others are nuisance."""
PENALTY = 0.1
"""Of the ridge readouts of latent variables."""


@dataclass(frozen=True)
class Networks:
    """Networks of one condition, a seed each."""

    members: Members
    activations: Callable[[Tensor], list[Tensor]]
    """Inputs (example, input) -> hidden layers and logits, (seed, example, unit) each."""
    diverged: Tensor
    """(seed,): training had not stayed finite when these parameters were taken."""

    def layers(self, x: Tensor) -> list[Tensor]:
        """Inputs, hidden layers and logits, (seed, example, unit) each."""
        return [x.expand(len(self.diverged), *x.shape), *self.activations(x)]

    def dimensions(self, cloud: Tensor, kept: Tensor, estimators: Sequence[str] = ESTIMATORS) -> dict[str, Tensor]:
        """`estimators` of a layer (seed, example, unit), and as `dropped` how many points were copies of another."""
        names = (*estimators, "dropped")
        return measure_kept(kept, names, lambda own: measure_dimension(own, estimators, dropped=True), cloud)


def perceptrons(group: Group, activation: str = "relu") -> Networks:
    """The networks of a group with members (seed,)."""
    params = {name: tensor for name, tensor in group.items() if name != "diverged"}
    model = PopulationMLP.of(params, activation)
    return Networks(group.members, lambda x: model.activations(params, x), group["diverged"])


def convolutional(model: ConvNet | ResNet, problem: VectorProblem, seed: int, diverged: Tensor) -> Networks:
    """One network for images, of one seed; layers are flattened."""

    @torch.no_grad()
    def activations(x: Tensor) -> list[Tensor]:
        return [layer.flatten(1)[None] for layer in model.layers(problem.as_images(x))]

    return Networks(Members(seed=[seed]), activations, diverged[None])


def layer_rows(
    problem: VectorProblem, networks: Networks, *, learned: Tensor | None = None, **where: Any
) -> Iterator[pd.DataFrame]:
    """Dimension of every layer on held-out inputs, the summaries of this profile, accuracies, and which were `lost`.

    `train_accuracy` is that on the labels that were learned, (seed, example) of the first examples where not the true.
    A network that diverged, or has a layer that is the same for all inputs, has no dimension: it is `lost` (1), its
    accuracies are those of a guess, and its dimensions are infinite.
    """
    train, test = problem.data.train, problem.data.test
    learned = train.y[:CHECKED] if learned is None else learned
    answers = networks.activations(train.x[: learned.shape[-1]])[-1]
    clouds = networks.layers(test.x)
    kept = ~networks.diverged & measurable([*clouds, answers])
    seeds, lost = networks.members, ~kept
    fitted = {"test_accuracy": accuracy(clouds[-1], test.y), "train_accuracy": accuracy(answers, learned)}
    guess = torch.tensor(1 / problem.classes, dtype=torch.float64)
    whole = {name: torch.where(kept, value, guess) for name, value in fitted.items()} | {"lost": lost}
    yield tidy(whole, seeds, layer=WHOLE, **where)
    inputs = measure_dimension(test.x, ESTIMATORS, dropped=True)  # the same for all seeds
    profile = [{name: value.expand(len(kept)) for name, value in inputs.items()}]
    profile += [networks.dimensions(cloud, kept) for cloud in clouds[1:]]
    layers = {name: torch.stack([one[name] for one in profile], dim=1) for name in inputs}
    yield tidy(layers, seeds.times(layer=range(len(profile))), lost=lost, **where)
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


def selection_rows(problem: VectorProblem, networks: Networks, **where: Any) -> Iterator[pd.DataFrame]:
    """How well each layer's held-out activations give relevant and nuisance latent variables back."""
    if problem.latents is None:
        return
    z, z_test = problem.latents.train.x, problem.latents.test.x

    def readable(here: Tensor, there: Tensor) -> dict[str, Tensor]:
        explained = decodability(here, z, there, z_test, alpha=PENALTY)
        return {"relevant": explained[:, :RELEVANT].mean(-1), "nuisance": explained[:, RELEVANT:].mean(-1)}

    fitted, heldout = (networks.layers(part.x) for part in (problem.data.train, problem.data.test))
    kept = ~networks.diverged & measurable([*fitted, *heldout])
    seeds, gaps = networks.members, []
    for layer, clouds in enumerate(zip(fitted, heldout, strict=True)):
        values = measure_kept(kept, ("relevant", "nuisance"), readable, *clouds)
        gaps.append(values["relevant"] - values["nuisance"])
        yield tidy(values | {"selection": gaps[-1]}, seeds, lost=~kept, layer=layer, **where)
    yield tidy({"selection_change": gaps[-2] - gaps[1]}, seeds, lost=~kept, layer=WHOLE, **where)


def course_rows(
    problem: VectorProblem, trained: Group, estimators: Sequence[str], **where: Any
) -> Iterator[pd.DataFrame]:
    """Dimension of the first, middle and last hidden layer after the steps at which snapshots were taken."""
    for step, own in trained.each("step"):
        networks = perceptrons(own)
        clouds = networks.layers(problem.data.test.x)
        kept = ~networks.diverged & measurable(clouds)
        hidden = len(clouds) - 2
        for layer in sorted({1, (hidden + 1) // 2, hidden}):
            found = networks.dimensions(clouds[layer], kept, estimators)
            values = {f"course_{name}": found[name] for name in estimators}
            yield tidy(values, networks.members, lost=~kept, step=step, layer=layer, **where)
