"""What the networks learn: images of digits, and points on a manifold whose latent variables are known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.datasets.digits import digits
from dynatlas.datasets.images import image_split
from dynatlas.datasets.labelled import Labelled, Split, split
from dynatlas.datasets.manifolds import latent_manifold
from dynatlas.names import nearest

RELEVANT = 2
"""The first latent variables of the manifold decide the label, the others are nuisance."""

FILES = ("mnist", "fashion_mnist", "kmnist", "cifar10")

HELD_OUT = 2000
"""Of a large set so many test images are used: dimensions are compared at equal numbers of points."""


@dataclass(frozen=True)
class Problem:
    """Inputs x (example, pixel) with labels, cut once and for all into training and held-out examples."""

    data: Split
    classes: int
    latents: Split | None = None
    """The latent variables z (example, latent) in the place of x, where they are known."""
    shape: tuple[int, int, int] | None = None
    """(channel, row, column) of one input, where inputs are images."""


def problem_named(name: str, *, folder: str = "downloads") -> Problem:
    """`digits`, `manifold`, or a large set of images read from `folder` (`FILES`); ValueError for any other.

    Inputs are standardised globally: mean 0 and standard deviation 1 over all entries of all examples.
    """
    if name == "digits":
        images = digits()
        flat = Labelled(_standardised(images.x.flatten(1)), images.y)
        return Problem(split(flat, 1000, seed=1), classes=10, shape=(1, 8, 8))
    if name == "manifold":
        cloud = latent_manifold()
        points, latents = Labelled(cloud.x.float(), cloud.y), Labelled(cloud.z.float(), cloud.y)
        return Problem(_cut(points, 1000), classes=4, latents=_cut(latents, 1000))
    if name in FILES:
        parts = image_split(name, test=HELD_OUT, folder=folder)
        train, test = parts.train, parts.test
        shape = (train.x.shape[1] if train.x.dim() == 4 else 1, *train.x.shape[-2:])
        both = _standardised(torch.cat([train.x, test.x]).flatten(1))
        return Problem(_cut(Labelled(both, torch.cat([train.y, test.y])), len(train)), classes=10, shape=shape)
    known = ("digits", "manifold", *FILES)
    raise ValueError(f"data: {name!r}: allowed is one of {', '.join(known)}{nearest(name, known)}")


def _standardised(x: Tensor) -> Tensor:
    return (x - x.mean()) / x.std()


def _cut(data: Labelled, train: int) -> Split:
    return Split(data[:train], data[train:])
