"""The neighbour search equals a direct one, also where the fast product loses the distances."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynatlas.instruments.dimension import local_participation_ratio, mle_dimension, scale_curve
from dynatlas.instruments.information import mixed_ksg
from dynatlas.instruments.neighbours import knn_distances, nearest_neighbours
from dynatlas.instruments.probes import knn_accuracy


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def directly(points, k):
    squared = (points.unsqueeze(-2) - points.unsqueeze(-3)).square().sum(dim=-1)
    squared.diagonal(dim1=-2, dim2=-1).fill_(torch.inf)
    found = squared.sort(dim=-1, stable=True)
    return found.values[..., :k].sqrt(), found.indices[..., :k]


def tight_pairs():
    """Points far apart, each with a twin 1e-9 away: a product of coordinates cannot see the twin."""
    far = 1e3 * normal(100, 6)
    return torch.cat([far, far + 1e-9 * normal(100, 6, seed=1)])


def tight_cluster():
    return torch.cat([1e4 + 1e-8 * normal(150, 6), normal(50, 6, seed=1)])


def lattice():
    axis = torch.arange(6, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis, axis)


CLOUDS = {
    "Gaussian": normal(200, 6),
    "tight pairs": tight_pairs(),
    "tight cluster": tight_cluster(),
    "lattice": lattice(),
    "far from the origin": 1e6 + normal(200, 6),
}


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("k", [1, 5, 150])
def test_equals_a_direct_search(cloud, k):
    found = nearest_neighbours(CLOUDS[cloud], k)
    distances, indices = directly(CLOUDS[cloud], k)
    torch.testing.assert_close(found.distances, distances, rtol=1e-14, atol=0)
    assert torch.equal(found.indices, indices)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_blocks_do_not_matter(cloud):
    points = torch.stack([CLOUDS[cloud], CLOUDS[cloud].flip(0), 2 * CLOUDS[cloud]])
    whole = nearest_neighbours(points, 7)
    for budget in (1, 5_000, 500_000):
        part = nearest_neighbours(points, 7, budget=budget)
        assert torch.equal(part.distances, whole.distances)
        assert torch.equal(part.indices, whole.indices)


def test_one_more_cloud_leaves_the_others():
    points = normal(5, 100, 8)
    assert torch.equal(nearest_neighbours(points, 9).distances[:3], nearest_neighbours(points[:3], 9).distances)


def test_leading_axes_are_kept():
    assert knn_distances(normal(2, 3, 30, 4), 5).shape == (2, 3, 30, 5)
    assert knn_distances(normal(30, 4), 29).shape == (30, 29)


@pytest.mark.parametrize("k", [1, 5, 59])
def test_copies_are_no_neighbours(k):
    points = normal(60, 6)
    alone = nearest_neighbours(points, k)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(2))
    where = torch.cat([torch.arange(60), torch.arange(60), torch.arange(30)])[order]  # which point stands in which row
    crowd = torch.stack([points[where], normal(150, 6, seed=3)])
    found, first = nearest_neighbours(crowd, k), (where == torch.arange(60)[:, None]).int().argmax(dim=1)
    assert torch.equal(found.distances[0, first], alone.distances)
    assert torch.equal(where[found.indices[0, first]], alone.indices)
    later = torch.ones(150, dtype=torch.bool)
    later[first] = False
    assert int(later.sum()) == 90
    assert not found.distances[0, later].any()
    assert torch.equal(found.indices[0, later], first[where[later]][:, None].expand(-1, k))
    assert torch.equal(found.distances[1], nearest_neighbours(crowd[1], k).distances)


def test_zero_has_no_sign_and_too_few_distinct_points_are_counted():
    zeros = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [3.0, 1.0]])
    assert knn_distances(zeros, 1)[:, 0].tolist() == [3.0, 0.0, 3.0]
    clouds = torch.stack([normal(6, 2), normal(2, 2).repeat(3, 1)])
    with pytest.raises(ValueError, match=r"cloud \[1\]: fewer than 3 distinct points \(2;"):
        nearest_neighbours(clouds, 2)
    with pytest.raises(ValueError, match="cannot be told apart"):
        nearest_neighbours(torch.tensor([[0.0], [1e-200], [1.0]], dtype=torch.float64), 1)


@pytest.mark.parametrize("size", [2.0**-1000, 2.0**-300, 2.0**600, 2.0**1000])
def test_a_power_of_two_changes_no_digit(size):
    points = normal(40, 3)
    assert torch.equal(knn_distances(size * points, 5), size * knn_distances(points, 5))


def test_input_is_left_alone():
    points = normal(50, 4)
    before = points.clone()
    nearest_neighbours(points, 5)
    assert torch.equal(points, before)


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="1 to 9 neighbours"):
        knn_distances(normal(10, 3), 10)
    with pytest.raises(ValueError, match=r"shape \(10,\)"):
        knn_distances(normal(10), 2)
    points = normal(10, 3)
    points[4, 1] = torch.nan
    with pytest.raises(ValueError, match="1 rows, the first in row 4"):
        knn_distances(points, 2)


def test_counts_of_any_kind_of_integer():
    points = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nearest_neighbours(points, np.int64(4)).indices, nearest_neighbours(points, 4).indices)
    distances = nearest_neighbours(points, 8).distances
    assert torch.equal(scale_curve(distances, np.int64(4)).dimension, scale_curve(distances, 4).dimension)
    assert torch.equal(local_participation_ratio(points, np.int16(5)), local_participation_ratio(points, 5))
    labels = torch.arange(30) % 3
    for measure in (
        lambda: nearest_neighbours(points, 3.0),
        lambda: mle_dimension(distances, 3.0),
        lambda: local_participation_ratio(points, 3.0),
        lambda: mixed_ksg(points, points, k=3.0),
        lambda: knn_accuracy(points, labels, points, labels, k=3.0),
    ):
        with pytest.raises(ValueError, match=r"k = 3\.0: wanted is a whole number"):
            measure()
