"""The authors' own grid: spectra and losses of 110 LSTMs that they trained, read from the files that they published.

Their repository stores, for 11 rates of dropout times 10 learning rates, the losses of 15 epochs and the exponents at
epochs 4 and 15, as Python pickles. A pickle can run any code when it is loaded, so none is: their opcodes are listed
by `pickletools`, which executes nothing, and the numbers are taken from the list.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickletools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dynatlas.datasets.published import MissingFileError, WrongFileError
from dynatlas.instruments.heldout import heldout_readout
from dynatlas.jobs import Job
from dynatlas.statistics import spearman
from dynatlas.tables import gathered, tidy

if TYPE_CHECKING:
    from dynatlas.studies.lyapunov.settings import Digest, Folder

SOURCE = "folder 'CharRNN/WP/HP/Grid Search' of github.com/shlizee/lyapunov-hyperopt"
EPOCHS = (4, 15)
_STEM = r"lstm_L1_H512_drop(?P<dropout>[\d.]+)_lr(?P<rate>[\d.e-]+)_adam_uniform0\.08_"
_STATISTICS = re.compile(_STEM + r"e(?P<epoch>\d+)_LEStats\.p")
_LOSSES = re.compile(_STEM + r"valLossFull\.p")
_LIST_OF_FLOATS = {"PROTO", "EMPTY_LIST", "BINPUT", "MARK", "BINFLOAT", "APPENDS", "STOP"}
_HEADERS = 5
"""Pickles that stand before the numbers in a storage as torch saved it until version 1.5."""
FOLDS, NEIGHBOURS = 10, 5


@dataclass(frozen=True)
class Grid:
    """What was published of each network, in the order of dropout and learning rate."""

    dropout: np.ndarray
    """(network,)."""
    learning_rate: np.ndarray
    """(network,)."""
    losses: np.ndarray
    """(network, epoch): validation loss in nats per character; the first is that before training."""
    exponents: dict[int, np.ndarray]
    """Epoch -> (network, exponent), nats per step, mean over 10 sequences."""
    spread: dict[int, np.ndarray]
    """Epoch -> (network, exponent): standard deviation over the sequences."""


def read_grid(folder: Path, *, sha256: str) -> Grid:
    """The grid from a folder that the user filled.

    `sha256` is that of the list that `LC_ALL=C sha256sum *` prints there. Raises FileNotFoundError for a missing or
    empty folder; ValueError for a folder with another hash, and for files of another form.
    """
    files = sorted(folder.glob("*.p"))
    if not files:
        raise MissingFileError(
            f"{folder}: the authors' grid is missing; copy the files of the {SOURCE} there (SHA-256 of their list "
            f"of sums: {sha256}). Only scale paper reads them."
        )
    found = digest_of_list(files)
    if found != sha256:
        raise WrongFileError(
            f"{folder}: `LC_ALL=C sha256sum * | sha256sum` is {found}; wanted is {sha256}, the {SOURCE}"
        )
    return parse_grid(files)


def digest_of_list(files: list[Path]) -> str:
    """SHA-256 of the lines `<sha256>  <name>` of these files."""
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def parse_grid(files: list[Path]) -> Grid:
    """The grid in these files; ValueError names one of another name or form, and a network that lacks one."""
    losses: dict[tuple[float, float], list[float]] = {}
    spectra: dict[tuple[float, float, int], tuple[np.ndarray, np.ndarray]] = {}
    for file in files:
        loss, statistics = _LOSSES.fullmatch(file.name), _STATISTICS.fullmatch(file.name)
        if loss:
            losses[float(loss["dropout"]), float(loss["rate"])] = parse_losses(file)
        elif statistics:
            at = (float(statistics["dropout"]), float(statistics["rate"]), int(statistics["epoch"]))
            spectra[at] = parse_statistics(file)
        else:
            raise ValueError(f"{file}: no file of the grid has this name")
    networks = sorted(losses)
    lacking = [(*one, epoch) for one in networks for epoch in EPOCHS if (*one, epoch) not in spectra]
    if lacking:
        raise ValueError(f"{files[0].parent}: no exponents of dropout, learning rate, epoch {lacking[0]}")
    both = {epoch: np.stack([spectra[*one, epoch] for one in networks]) * math.log(2) for epoch in EPOCHS}
    dropout, rate = np.array(networks).T
    exponents = {epoch: found[:, 0] for epoch, found in both.items()}
    spread = {epoch: found[:, 1] for epoch, found in both.items()}
    return Grid(dropout, rate, np.array([losses[one] for one in networks]), exponents, spread)


def parse_losses(file: Path) -> list[float]:
    """A pickled list of floats; ValueError for anything else."""
    operations = _operations(io.BytesIO(file.read_bytes()), file)
    if {name for name, _ in operations} - _LIST_OF_FLOATS:
        raise ValueError(f"{file}: not a pickled list of floats")
    return [value for name, value in operations if name == "BINFLOAT"]


def parse_statistics(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the exponents in bits per step (k,), from a pickled pair of float32 tensors.

    ValueError for anything else.
    """
    stored = [value for name, value in _operations(io.BytesIO(file.read_bytes()), file) if name == "BINBYTES"]
    if len(stored) != 2:
        raise ValueError(f"{file}: {len(stored)} tensors; wanted are 2, mean and standard deviation")
    mean, deviation = (_storage(one, file) for one in stored)
    if mean.shape != deviation.shape:
        raise ValueError(f"{file}: {len(mean)} means, but {len(deviation)} standard deviations")
    return mean, deviation


def _storage(raw: bytes, file: Path) -> np.ndarray:
    """The numbers in a storage as torch saved it: five pickles, their count as int64, float32 values."""
    stream = io.BytesIO(raw)
    kinds = [value for _ in range(_HEADERS) for name, value in _operations(stream, file) if name == "GLOBAL"]
    rest = raw[stream.tell() :]
    count = int.from_bytes(rest[:8], "little")
    if kinds != ["torch FloatStorage"] or len(rest) != 8 + 4 * count:
        raise ValueError(f"{file}: not a storage of float32 numbers")
    return np.frombuffer(rest, "<f4", count, offset=8).astype(float)


def _operations(stream: io.BytesIO, file: Path) -> list[tuple[str, Any]]:
    """Names and arguments of a pickle's opcodes, up to its end; nothing is executed."""
    try:
        return [(operation.name, argument) for operation, argument, _ in pickletools.genops(stream)]
    except ValueError as error:
        raise ValueError(f"{file}: damaged ({error})") from None


@gathered
def measure_published(job: Job, *, folder: Folder, sha256: Digest) -> Iterator[pd.DataFrame]:
    """The study's statistics on the authors' grid, at epochs 4 and 15.

    `target`: the lowest validation loss of all epochs, or the one of the last (two networks came apart late).
    `r2`: 5-NN readout of it from lambda_1 and mean exponent, ten random folds; `rho_mean`, `rho_abs`, `rho_loss`: its
    rank correlation with mean exponent, |lambda_1| and the loss at that epoch (or the last); `rho_last`: that of the
    mean exponent with the mean exponent of epoch 15. `between`, `within`: standard deviation of lambda_1 over networks,
    and over sequences (mean over networks).
    """
    grid = read_grid(Path(folder), sha256=sha256)
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
