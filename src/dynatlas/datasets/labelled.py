"""Examples with class labels, cut into training and test parts by a fixed permutation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Labelled:
    """Examples and their classes."""

    x: Tensor
    """(example, ...)."""
    y: Tensor
    """(example,), long: classes from 0."""

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Tensor | slice) -> Labelled:
        return Labelled(self.x[index], self.y[index])


@dataclass(frozen=True)
class Split:
    """The part that is learned from, and the part that is held out."""

    train: Labelled
    test: Labelled


def split(data: Labelled, train: int, *, seed: int = 0) -> Split:
    """The first `train` examples of a fixed permutation, and the others in its order.

    The permutation belongs to the data, not to a run: it is `RandomState(seed)`'s, the one stream of numpy's that is
    promised never to change. Raises ValueError unless 0 < train < examples.
    """
    if not 0 < train < len(data):
        raise ValueError(f"train = {train}: wanted is 1 to {len(data) - 1} of {len(data)} examples")
    order = torch.from_numpy(np.random.RandomState(seed).permutation(len(data)))
    return Split(data[order[:train]], data[order[train:]])
