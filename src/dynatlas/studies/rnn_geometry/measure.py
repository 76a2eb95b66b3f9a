"""What is measured on states: what can be read from them, how they lie, and where they go when nothing more comes in.

Times count rows read: h_t is the state after t of them, and rows beyond an image's last one are blank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from dynatlas.datasets.digits import inked_rows
from dynatlas.datasets.labelled import Labelled
from dynatlas.elementwise import modulus
from dynatlas.ensemble.classification import accuracy
from dynatlas.ensemble.parameters import Params
from dynatlas.instruments.dimension import participation_ratio, twonn_dimension
from dynatlas.instruments.embedding import principal_components, t_sne
from dynatlas.instruments.geometry import (
    best_permutation_accuracy,
    class_mean_subspace,
    principal_angles,
    readout_alignment,
    scatter_ratio,
    step_speed,
    trajectory_participation_ratio,
    within_class_participation_ratio,
)
from dynatlas.instruments.lyapunov import lyapunov_spectrum
from dynatlas.instruments.neighbours import knn_distances
from dynatlas.instruments.probes import knn_accuracy, linear_probe
from dynatlas.jobs import Job, Run
from dynatlas.members import Group
from dynatlas.models.rnn import readout
from dynatlas.studies.rnn_geometry.world import (
    ROWS,
    Images,
    followed_by_blanks,
    labels_for,
    network,
    networks_of,
)
from dynatlas.tables import gathered, tidy

if TYPE_CHECKING:
    from dynatlas.studies.rnn_geometry.settings import (
        Alpha,
        Exponents,
        ImageNumbers,
        Labels,
        Last,
        Lengths,
        Neighbours,
        Network,
        Networks,
        Perplexity,
        Points,
        Probed,
        Sequences,
        Settle,
        Steps,
        Times,
        TimesOf,
        Trials,
    )


SWAPPED = 4
"""How many steps are taken by other dynamics (claim C4): the empty rows at the end of an image, or at its start."""


def one_by_one(networks: Group) -> Iterator[tuple[Network, int, Params]]:
    """Name, seed and parameters (1, ...) of each of the networks."""
    for name, of_all_seeds in networks.each("network"):
        for seed, own in of_all_seeds.each("seed"):
            yield name, seed, own.flat()


def states_of(params: Params, images: Tensor, times: Sequence[int]) -> Tensor:
    """States h_t at these times (time, image, unit) of one network that reads images (image, row, pixel)."""
    x = followed_by_blanks(images.transpose(0, 1), max(0, max(times) - ROWS))[: max(times)]
    states = network(params["w_rec"].shape[-1]).rollout(params, x)[0]
    return states[torch.tensor(times, device=states.device) - 1]


def right(params: Params, states: Tensor, y: Tensor) -> Tensor:
    """Accuracy of the network's own readout on states (time, image, unit) -> (time,)."""
    return accuracy(readout(params, states[None])[0], y)


def answers(params: Params, states: Tensor) -> Tensor:
    """The classes that the network's own readout gives to states (time, image, unit) -> (time, image)."""
    return readout(params, states[None])[0].argmax(dim=-1)


