"""Geometry of classes and trajectories, by closed form and against scikit-learn and scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from dynatlas.instruments.dimension import participation_ratio
from dynatlas.instruments.geometry import (
    adjusted_rand,
    best_permutation_accuracy,
    class_mean_subspace,
    class_means,
    confusion,
    principal_angles,
    readout_alignment,
    scatter_ratio,
    step_speed,
    trajectory_participation_ratio,
    within_class_participation_ratio,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(size, seed=1):
    return torch.linalg.qr(normal(size, size, seed=seed)).Q


def whole(high, *shape, seed=0):
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


Y = whole(4, 60)


def test_class_means_and_scatter_by_hand():
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 1.0], [10.0, 3.0], [10.0, 5.0]])
    y = torch.tensor([0, 0, 1, 1, 1])
    assert class_means(x, y).tolist() == [[1.0, 0.0], [10.0, 3.0]]
    # within 2 + 8; the mean is (6.4, 1.8): between 2 (5.4^2 + 1.8^2) + 3 (3.6^2 + 1.2^2)
    assert scatter_ratio(x, y).item() == pytest.approx((2 * (29.16 + 3.24) + 3 * (12.96 + 1.44)) / 10)


def test_between_and_within_add_up_and_nothing_depends_on_coordinates():
    x = normal(2, 3, 60, 5)
    ratio = scatter_ratio(x, Y)
    assert ratio.shape == (2, 3)
    means = class_means(x, Y)
    within = (x - means[..., Y, :]).square().sum(dim=(-2, -1))
    total = (x - x.mean(dim=-2, keepdim=True)).square().sum(dim=(-2, -1))
    torch.testing.assert_close(within * (1 + ratio), total, rtol=1e-12, atol=0)
    torch.testing.assert_close(scatter_ratio(7 * x @ rotation(5) + 3, Y), ratio, rtol=1e-10, atol=0)
    own = Y.expand(2, 3, 60)
    torch.testing.assert_close(scatter_ratio(x, own), ratio, rtol=0, atol=0)


def test_subspace_of_class_means():
    x = normal(2, 60, 7)
    basis = class_mean_subspace(x, Y)
    assert basis.shape == (2, 7, 3)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(3, dtype=torch.float64).expand(2, 3, 3), rtol=0, atol=1e-12)
    means = class_means(x, Y)
    centred = means - means.mean(dim=-2, keepdim=True)
    torch.testing.assert_close(centred @ basis @ basis.mT, centred, rtol=0, atol=1e-12)
    first = class_mean_subspace(x, Y, 1)
    torch.testing.assert_close(first[..., 0].abs(), basis[..., 0].abs(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("angles", [[0.0, 1e-9, 0.3], [1e-5, 0.7, 1.2], [math.pi / 4, 1.5, math.pi / 2]])
def test_principal_angles_that_are_known(angles):
    """Three planes, in each of which the second subspace is turned by one angle."""
    turned = torch.zeros(8, 3, dtype=torch.float64)
    for i, angle in enumerate(angles):
        turned[2 * i, i], turned[2 * i + 1, i] = math.cos(angle), math.sin(angle)
    straight = torch.eye(8, dtype=torch.float64)[:, [0, 2, 4]]
    around = rotation(8)
    found = principal_angles(around @ straight @ normal(3, 3), around @ turned @ normal(3, 3, seed=5))
    torch.testing.assert_close(found, torch.tensor(angles, dtype=torch.float64), rtol=0, atol=3e-15 * 100)


def test_principal_angles_are_scipys_also_for_unequal_sizes():
    from scipy.linalg import subspace_angles

    a, b = normal(4, 9, 2), normal(4, 9, 5, seed=1)
    for one, other in ((a, b), (b, a)):
        found = principal_angles(one, other)
        assert found.shape == (4, 2)
        for i in range(4):
            np.testing.assert_allclose(found[i].numpy(), subspace_angles(a[i].numpy(), b[i].numpy())[::-1], atol=1e-12)


def test_alignment_with_the_readout():
    x = normal(2, 60, 10)
    basis = class_mean_subspace(x, Y)
    around = torch.linalg.qr(torch.cat([basis, normal(2, 10, 7, seed=3)], dim=-1)).Q
    ones = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(readout_alignment(x, Y, basis @ normal(3, 3)), ones, rtol=0, atol=1e-10)
    torch.testing.assert_close(readout_alignment(x, Y, around[..., 3:]), 0 * ones, rtol=0, atol=1e-10)
    means = class_means(x, Y)
    centred = means - means.mean(dim=-2, keepdim=True)
    share = (centred @ basis[..., :1]).square().sum(dim=(-2, -1)) / centred.square().sum(dim=(-2, -1))
    torch.testing.assert_close(readout_alignment(x, Y, basis[..., :1]), share, rtol=0, atol=1e-10)


def test_a_random_readout_is_aligned_by_its_share_of_dimensions():
    found = readout_alignment(normal(400, 60, 20), Y, normal(400, 20, 5, seed=1))
    assert found.mean().item() == pytest.approx(5 / 20, abs=0.02)


def test_within_class_participation_ratio_ignores_where_classes_lie():
    x = normal(4000, 6)
    y = whole(3, 4000)
    x[:, 4:] = 0
    apart = x + 100 * normal(3, 6, seed=2)[y]
    assert float(within_class_participation_ratio(apart, y)) == pytest.approx(4, rel=0.02)
    assert float(participation_ratio(apart)) < 2.1


def test_trajectories():
    time = torch.arange(400, dtype=torch.float64) * 2 * math.pi / 100
    line = time[:, None] * normal(1, 5)
    circle = torch.stack([time.cos(), time.sin()], dim=-1) @ rotation(5)[:2]
    states = torch.stack([line, circle], dim=1)  # (time, trial, unit)
    ratio = trajectory_participation_ratio(states.expand(3, -1, -1, -1))
    torch.testing.assert_close(ratio, torch.tensor([1.0, 2.0]).double().expand(3, 2), rtol=0, atol=1e-9)
    speed = step_speed(states)
    assert speed.shape == (399, 2)
    chord = torch.full((399,), 2 * math.sin(math.pi / 100), dtype=torch.float64)
    torch.testing.assert_close(speed[:, 1], chord, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="coincide"):
        trajectory_participation_ratio(torch.ones(5, 1, 3))


def test_best_permutation_by_trying_all():
    y = whole(4, 40)
    predicted = whole(4, 3, 2, 40, seed=1)
    found = best_permutation_accuracy(predicted, y)
    assert found.shape == (3, 2)
    for i, j in itertools.product(range(3), range(2)):
        best = max(
            (torch.tensor(names)[predicted[i, j]] == y).double().mean() for names in itertools.permutations(range(4))
        )
        assert found[i, j] == best
    assert best_permutation_accuracy((y + 1) % 4, y) == 1


def test_adjusted_rand_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    a, b = whole(5, 7, 80), whole(3, 7, 80, seed=1)
    b[0] = a[0] % 3
    for i, found in enumerate(adjusted_rand(a, b)):
        assert found.item() == pytest.approx(metrics.adjusted_rand_score(a[i].numpy(), b[i].numpy()), abs=1e-12)
    assert adjusted_rand(a[1], (a[1] + 2) % 5) == 1
    assert adjusted_rand(torch.zeros(5).long(), torch.zeros(5).long()) == 1
    assert adjusted_rand(torch.arange(5), torch.arange(5)) == 1
    assert adjusted_rand(torch.zeros(1).long(), torch.zeros(1).long()) == 1
    noise = torch.where(a[1] == 0, -1, 10**12 + a[1])  # only whether labels are equal counts
    assert adjusted_rand(noise, a[1]) == 1
    many = torch.arange(200) % 100
    assert adjusted_rand(many.to(torch.uint8), many.to(torch.uint8)) == 1
    assert confusion(torch.tensor([0, 1, 1]), torch.tensor([1, 1, 0])).tolist() == [[0, 1], [1, 1]]


def test_a_spread_of_rounding_is_none():
    """The mean of three times 0.1 is not 0.1."""
    y, x = torch.tensor([0, 0, 0, 1, 1, 1, 1]), torch.full((7, 2), 0.1, dtype=torch.float64)
    for offset in (0.0, 1.0):  # classes that differ, examples that do not
        with pytest.raises(ValueError, match="no class has any spread"):
            scatter_ratio(x + offset * y[:, None], y)
    with pytest.raises(ValueError, match="all class means coincide"):
        readout_alignment(x, y, torch.eye(2, 1))
    with pytest.raises(ValueError, match="all class means coincide"):
        class_mean_subspace(x, y)


def test_a_large_constant_unit_does_not_hide_a_small_spread():
    y = torch.arange(10) % 2
    small = 1e-7 * normal(10, 1)
    beside = torch.cat([small, torch.full((10, 1), 1e10 / 3, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(scatter_ratio(beside, y), scatter_ratio(small, y), rtol=1e-9, atol=0)


def test_columns_of_any_length_span_what_they_span():
    a, b = normal(6, 2), normal(6, 2, seed=1)
    lengths = torch.tensor([1e150, 1e-150], dtype=torch.float64)
    torch.testing.assert_close(principal_angles(a * lengths, b), principal_angles(a, b), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="linearly dependent"):
        principal_angles(a * torch.tensor([1.0, 0.0]), b)
    with pytest.raises(ValueError, match="columns hold NaN or infinity"):
        principal_angles(a * torch.nan, b)


def test_mistakes_are_named():
    x = normal(60, 5)
    with pytest.raises(ValueError, match="class 3 has one example"):
        within_class_participation_ratio(x, torch.cat([torch.arange(59) % 3, torch.tensor([3])]))
    with pytest.raises(ValueError, match="one is -1"):
        confusion(torch.tensor([0, -1]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="do not fit"):
        confusion(torch.tensor([0, 1, 1]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="class 1 has no example"):
        class_means(x, 2 * (Y > 1))
    with pytest.raises(ValueError, match="one for each of 60 examples"):
        scatter_ratio(x, Y[:9])
    with pytest.raises(ValueError, match="no class has any spread"):
        scatter_ratio(torch.eye(4)[Y], Y)
    with pytest.raises(ValueError, match="dimension = 4: wanted is 1 to 3"):
        class_mean_subspace(x, Y, 4)
    with pytest.raises(ValueError, match="span fewer than 3"):
        class_mean_subspace(x * torch.tensor([1, 1, 0, 0, 0]), Y)
    with pytest.raises(ValueError, match="all class means coincide"):
        readout_alignment(torch.ones(60, 5), Y, x[:5, :2])
    with pytest.raises(ValueError, match="linearly dependent"):
        principal_angles(torch.ones(5, 2), x[:5, :2])
