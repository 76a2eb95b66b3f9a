"""What is measured: dimension of every layer on held-out inputs, decodability, accuracy; and the linear network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from dynatlas.datasets.manifolds import draw_manifold
from dynatlas.ensemble.classification import accuracy, cross_entropy_by_logsumexp
from dynatlas.ensemble.parameters import Params
from dynatlas.instruments.curvature import Estimate, gauss_newton_trace, hessian_trace
from dynatlas.instruments.dimension import participation_ratio
from dynatlas.instruments.dimension_profile import measure_dimension
from dynatlas.instruments.probes import decodability
from dynatlas.jobs import Job, Run
from dynatlas.members import Group
from dynatlas.models.convnet import ConvNet, ResNet
from dynatlas.models.weight_noise import WeightNoise
from dynatlas.studies.dimensionality.images import as_images, image_network
from dynatlas.studies.dimensionality.losses import FullBatch, noise_excess, noise_penalty, penalty_bound
from dynatlas.studies.dimensionality.problems import RELEVANT, Problem, problem_named
from dynatlas.studies.dimensionality.profiles import (
    ESTIMATORS,
    MEASURED,
    WHOLE,
    Networks,
    Values,
    dimensions,
    has_dimension,
    layer_rows,
    over_seeds,
    profile_rows,
)
from dynatlas.tables import gathered, tidy

if TYPE_CHECKING:
    from dynatlas.studies.dimensionality.settings import (
        DataSets,
        Dimensions,
        Error,
        Estimators,
        Manifolds,
        Pairs,
        Points,
        ReluNoise,
        Sigmas,
    )


PENALTY = 0.1
"""Of the ridge readouts of latent variables."""


@gathered
def measure_inputs(job: Job, *, data: DataSets, estimators: Estimators) -> Iterator[pd.DataFrame]:
    """Dimension of the inputs over their number of pixels, on one random half of all examples a seed.

    Beside them (`cloud`: gaussian) Gaussian points of the same number and number of coordinates.
    """
    for name in data:
        problem = problem_named(name)
        x = torch.cat([problem.data.train.x, problem.data.test.x])
        half = len(x) // 2
        order = [torch.randperm(len(x), generator=g)[:half] for g in job.generators("half")]
        drawn = [torch.randn(half, x.shape[1], generator=g) for g in job.generators("gaussian")]
        for cloud, points in (("images", x[torch.stack(order)]), ("gaussian", torch.stack(drawn))):
            found = measure_dimension(points, estimators)
            shares = {f"{key}_share": value / x.shape[1] for key, value in found.items()}
            yield tidy(found | shares, {"seed": job.seeds}, data=name, cloud=cloud)


@gathered
def measure_profiles(job: Job, *, profiles: list[Run], course: Estimators) -> Iterator[pd.DataFrame]:
    """Dimension of every layer of every arm after training, of the arm `trained` also before (`untrained`) and along.

    By layer (0 inputs, 1 ... D hidden, D + 1 logits): each estimator, `dropped` points, and where latent variables are
    known, `relevant` and `nuisance` (mean R^2 of the readouts of both groups) and `selection`, their difference. Of the
    whole network: summaries (see `summary`), accuracies, `selection_change`. `step` is how long it was trained; at
    every snapshot there is `course_<estimator>` of the first, middle and last hidden layer of the trained arm.
    """
    for run in profiles:
        data = run.settings["data"]
        problem = problem_named(data)
        for arm, own in run["networks"].each("arm"):
            steps, activation = own.members.axes["step"], run.settings["arms"][data][arm]
            ends = ({"untrained": steps[0]} if arm == "trained" else {}) | {arm: steps[-1]}
            for name, step in ends.items():
                networks = Networks.of(own.at(step=step), activation=activation)
                yield from layer_rows(job, problem, networks, data=data, arm=name, step=step)
                yield from selection_rows(job, problem, networks, data=data, arm=name, step=step)
            if arm == "trained":
                yield from course_rows(job, problem, own, course, data=data, arm=arm)


def selection_rows(job: Job, problem: Problem, networks: Networks, **where: Any) -> Iterator[pd.DataFrame]:
    """How well each layer's held-out activations give relevant and nuisance latent variables back."""
    if problem.latents is None:
        return
    fitted, heldout = (networks.layers(part.x) for part in (problem.data.train, problem.data.test))
    kept = has_dimension(networks.diverged, [*fitted, *heldout])
    latents, seeds, gaps = problem.latents, {"seed": job.seeds}, []
    for layer, (here, there) in enumerate(zip(fitted, heldout, strict=True)):
        explained = torch.full((len(kept), latents.train.x.shape[-1]), nan)
        if kept.any():
            found = decodability(here[kept], latents.train.x, there[kept], latents.test.x, alpha=PENALTY)
            explained = over_seeds(found, kept)
        values = {"relevant": explained[:, :RELEVANT].mean(-1), "nuisance": explained[:, RELEVANT:].mean(-1)}
        gaps.append(values["relevant"] - values["nuisance"])
        yield tidy(values | {"selection": gaps[-1]}, seeds, lost=~kept, layer=layer, **where)
    yield tidy({"selection_change": gaps[-2] - gaps[1]}, seeds, lost=~kept, layer=WHOLE, **where)


