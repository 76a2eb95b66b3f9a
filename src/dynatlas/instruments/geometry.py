"""How classes lie in the space of states, how they lie to the readout, and how states move.

States are (..., example, unit) with any leading axes (seed, time, layer), labels (example,) or (..., example), results
in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dynatlas.instruments.dimension import participation_ratio
from dynatlas.instruments.given import finite, real, whole_labels
from dynatlas.instruments.neighbours import checked_clouds
from dynatlas.instruments.scale import ROUNDING, norm, scaled
from dynatlas.reductions import mean_over_first


def class_means(x: Tensor, y: Tensor) -> Tensor:
    """Mean state of each class, (..., example, unit) -> (..., class, unit), classes 0 ... max(y).

    Raises ValueError for a class without an example and for states that are not finite.
    """
    x, size = scaled(checked_clouds(x), dim=(-2, -1))
    return _means(x, _members(x, y)) * size


def scatter_ratio(x: Tensor, y: Tensor) -> Tensor:
    """tr(S_B) / tr(S_W), between-class over within-class scatter, (..., example, unit) -> (...).

    S_B = sum over classes of n_c (m_c - m)(m_c - m)^T, S_W = sum over examples of (x - m_c)(x - m_c)^T (Fisher).
    Raises ValueError as `class_means` does, and where no class has any spread.
    """
    x, _ = scaled(checked_clouds(x), dim=(-2, -1))
    members = _members(x, y)
    means, around = _means(x, members), _from_own_first(x, members)
    within, ruler = scaled(around - members @ _means(around, members), dim=(-2, -1))
    within = within.square().sum(dim=(-2, -1))
    if not bool((within > 0).all()):
        raise ValueError("no class has any spread: the scatter ratio is infinite")
    away = (means - x.mean(dim=-2, keepdim=True)) / ruler
    return (members.sum(dim=-2) * away.square().sum(dim=-1)).sum(dim=-1) / within


def class_mean_subspace(x: Tensor, y: Tensor, dimension: int | None = None) -> Tensor:
    """Orthonormal basis (..., unit, dimension) of the leading directions of the centred class means.

    By default as many as centred means can span, classes - 1. Raises ValueError for a larger dimension, where the means
    span less, and where they all coincide.
    """
    centred = _centred_means(x, y)
    most = min(centred.shape[-2] - 1, centred.shape[-1])
    wanted = most if dimension is None else dimension
    if not 1 <= wanted <= most:
        raise ValueError(f"dimension = {dimension}: wanted is 1 to {most}")
    _, size, axes = torch.linalg.svd(centred, full_matrices=False)
    if not bool((size[..., wanted - 1] > 1e-10 * size[..., 0]).all()):
        raise ValueError(f"the class means span fewer than {wanted} directions")
    return axes[..., :wanted, :].mT


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Angles between the spans of the columns of a (..., unit, i) and b (..., unit, j), ascending, (..., min(i, j)).

    In radians, 0 to pi / 2; angles below pi / 4 are taken from their sines, which their cosines would lose (Björck and
    Golub 1973). Raises ValueError where columns are linearly dependent.
    """
    a, b = (_basis(part) for part in (a, b))
    if a.shape[-1] < b.shape[-1]:
        a, b = b, a
    across = a.mT @ b
    cosine = torch.linalg.svdvals(across).clamp(max=1)
    sine = torch.linalg.svdvals(b - a @ across).clamp(max=1).flip(-1)
    return torch.where(cosine > 0.5**0.5, sine.asin(), cosine.acos())


def readout_alignment(x: Tensor, y: Tensor, w_out: Tensor) -> Tensor:
    """|P M|^2 / |M|^2, the share of the class means' spread that the readout sees -> (...).

    M are the centred class means (class, unit) of x (..., example, unit), P projects on the span of the columns of
    w_out (..., unit, output). 0 ... 1; a random subspace gives outputs / units (study rnn-geometry).
    Raises ValueError where all class means coincide, up to rounding.
    """
    centred = _centred_means(x, y)
    return (centred @ _basis(w_out)).square().sum(dim=(-2, -1)) / centred.square().sum(dim=(-2, -1))


def within_class_participation_ratio(x: Tensor, y: Tensor) -> Tensor:
    """Participation ratio of the states of each class, averaged over classes, (..., example, unit) -> (...).

    y (example,), the same along all leading axes. Raises ValueError for a class of fewer than 2 examples, and where all
    states of one coincide.
    """
    x, y = checked_clouds(x), whole_labels(y)
    count = _members(x, y).sum(dim=-2)
    if int(count.min()) < 2:
        raise ValueError(f"class {int(count.argmin())} has one example: it has no spread")
    return mean_over_first(torch.stack([participation_ratio(x[..., y == label, :]) for label in range(len(count))]))


def trajectory_participation_ratio(states: Tensor) -> Tensor:
    """Participation ratio of each trajectory, states (..., time, trial, unit) as a rollout gives -> (..., trial).

    1 on a line, 2 on a circle. Raises ValueError for a trajectory that does not move.
    """
    return participation_ratio(states.transpose(-2, -3))


def step_speed(states: Tensor) -> Tensor:
    """|h_{t+1} - h_t|, states (..., time, trial, unit) -> (..., time - 1, trial)."""
    return norm(real(states, "states").diff(dim=-3))


