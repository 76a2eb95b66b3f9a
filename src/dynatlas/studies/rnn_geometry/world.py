"""What training and measuring share: images read row by row, and the network that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dynatlas.datasets.images import image_split
from dynatlas.datasets.labelled import Split
from dynatlas.datasets.labels import shuffle_labels
from dynatlas.devices import moved
from dynatlas.jobs import Job, Run
from dynatlas.members import Group, concatenate
from dynatlas.models.rnn import ElmanRNN
from dynatlas.names import named

ROWS = 28
"""T: rows of an image, and pixels of a row."""
CLASSES = 10
SETS = {"digits": "digits28", "mnist": "mnist"}
"""What is read where a scale names a source: images of 28 rows, top first."""


@dataclass(frozen=True)
class Images:
    """Which images are read, and how many of them.

    `digits`: those that ship with the project, laid out as MNIST's; `mnist`: those in `folder`. See `image_split`.
    """

    source: Literal["digits", "mnist"]
    train: int
    test: int | None = None
    folder: str = "downloads"

    def read(self, *, device: str = "cpu") -> Split:
        """Images x (image, row, pixel) and labels. Raises ValueError for another source, else as the readers do."""
        name = named(SETS, self.source, "source of images")
        return moved(image_split(name, train=self.train, test=self.test, folder=self.folder), device)


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