def course_rows(
    job: Job, problem: Problem, trained: Group, estimators: Sequence[str], **where: Any
) -> Iterator[pd.DataFrame]:
    """Dimension of the first, middle and last hidden layer after the steps at which snapshots were taken."""
    for step, own in trained.each("step"):
        networks = Networks.of(own)
        clouds = networks.layers(problem.data.test.x)
        kept = has_dimension(networks.diverged, clouds)
        hidden = len(clouds) - 2
        for layer in sorted({1, (hidden + 1) // 2, hidden}):
            found = dimensions(clouds[layer], kept, estimators)
            values = {f"course_{name}": found[name] for name in estimators}
            yield tidy(values, {"seed": job.seeds}, lost=~kept, step=step, layer=layer, **where)


@gathered
def measure_noise(job: Job, *, noise: list[Run]) -> Iterator[pd.DataFrame]:
    """Profiles and summaries of every batch size, rate and weight noise; `stream` tells the second run apart."""
    for run in noise:
        data = run.settings["data"]
        problem = problem_named(data)
        for condition, own in run["networks"].each("condition"):
            networks = Networks.of(own)
            yield from layer_rows(job, problem, networks, data=data, **condition)
            yield from selection_rows(job, problem, networks, data=data, **condition)


@gathered
def measure_labels(job: Job, *, labels: list[Run]) -> Iterator[pd.DataFrame]:
    """Profiles and summaries for every share of labels drawn anew."""
    for run in labels:
        data = run.settings["data"]
        problem = problem_named(data)
        for fraction, own in run["networks"].each("fraction"):
            learned = run["labels"].at(fraction=fraction)["y"]
            yield from layer_rows(job, problem, Networks.of(own), learned=learned, data=data, fraction=fraction)


@gathered
def measure_sizes(job: Job, *, sizes: Run) -> Iterator[pd.DataFrame]:
    """Profiles and summaries for every number of training examples."""
    data = sizes.settings["data"]
    problem = problem_named(data)
    for size, own in sizes["networks"].each("examples"):
        learned = problem.data.train.y[:size]
        yield from layer_rows(job, problem, Networks.of(own), learned=learned, data=data, examples=size)


@gathered
def measure_images(job: Job, *, images: list[Run]) -> Iterator[pd.DataFrame]:
    """Profiles and summaries of convolutional networks, before and after training; layers are flattened.

    One network at a time, since at full size the activations of one fill the memory. Accuracy on training examples is
    that on as many as are held out.
    """
    for run in images:
        problem = problem_named(run.settings["data"])
        model = image_network(problem, run.settings["sizes"][run.settings["network"]])()
        where = {key: run.settings[key] for key in ("data", "network", "batch")}
        for arm, networks in run["networks"].each("arm"):
            found = []
            for seed, own in networks.each("seed"):
                model.load_state_dict(dict(own))
                found.append(image_layers(model, problem, run["outcome"].at(arm=arm, seed=seed)["diverged"]))
            profiles, fitted, kept = zip(*found, strict=True)
            profile = [_over_seeds(layer) for layer in zip(*profiles, strict=True)]
            yield from profile_rows(job, problem, profile, _over_seeds(fitted), torch.stack(kept), **where, arm=arm)


@torch.no_grad()
def image_layers(model: ConvNet | ResNet, problem: Problem, diverged: Tensor) -> tuple[list[Values], Values, Tensor]:
    """Dimensions () of each layer of one network on held-out images, its accuracies, and whether it has dimensions.

    One that has none is lost: NaN.
    """
    train, test = problem.data.train[: len(problem.data.test)], problem.data.test
    layers = [layer.flatten(1) for layer in model.layers(as_images(problem, test.x))]
    answers = model(as_images(problem, train.x))
    parts = {"test_accuracy": (layers[-1], test.y), "train_accuracy": (answers, train.y)}
    fitted = {name: accuracy(logits[None], y)[0] for name, (logits, y) in parts.items()}
    kept = has_dimension(diverged[None], [layer[None] for layer in (*layers, answers)])[0]
    none: Values = {name: torch.tensor(nan) for name in MEASURED}
    return [measure_dimension(layer, ESTIMATORS, dropped=True) if kept else none for layer in layers], fitted, kept


def _over_seeds(values: Sequence[Values]) -> dict[str, Tensor]:
    """One value a metric, seed by seed -> (seed,)."""
    return {name: torch.stack([one[name] for one in values]) for name in values[0]}


@gathered
def measure_linear(job: Job, *, linear: Run) -> Iterator[pd.DataFrame]:
    """Noise penalty over its bound (`ratio`) and participation ratio of the hidden representation, at every snapshot.

    Along training they are called `course_ratio` and `course_participation_ratio`. The full batch has the number of
    examples as its `batch`.
    """
    x = linear["data"]["x"].double()
    c = x.mT @ x / x.shape[1]
    for condition, own in linear["networks"].each("condition"):
        here = (own["w1"].double(), own["w2"].double(), c)
        found = {
            "ratio": noise_penalty(*here) / penalty_bound(*here),
            "participation_ratio": participation_ratio(x @ here[0]),
        }
        yield tidy({f"course_{name}": value for name, value in found.items()}, own.members, **condition)
        last = {name: value[-1] for name, value in found.items()}
        yield tidy(last, {"seed": job.seeds}, **condition, step=own.members.axes["step"][-1])


@gathered
def measure_averages(
    job: Job, *, linear: Run, noise: list[Run], sigmas: Sigmas, error: Error, pairs: Pairs,
    relu: ReluNoise,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """What noise on the weights adds to the loss on average: `drawn`, and `predicted` by a formula; `ratio` of both.

    `network` linear: the full-batch network of two layers, by the exact formula and by its second order alone; ReLU:
    the largest batch's network on the cross-entropy of the first `relu["examples"]` training examples, by half
    sigma^2 times the trace of the Hessian, and of its Gauss-Newton part, from `relu["probes"]` probes.
    """
    for name, drawn, formulas in (
        *_linear_averages(job, linear, sigmas, error=error, pairs=pairs),
        *_relu_averages(job, noise[0], **relu),
    ):
        where = {"network": name[0], "sigma": name[1]}
        for formula, predicted in formulas.items():
            values = {"drawn": drawn.mean, "predicted": predicted, "ratio": drawn.mean / predicted}
            values["standard_error"] = drawn.standard_error / predicted
            yield tidy(values, {"seed": job.seeds}, formula=formula, **where)


Averages = Iterator[tuple[tuple[str, float], Estimate, dict[str, Tensor]]]
"""(network, sigma), what was drawn, formula -> what it predicts (seed,)."""


def _linear_averages(job: Job, run: Run, sigmas: list[float], *, error: float, pairs: int) -> Averages:
    x, y = (run["data"][name].double() for name in ("x", "y"))
    last, full = run["networks"].members.of("step")[-1], {"batch": x.shape[1], "sigma": run.settings["sigma"][0]}
    params = {name: w.double() for name, w in run["networks"].at(step=last, condition=full).items()}
    weights = (params["w1"], params["w2"], x.mT @ x / x.shape[1])
    loss = FullBatch.of(x, y, conditions=1)
    for sigma in sigmas:
        exact = noise_excess(*weights, sigma)
        draws = job.generators(f"draws {sigma:g}")
        drawn = average_excess(loss, params, sigma, generators=draws, pairs=pairs, error=error * exact)
        yield ("linear", sigma), drawn, {
            "exact": exact, "second order": noise_excess(*weights, sigma, fourth_order=False)
        }  # fmt: skip


def _relu_averages(job: Job, run: Run, *, sigmas: list[float], pairs: int, examples: int, probes: int) -> Averages:
    train = problem_named(run.settings["data"]).data.train[:examples]
    told = run.settings
    condition = {"stream": "first", "batch": max(told["batches"]), "rate": told["rates"][0], "sigma": 0.0}
    networks = Networks.of(run["networks"].at(condition=condition))
    params = {key: value.double() for key, value in networks.params.items()}
    y = train.y.expand(len(job.seeds), -1)

    def outputs(params: Params) -> Tensor:
        return networks.model.logits(params, train.x.double())

    def loss(params: Params) -> Tensor:
        return cross_entropy_by_logsumexp(outputs(params), y)

    whole = hessian_trace(loss, params, probes=probes, generators=job.generators("Hessian"))
    part = gauss_newton_trace(
        outputs, params, loss="cross_entropy", probes=probes, generators=job.generators("Gauss-Newton")
    )
    for sigma in sigmas:
        drawn = average_excess(loss, params, sigma, generators=job.generators(f"draws ReLU {sigma:g}"), pairs=pairs)
        yield ("ReLU", sigma), drawn, {
            "Hessian": sigma**2 / 2 * whole.mean, "Gauss-Newton": sigma**2 / 2 * part.mean
        }  # fmt: skip


def average_excess(
    loss: Callable[[Params], Tensor], params: Params, sigma: float, *, generators: Sequence[torch.Generator],
    pairs: int, error: Tensor | float = inf, limit: int = 100,
) -> Estimate:  # fmt: skip
    """Mean of L(w + sigma xi) - L(w) over antithetic pairs of draws for each member, with its standard error.

    Draws `pairs` at a time until every standard error is below `error` (member,), at most `limit` times.
    """
    noise = WeightNoise(generators, 1.0)
    zero = {name: torch.zeros_like(value) for name, value in params.items()}
    base, seen = loss(params), []
    for _ in range(limit):
        for _ in range(pairs):
            step = noise.add(zero)
            both = [loss({name: w + sign * sigma * step[name] for name, w in params.items()}) for sign in (1, -1)]
            seen.append((both[0] + both[1]) / 2 - base)
        found = Estimate.over(torch.stack(seen))
        if bool((found.standard_error < error).all()):
            break
    return found


@gathered
def measure_estimators(
    job: Job, *, kinds: Manifolds, dimensions: Dimensions, points: Points, estimators: Estimators
) -> Iterator[pd.DataFrame]:
    """What each estimator finds on manifolds of known dimension, for every number of points."""
    for kind in kinds:
        for dimension in dimensions:
            for n in points:
                draws = job.generators(f"{kind} {dimension} {n}")
                clouds = torch.stack([draw_manifold(kind, n, dimension, generator=g) for g in draws])
                found = measure_dimension(clouds, estimators)
                yield tidy(found, {"seed": job.seeds}, manifold=kind, dimension=dimension, points=n)
