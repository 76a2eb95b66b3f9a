"""What is trained: ReLU networks by plain SGD, with noise in batches, weights or labels; and a linear network.

Networks (`w1`, `b1`, ...) come as a group `networks`, whose axes say of which condition they are. In it, `diverged`
tells of which training had not stayed finite by then: from there a network stands still.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dynatlas.datasets.labels import relabel_uniform
from dynatlas.devices import moved
from dynatlas.ensemble.classification import cross_entropy_by_logsumexp
from dynatlas.ensemble.classifiers import train_classifiers
from dynatlas.ensemble.fit import Fitted, fit
from dynatlas.ensemble.methods import Draw, Loss
from dynatlas.ensemble.modules import ModuleEnsemble
from dynatlas.ensemble.optimisers import SGD
from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import snapshot_at
from dynatlas.jobs import Job
from dynatlas.members import Group, Members, concatenate, stack
from dynatlas.models.convnet import ConvNet, ResNet, convolutional_network, initialised
from dynatlas.models.mlp import PopulationMLP
from dynatlas.models.weight_noise import WeightNoise
from dynatlas.problems.linear_regression import FullBatch, MiniBatches, linear_teacher, squared_error
from dynatlas.problems.vectors import VectorProblem, vector_problem

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
        LearningRate,
        LearningRates,
        NoiseLevels,
        Outputs,
        Sizes,
        Snapshots,
        Steps,
        Units,
        Width,
    )


Groups = dict[str, Group]
GAINS = {"relu": math.sqrt(2), "identity": 1.0, "tanh": 5 / 3}
"""Initial weights are N(0, gain^2 / fan-in), gains as in `torch.nn.init.calculate_gain`: signals keep their size."""


def train_profiles(
    job: Job, *, data: Data, arms: Arms, width: Width, depth: Depth, batch: Batch, steps: Steps,
    learning_rate: LearningRate, snapshots: Snapshots,
) -> Groups:  # fmt: skip
    """Every arm of this data set, which is an activation, after each number of steps (the first is 0)."""
    problem = moved(vector_problem(data), job.device)
    found: dict[str, Group] = {}
    for name, activation in arms[data].items():
        model = network(problem, width, depth, activation)
        fitted = learn(job, problem, model, [learning_rate], name=name, batch=batch, steps=steps, snapshots=snapshots)
        networks = fitted.logs["snapshots"].at(snapshots) | {"diverged": fitted.diverged_by(snapshots)}
        found[name] = Group(Members(step=snapshots, seed=job.seeds), networks)
    return {"networks": stack(found, "arm")}


def train_noise(
    job: Job, *, data: Data, width: Width, depth: Depth, batches: Batches, steps: Steps, learning_rates: LearningRates,
    weight_noise: NoiseLevels,
) -> Groups:  # fmt: skip
    """SGD noise by batch size (at every learning rate), and on the weights (at the largest batch and the first rate).

    Conditions are `batch`, `learning_rate`, `sigma` of the noise on the weights, and `stream`: the largest batch is
    there once more with a second stream of batches.
    """
    problem = moved(vector_problem(data), job.device)
    model, largest = network(problem, width, depth), max(batches)
    levels = {("first", size): [(rate, 0.0) for rate in learning_rates] for size in batches}
    levels["first", largest] += [(learning_rates[0], sigma) for sigma in weight_noise]
    levels["second", largest] = [(learning_rates[0], 0.0)]
    streams, found = {"first": "batches", "second": "other batches"}, []
    for (stream, size), own in levels.items():
        conditions = [{"stream": stream, "batch": size, "learning_rate": rate, "sigma": sigma} for rate, sigma in own]
        fitted = learn(
            job, problem, model, [rate for rate, _ in own], weight_noise=[sigma for _, sigma in own],
            name=f"batch {size}, {stream} stream", batch=size, steps=steps, stream=streams[stream],
        )  # fmt: skip
        found.append(_learned(fitted, Members(seed=job.seeds, condition=conditions)))
    return {"networks": concatenate(found, "condition")}


def train_labels(
    job: Job, *, data: Data, width: Width, depth: Depth, batch: Batch, steps: Steps, learning_rate: LearningRate,
    examples: Examples, fraction: Fractions,
) -> Groups:  # fmt: skip
    """The first `examples` with a share of their labels drawn anew, at each `fraction`; at 1 they hold nothing.

    Returns the networks by `fraction`, and the `labels` that they learned, `y` (seed, fraction, example).
    """
    problem = moved(vector_problem(data), job.device)
    y = problem.data.train.y[:examples].cpu()
    drawn = [
        relabel_uniform(y, share, classes=problem.classes, generators=job.generators("labels")) for share in fraction
    ]
    labels, members = torch.stack(drawn, dim=1).to(job.device), Members(seed=job.seeds, fraction=fraction)
    model, rates = network(problem, width, depth), [learning_rate] * len(fraction)
    fitted = learn(job, problem, model, rates, name="labels", batch=batch, steps=steps, labels=labels)
    return {"networks": _learned(fitted, members), "labels": Group(members, {"y": labels})}


def train_sizes(
    job: Job, *, data: Data, width: Width, depth: Depth, batch: Batch, steps: Steps, learning_rate: LearningRate,
    sizes: Sizes,
) -> Groups:  # fmt: skip
    """The first examples alone, so many as `sizes` says: `examples` in the networks' axes."""
    problem = moved(vector_problem(data), job.device)
    model, found = network(problem, width, depth), {}
    for size in sizes:
        labels = problem.data.train.y[:size].expand(len(job.seeds), 1, -1)
        fitted = learn(
            job, problem, model, [learning_rate], name=f"size {size}", batch=batch, steps=steps, labels=labels
        )
        found[size] = _learned(fitted, Members(seed=job.seeds))
    return {"networks": stack(found, "examples")}


