"""States in a few dimensions, to be looked at: principal components."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.instruments.neighbours import checked_clouds


@dataclass(frozen=True)
class Embedding:
    """Principal components of clouds of points, largest variance first."""

    coordinates: Tensor
    """(..., point, component), centred."""
    axes: Tensor
    """(..., coordinate, component), orthonormal; the largest entry of each is positive, which fixes its sign."""
    centre: Tensor
    """(..., coordinate): the mean that was taken off."""
    explained: Tensor
    """(..., component): share of the variance."""

    def project(self, points: Tensor) -> Tensor:
        """Other points (..., point, coordinate) in the same coordinates."""
        return (checked_clouds(points) - self.centre.unsqueeze(-2)) @ self.axes


def principal_components(points: Tensor, components: int = 2) -> Embedding:
    """The leading principal components of each cloud (..., point, coordinate), float64 (Pearson 1901).

    Raises ValueError for more components than points - 1 or coordinates, values that are not finite, and clouds whose
    points all coincide.
    """
    points = checked_clouds(points)
    most = min(points.shape[-2] - 1, points.shape[-1])
    if not 1 <= components <= most:
        raise ValueError(f"components = {components}: wanted is 1 to {most}")
    centre = points.mean(dim=-2)
    centred = points - centre.unsqueeze(-2)
    _, size, axes = torch.linalg.svd(centred, full_matrices=False)
    variance = size.square()
    if not bool((variance.sum(dim=-1) > 0).all()):
        raise ValueError("all points of a cloud coincide: it has no principal components")
    chosen = axes[..., :components, :].mT
    largest = chosen.abs().argmax(dim=-2, keepdim=True)
    chosen = chosen * chosen.gather(-2, largest).sign()
    explained = variance[..., :components] / variance.sum(dim=-1, keepdim=True)
    return Embedding(centred @ chosen, chosen, centre, explained)