def best_permutation_accuracy(predicted: Tensor, y: Tensor) -> Tensor:
    """Accuracy after the one renaming of predicted classes that suits best, predicted (..., example) -> (...).

    y (example,) or (..., example), whole numbers. An assignment problem on the confusion matrix (Kuhn 1955). It exceeds
    1 over the number of classes by chance: compare with shuffled labels. Raises ValueError as `confusion` does.
    """
    from scipy.optimize import linear_sum_assignment

    table = confusion(predicted, y)
    tables = table.reshape(-1, *table.shape[-2:]).cpu().numpy()
    best = [counts[linear_sum_assignment(counts, maximize=True)].sum() for counts in tables]
    return torch.tensor(best, dtype=torch.float64).view(predicted.shape[:-1]) / predicted.shape[-1]


def adjusted_rand(a: Tensor, b: Tensor) -> Tensor:
    """Adjusted Rand index of two partitions (..., example) -> (...): 1 for the same, 0 on average by chance.

    Hubert and Arabie 1985. Labels are whole numbers, and only whether they are equal counts. Where both partitions are
    trivial (one part, or every example alone) it is 1. Raises ValueError for fractions and unequal numbers of examples.
    """
    table = confusion(_renamed(a), _renamed(b)).to(torch.float64)
    pairs, rows, columns = (_pairs(part).sum(dim=-1) for part in (table.flatten(-2), table.sum(-1), table.sum(-2)))
    possible = _pairs(torch.tensor(float(a.shape[-1]), dtype=torch.float64)).clamp(min=1)
    expected = rows * (columns / possible)
    most = (rows + columns) / 2
    return torch.where(most == expected, 1.0, (pairs - expected) / (most - expected))


def confusion(predicted: Tensor, y: Tensor) -> Tensor:
    """How many examples are predicted as the row's class and belong to the column's -> (..., class, class), long.

    Both (..., example), whole numbers >= 0 of any type; leading axes broadcast. Raises ValueError for other labels and
    for unequal numbers of examples.
    """
    predicted, y = whole_labels(predicted, "predicted labels"), whole_labels(y)
    if predicted.shape[-1:] != y.shape[-1:]:
        raise ValueError(f"{tuple(predicted.shape)} predicted labels and {tuple(y.shape)} labels do not fit")
    classes = 1 + max(int(predicted.max()), int(y.max()))
    cell = predicted * classes + y
    counts = torch.zeros(*cell.shape[:-1], classes**2, dtype=torch.int64, device=cell.device)
    return counts.scatter_add_(-1, cell, torch.ones_like(cell)).unflatten(-1, (classes, classes))


def _renamed(labels: Tensor) -> Tensor:
    """The same partition with labels 0, 1, ...; fractions are left, to be refused."""
    return labels if labels.is_floating_point() else labels.long().unique(return_inverse=True)[1]


def _pairs(counts: Tensor) -> Tensor:
    return counts * (counts - 1) / 2


def _members(x: Tensor, y: Tensor) -> Tensor:
    """1 where an example belongs to a class, float64 (..., example, class)."""
    y = whole_labels(y)
    if y.shape[-1:] != x.shape[-2:-1]:
        raise ValueError(f"labels {tuple(y.shape)}: wanted is one for each of {x.shape[-2]} examples")
    members = torch.nn.functional.one_hot(y, int(y.max()) + 1).to(torch.float64)
    empty = (members.sum(dim=-2) == 0).nonzero()
    if len(empty):
        raise ValueError(f"class {int(empty[0, -1])} has no example")
    return members


def _means(x: Tensor, members: Tensor) -> Tensor:
    """(..., example, unit), (..., example, class) -> (..., class, unit)."""
    return members.mT @ x / members.sum(dim=-2).unsqueeze(-1)


def _from_own_first(x: Tensor, members: Tensor) -> Tensor:
    """States less the first of their class: examples that coincide have no spread at all, not one of rounding."""
    first = torch.nn.functional.one_hot(members.argmax(dim=-2), x.shape[-2]).to(x.dtype)
    return x - members @ (first @ x)


def _centred_means(x: Tensor, y: Tensor) -> Tensor:
    """Class means less the mean of them (..., class, unit), up to a factor; ValueError where they coincide."""
    x, _ = scaled(checked_clouds(x), dim=(-2, -1))
    means = _means(x, _members(x, y))
    centred = means - means.mean(dim=-2, keepdim=True)
    rounding = ROUNDING * x.shape[-2] * x.abs().amax(dim=-2, keepdim=True)
    if not bool((centred.abs() > rounding).any(dim=-1).any(dim=-1).all()):
        raise ValueError("all class means coincide: there is nothing to compare")
    return scaled(centred, dim=(-2, -1))[0]


def _basis(columns: Tensor) -> Tensor:
    """Orthonormal columns with the same span, float64."""
    columns, _ = scaled(finite(real(columns, "columns"), "columns"), dim=-2)
    q, r = torch.linalg.qr(columns)
    size = r.diagonal(dim1=-2, dim2=-1).abs()
    if columns.shape[-2] < columns.shape[-1] or not bool((size > 1e-12 * size.amax(dim=-1, keepdim=True)).all()):
        raise ValueError("columns are linearly dependent: they span less than they seem to")
    return q
