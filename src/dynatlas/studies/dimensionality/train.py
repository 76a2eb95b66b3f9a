"""What is trained: ReLU networks by plain SGD, with noise in batches, weights or labels; and a linear network.

Networks (`w1`, `b1`, ...) come as a group `networks`, whose axes say of which condition they are. In it, `diverged`
tells of which training had not stayed finite by then: from there a network stands still.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dynatlas.datasets.batches import draw_batch
from dynatlas.datasets.labels import relabel_uniform
from dynatlas.devices import moved
from dynatlas.ensemble.classification import cross_entropy_by_logsumexp
from dynatlas.ensemble.fit import Fitted, fit
from dynatlas.ensemble.methods import Draw, Loss
from dynatlas.ensemble.modules import ModuleEnsemble
from dynatlas.ensemble.optimisers import SGD
from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import snapshot_at
from dynatlas.jobs import Job
from dynatlas.members import Group, Members, concatenate, stack
from dynatlas.models.convnet import initialised
from dynatlas.models.mlp import PopulationMLP
from dynatlas.models.weight_noise import WeightNoise
from dynatlas.studies.dimensionality.images import as_images, image_network
from dynatlas.studies.dimensionality.losses import (
    FullBatch,
    MiniBatches,
    linear_data,
    squared_error,
)
from dynatlas.studies.dimensionality.problems import Problem, problem_named

if TYPE_CHECKING:
    from dynatlas.studies.dimensionality.settings import (
        Arms,
        Batch,
        Batches,
        Data,
        Depth,
        Examples,
        Fractions,
        ImageSizes,
        Inputs,
        Kind,
        NoiseLevels,
        Outputs,
        Rate,
        Rates,
        Sizes,
        Snapshots,
        Steps,
        Units,
        Width,
    )


Groups = dict[str, Group]
GAINS = {"relu": math.sqrt(2), "identity": 1.0, "tanh": 5 / 3}
"""Initial weights are N(0, gain^2 / fan-in), gains as in `torch.nn.init.calculate_gain`: signals keep their size."""


@dataclass(frozen=True)
class Recipe:
    """How one stack of conditions learns: conditions share initial weights and batches, seed by seed."""

    batch: int
    steps: int
    rates: Sequence[float]
    """Learning rate of each condition."""
    weight_noise: Sequence[float]
    """Standard deviation of the noise on the weights at which gradients are taken, of each condition."""
    stream: str = "batches"
    snapshots: Sequence[int] = ()
    """Steps after which the parameters are kept."""


def train_profiles(
    job: Job, *, data: Data, arms: Arms, width: Width, depth: Depth, batch: Batch, steps: Steps,
    learning_rate: Rate, snapshots: Snapshots,
) -> Groups:  # fmt: skip
    """Every arm of this data set, which is an activation, after each number of steps (the first is 0)."""
    problem = moved(problem_named(data), job.device)
    recipe = Recipe(batch, steps, [learning_rate], [0.0], snapshots=snapshots)
    found: dict[str, Group] = {}
    along = Members(step=snapshots, seed=job.seeds)
    labels = problem.data.train.y.expand(len(job.seeds), 1, -1)
    for name, activation in arms[data].items():
        model = network(problem, width, depth, activation)
        fitted = learn(job, problem, model, recipe, labels, name=name)
        diverged = {"diverged": fitted.diverged_by(snapshots)}
        found[name] = Group(along, fitted.logs["snapshots"].at(snapshots) | diverged)
    return {"networks": stack(found, "arm")}


def train_noise(
    job: Job, *, data: Data, width: Width, depth: Depth, batches: Batches, steps: Steps, rates: Rates,
    weight_noise: NoiseLevels,
) -> Groups:  # fmt: skip
    """SGD noise in two ways: by batch size (at every rate), and on the weights at the largest batch and first rate.

    Conditions are `batch`, `rate`, `sigma` of the noise on the weights, and `stream`: the largest batch is there once
    more with a second stream of batches.
    """
    problem = moved(problem_named(data), job.device)
    model = network(problem, width, depth)
    largest = max(batches)
    plain = [0.0] * len(rates)
    recipes = {("first", size): Recipe(size, steps, rates, plain) for size in batches}
    noisy = Recipe(largest, steps, [*rates, *rates[:1] * len(weight_noise)], [*plain, *weight_noise])
    recipes["first", largest] = noisy
    recipes["second", largest] = Recipe(largest, steps, rates[:1], plain[:1], stream="other batches")
    found = []
    for (stream, size), recipe in recipes.items():
        pairs = zip(recipe.rates, recipe.weight_noise, strict=True)
        conditions = [{"stream": stream, "batch": size, "rate": rate, "sigma": sigma} for rate, sigma in pairs]
        labels = problem.data.train.y.expand(len(job.seeds), len(conditions), -1)
        fitted = learn(job, problem, model, recipe, labels, name=f"batch {size}, {stream} stream")
        found.append(_learned(fitted, Members(seed=job.seeds, condition=conditions)))
    return {"networks": concatenate(found, "condition")}


def train_labels(
    job: Job, *, data: Data, width: Width, depth: Depth, batch: Batch, steps: Steps, learning_rate: Rate,
    examples: Examples, fraction: Fractions,
) -> Groups:  # fmt: skip
    """The first `examples` with a share of their labels drawn anew, at each `fraction`; at 1 they hold nothing.

    Returns the networks by `fraction`, and the `labels` that they learned, `y` (seed, fraction, example).
    """
    problem = moved(problem_named(data), job.device)
    y = problem.data.train.y[:examples].cpu()
    drawn = [
        relabel_uniform(y, share, classes=problem.classes, generators=job.generators("labels")) for share in fraction
    ]
    labels = torch.stack(drawn, dim=1).to(job.device)
    recipe = Recipe(batch, steps, [learning_rate] * len(fraction), [0.0] * len(fraction))
    fitted = learn(job, problem, network(problem, width, depth), recipe, labels, name="labels")
    members = Members(seed=job.seeds, fraction=fraction)
    return {"networks": _learned(fitted, members), "labels": Group(members, {"y": labels})}


def train_sizes(
    job: Job, *, data: Data, width: Width, depth: Depth, batch: Batch, steps: Steps, learning_rate: Rate, sizes: Sizes
) -> Groups:
    """The first examples alone, so many as `sizes` says: `examples` in the networks' axes."""
    problem = moved(problem_named(data), job.device)
    recipe = Recipe(batch, steps, [learning_rate], [0.0])
    model = network(problem, width, depth)
    found = {}
    for size in sizes:
        labels = problem.data.train.y[:size].expand(len(job.seeds), 1, -1)
        fitted = learn(job, problem, model, recipe, labels, name=f"size {size}")
        found[size] = _learned(fitted, Members(seed=job.seeds))
    return {"networks": stack(found, "examples")}


