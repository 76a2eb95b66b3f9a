"""The authors' own grid: spectra and losses of 110 LSTMs that they trained, read from the files that they published.

Their repository stores, for 11 rates of dropout times 10 learning rates, the losses of 15 epochs and the exponents at
epochs 4 and 15, as Python pickles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dynatlas.datasets.pickled import read_floats, read_tensors
from dynatlas.datasets.published import read_folder
from dynatlas.instruments.heldout import heldout_readout
from dynatlas.jobs import Job
from dynatlas.statistics import spearman
from dynatlas.tables import gathered, tidy

if TYPE_CHECKING:
    from dynatlas.studies.lyapunov.settings import Digest, Folder

TITLE = "the authors' grid of 110 LSTMs"
SOURCE = "folder 'CharRNN/WP/HP/Grid Search' of github.com/shlizee/lyapunov-hyperopt"
EPOCHS = (4, 15)
_NAME = re.compile(
    r"lstm_L1_H512_drop(?P<dropout>[\d.]+)_lr(?P<learning_rate>[\d.e-]+)_adam_uniform0\.08_"
    r"(valLossFull|e(?P<epoch>\d+)_LEStats)\.p"
)
FOLDS, NEIGHBOURS = 10, 5


@dataclass(frozen=True)
class Grid:
    """What was published of each network, in the order of dropout and learning rate."""

    losses: np.ndarray
    """(network, epoch): validation loss in nats per character; the first is that before training."""
    exponents: dict[int, np.ndarray]
    """Epoch -> (network, exponent), nats per step, mean over 10 sequences."""
    spread: dict[int, np.ndarray]
    """Epoch -> (network, exponent): standard deviation over the sequences."""


def parse_grid(files: list[Path]) -> Grid:
    """The grid in these files; ValueError names one of another name or form, and a network that lacks one."""
    losses: dict[tuple[float, float], list[float]] = {}
    spectra: dict[tuple[float, float, int], list[np.ndarray]] = {}
    for file in files:
        named = _NAME.fullmatch(file.name)
        if named is None:
            raise ValueError(f"{file}: no file of the grid has this name")
        network = float(named["dropout"]), float(named["learning_rate"])
        if named["epoch"] is None:
            losses[network] = read_floats(file)
        else:
            spectra[*network, int(named["epoch"])] = parse_statistics(file)
    networks = sorted(losses)
    lacking = [(*one, epoch) for one in networks for epoch in EPOCHS if (*one, epoch) not in spectra]
    if lacking:
        raise ValueError(f"{files[0].parent}: no exponents of dropout, learning rate, epoch {lacking[0]}")
    both = {epoch: np.stack([spectra[*one, epoch] for one in networks]) * math.log(2) for epoch in EPOCHS}
    exponents, spread = ({epoch: found[:, part] for epoch, found in both.items()} for part in (0, 1))
    return Grid(np.array([losses[one] for one in networks]), exponents, spread)


def parse_statistics(file: Path) -> list[np.ndarray]:
    """Mean and standard deviation of the exponents in bits per step (k,); ValueError for anything else."""
    mean, deviation = read_tensors(file, count=2)
    if mean.shape != deviation.shape:
        raise ValueError(f"{file}: {len(mean)} means, but {len(deviation)} standard deviations")
    return [mean, deviation]


@gathered
def measure_published(job: Job, *, folder: Folder, sha256: Digest) -> Iterator[pd.DataFrame]:
    """The study's statistics on the authors' grid, at epochs 4 and 15.

    `target`: the lowest validation loss of all epochs, or the one of the last (two networks came apart late).
    `r2`: 5-NN readout of it from lambda_1 and mean exponent, ten random folds; `rho_mean`, `rho_abs`, `rho_loss`: its
    rank correlation with mean exponent, |lambda_1| and the loss at that epoch (or the last); `rho_last`: that of the
    mean exponent with the mean exponent of epoch 15. `between`, `within`: standard deviation of lambda_1 over networks,
    and over sequences (mean over networks).
    """
    grid = parse_grid(read_folder(Path(folder), "*.p", sha256=sha256, title=TITLE, source=SOURCE))
    seed = job.seeds[0]
    order = job.rng("folds", seed).permutation(len(grid.losses))
    for epoch in EPOCHS:
        for target, losses in (("lowest", grid.losses.min(axis=1)), ("last", grid.losses[:, -1])):
            yield tidy(grid_statistics(grid, epoch, losses, order), {}, seed=seed, epoch=epoch, target=target)


def grid_statistics(grid: Grid, epoch: int, final: np.ndarray, order: np.ndarray) -> dict[str, float]:
    """See `measure_published`; final (network,) is the target, `order` (network,) deals the networks to the folds."""
    exponents = grid.exponents[epoch]
    first, mean = exponents.max(axis=1), exponents.mean(axis=1)
    dealt = order[: len(order) - len(order) % FOLDS].reshape(FOLDS, -1)
    features = np.stack([first, mean], axis=-1)[dealt]
    foreseen = heldout_readout(features, final[dealt], k=NEIGHBOURS).predicted
    error, total = ((foreseen - final[dealt]) ** 2).sum(), ((final[dealt] - final[dealt].mean()) ** 2).sum()
    leading = exponents.argmax(axis=1)
    within = grid.spread[epoch][np.arange(len(leading)), leading].mean()
    return {
        "r2": float(1 - error / total),
        "rho_mean": float(spearman(mean, final)),
        "rho_abs": float(spearman(np.abs(first), final)),
        "rho_loss": float(spearman(grid.losses[:, min(epoch, grid.losses.shape[1] - 1)], final)),
        "rho_last": float(spearman(mean, grid.exponents[EPOCHS[-1]].mean(axis=1))),
        "between": float(first.std(ddof=1)),
        "within": float(within),
    }
