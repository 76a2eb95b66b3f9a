"""Known shapes: where their points lie, and that they have the dimension they are said to have."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.datasets.manifolds import MANIFOLDS, draw_manifold, latent_manifold
from dynatlas.instruments.dimension import mle_dimension, participation_ratio
from dynatlas.instruments.neighbours import knn_distances


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(kind, n=1500, dimension=3, **options):
    return draw_manifold(kind, n, dimension, generator=generator(), **options)


@pytest.mark.parametrize("kind", MANIFOLDS)
@pytest.mark.parametrize("ambient", [None, 17])
def test_they_have_the_dimension_they_are_said_to_have(kind, ambient):
    points = draw(kind, ambient=ambient)
    assert points.dtype == torch.float64
    assert ambient is None or points.shape == (1500, ambient)
    assert float(mle_dimension(knn_distances(points, 10), 10)) == pytest.approx(3, rel=0.12)


@pytest.mark.parametrize("kind", MANIFOLDS)
def test_turning_keeps_every_distance(kind):
    plain, turned = draw(kind, n=40), draw(kind, n=40, ambient=20)
    torch.testing.assert_close(torch.pdist(turned), torch.pdist(plain), rtol=1e-10, atol=0)


def test_shapes():
    ball, sphere, cube = (draw(kind, n=20000) for kind in ("ball", "sphere", "cube"))
    radius = ball.norm(dim=1)
    assert radius.max() < 1
    assert (radius < 0.5).double().mean().item() == pytest.approx(1 / 8, abs=0.01)
    torch.testing.assert_close(sphere.norm(dim=1), torch.ones(20000, dtype=torch.float64), rtol=0, atol=1e-12)
    assert sphere.mean(dim=0).abs().max() < 0.03
    assert 0 <= cube.min() < cube.max() < 1
    assert float(participation_ratio(cube)) == pytest.approx(3, rel=0.01)
    roll = draw("swiss_roll", n=2000, dimension=2)
    turn = roll[:, [0, 2]].norm(dim=1)
    torch.testing.assert_close(roll[:, 0], turn * turn.cos(), rtol=0, atol=1e-10)
    assert 1.5 * math.pi < turn.min() < turn.max() < 4.5 * math.pi


def test_a_linear_subspace_is_one():
    points = draw("linear_subspace", n=100, dimension=4)
    assert points.shape == (100, 16)
    assert torch.linalg.matrix_rank(points) == 4


def test_mistakes_are_named():
    with pytest.raises(KeyError, match="did you mean 'sphere'"):
        draw("spere")
    with pytest.raises(ValueError, match="ambient = 3: this sphere needs 4"):
        draw("sphere", ambient=3)
    with pytest.raises(ValueError, match="dimension = 0"):
        draw("ball", dimension=0)


def test_latent_manifold_is_what_the_card_says():
    data = latent_manifold()
    assert (data.x.shape, data.y.shape, data.z.shape) == ((1800, 100), (1800,), (1800, 10))
    assert data.x.mean(dim=0).abs().max() < 1e-12
    assert float(data.x.std(correction=0)) == pytest.approx(1, abs=1e-12)
    assert torch.equal(data.y, 2 * (data.z[:, 0] > 0) + (data.z[:, 0] * data.z[:, 1] > 0).long())
    assert data.y.bincount().min() > 400
    held_out = data.x[1000:]
    assert 8.0 < float(mle_dimension(knn_distances(held_out, 20))) < 8.8
    assert torch.equal(latent_manifold().x, data.x)
    assert not torch.equal(latent_manifold(seed=1).x, data.x)


def test_latent_manifold_bends_but_keeps_its_latent_variables():
    data = latent_manifold(500, latents=3, features=400, ambient=300)
    assert torch.linalg.matrix_rank(data.x) > 20
    with pytest.raises(ValueError, match="latents = 1"):
        latent_manifold(10, latents=1)
