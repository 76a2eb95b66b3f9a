"""What is measured: dimension of every layer on held-out inputs, decodability, accuracy; and the linear network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any

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
from dynatlas.models.convnet import ConvNet, ResNet
from dynatlas.models.weight_noise import WeightNoise
from dynatlas.studies.dimensionality.images import as_images, image_network
from dynatlas.studies.dimensionality.losses import FullBatch, noise_excess, noise_penalty, penalty_bound
from dynatlas.studies.dimensionality.problems import RELEVANT, Problem, problem_named
from dynatlas.studies.dimensionality.profiles import (
    ESTIMATORS,
    WHOLE,
    Networks,
    Values,
    chosen,
    has_dimension,
    layer_rows,
    networks_of,
    profile_rows,
    rows,
)

PENALTY = 0.1
"""Of the ridge readouts of latent variables."""


def measure_inputs(job: Job, *, data: list[str], estimators: list[str]) -> pd.DataFrame:
    """Dimension of the inputs over their number of pixels, on one random half of all examples a seed.

    Beside them (`cloud`: gaussian) Gaussian points of the same number and number of coordinates.
    """
    frames = []
    for name in data:
        problem = problem_named(name)
        x = torch.cat([problem.data.train.x, problem.data.test.x])
        half = len(x) // 2
        order = [torch.randperm(len(x), generator=g)[:half] for g in job.generators("half")]
        drawn = [torch.randn(half, x.shape[1], generator=g) for g in job.generators("gaussian")]
        for cloud, points in (("images", x[torch.stack(order)]), ("gaussian", torch.stack(drawn))):
            found = measure_dimension(points, estimators)
            shares = {f"{key}_share": value / x.shape[1] for key, value in found.items()}
            frames.append(rows(found | shares, job.seeds, data=name, cloud=cloud))
    return pd.concat(frames, ignore_index=True)


def measure_profiles(job: Job, *, profiles: list[Run], course: list[str]) -> pd.DataFrame:
    """Dimension of every layer of every arm after training, of the arm `trained` also before (`untrained`) and along.

    By layer (0 inputs, 1 ... D hidden, D + 1 logits): each estimator, `dropped` points, and where latent variables are
    known, `relevant` and `nuisance` (mean R^2 of the readouts of both groups) and `selection`, their difference. Of the
    whole network: summaries (see `summary`), accuracies, `selection_change`. `step` is how long it was trained; at
    every snapshot there is `course_<estimator>` of the first, middle and last hidden layer of the trained arm.
    """
    frames = []
    for run in profiles:
        data = run.settings["data"]
        problem = problem_named(data)
        for arm, activation in run.settings["arms"][data].items():
            for name, place in {"untrained": 0, "trained": -1}.items() if arm == "trained" else [(arm, -1)]:
                networks = networks_of(run, arm, place, activation=activation)
                where = {"data": data, "arm": name, "step": int(run["snapshots"][place])}
                frames += layer_rows(job, problem, networks, **where)
                frames += selection_rows(job, problem, networks, **where)
            if arm == "trained":
                frames += course_rows(job, problem, run, course, data=data, arm=arm)
    return pd.concat(frames, ignore_index=True)


def selection_rows(job: Job, problem: Problem, networks: Networks, **where: Any) -> list[pd.DataFrame]:
    """How well each layer's held-out activations give relevant and nuisance latent variables back; no row of one that
    is lost (see `layer_rows`)."""
    if problem.latents is None:
        return []
    fitted, heldout = (networks.layers(part.x) for part in (problem.data.train, problem.data.test))
    kept = has_dimension(networks.diverged, [*fitted, *heldout])
    if not kept.any():
        return []
    frames, gaps, seeds = [], [], chosen(job.seeds, kept)
    for layer, (here, there) in enumerate(zip(fitted, heldout, strict=True)):
        latents = (problem.latents.train.x, there[kept], problem.latents.test.x)
        explained = decodability(here[kept], *latents, alpha=PENALTY)
        values = {"relevant": explained[:, :RELEVANT].mean(-1), "nuisance": explained[:, RELEVANT:].mean(-1)}
        gaps.append(values["relevant"] - values["nuisance"])
        frames.append(rows(values | {"selection": gaps[-1]}, seeds, layer=layer, **where))
    return [*frames, rows({"selection_change": gaps[-2] - gaps[1]}, seeds, layer=WHOLE, **where)]


def course_rows(
    job: Job, problem: Problem, run: Run, estimators: Sequence[str], *, data: str, arm: str
) -> list[pd.DataFrame]:
    """Dimension of the first, middle and last hidden layer after the steps at which snapshots were taken."""
    frames = []
    for place, step in enumerate(run["snapshots"].tolist()):
        networks = networks_of(run, arm, place)
        clouds = networks.layers(problem.data.test.x)
        kept = has_dimension(networks.diverged, clouds)
        hidden = len(clouds) - 2
        for layer in sorted({1, (hidden + 1) // 2, hidden}) if kept.any() else ():
            found = measure_dimension(clouds[layer][kept], estimators)
            values = {f"course_{name}": value for name, value in found.items()}
            frames.append(rows(values, chosen(job.seeds, kept), data=data, arm=arm, step=step, layer=layer))
    return frames


def measure_noise(job: Job, *, noise: list[Run]) -> pd.DataFrame:
    """Profiles and summaries of every batch size, rate and weight noise; `stream` tells the second run apart."""
    frames = []
    for run in noise:
        problem = problem_named(run.settings["data"])
        for name in dict.fromkeys(key.partition(".")[0] for key in run):
            kind, _, size = name.partition(" ")
            for place, (rate, sigma) in enumerate(zip(run[f"{name}.rate"], run[f"{name}.noise"], strict=True)):
                where = {"data": run.settings["data"], "stream": "first" if kind == "batch" else "second"}
                where |= {"batch": int(size), "rate": round(float(rate), 6), "sigma": round(float(sigma), 6)}
                networks = networks_of(run, name, (slice(None), place))
                frames += layer_rows(job, problem, networks, **where)
                frames += selection_rows(job, problem, networks, **where)
    return pd.concat(frames, ignore_index=True)


def measure_labels(job: Job, *, labels: list[Run]) -> pd.DataFrame:
    """Profiles and summaries for every share of labels drawn anew."""
    frames = []
    for run in labels:
        data = run.settings["data"]
        problem = problem_named(data)
        for place, fraction in enumerate(run.settings["fractions"]):
            networks = networks_of(run, "labels", (slice(None), place))
            learned, where = run["labels"][:, place], {"data": data, "fraction": float(fraction)}
            frames += layer_rows(job, problem, networks, learned=learned, **where)
    return pd.concat(frames, ignore_index=True)


def measure_sizes(job: Job, *, sizes: Run) -> pd.DataFrame:
    """Profiles and summaries for every number of training examples."""
    data, frames = sizes.settings["data"], []
    problem = problem_named(data)
    for size in sizes.settings["sizes"]:
        learned, where = problem.data.train.y[:size], {"data": data, "examples": size}
        frames += layer_rows(job, problem, networks_of(sizes, f"size {size}"), learned=learned, **where)
    return pd.concat(frames, ignore_index=True)


def measure_images(job: Job, *, images: list[Run]) -> pd.DataFrame:
    """Profiles and summaries of convolutional networks, before and after training; layers are flattened.

    One network at a time, since at full size the activations of one fill the memory. Accuracy on training examples is
    that on as many as are held out.
    """
    frames = []
    for run in images:
        problem = problem_named(run.settings["data"])
        model = image_network(problem, run.settings["sizes"][run.settings["network"]])()
        where = {key: run.settings[key] for key in ("data", "network", "batch")}
        for end in ("untrained", "trained"):
            states = {key.removeprefix(f"{end}."): value for key, value in run.items() if key.startswith(f"{end}.")}
            found = []
            for place, diverged in enumerate(run[f"diverged.{end}"]):
                model.load_state_dict({name: value[place] for name, value in states.items()})
                found.append(image_layers(model, problem, diverged))
            profiles = [profile for profile, _ in found if profile]
            profile = [_over_seeds(layer) for layer in zip(*profiles, strict=True)]
            kept = torch.tensor([bool(profile) for profile, _ in found])
            fitted = _over_seeds([accuracies for _, accuracies in found])
            frames += profile_rows(job, problem, profile, fitted, kept, **where, arm=end)
    return pd.concat(frames, ignore_index=True)


@torch.no_grad()
def image_layers(model: ConvNet | ResNet, problem: Problem, diverged: Tensor) -> tuple[list[Values], Values]:
    """Dimensions () of each layer of one network on held-out images, none if it is lost; and its accuracies."""
    train, test = problem.data.train[: len(problem.data.test)], problem.data.test
    layers = [layer.flatten(1) for layer in model.layers(as_images(problem, test.x))]
    answers = model(as_images(problem, train.x))
    parts = {"test_accuracy": (layers[-1], test.y), "train_accuracy": (answers, train.y)}
    fitted = {name: accuracy(logits[None], y)[0] for name, (logits, y) in parts.items()}
    if not has_dimension(diverged[None], [layer[None] for layer in (*layers, answers)]):
        return [], fitted
    return [measure_dimension(layer, ESTIMATORS, dropped=True) for layer in layers], fitted


def _over_seeds(values: Sequence[Values]) -> dict[str, Tensor]:
    """One value a metric, seed by seed -> (seed,)."""
    return {name: torch.stack([one[name] for one in values]) for name in values[0]}


def measure_linear(job: Job, *, linear: Run) -> pd.DataFrame:
    """Noise penalty over its bound (`ratio`) and participation ratio of the hidden representation, at every snapshot.

    Along training they are called `course_ratio` and `course_participation_ratio`. The full batch has the number of
    examples as its `batch`.
    """
    x, frames = linear["x"].double(), []
    steps = linear["snapshots"].tolist()
    c = x.mT @ x / x.shape[1]
    for name in [key.removesuffix(".w1") for key in linear if key.endswith(".w1")]:
        w1, w2 = linear[f"{name}.w1"].double(), linear[f"{name}.w2"].double()
        levels = linear.settings["weight_noise"] if name == "noise" else [0.0]
        batch = x.shape[1] if name == "noise" else int(name.removeprefix("batch "))
        for condition, sigma in enumerate(levels):
            here = (w1[:, :, condition], w2[:, :, condition], c)
            found = {
                "ratio": noise_penalty(*here) / penalty_bound(*here),
                "participation_ratio": participation_ratio(x @ here[0]),
            }
            where = {"batch": batch, "sigma": float(sigma)}
            for place, step in enumerate(steps):
                along = {f"course_{key}": value[place] for key, value in found.items()}
                frames.append(rows(along, job.seeds, **where, step=step))
            frames.append(rows({key: value[-1] for key, value in found.items()}, job.seeds, **where, step=steps[-1]))
    return pd.concat(frames, ignore_index=True)


def measure_averages(
    job: Job, *, linear: Run, noise: list[Run], sigmas: list[float], error: float, pairs: int,
    relu: dict[str, Any],
) -> pd.DataFrame:  # fmt: skip
    """What noise on the weights adds to the loss on average: `drawn`, and `predicted` by a formula; `ratio` of both.

    `network` linear: the full-batch network of two layers, by the exact formula and by its second order alone; ReLU:
    the largest batch's network on the cross-entropy of the first `relu["examples"]` training examples, by half
    sigma^2 times the trace of the Hessian, and of its Gauss-Newton part, from `relu["probes"]` probes.
    """
    frames = []
    for name, drawn, formulas in (
        *_linear_averages(job, linear, sigmas, error=error, pairs=pairs),
        *_relu_averages(job, noise[0], **relu),
    ):
        where = {"network": name[0], "sigma": name[1]}
        for formula, predicted in formulas.items():
            values = {"drawn": drawn.mean, "predicted": predicted, "ratio": drawn.mean / predicted}
            values["standard_error"] = drawn.standard_error / predicted
            frames.append(rows(values, job.seeds, formula=formula, **where))
    return pd.concat(frames, ignore_index=True)


Averages = Iterator[tuple[tuple[str, float], Estimate, dict[str, Tensor]]]
"""(network, sigma), what was drawn, formula -> what it predicts (seed,)."""


def _linear_averages(job: Job, run: Run, sigmas: list[float], *, error: float, pairs: int) -> Averages:
    x, y = run["x"].double(), run["y"].double()
    params = {name: run[f"noise.{name}"][-1, :, 0].double() for name in ("w1", "w2")}
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
    name = f"batch {max(run.settings['batches'])}"
    networks = networks_of(run, name, (slice(None), 0))
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


def measure_estimators(
    job: Job, *, kinds: list[str], dimensions: list[int], points: list[int], estimators: list[str]
) -> pd.DataFrame:
    """What each estimator finds on manifolds of known dimension, for every number of points."""
    frames = []
    for kind in kinds:
        for dimension in dimensions:
            for n in points:
                draws = job.generators(f"{kind} {dimension} {n}")
                clouds = torch.stack([draw_manifold(kind, n, dimension, generator=g) for g in draws])
                found = measure_dimension(clouds, estimators)
                frames.append(rows(found, job.seeds, manifold=kind, dimension=dimension, points=n))
    return pd.concat(frames, ignore_index=True)
