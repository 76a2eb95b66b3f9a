"""What is measured on networks that never learned: gradients, lengths of sequences, inputs, architectures.

Exponents are in nats per step. Each seed draws its own networks and has its own sequences of held-out text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import pandas as pd
import torch

from dynatlas.devices import moved
from dynatlas.ensemble.parameters import Params
from dynatlas.instruments.gradients import gradient_growth_rate
from dynatlas.instruments.lyapunov import jacobians_along, lyapunov_from_jacobians, lyapunov_spectrum
from dynatlas.jobs import Job
from dynatlas.models.gated import Stacked
from dynatlas.studies.lyapunov.networks import SPREAD, network, read_text, with_gain
from dynatlas.tables import gathered, tidy

if TYPE_CHECKING:
    from dynatlas.studies.lyapunov.settings import Cell, Cells, Gradients, Lengths, Shares, Starts, Texts

PRIMARY: Final = "primary"
"""The text that these networks read."""


def populations(
    job: Job, cells: Mapping[Cell, int], gains: list[float], *, symbols: int
) -> Iterator[tuple[str, int, Stacked, Params]]:
    """Cell, seed, network and float64 parameters, one member for each gain; `cells` says how many units each has."""
    gain = torch.tensor(gains, dtype=torch.float64, device=job.device)
    for cell, units in cells.items():
        net = network(cell, units=units, symbols=symbols)
        for seed in job.seeds:
            start = net.initialise([job.generator(f"drawn {cell}", seed)], len(gains), dtype=torch.float64)
            yield cell, seed, net, with_gain(moved(start, job.device), gain)


@gathered
def measure_gradients(job: Job, *, texts: Texts, sizes: Gradients) -> Iterator[pd.DataFrame]:
    """Rate at which back-propagated vectors grow, against the exponents of the same Jacobians.

    `slope`, `lambda_1` and `lambda_2` for each gain; `error`: |slope - exponent| for each of the two (column `against`,
    elsewhere "none"); `correlation`: Pearson's, of slope and lambda_1 over networks (gain 0).
    """
    corpus = read_text(job, **texts[PRIMARY])
    for _, seed, net, params in populations(job, {"rnn": sizes.units}, sizes.gains, symbols=corpus.symbols):
        inputs = corpus.sequences(1, steps=sizes.steps, generator=job.generator("gradients", seed))
        jacobians = jacobians_along(net, params, inputs)
        generator = job.generator("error vectors", seed)
        slope = gradient_growth_rate(jacobians, skip=sizes.skip, generator=generator)[:, 0].cpu()
        leading = lyapunov_from_jacobians(jacobians, k=2, burn_in=sizes.skip).exponents[:, 0].cpu()
        r = torch.corrcoef(torch.stack([slope, leading[:, 0]]))[0, 1]
        exponents = {"lambda_1": leading[:, 0], "lambda_2": leading[:, 1]}
        yield tidy({"correlation": r}, {}, seed=seed, gain=0.0, against="none")
        yield tidy({"slope": slope} | exponents, {"gain": sizes.gains}, seed=seed, against="none")
        for name, exponent in exponents.items():
            yield tidy({"error": (slope - exponent).abs()}, {"gain": sizes.gains}, seed=seed, against=name)


@gathered
def measure_lengths(job: Job, *, texts: Texts, cells: Cells, sizes: Lengths) -> Iterator[pd.DataFrame]:
    """How the exponents settle with the length T of a sequence (column `steps`).

    `spread`: standard deviation of lambda_1 over sequences (order 1). `running`: estimates of some exponents (column
    `order`) along the first sequence, of the first gain.
    """
    corpus = read_text(job, **texts[PRIMARY])
    for cell, seed, net, params in populations(job, cells, sizes.gains, symbols=corpus.symbols):
        generator = job.generator("lengths", seed)
        inputs = corpus.sequences(sizes.sequences, steps=sizes.burn_in + max(sizes.lengths), generator=generator)
        for steps in sizes.lengths:
            part = inputs[: sizes.burn_in + steps]
            first = lyapunov_spectrum(net, params, part, k=1, burn_in=sizes.burn_in).exponents[..., 0]
            yield tidy({"spread": first.std(dim=1)}, {"gain": sizes.gains}, seed=seed, cell=cell, steps=steps, order=1)
        one = {name: w[:1] for name, w in params.items()}
        found = lyapunov_spectrum(net, one, inputs[:, :1], k=max(sizes.shown), burn_in=sizes.burn_in)
        running = found.running[0, 0][:, [order - 1 for order in sizes.shown]]
        axes = {"steps": found.steps.tolist(), "order": sizes.shown}
        yield tidy({"running": running}, axes, seed=seed, cell=cell, gain=sizes.gains[0])


@gathered
def measure_shares(job: Job, *, texts: Texts, cells: Cells, sizes: Shares) -> Iterator[pd.DataFrame]:
    """`lambda_1` and `mean` exponent of each network (column `gain`) on each sequence (column `sequence`)."""
    axes = {"gain": sizes.gains, "sequence": range(sizes.sequences)}
    corpus = read_text(job, **texts[PRIMARY])
    for cell, seed, net, params in populations(job, cells, sizes.gains, symbols=corpus.symbols):
        generator = job.generator("shares", seed)
        inputs = corpus.sequences(sizes.sequences, steps=sizes.burn_in + sizes.steps, generator=generator)
        found = lyapunov_spectrum(net, params, inputs, burn_in=sizes.burn_in).exponents
        yield tidy({"lambda_1": found.amax(dim=-1), "mean": found.mean(dim=-1)}, axes, seed=seed, cell=cell)


@gathered
def measure_starts(job: Job, *, cells: Cells, sizes: Starts) -> Iterator[pd.DataFrame]:
    """Exponents of networks whose weights, those of the inputs among them, are all U(-p, p), for each p (`spread`).

    They read uniform random symbols; biases are 0. `largest` and `smallest` of the N leading exponents of N units;
    `next`, the largest of the others where there are others (LSTM: hidden units beside the memory cells).
    """
    for cell, units in cells.items():
        net = network(cell, units=units, symbols=4)
        gain = torch.tensor(sizes.spreads, device=job.device) * units**0.5 / SPREAD
        for seed in job.seeds:
            generator = job.generator("random symbols", seed)
            symbols = torch.randint(4, (sizes.burn_in + sizes.steps, 1), generator=generator, device=generator.device)
            inputs = torch.nn.functional.one_hot(symbols, 4).double().to(job.device)
            start = net.initialise([job.generator(f"starts {cell}", seed)], len(gain), shared=True, dtype=torch.float64)
            params = with_gain(moved(start, job.device), gain, inputs="recurrent")
            found = lyapunov_spectrum(net, params, inputs, burn_in=sizes.burn_in).mean
            picked = {"largest": found[:, 0], "smallest": found[:, units - 1]}
            picked |= {"next": found[:, units]} if found.shape[1] > units else {}
            yield tidy(picked, {"spread": sizes.spreads}, seed=seed, cell=cell)
