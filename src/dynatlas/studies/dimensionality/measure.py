"""What is measured: dimension of every layer on held-out inputs, decodability, accuracy; and the linear network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from dynatlas.datasets.manifolds import draw_manifold
from dynatlas.ensemble.classification import cross_entropy_by_logsumexp
from dynatlas.ensemble.parameters import Params
from dynatlas.instruments.curvature import Estimate, gauss_newton_trace, hessian_trace, increase_under_noise
from dynatlas.instruments.dimension import participation_ratio
from dynatlas.instruments.dimension_profile import measure_dimension
from dynatlas.jobs import Job, Run
from dynatlas.members import Group
from dynatlas.models.convnet import convolutional_network
from dynatlas.models.mlp import PopulationMLP
from dynatlas.problems.linear_regression import FullBatch
from dynatlas.problems.vectors import VectorProblem, vector_problem
from dynatlas.studies.dimensionality.linear_network import noise_excess, noise_penalty, penalty_bound
from dynatlas.studies.dimensionality.profiles import (
    convolutional,
    course_rows,
    layer_rows,
    perceptrons,
    selection_rows,
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


@gathered
def measure_inputs(job: Job, *, data: DataSets, estimators: Estimators) -> Iterator[pd.DataFrame]:
    """Dimension of the inputs over their number of pixels, on one random half of all examples a seed.

    Beside them (`cloud`: gaussian) Gaussian points of the same number and number of coordinates.
    """
    for name in data:
        problem = vector_problem(name)
        x = torch.cat([problem.data.train.x, problem.data.test.x])
        half = len(x) // 2
        order = [torch.randperm(len(x), generator=g)[:half] for g in job.generators("half")]
        drawn = [torch.randn(half, x.shape[1], generator=g) for g in job.generators("gaussian")]
        for cloud, points in (("images", x[torch.stack(order)]), ("gaussian", torch.stack(drawn))):
            found = measure_dimension(points, estimators)
            shares = {f"{key}_share": value / x.shape[1] for key, value in found.items()}
            yield tidy(found | shares, {"seed": job.seeds}, data=name, cloud=cloud)


@gathered
def measure_layers(job: Job, *, profiles: list[Run], course: Estimators) -> Iterator[pd.DataFrame]:
    """Dimension of every layer of every arm after training, of the arm `trained` also before (`untrained`) and along.

    By layer (0 inputs, 1 ... D hidden, D + 1 logits): each estimator, `dropped` points, and where latent variables are
    known, `relevant` and `nuisance` (mean R^2 of the readouts of both groups) and `selection`, their difference. Of the
    whole network: summaries (see `summary`), accuracies, `selection_change`. `step` is how long it was trained; at
    every snapshot there is `course_<estimator>` of the first, middle and last hidden layer of the trained arm.
    """
    for run, problem, where, own in each_of(profiles, "arm"):
        arm, steps = where["arm"], own.members.axes["step"]
        activation = run.settings["arms"][where["data"]][arm]
        ends = ({"untrained": steps[0]} if arm == "trained" else {}) | {arm: steps[-1]}
        for name, step in ends.items():
            networks, here = perceptrons(own.at(step=step), activation), where | {"arm": name, "step": step}
            yield from layer_rows(problem, networks, **here)
            yield from selection_rows(problem, networks, **here)
        if arm == "trained":
            yield from course_rows(problem, own, course, **where)


@gathered
def measure_noisy(job: Job, *, noise: list[Run]) -> Iterator[pd.DataFrame]:
    """Profiles and summaries for every batch size, learning rate and noise; `stream` tells the second run apart."""
    for _, problem, where, own in each_of(noise, "condition"):
        yield from layer_rows(problem, perceptrons(own), **where)
        yield from selection_rows(problem, perceptrons(own), **where)


@gathered
def measure_relabelled(job: Job, *, labels: list[Run]) -> Iterator[pd.DataFrame]:
    """Profiles and summaries for every share of labels drawn anew."""
    for run, problem, where, own in each_of(labels, "fraction"):
        learned = run["labels"].at(fraction=where["fraction"])["y"]
        yield from layer_rows(problem, perceptrons(own), learned=learned, **where)


@gathered
def measure_sized(job: Job, *, sizes: Run) -> Iterator[pd.DataFrame]:
    """Profiles and summaries for every number of training examples."""
    for _, problem, where, own in each_of([sizes], "examples"):
        yield from layer_rows(problem, perceptrons(own), learned=problem.data.train.y[: where["examples"]], **where)


@gathered
def measure_image_layers(job: Job, *, images: list[Run]) -> Iterator[pd.DataFrame]:
    """Profiles and summaries of convolutional networks, before and after training; layers are flattened.

    One network at a time, since at full size the activations of one fill the memory. Accuracy on training examples is
    that on as many as are held out.
    """
    for run, problem, where, networks in each_of(images, "arm"):
        learned = problem.data.train.y[: len(problem.data.test)]
        sizes = run.settings["sizes"][run.settings["network"]]
        model = convolutional_network(problem.image_shape[0], problem.classes, **sizes)
        told = {key: run.settings[key] for key in ("network", "batch")}
        for seed, own in networks.each("seed"):
            model.load_state_dict(dict(own))
            diverged = run["outcome"].at(arm=where["arm"], seed=seed)["diverged"]
            one = convolutional(model, problem, seed, diverged)
            yield from layer_rows(problem, one, learned=learned, **where, **told)


def each_of(runs: Sequence[Run], axis: str) -> Iterator[tuple[Run, VectorProblem, dict[str, Any], Group]]:
    """The networks of each run at each label of an axis, the problem that they learned, and the columns that say so."""
    for run in runs:
        data = run.settings["data"]
        problem = vector_problem(data)
        for label, networks in run["networks"].each(axis):
            yield run, problem, {"data": data, **(label if isinstance(label, dict) else {axis: label})}, networks


@gathered
def measure_penalties(job: Job, *, linear: Run) -> Iterator[pd.DataFrame]:
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
    yield from _linear_averages(job, linear, sigmas, error=error, pairs=pairs)
    yield from _relu_averages(job, noise[0], **relu)


def _linear_averages(job: Job, run: Run, sigmas: list[float], *, error: float, pairs: int) -> Iterator[pd.DataFrame]:
    x, y = (run["data"][name].double() for name in ("x", "y"))
    last, full = run["networks"].members.of("step")[-1], {"batch": x.shape[1], "sigma": run.settings["sigma"][0]}
    params = {name: w.double() for name, w in run["networks"].at(step=last, condition=full).items()}
    weights, full_batch = (params["w1"], params["w2"], x.mT @ x / x.shape[1]), FullBatch.of(x, y)

    def loss(params: Params) -> Tensor:
        return full_batch(params["w1"] @ params["w2"])

    for sigma in sigmas:
        exact, second = (noise_excess(*weights, sigma, fourth_order=order) for order in (True, False))
        draws = job.generators(f"draws {sigma:g}")
        drawn = increase_under_noise(loss, params, sigma, generators=draws, pairs=pairs, error=error * exact)
        yield from _average_rows(job, drawn, {"exact": exact, "second order": second}, network="linear", sigma=sigma)


def _relu_averages(
    job: Job, run: Run, *, sigmas: list[float], pairs: int, examples: int, probes: int
) -> Iterator[pd.DataFrame]:
    told = run.settings
    train = vector_problem(told["data"]).data.train[:examples]
    condition = {"stream": "first", "batch": max(told["batches"]), "sigma": 0.0}
    condition["learning_rate"] = told["learning_rates"][0]
    networks = run["networks"].at(condition=condition)
    params = {name: w.double() for name, w in networks.items() if name != "diverged"}
    model = PopulationMLP.of(params)
    x, y = train.x.double(), train.y.expand(len(job.seeds), -1)

    def outputs(params: Params) -> Tensor:
        return model.logits(params, x)

    def loss(params: Params) -> Tensor:
        return cross_entropy_by_logsumexp(outputs(params), y)

    whole = hessian_trace(loss, params, probes=probes, generators=job.generators("Hessian"))
    streams = job.generators("Gauss-Newton")
    part = gauss_newton_trace(outputs, params, loss="cross_entropy", probes=probes, generators=streams)
    for sigma in sigmas:
        draws = job.generators(f"draws ReLU {sigma:g}")
        drawn = increase_under_noise(loss, params, sigma, generators=draws, pairs=pairs)
        formulas = {"Hessian": sigma**2 / 2 * whole.mean, "Gauss-Newton": sigma**2 / 2 * part.mean}
        yield from _average_rows(job, drawn, formulas, network="ReLU", sigma=sigma)


def _average_rows(job: Job, drawn: Estimate, formulas: Mapping[str, Tensor], **where: Any) -> Iterator[pd.DataFrame]:
    """What was drawn beside what each formula predicts, (seed,)."""
    for formula, predicted in formulas.items():
        values = {"drawn": drawn.mean, "predicted": predicted, "ratio": drawn.mean / predicted}
        values["standard_error"] = drawn.standard_error / predicted
        yield tidy(values, {"seed": job.seeds}, formula=formula, **where)


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
