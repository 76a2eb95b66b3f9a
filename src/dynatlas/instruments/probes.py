"""What can be read out of states: linear probes, nearest neighbours, ridge regression; all seeds and times in one call.

States are (..., example, unit) with any leading axes (seed, time, layer); labels are (example,), or (..., example)
where they differ along the leading axes. Results are (...), float64, on examples that the probe was not fitted on.

Ridge convention: X and Y are centred on the training examples, `alpha` is added to X^T X as it is (not multiplied by
the number of examples), and the constant is not penalised.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dynatlas.instruments.cross_neighbours import all_finite, cross_neighbours
from dynatlas.instruments.given import whole_labels
from dynatlas.instruments.neighbours import checked_clouds
from dynatlas.instruments.scale import power_of_two, varies
from dynatlas.optim.ridge import ridge_readout

BLOCK = 2**19
"""Numbers of training states taken together (float64: 4 MiB), so that what is made of them stays in the cache."""


def linear_probe(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, *, alpha: float = 0.01) -> Tensor:
    """Held-out accuracy of ridge classifiers, one against the rest on targets +-1 -> (...).

    x (..., example, unit), y (example,) or (..., example), long, classes from 0. The class with the largest output is
    taken, the first of equal ones. Agrees with scikit-learn's RidgeClassifier. Untrained networks pass this probe too
    (study rnn-geometry, C1b): compare with one. Raises ValueError as `fit_ridge` does, and for labels that do not fit.
    """
    labels, asked = _labels(y, x), _labels(y_test, x_test)
    code = 2 * torch.eye(int(labels.max()) + 1, dtype=torch.float64, device=x.device) - 1
    found = []
    for states, own, new, wanted in _blocks(x, labels[..., None], x_test, asked[..., None]):
        outputs = predict_ridge(fit_ridge(states, code[own[..., 0]], alpha=alpha), new)
        found.append(_share(outputs.argmax(dim=-1) == wanted[..., 0]))
    return torch.cat(found).view(x.shape[:-2])


def decodability(x: Tensor, z: Tensor, x_test: Tensor, z_test: Tensor, *, alpha: float = 0.1) -> Tensor:
    """Held-out R^2 of each latent variable by ridge regression from x (..., example, unit) -> (..., latent).

    z (example, latent) or (..., example, latent). R^2 = 1 - squared error / squared deviation from the mean of the test
    examples; it can be negative. Raises ValueError as `fit_ridge` does, and for a latent variable that is constant in
    the test examples, up to the rounding of its type.
    """
    z, target = (checked_clouds(part, "latent variables") for part in (z, z_test))
    if not bool(varies(target, dim=-2, computed_in=z_test.dtype).all()):
        raise ValueError("a latent variable is constant over the test examples: it has no R^2")
    size = power_of_two(target, dim=-2)
    z, target = z / size, target / size
    spread = (target - target.mean(dim=-2, keepdim=True)).square().sum(dim=-2)
    found = []
    for states, own, new, wanted in _blocks(x, z, x_test, target):
        outputs = predict_ridge(fit_ridge(states, own, alpha=alpha), new)
        found.append((outputs - wanted).square().sum(dim=-2))
    return 1 - torch.cat(found).view(*x.shape[:-2], -1) / spread


def knn_accuracy(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, *, k: int = 10) -> Tensor:
    """Held-out accuracy of the vote of the k nearest training examples (Euclidean, equal weights) -> (...).

    Arguments as in `linear_probe`. Of classes with equal votes the first is taken, of examples at equal distances the
    earlier. Raises ValueError for k outside 1 ... examples, states that are not finite, and labels that do not fit.
    """
    labels, asked = _labels(y, x), _labels(y_test, x_test)
    near = cross_neighbours(x, x_test, k)
    voted = torch.take_along_dim(labels.unsqueeze(-2), near, dim=-1)
    votes = torch.zeros(*near.shape[:-1], int(labels.max()) + 1, dtype=torch.int64, device=near.device)
    votes.scatter_add_(-1, voted, torch.ones_like(voted))
    return _share(votes.argmax(dim=-1) == asked)


def fit_ridge(x: Tensor, y: Tensor, *, alpha: float) -> tuple[Tensor, Tensor]:
    """Weights (..., unit, output) and constant (..., output), float64, of y (..., example, output) on x.

    x (..., example, unit). Raises ValueError for alpha <= 0, states that are not finite, and shapes that do not fit.
    """
    if not alpha > 0:
        raise ValueError(f"alpha = {alpha}: wanted is a number > 0")
    if y.dim() < 2 or y.shape[-2] != x.shape[-2]:
        raise ValueError(f"{x.shape[-2]} examples, but targets {tuple(y.shape)}: wanted is (..., example, output)")
    x, y = checked_clouds(x), checked_clouds(y, "targets")
    mean = x.mean(dim=-2, keepdim=True)
    centred = x - mean
    size = power_of_two(centred, dim=(-2, -1)).clamp(min=1)  # small states vanish beside alpha, as they should
    penalty = (alpha / x.shape[-2] / size / size)[..., 0, 0].clamp(min=torch.finfo(torch.float64).tiny)
    try:
        weights, _ = ridge_readout(centred / size, y, penalty=penalty)
    except torch.linalg.LinAlgError:
        largest = float(x.abs().max())
        raise ValueError(
            f"alpha = {alpha} is lost beside states as large as {largest:.3g}: take a larger one"
        ) from None
    weights = weights / size
    return weights, (y.mean(dim=-2, keepdim=True) - mean @ weights).squeeze(-2)


def predict_ridge(fitted: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    """Outputs (..., example, output) of `fit_ridge`'s weights and constant for x (..., example, unit)."""
    weights, constant = fitted
    return checked_clouds(x) @ weights + constant.unsqueeze(-2)


def _finite(x: Tensor) -> Tensor:
    """x, unless it holds NaN or infinity: then ValueError names the place."""
    return x if x.dim() > 1 and x.numel() and all_finite(x) else checked_clouds(x)


def _blocks(x: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """x (..., example, unit) and tensors (example, ...) or (..., example, ...) in step, leading axes as one, in parts.

    Raises ValueError where x or the next states hold nothing, or NaN or infinity, naming the place, and for shapes that
    do not fit.
    """
    leading = x.shape[:-2]
    for part in (x, *others):
        if part.shape[:-2] not in (leading, ()) or not part.numel():
            raise ValueError(f"{tuple(part.shape)} beside states {tuple(x.shape)}: nothing, or it does not fit")
    together = max(1, BLOCK // max(1, x.shape[-2] * x.shape[-1]))
    parts = [part.expand(*leading, *part.shape[-2:]).reshape(-1, *part.shape[-2:]) for part in (x, *others)]
    _finite(x), _finite(others[1])
    return zip(*(part.split(together) for part in parts), strict=True)


def _labels(y: Tensor, x: Tensor) -> Tensor:
    """Labels (..., example) for states (..., example, unit)."""
    y = whole_labels(y)
    if y.shape[-1:] != x.shape[-2:-1]:
        raise ValueError(f"labels {tuple(y.shape)}: wanted is one for each of {x.shape[-2]} examples")
    return y.expand(x.shape[:-1])


def _share(right: Tensor) -> Tensor:
    return right.to(torch.float64).mean(dim=-1)