@gathered
def measure_accuracy(
    job: Job, *, trained: Run, untrained: Run, images: ImageNumbers, times: TimesOf,
    labels: Labels, probed: Probed, alpha: Alpha, neighbours: Neighbours,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """Held-out accuracy of a network's own readout, of a linear probe and of nearest neighbours, along time.

    `times` names the networks and when each is probed; probes learn on the first `probed` training images. `labels`
    names those whose probes learn, and are asked for, shuffled labels ("shuffled": the ones that the network was
    trained on); all others have the images' own. `diverged`, of reader "none" at time 0: 1 for a network that keeps its
    last finite weights.
    """
    data, outcome = Images(**images).read(device=job.device), trained["outcome"]
    yield tidy(outcome, outcome.members, reader="none", time=0)
    for name, seed, params in one_by_one(networks_of(trained, untrained, device=job.device)):
        x, x_test = (states_of(params, part.x, times[name]) for part in (data.train[:probed], data.test))
        y, y_test = (
            labels_for(job, labels.get(name, "own"), part.y, part=which)[job.seeds.index(seed)]
            for part, which in ((data.train, "train"), (data.test, "test"))
        )
        found = {
            "readout": right(params, x_test, y_test),
            "linear probe": linear_probe(x, y[:probed], x_test, y_test, alpha=alpha),
            f"{neighbours}-NN": knn_accuracy(x, y[:probed], x_test, y_test, k=neighbours),
        }
        for reader, value in found.items():
            yield tidy({"accuracy": value}, {"time": times[name]}, seed=seed, network=name, reader=reader)


@gathered
def measure_readouts(
    job: Job, *, trained: Run, longer: Run, images: ImageNumbers, lengths: Lengths, last: Last
) -> Iterator[pd.DataFrame]:
    """Accuracy of networks' own readouts at every step to `last`, of networks trained to answer at step `lengths`.

    `permuted_accuracy`: after the renaming of answers that suits best. `peak_minus_length`: the step of the largest
    accuracy (the first of equal ones) minus each of the lengths, which then stands in the column `time`.
    """
    test, times = Images(**images).read(device=job.device).test, list(range(1, last + 1))
    asked = networks_of(trained, longer, device=job.device).at(network=list(lengths))
    for name, seed, params in one_by_one(asked):
        states = states_of(params, test.x, times)
        reached = right(params, states, test.y)
        permuted = best_permutation_accuracy(answers(params, states), test.y)
        yield tidy({"accuracy": reached, "permuted_accuracy": permuted}, {"time": times}, seed=seed, network=name)
        early = [times[int(reached.argmax())] - length for length in lengths.values()]
        yield tidy({"peak_minus_length": early}, {"time": lengths.values()}, seed=seed, network=name)


@gathered
def measure_swaps(job: Job, *, trained: Run, untrained: Run, images: ImageNumbers) -> Iterator[pd.DataFrame]:
    """Accuracy at T when four updates are made by other recurrent weights: the last ones, or the first ones.

    "none": no update; "identity": h <- tanh(h + U x); "shuffled": trained weights, rows and columns under two
    permutations; "initial": the weights that learning started from. The other updates are made by the trained weights.
    """
    test = Images(**images).read(device=job.device).test
    before = networks_of(untrained, device=job.device).at(network="untrained")
    for seed, own in networks_of(trained, device=job.device).at(network="trained").each("seed"):
        params = own.flat()
        w = params["w_rec"]
        generator = job.generator("shuffled weights", seed)
        first, second = (torch.randperm(w.shape[-1], generator=generator).to(w.device) for _ in range(2))
        recurrent = {
            "trained": w,
            "none": None,
            "identity": torch.eye(w.shape[-1], dtype=w.dtype, device=w.device)[None],
            "shuffled": w[:, first][:, :, second],
            "initial": before.at(seed=seed).flat()["w_rec"],
        }
        for dynamics, other in recurrent.items():
            for window, start in (("last", ROWS - SWAPPED), ("first", 0)):
                states = swapped(params, other, test.x, start=start)
                value = right(params, states[None], test.y)[0]
                yield tidy({"accuracy": value}, {}, seed=seed, dynamics=dynamics, window=window)


def swapped(params: Params, w_rec: Tensor | None, images: Tensor, *, start: int, steps: int = SWAPPED) -> Tensor:
    """States at T (image, unit) when `steps` updates after `start` rows have other recurrent weights.

    With None in their place these updates do not happen. images (image, row, pixel), params with leading axis 1.
    """
    x, rnn = images.transpose(0, 1), network(params["w_rec"].shape[-1])
    state = params["w_rec"].new_zeros(1, x.shape[1], rnn.units)
    parts = [(x[:start], params["w_rec"]), (x[start : start + steps], w_rec), (x[start + steps :], params["w_rec"])]
    for part, weights in parts:
        if len(part) and weights is not None:
            state = rnn.rollout(dict(params) | {"w_rec": weights}, part, state0=state)[:, -1]
    return state[0]


@gathered
def measure_geometry(
    job: Job,
    *,
    trained: Run,
    untrained: Run,
    images: ImageNumbers,
    networks: Networks,
    times: Times,
    points: Points,
) -> Iterator[pd.DataFrame]:
    """How the states of the first `points` held-out images lie, and how they lie to the readout, along time.

    Participation ratio (all images; mean within classes), two-NN dimension, speed |h_t+1 - h_t|, between-class over
    within-class scatter, alignment of class means with the readout, and the mean principal angle (degrees) between
    the readout's weights and the class means' nine directions.
    """
    test = Images(**images).read(device=job.device).test[:points]
    chosen = networks_of(trained, untrained, device=job.device).at(network=networks)
    for name, seed, params in one_by_one(chosen):
        x = states_of(params, test.x, list(range(1, max(times) + 2)))
        speed = step_speed(x)
        at = torch.tensor(times, device=x.device) - 1
        found = lie_of(x[at], test, params["w_out"][0]) | {"speed": speed.mean(dim=-1)[at]}
        yield tidy(found, {"time": times}, seed=seed, network=name)


def lie_of(x: Tensor, images: Labelled, w_out: Tensor) -> dict[str, Tensor]:
    """Metric -> value (time,) of states x (time, image, unit)."""
    angles = principal_angles(class_mean_subspace(x, images.y), w_out.expand(len(x), -1, -1))
    return {
        "participation_ratio": participation_ratio(x),
        "within_participation_ratio": within_class_participation_ratio(x, images.y),
        "twonn": twonn_dimension(knn_distances(x, 2)),
        "scatter_ratio": scatter_ratio(x, images.y),
        "alignment": readout_alignment(x, images.y, w_out),
        "angle": angles.mean(dim=-1).rad2deg(),
    }


@gathered
def measure_dynamics(
    job: Job, *, trained: Run, untrained: Run, images: ImageNumbers, networks: Networks, trials: Trials, settle: Settle,
    steps: Steps, exponents: Exponents, sequences: Sequences,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """Where networks go when nothing comes in after an image.

    Spectral radius of the recurrent weights; `activity` |h| at T + `settle`, mean over `trials` images. On the `steps`
    after that, mean over `sequences` images: participation ratio of the trajectory and the leading Lyapunov
    `exponents` (column `order`, from 1; nats a step).
    """
    test = Images(**images).read(device=job.device).test[:trials]
    chosen = networks_of(trained, untrained, device=job.device).at(network=networks)
    for name, own in chosen.each("network"):
        rnn = network(own["w_rec"].shape[-1])
        params = {part: w.double() for part, w in own.items()}
        x = followed_by_blanks(test.x.double().transpose(0, 1), settle)
        settled = rnn.states_at(params, x, steps=torch.full((len(test),), len(x) - 1, device=x.device))
        late = settled[:, :sequences]
        rest = rnn.rollout(params, x.new_zeros(steps, late.shape[1], ROWS), state0=late)
        spectrum = lyapunov_spectrum(rnn, params, state0=late, steps=steps, k=exponents, burn_in=steps // 5)
        single = {
            "spectral_radius": modulus(torch.linalg.eigvals(params["w_rec"])).amax(dim=-1),
            "activity": settled.norm(dim=-1).mean(dim=-1),
            "trajectory_participation_ratio": trajectory_participation_ratio(rest).mean(dim=-1),
        }
        yield tidy(single, own.members, network=name, order=0)
        yield tidy({"lyapunov": spectrum.mean}, own.members.times(order=range(1, exponents + 1)), network=name)


@gathered
def measure_examples(
    job: Job, *, trained: Run, untrained: Run, images: ImageNumbers, networks: Networks, times: Times,
    points: Points, settle: Settle, steps: Steps,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """What is drawn of the first seed: states at `times` and one free trajectory in principal components, eigenvalues.

    Also `ink`, the share of pixels that are not 0 in each row of the images. The column `shown` tells these apart.
    """
    data, seed = Images(**images).read(device=job.device), job.seeds[0]
    yield shown({"ink": inked_rows(data.train.x)}, seed, "rows", time=range(1, ROWS + 1))
    test, first = data.test[:points], networks_of(trained, untrained, device=job.device).at(seed=seed)
    for name, one in first.at(network=networks).each("network"):
        own = one.flat()
        for time, cloud in zip(times, states_of(own, test.x, times), strict=True):
            plane = principal_components(cloud, 2).coordinates
            yield shown(_by_axis("pc", plane), seed, "states", network=name, time=time, label=test.y.tolist())
        values = torch.linalg.eigvals(own["w_rec"][0].double())
        yield shown({"real": values.real, "imaginary": values.imag}, seed, "eigenvalues", network=name)
        late = states_of(own, test.x[:1], range(ROWS + settle + 1, ROWS + settle + steps + 1))[:, 0]
        path = principal_components(late, 3).coordinates
        yield shown(_by_axis("pc", path), seed, "trajectory", network=name, time=range(1, steps + 1))


@gathered
def measure_embeddings(
    job: Job, *, trained: Run, images: ImageNumbers, times: Times, points: Points, perplexity: Perplexity
) -> Iterator[pd.DataFrame]:
    """Held-out states of the first seed's trained network in the plane by t-SNE, after each of `times`."""
    data, seed = Images(**images).read(device=job.device), job.seeds[0]
    own = networks_of(trained, device=job.device).at(network="trained", seed=seed).flat()
    test = data.test[:points]
    for time, cloud in zip(times, states_of(own, test.x, times), strict=True):
        plane = _by_axis("tsne", t_sne(cloud, perplexity=perplexity))
        yield shown(plane, seed, "states", network="trained", time=time, label=test.y.tolist())


def _by_axis(name: str, points: Tensor) -> dict[str, Tensor]:
    """Coordinates (item, axis) as one metric an axis, counted from 1."""
    return {f"{name}{k}": values for k, values in enumerate(points.T, start=1)}


def shown(values: Mapping[str, Tensor], seed: int, what: str, **where: Any) -> pd.DataFrame:
    """Rows of values, metric -> (item,), with the columns that every row has: one word or number, or one an item."""
    columns = {"network": "none", "time": 0, "label": 0} | where
    listed = {name: value for name, value in columns.items() if isinstance(value, list | range)}
    count = len(next(iter(values.values())))
    items = [{"item": k} | {name: value[k] for name, value in listed.items()} for k in range(count)]
    fixed = {name: value for name, value in columns.items() if name not in listed}
    return tidy(values, {"item": items}, seed=seed, shown=what, **fixed)
