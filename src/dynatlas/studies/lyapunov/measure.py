"""What is measured on trained networks: their Lyapunov spectra, and what these tell about the validation loss.

Exponents are in nats per step, losses in nats per symbol.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import Tensor

from dynatlas.instruments.heldout import heldout_readout
from dynatlas.instruments.lyapunov import lyapunov_spectrum
from dynatlas.jobs import Job, Run
from dynatlas.studies.lyapunov.networks import HYPERPARAMETERS, LOGARITHMS, network, read_text
from dynatlas.tables import gathered, tidy

if TYPE_CHECKING:
    from dynatlas.studies.lyapunov.settings import Cell, Early, Sequences, TextName

Summaries = dict[str, np.ndarray]
"""Numbers of each network, by name, (seed, configuration)."""
NEIGHBOURS = 5
FEATURES = {
    "early spectrum": ("early_lambda_1", "early_mean"),
    "spectrum at the start": ("start_lambda_1", "start_mean"),
    "spectrum at the end": ("end_lambda_1", "end_mean"),
    "early loss": ("early_loss",),
    "hyperparameters": HYPERPARAMETERS,
}
"""What a readout of the final loss sees, by the readout's name."""
FORESEEN = {"foreseen_by_spectrum": "early spectrum", "foreseen_by_loss": "early loss"}
BAND = (-0.5, 0.0)
"""Where good networks are expected to have lambda_1 (claim C7)."""


@gathered
def measure_spectra(
    job: Job, *, trained: Run, cell: Cell, text: TextName, sequences: Sequences, early: Early
) -> Iterator[pd.DataFrame]:
    """Lyapunov spectra of trained networks; all of a seed are measured on the same held-out sequences.

    `exponent` (columns `step`, `order`): after 0, `early` and all updates, and of the first seed's networks at every
    snapshot. `loss`: validation loss at every snapshot (order 0). Hyperparameters, and which networks `diverged` (1),
    stand at step 0, order 0.
    `sequences`: how many `sequences` of so many `steps` after `burn_in`. ValueError if `early` is no snapshot.
    """
    where, snapshots = {"cell": cell, "text": text}, trained.settings["snapshots"]
    if early not in snapshots:
        raise ValueError(f"early: {early}: allowed is one of the snapshots {snapshots}")
    for seed in job.seeds:
        steps = snapshots if seed == job.seeds[0] else sorted({0, early, snapshots[-1]})
        for step, spectrum in _spectra(job, trained, seed, steps, **sequences):
            axes = trained["drawn"].members.at(seed=seed).times(order=range(1, spectrum.shape[1] + 1))
            yield tidy({"exponent": spectrum}, axes, seed=seed, step=step, **where)
    course, drawn = trained["course"], trained["drawn"]
    yield tidy(course, course.members, order=0, **where)
    yield tidy(drawn, drawn.members, step=0, order=0, **where)


def _spectra(
    job: Job, trained: Run, seed: int, at: list[int], *, sequences: int, steps: int, burn_in: int
) -> Iterator[tuple[int, Tensor]]:
    """Of one seed's networks at these updates, (configuration, k)."""
    told = trained.settings
    corpus = read_text(job, **told["texts"][told["text"]])
    net = network(told["cell"], units=told["cells"][told["cell"]], symbols=corpus.symbols, bias=told["bias"])
    generator = job.generator("evaluation", seed)
    inputs = corpus.sequences(sequences, steps=burn_in + steps, generator=generator)
    for step in at:
        params = trained["networks"].at(seed=seed, step=step).to(job.device)
        found = lyapunov_spectrum(net, {name: w.double() for name, w in params.items()}, inputs, burn_in=burn_in)
        yield step, found.mean


@gathered
def measure_networks(job: Job, *, spectra: pd.DataFrame, early: Early) -> Iterator[pd.DataFrame]:
    """Numbers of each network: those of `summaries`, and its final loss as foreseen by readouts of what is known early.

    Readouts are fitted on the other seeds' networks (see `FORESEEN` and `FEATURES`).
    """
    for where, networks in populations(spectra, early):
        found = networks | {
            name: heldout_readout(features(networks, reader), networks["final_loss"], k=NEIGHBOURS).predicted
            for name, reader in FORESEEN.items()
        }
        yield tidy(found, {"seed": job.seeds, "configuration": range(found["gain"].shape[1])}, **where)