def network(problem: VectorProblem, width: int, depth: int, activation: str = "relu") -> PopulationMLP:
    """`depth` hidden layers of `width` units, initial weights by `GAINS`."""
    sizes = (problem.data.train.x.shape[1], *[width] * depth, problem.classes)
    return PopulationMLP(sizes, activation, gain=GAINS[activation])


def learn(
    job: Job, problem: VectorProblem, model: PopulationMLP, learning_rates: Sequence[float], **more: Any
) -> Fitted:
    """`train_classifiers` from the same initial weights for all conditions of a seed."""
    start = model.initialise(job.generators("initialisation"), len(learning_rates), shared=True)
    told = {"learning_rates": learning_rates, "loss": cross_entropy_by_logsumexp, **more}
    return train_classifiers(job, problem.data.train, model.logits, start, **told)


def train_images(
    job: Job, *, data: Data, network: Kind, sizes: ImageSizes, batch: Batch, steps: Steps,
    learning_rate: LearningRate,
) -> Groups:  # fmt: skip
    """Convolutional networks, `network` of `sizes`, by plain SGD on images; arms are `untrained` and `trained`.

    Returns the `networks` under the names of the module's own tensors, and as `outcome` which `diverged`.
    """
    problem = moved(vector_problem(data), job.device)

    def build() -> ConvNet | ResNet:
        return convolutional_network(problem.image_shape[0], problem.classes, **sizes[network])

    ensemble = ModuleEnsemble([initialised(build, g) for g in job.generators("initialisation")])

    def logits(params: Params, x: Tensor) -> Tensor:
        return ensemble(params, problem.as_images(x), shared=False)

    start = moved(ensemble.parameters, job.device)
    fitted = train_classifiers(
        job, problem.data.train, logits, start, name=network, batch=batch, steps=steps,
        learning_rates=[learning_rate], loss=cross_entropy_by_logsumexp,
    )  # fmt: skip
    seeds, diverged = Members(seed=job.seeds), fitted.diverged_at >= 0
    networks = {"untrained": seeds.group(start), "trained": seeds.group(fitted.parameters)}
    outcome = {"diverged": torch.stack([torch.zeros_like(diverged), diverged], dim=1)}
    return {"networks": stack(networks, "arm"), "outcome": Group(seeds.times(arm=list(networks)), outcome)}


def train_linear(
    job: Job, *, inputs: Inputs, units: Units, outputs: Outputs, examples: Examples, steps: Steps,
    learning_rate: LearningRate, sigma: NoiseLevels, batches: Batches, snapshots: Snapshots,
) -> Groups:  # fmt: skip
    """x W1 W2 on the squared error of a noisy linear teacher: full batch with weight noise, and small batches.

    Returns the networks after each number of steps; conditions are `batch` (that of the full batch is the number of
    `examples`) and `sigma`, the noise on the weights. Also the `data` x (seed, example, input), y (seed, example,
    output).
    """
    x, y = moved(linear_teacher(job.generators("data"), inputs=inputs, outputs=outputs, examples=examples), job.device)
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

    def loss_of_all(params: Params, full: FullBatch) -> Tensor:
        noisy = noise.add(params)
        return full(noisy["w1"] @ noisy["w2"])

    def loss_of_some(params: Params, drawn: tuple[Tensor, Tensor]) -> Tensor:
        return squared_error(drawn[0] @ params["w1"] @ params["w2"], drawn[1])

    levels, draws = len(sigma), job.generators("weight noise", device=job.device)
    noise = WeightNoise(draws, torch.tensor(sigma, device=job.device).repeat(len(x)), levels, shared=True)
    full = FullBatch.of(x, y, copies=levels)
    train(examples, sigma, lambda step: full, loss_of_all)
    for size in batches:
        train(size, [0.0], MiniBatches(x, y, size, job.generators("batches")), loss_of_some)
    return {"networks": concatenate(found, "condition"), "data": Group(Members(seed=job.seeds), {"x": x, "y": y})}


def _learned(fitted: Fitted, members: Members) -> Group:
    """Networks at the end of training, and which of them diverged."""
    return members.group(fitted.parameters | {"diverged": fitted.diverged_at >= 0})
