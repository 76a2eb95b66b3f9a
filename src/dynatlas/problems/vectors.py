"""Vectors to classify: images of digits or of a published set, flattened, and points on a manifold with known latents.

All inputs are standardised globally: mean 0 and standard deviation 1 over all entries of all examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.datasets.digits import digits
from dynatlas.datasets.images import PUBLISHED, image_split
from dynatlas.datasets.labelled import Labelled, Split, split
from dynatlas.datasets.manifolds import latent_manifold
from dynatlas.names import nearest

NAMES = ("digits", "manifold", *PUBLISHED)
TRAIN = 1000
"""Of a small set so many examples are learned from, the others are held out."""
HELD_OUT = 2000
"""Of a published set so many test images are used."""


@dataclass(frozen=True)
class VectorProblem:
    """Inputs x (example, input) with labels, cut once and for all into training and held-out examples."""

    data: Split
    classes: int
    latents: Split | None = None
    """The latent variables z (example, latent) in the place of x, where they are known."""
    shape: tuple[int, int, int] | None = None
    """See `image_shape`; None where inputs are no images."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channel, row, column) of one input. ValueError where inputs are no images."""
        if self.shape is None:
            raise ValueError("convolutional networks need images, as digits and published sets are")
        return self.shape

    def as_images(self, x: Tensor) -> Tensor:
        """Inputs (..., input) as (..., channel, row, column). ValueError where they are no images."""
        return x.unflatten(-1, self.image_shape)


def vector_problem(name: str, *, folder: str = "downloads") -> VectorProblem:
    """`digits`, `manifold` (see `datasets.manifolds.latent_manifold`), or a published set read from `folder`.

    Raises ValueError for any other, naming the nearest.
    """
    if name == "digits":
        images = digits()
        flat = Labelled(_standardised(images.x.flatten(1)), images.y)
        return VectorProblem(split(flat, TRAIN, seed=1), classes=10, shape=(1, 8, 8))
    if name == "manifold":
        cloud = latent_manifold()
        points, latents = Labelled(cloud.x.float(), cloud.y), Labelled(cloud.z.float(), cloud.y)
        return VectorProblem(_cut(points, TRAIN), classes=4, latents=_cut(latents, TRAIN))
    if name in PUBLISHED:
        parts = image_split(name, test=HELD_OUT, folder=folder)
        train, test = parts.train, parts.test
        shape = (train.x.shape[1] if train.x.dim() == 4 else 1, *train.x.shape[-2:])
        both = Labelled(_standardised(torch.cat([train.x, test.x]).flatten(1)), torch.cat([train.y, test.y]))
        return VectorProblem(_cut(both, len(train)), classes=int(both.y.max()) + 1, shape=shape)
    raise ValueError(f"data: {name!r}: allowed is one of {', '.join(NAMES)}{nearest(name, NAMES)}")


def _standardised(x: Tensor) -> Tensor:
    return (x - x.mean()) / x.std()


def _cut(data: Labelled, train: int) -> Split:
    return Split(data[:train], data[train:])