@gathered
def measure_readouts(job: Job, *, spectra: pd.DataFrame, early: Early) -> Iterator[pd.DataFrame]:
    """How well the final validation loss is foreseen, and where good and bad networks have their lambda_1.

    Readouts (column `reader`) are fitted on the other seeds: `r2` and `spearman` on the held-out one. `distance` and
    `in_band` (column `quarter`): see `edges`. `losses`: the networks' own, or permuted among those of a seed. Columns
    that say nothing of a row hold "all".
    """
    seeds = {"seed": job.seeds}
    for where, networks in populations(spectra, early):
        own = networks["final_loss"]
        order = np.stack([job.rng("permuted losses", seed).permutation(own.shape[1]) for seed in job.seeds])
        for losses, target in (("own", own), ("permuted", np.take_along_axis(own, order, axis=1))):
            for reader in FEATURES:
                found = heldout_readout(features(networks, reader), target, k=NEIGHBOURS)
                scores = {"r2": found.r2, "spearman": found.spearman}
                yield tidy(scores, seeds, **where, losses=losses, reader=reader, quarter="all")
            for (metric, quarter), values in edges(networks["early_lambda_1"], target).items():
                yield tidy({metric: values}, seeds, **where, losses=losses, reader="all", quarter=quarter)


def features(networks: Summaries, reader: str) -> np.ndarray:
    """What a readout sees, (seed, configuration, feature)."""
    seen = [np.log(networks[name]) if name in LOGARITHMS else networks[name] for name in FEATURES[reader]]
    return np.stack(seen, axis=-1)


def populations(spectra: pd.DataFrame, early: Early) -> Iterator[tuple[dict[str, Any], Summaries]]:
    """Cell and text of each population in a table of `measure_spectra`, with its summaries."""
    for (cell, text), table in spectra.groupby(["cell", "text"], sort=False):
        yield {"cell": cell, "text": text}, summaries(table, early)


def summaries(table: pd.DataFrame, early: int) -> Summaries:
    """Of one population: `<when>_lambda_1`, its size `<when>_abs_lambda_1` and the `<when>_mean` of all exponents, at
    the start, early and at the end; `early_loss`, `final_loss`; hyperparameters.
    """
    last, found = int(table["step"].max()), {}
    networks = ["seed", "configuration"]
    for when, step in (("start", 0), ("early", early), ("end", last)):
        at = _at(table, "exponent", step).groupby(networks)["value"]
        found[f"{when}_lambda_1"] = at.max().unstack().to_numpy()
        found[f"{when}_abs_lambda_1"] = np.abs(found[f"{when}_lambda_1"])
        found[f"{when}_mean"] = at.mean().unstack().to_numpy()
    single = {"early_loss": ("loss", early), "final_loss": ("loss", last)} | {
        name: (name, 0) for name in HYPERPARAMETERS
    }
    for name, (metric, step) in single.items():
        found[name] = _at(table, metric, step).set_index(networks)["value"].unstack().to_numpy()
    return found


def _at(table: pd.DataFrame, metric: str, step: int) -> pd.DataFrame:
    return table[(table["metric"] == metric) & (table["step"] == step)]


def edges(first: np.ndarray, losses: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """(metric, quarter) -> (seed,), from lambda_1 and losses (seed, configuration).

    For the best and the worst quarter of each seed's networks, by loss: `distance`, the mean |lambda_1 - reference|,
    where the reference is the median of the best quarters of the other seeds; `in_band`, the share inside `BAND`.
    """
    count = max(1, losses.shape[1] // 4)
    order = np.argsort(losses, axis=1, kind="stable")
    quarters = {"best": order[:, :count], "worst": order[:, -count:]}
    values = {name: np.take_along_axis(first, chosen, axis=1) for name, chosen in quarters.items()}
    seeds = np.arange(len(first))
    reference = np.array([np.median(values["best"][seeds != seed]) for seed in seeds])
    found = {}
    for name, own in values.items():
        found["distance", name] = np.abs(own - reference[:, None]).mean(axis=1)
        found["in_band", name] = ((own > BAND[0]) & (own < BAND[1])).mean(axis=1)
    return found