def network(problem: Problem, width: int, depth: int, activation: str = "relu") -> PopulationMLP:
    """`depth` hidden layers of `width` units, initial weights by `GAINS`."""
    sizes = (problem.data.train.x.shape[1], *[width] * depth, problem.classes)
    return PopulationMLP(sizes, activation, gain=GAINS[activation])


def learn(job: Job, problem: Problem, model: PopulationMLP, recipe: Recipe, labels: Tensor, *, name: str) -> Fitted:
    """SGD on the cross-entropy with `labels` (seed, condition, example) of the first examples; batches are drawn
    with replacement. Members are seed-major."""
    seeds, conditions, examples = labels.shape
    batches = job.generators(recipe.stream)
    sigma = torch.tensor(recipe.weight_noise, device=job.device).repeat(seeds)
    draws = job.generators("weight noise", device=job.device) if bool(sigma.any()) else []
    noise = WeightNoise(draws, sigma, conditions, shared=True) if draws else None

    def draw(step: int) -> tuple[Tensor, Tensor]:
        index = draw_batch(examples, size=recipe.batch, generators=batches).to(job.device)
        x = problem.data.train.x[index].repeat_interleave(conditions, dim=0)
        return x, labels.gather(2, index[:, None].expand(-1, conditions, -1)).flatten(0, 1)

    def loss(params: Params, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return cross_entropy_by_logsumexp(model.logits(noise.add(params) if noise else params, x), y)

    start = model.initialise(job.generators("initialisation"), conditions, shared=True)
    return fit(
        draw,
        loss,
        moved(start, job.device),
        steps=recipe.steps,
        optimiser=SGD(lr=torch.tensor(recipe.rates, device=job.device).repeat(seeds)),
        watches={"snapshots": snapshot_at(recipe.snapshots)} if recipe.snapshots else {},
        log_at=Every(100),
        job=job,
        name=name,
    )


def train_images(
    job: Job, *, data: Data, network: Kind, sizes: ImageSizes, batch: Batch, steps: Steps,
    learning_rate: Rate,
) -> Groups:  # fmt: skip
    """Convolutional networks, `network` of `sizes`, by plain SGD on images; arms are `untrained` and `trained`.

    Returns the `networks` under the names of the module's own tensors, and as `outcome` which `diverged`.
    """
    problem = moved(problem_named(data), job.device)
    build = image_network(problem, sizes[network])
    ensemble = ModuleEnsemble([initialised(build, g).to(job.device) for g in job.generators("initialisation")])
    batches = job.generators("batches")
    train = problem.data.train

    def draw(step: int) -> tuple[Tensor, Tensor]:
        index = draw_batch(len(train), size=batch, generators=batches).to(job.device)
        return as_images(problem, train.x[index]), train.y[index]

    def loss(params: Params, drawn: tuple[Tensor, Tensor]) -> Tensor:
        images, y = drawn
        return cross_entropy_by_logsumexp(ensemble(params, images, shared=False), y)

    start = ensemble.parameters
    optimiser = SGD(lr=learning_rate)
    fitted = fit(draw, loss, start, steps=steps, optimiser=optimiser, log_at=Every(100), job=job, name=network)
    seeds, diverged = Members(seed=job.seeds), fitted.diverged_at >= 0
    networks = {"untrained": seeds.group(start), "trained": seeds.group(fitted.parameters)}
    outcome = {"diverged": torch.stack([torch.zeros_like(diverged), diverged], dim=1)}
    return {"networks": stack(networks, "arm"), "outcome": Group(seeds.times(arm=list(networks)), outcome)}


def train_linear(
    job: Job, *, inputs: Inputs, units: Units, outputs: Outputs, examples: Examples, steps: Steps, learning_rate: Rate,
    sigma: NoiseLevels, batches: Batches, snapshots: Snapshots,
) -> Groups:  # fmt: skip
    """x W1 W2 on the squared error of a noisy linear teacher: full batch with weight noise, and small batches.

    Returns the networks after each number of steps; conditions are `batch` (that of the full batch is the number of
    `examples`) and `sigma`, the noise on the weights. Also the `data` x (seed, example, input), y (seed, example,
    output).
    """
    x, y = moved(linear_data(job.generators("data"), inputs=inputs, outputs=outputs, examples=examples), job.device)
    model = PopulationMLP((inputs, units, outputs), "identity", bias=False, gain=1.0)
    found: list[Group] = []

    def train(batch: int, levels: list[float], draw: Draw, loss: Loss) -> None:
        members = Members(seed=job.seeds, condition=[{"batch": batch, "sigma": level} for level in levels])
        start = model.initialise(job.generators("initialisation"), len(levels), shared=True)
        log = fit(
            draw, loss, moved(start, job.device), steps=steps, optimiser=SGD(lr=learning_rate),
            watches={"snapshots": snapshot_at(snapshots)}, log_at=Every(100), job=job, name=f"batch {batch}",
        ).logs["snapshots"]  # fmt: skip
        arrays = {name: members.split(w, dim=1) for name, w in log.values.items()}
        found.append(Group(Members(step=log.steps, **members.axes), arrays))

    levels, draws = len(sigma), job.generators("weight noise", device=job.device)
    noise = WeightNoise(draws, torch.tensor(sigma, device=job.device).repeat(len(x)), levels, shared=True)
    full = FullBatch.of(x, y, conditions=levels)
    train(examples, sigma, lambda step: full, lambda params, whole: whole(noise.add(params)))
    for size in batches:
        train(size, [0.0], MiniBatches(x, y, size, job.generators("batches")), squared_error)
    return {"networks": concatenate(found, "condition"), "data": Group(Members(seed=job.seeds), {"x": x, "y": y})}


def _learned(fitted: Fitted, members: Members) -> Group:
    """Networks at the end of training, and which of them diverged."""
    return members.group(fitted.parameters | {"diverged": fitted.diverged_at >= 0})
