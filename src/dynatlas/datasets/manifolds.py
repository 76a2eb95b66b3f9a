"""Clouds of points of known dimension: a made-up classification problem on a manifold, and shapes for bias tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from dynatlas.elementwise import power
from dynatlas.names import named


@dataclass(frozen=True)
class LatentManifold:
    """Points on a curved manifold, the latent variables that made them, and labels that need only two of these."""

    x: Tensor
    """(point, ambient), float64: columns centred, standard deviation over all entries 1."""
    y: Tensor
    """(point,), long, in 0 ... 3."""
    z: Tensor
    """(point, latent), float64, N(0, 1); the first two decide the label."""


def latent_manifold(
    n: int = 1800, *, latents: int = 10, features: int = 200, ambient: int = 100, seed: int = 0
) -> LatentManifold:
    """x = 1.5 tanh(z A) B with label 2 [z_1 > 0] + [z_1 z_2 > 0] (study dimensionality).

    z ~ N(0, 1), A ~ N(0, 1 / latents), B ~ N(0, 1 / features), drawn in this order from `RandomState(seed)`: the data
    belong to the study, not to a run. Raises ValueError for fewer than 2 latent variables.
    """
    if latents < 2:
        raise ValueError(f"latents = {latents}: the label needs 2")
    source = np.random.RandomState(seed)
    z = source.standard_normal((n, latents))
    inward = source.standard_normal((latents, features)) / math.sqrt(latents)
    outward = source.standard_normal((features, ambient)) / math.sqrt(features) * 1.5
    x = np.tanh(z @ inward) @ outward
    x -= x.mean(axis=0)
    y = 2 * (z[:, 0] > 0) + (z[:, 0] * z[:, 1] > 0)
    return LatentManifold(torch.from_numpy(x / x.std()), torch.from_numpy(y.astype(np.int64)), torch.from_numpy(z))


def gaussian(n: int, dimension: int, generator: Generator) -> Tensor:
    """N(0, 1) in each coordinate, (n, dimension)."""
    return torch.randn(n, dimension, generator=generator, dtype=torch.float64)


def cube(n: int, dimension: int, generator: Generator) -> Tensor:
    """Uniform in the unit cube, (n, dimension)."""
    return torch.rand(n, dimension, generator=generator, dtype=torch.float64)


def sphere(n: int, dimension: int, generator: Generator) -> Tensor:
    """Uniform on the unit sphere of that dimension, (n, dimension + 1)."""
    return torch.nn.functional.normalize(gaussian(n, dimension + 1, generator), dim=-1)


def ball(n: int, dimension: int, generator: Generator) -> Tensor:
    """Uniform in the unit ball, (n, dimension)."""
    direction = torch.nn.functional.normalize(gaussian(n, dimension, generator), dim=-1)
    return direction * power(cube(n, 1, generator), 1 / dimension)


def swiss_roll(n: int, dimension: int, generator: Generator) -> Tensor:
    """The rolled-up plane t (cos t, sin t), 1.5 pi < t < 4.5 pi, beside dimension - 1 axes of width 21.

    Uniform in t, (n, dimension + 1).
    """
    u = cube(n, dimension, generator)
    turn = 1.5 * math.pi * (1 + 2 * u[:, :1])
    return torch.cat([turn * turn.cos(), 21 * u[:, 1:], turn * turn.sin()], dim=-1)


def linear_subspace(n: int, dimension: int, generator: Generator) -> Tensor:
    """Gaussian points in a random oblique subspace: N(0, 1) (n, dimension) through a Gaussian map to 4 x dimension."""
    points = gaussian(n, dimension, generator)
    return points @ gaussian(dimension, 4 * dimension, generator) / math.sqrt(dimension)


MANIFOLDS: dict[str, Callable[[int, int, Generator], Tensor]] = {
    "gaussian": gaussian,
    "cube": cube,
    "sphere": sphere,
    "ball": ball,
    "swiss_roll": swiss_roll,
    "linear_subspace": linear_subspace,
}


def draw_manifold(kind: str, n: int, dimension: int, *, generator: Generator, ambient: int | None = None) -> Tensor:
    """n points of a manifold of `MANIFOLDS`, float64; with `ambient`, turned at random in a space of that size.

    Raises KeyError with the nearest name for an unknown kind, ValueError for a dimension below 1 or too small a space.
    """
    draw = named(MANIFOLDS, kind, "manifold")
    if dimension < 1:
        raise ValueError(f"dimension = {dimension}: wanted is at least 1")
    points = draw(n, dimension, generator)
    if ambient is None:
        return points
    if ambient < points.shape[-1]:
        raise ValueError(f"ambient = {ambient}: this {kind} needs {points.shape[-1]} coordinates")
    q, r = torch.linalg.qr(gaussian(ambient, points.shape[-1], generator))
    return points @ (q * r.diagonal().sign()).mT
