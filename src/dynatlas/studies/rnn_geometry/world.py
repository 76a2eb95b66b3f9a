"""What training and measuring share: images read row by row, and the network that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dynatlas.datasets.digits import digit_rows
from dynatlas.datasets.labelled import Split, split
from dynatlas.datasets.labels import shuffle_labels
from dynatlas.datasets.mnist import read_images
from dynatlas.devices import moved
from dynatlas.jobs import Job, Run
from dynatlas.members import Group, concatenate
from dynatlas.models.rnn import ElmanRNN

ROWS = 28
"""T: rows of an image, and pixels of a row."""
CLASSES = 10


@dataclass(frozen=True)
class Images:
    """Which images are read, and how many of them.

    `digits`: those that ship with the project; `train` of a fixed permutation are learned from, the others held out.
    `mnist`: its own training and test part, from its files in `folder`, the first `train` and `test` of them.
    """

    source: Literal["digits", "mnist"]
    train: int
    test: int | None = None
    folder: str = "downloads"

    def read(self, *, device: str = "cpu") -> Split:
        """Images x (image, row, pixel) and labels. Raises ValueError for another source, else as the readers do."""
        if self.source == "digits":
            parts = split(digit_rows(), self.train)
            held_out = parts.test[: self.test]
        elif self.source == "mnist":
            train, held_out = (read_images("mnist", part, folder=Path(self.folder)) for part in ("train", "test"))
            parts, held_out = Split(train[: self.train], held_out), held_out[: self.test]
        else:
            raise ValueError(f"images: source: {self.source!r}: allowed is 'digits' or 'mnist'")
        return moved(Split(parts.train, held_out), device)


def network(units: int) -> ElmanRNN:
    """The paper's network: tanh units without bias, and a linear readout (with one: our choice).

    W ~ N(0, 1 / units), input weights ~ N(0, 1 / 28), readout uniform in +-1 / sqrt(units).
    """
    return ElmanRNN(
        n_in=ROWS,
        units=units,
        n_out=CLASSES,
        activation="tanh",
        bias=False,
        recurrent_init="gaussian",
        recurrent_gain=1.0,
        output_init="uniform",
    )


def labels_for(job: Job, kind: str, y: Tensor, *, part: str) -> Tensor:
    """Labels (seed, image) of one part of the images: their own, or `shuffled` among them, anew for each seed."""
    if kind == "shuffled":
        return shuffle_labels(y, generators=job.generators(f"{part} labels")).to(y.device)
    if kind != "own":
        raise ValueError(f"labels: {kind!r}: allowed is 'own' or 'shuffled'")
    return y.expand(len(job.seeds), -1)


def networks_of(*runs: Run, device: str = "cpu") -> Group:
    """Parameters (seed, network, ...) of all networks of some runs."""
    return concatenate([run["networks"] for run in runs], "network").to(device)


def followed_by_blanks(x: Tensor, blank: int) -> Tensor:
    """Rows in time x (..., time, image, pixel) with so many rows of zeros after them."""
    return torch.cat([x, x.new_zeros(*x.shape[:-3], blank, *x.shape[-2:])], dim=-3)
