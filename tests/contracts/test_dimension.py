"""What every dimension estimator must do, on clouds whose dimension is known."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.instruments.neighbours import nearest_neighbours
from dynatlas.instruments.registry import DIMENSION

POINTS = 600


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=generator(seed), dtype=torch.float64)


def rotation(size, seed=1):
    return torch.linalg.qr(normal(size, size, seed=seed)).Q


def embed(points, ambient):
    """Rotated into a larger space."""
    return torch.nn.functional.pad(points, (0, ambient - points.shape[-1])) @ rotation(ambient)


def sphere(d):
    points = normal(POINTS, d + 1)
    return points / points.norm(dim=-1, keepdim=True)


def ball(d):
    return sphere(d - 1) * uniform(POINTS, 1) ** (1 / d) if d > 1 else 2 * uniform(POINTS, 1) - 1


def swiss_roll():
    turn, height = 1.5 * math.pi * (1 + 2 * uniform(POINTS)), 21 * uniform(POINTS, seed=5)
    return torch.stack([turn * turn.cos(), height, turn * turn.sin()], dim=-1)


MANIFOLDS = {
    "line": (1, normal(POINTS, 1)),
    "disc": (2, ball(2)),
    "ball in 5": (5, ball(5)),
    "circle": (1, sphere(1)),
    "sphere": (2, sphere(2)),
    "sphere in 5": (4, sphere(4)),
    "Swiss roll": (2, swiss_roll()),
    "Gaussian in 3": (3, normal(POINTS, 3)),
}
LINEAR = ("line", "disc", "ball in 5", "Gaussian in 3")
LOCAL = sorted(set(DIMENSION) - {"participation_ratio"})


def dimension(name, points):
    return DIMENSION[name](points, nearest_neighbours(points, 49))


@pytest.fixture(params=sorted(DIMENSION))
def name(request):
    return request.param


@pytest.mark.parametrize("estimator", LOCAL)
@pytest.mark.parametrize("manifold", MANIFOLDS)
@pytest.mark.parametrize("ambient", [None, 20])
def test_known_manifolds_in_several_ambient_sizes(estimator, manifold, ambient):
    wanted, points = MANIFOLDS[manifold]
    points = points if ambient is None else embed(points, ambient)
    assert float(dimension(estimator, points)) == pytest.approx(wanted, rel=0.2)


@pytest.mark.parametrize("manifold", LINEAR)
def test_participation_ratio_counts_equal_directions(manifold):
    wanted, points = MANIFOLDS[manifold]
    assert float(dimension("participation_ratio", embed(points, 12))) == pytest.approx(wanted, rel=0.05)


def test_invariant_to_rotation_shift_and_scale(name):
    points = normal(POINTS, 6) * torch.tensor([1, 1, 0.8, 0.8, 0.1, 0.1], dtype=torch.float64)
    plain = dimension(name, points)
    moved = 1e-3 * points @ rotation(6) + normal(6, seed=9)
    torch.testing.assert_close(dimension(name, moved), plain, rtol=1e-6, atol=0)


def test_constant_columns_change_nothing(name):
    points = normal(POINTS, 4)
    padded = torch.cat([points, torch.full((POINTS, 3), 7.25, dtype=torch.float64)], dim=-1)
    torch.testing.assert_close(dimension(name, padded), dimension(name, points), rtol=1e-9, atol=0)


def test_order_of_points_does_not_matter(name):
    points = normal(POINTS, 4)
    order = torch.randperm(POINTS, generator=generator(3))
    torch.testing.assert_close(dimension(name, points[order]), dimension(name, points), rtol=1e-10, atol=0)


def test_clouds_in_a_batch_are_measured_one_by_one(name):
    clouds = normal(2, 3, 120, 5)
    together = dimension(name, clouds)
    assert together.shape == (2, 3)
    assert together.dtype == torch.float64
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(together[i, j], dimension(name, clouds[i, j]), rtol=1e-12, atol=0)


def test_float32_is_measured_in_float64(name):
    points = normal(POINTS, 4).float()
    assert torch.equal(dimension(name, points), dimension(name, points.double()))


def test_copies_count_once(name):
    points = normal(POINTS, 3)
    crowded = torch.cat([points, points[:200], points[:100]])
    closeness = 0.1 if name == "participation_ratio" else 1e-12  # of a spread copies are part
    assert float(dimension(name, crowded)) == pytest.approx(float(dimension(name, points)), rel=closeness)


def test_points_that_all_coincide_are_an_error(name):
    cloud = normal(1, 4).expand(POINTS, 4)
    with pytest.raises(ValueError, match=r"coincide|fewer than|no point|no neighbourhood"):
        dimension(name, cloud)
    with pytest.raises(ValueError, match=r"cloud \[1\]"):
        dimension(name, torch.stack([normal(POINTS, 4), cloud]))


def test_values_that_are_not_finite_are_named(name):
    points = normal(2, 100, 4)
    points[1, 17, 2] = torch.nan
    points[1, 30, 0] = torch.inf
    with pytest.raises(ValueError, match=r"2 rows, the first in cloud \[1\], row 17"):
        dimension(name, points)
    neighbours = nearest_neighbours(normal(2, 100, 4), 49)
    if name in ("participation_ratio", "local_participation_ratio"):
        with pytest.raises(ValueError, match="row 17"):
            DIMENSION[name](points, neighbours)


def test_too_few_points_are_an_error(name):
    with pytest.raises(ValueError, match="clouds of 30 points have 1 to 29 neighbours"):
        dimension(name, normal(30, 4))
