"""States in a few dimensions, to be looked at: principal components, and t-SNE."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.instruments.neighbours import checked_clouds
from dynatlas.instruments.scale import power_of_two, scaled, varies

SINGLE = 1e6
"""Beyond this size, or below its inverse, t-SNE's distances (squared, in float32) would over- or underflow."""

FAR = 2**10
"""Beyond this distance from the origin, in spreads of the cloud, t-SNE's distances would cancel: the cloud is moved."""


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
    points all coincide, up to rounding.
    """
    points = _spread_clouds(points)
    most = min(points.shape[-2] - 1, points.shape[-1])
    if not 1 <= components <= most:
        raise ValueError(f"components = {components}: wanted is 1 to {most}")
    centre = points.mean(dim=-2)
    centred = points - centre.unsqueeze(-2)
    _, size, axes = torch.linalg.svd(centred, full_matrices=False)
    variance = scaled(size, dim=-1)[0].square()
    chosen = axes[..., :components, :].mT
    largest = chosen.abs().argmax(dim=-2, keepdim=True)
    chosen = chosen * chosen.gather(-2, largest).sign()
    explained = variance[..., :components] / variance.sum(dim=-1, keepdim=True)
    return Embedding(centred @ chosen, chosen, centre, explained)


def t_sne(points: Tensor, *, perplexity: float = 30.0, seed: int = 0) -> Tensor:
    """Each cloud (..., point, coordinate) in the plane, (..., point, 2): neighbours stay neighbours, distances do not.

    scikit-learn's t-SNE (van der Maaten and Hinton 2008), from the first two principal components. Its bits are those
    of the number of OpenMP threads. Raises ValueError unless 1 <= perplexity < distinct points, for fewer than two
    coordinates, values that are not finite, and clouds whose points all coincide.
    """
    from sklearn.manifold import TSNE

    points = _spread_clouds(points)
    if points.shape[-1] < 2:
        raise ValueError("points have 1 coordinate: t-SNE starts from two principal components")
    clouds = [_for_single(cloud) for cloud in points.reshape(-1, *points.shape[-2:])]
    count = min(len(cloud.unique(dim=0)) for cloud in clouds)
    if not 1 <= perplexity < count:
        raise ValueError(f"perplexity = {perplexity}: wanted is 1 to {count - 1}, for {count} points that differ")
    method = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    planes = [torch.from_numpy(method.fit_transform(cloud.cpu().numpy())).double() for cloud in clouds]
    return torch.stack(planes).view(*points.shape[:-1], 2)


def _spread_clouds(points: Tensor) -> Tensor:
    """`checked_clouds` of which each has a spread; ValueError otherwise. Nothing else may reach a library."""
    kind, points = getattr(points, "dtype", torch.float64), checked_clouds(points)
    if not bool(varies(points, dim=-2, computed_in=kind).any(dim=-1).all()):
        raise ValueError("all points of a cloud coincide: it has no principal components")
    return points


def _for_single(cloud: Tensor) -> Tensor:
    """A cloud (point, coordinate) whose squared distances float32 can hold; the same where it can already."""
    away = cloud - cloud.mean(dim=-2, keepdim=True)
    size = power_of_two(away, dim=(-2, -1))
    if not 1 / SINGLE < size < SINGLE:
        return away / size
    return away if power_of_two(cloud, dim=(-2, -1)) > FAR * size else cloud
