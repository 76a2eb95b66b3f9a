"""Mutual information against closed forms, and against a slow, direct reading of the estimator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.special import digamma

from dynatlas.instruments.information import mixed_ksg

N = 1500


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def whole(high, *shape, seed=0):
    return torch.randint(high, shape, generator=generator(seed)).double()


def direct(x, y, k):
    """Sample by sample, with trees and the next smaller float as the open radius."""
    x, y = x.numpy(), y.numpy()
    joint = np.concatenate([x, y], axis=1)
    trees = [cKDTree(part) for part in (joint, x, y)]
    total = 0.0
    for i in range(len(x)):
        rho = trees[0].query(joint[i], k + 1, p=np.inf)[0][-1]
        radius = 0.0 if rho == 0 else np.nextafter(rho, 0)
        counts = [
            len(tree.query_ball_point(part[i], radius, p=np.inf)) for tree, part in zip(trees[1:], (x, y), strict=True)
        ]
        own = len(trees[0].query_ball_point(joint[i], 0.0, p=np.inf)) if rho == 0 else k
        total += digamma(own) + math.log(len(x)) - digamma(counts[0]) - digamma(counts[1])
    return total / len(x)


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_a_direct_reading_gives_the_same(k, scale):
    grid = whole(3, 120, 1)
    pairs = {
        "continuous": (normal(120, 2), normal(120, 3, seed=1)),
        "discrete": (grid, (grid + whole(2, 120, 1, seed=2)) % 3),
        "mixed": (grid, grid + normal(120, 1, seed=3).clamp(min=0)),
    }
    for name, (x, y) in pairs.items():
        found = mixed_ksg(scale * x, scale * y, k=k).item()
        assert found == pytest.approx(direct(scale * x, scale * y, k), abs=1e-12), name


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_correlated_gaussians(rho):
    z = normal(N, 2)
    y = rho * z[:, :1] + math.sqrt(1 - rho**2) * z[:, 1:]
    assert mixed_ksg(z[:, :1], y).item() == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.06)


def test_several_dimensions_add_up():
    z, noise = normal(N, 2), normal(N, 2, seed=1)
    y = 0.8 * z + 0.6 * noise
    assert mixed_ksg(z, y).item() == pytest.approx(-2 * math.log(0.6), abs=0.08)


def test_discrete_variables():
    x = whole(6, N, 1)
    share = torch.bincount(x[:, 0].long()) / N
    assert mixed_ksg(x, x).item() == pytest.approx(float(torch.special.entr(share).sum()), abs=0.01)
    assert mixed_ksg(x, whole(4, N, 1, seed=1)).item() == pytest.approx(0, abs=0.02)


def test_a_discrete_cause_of_a_continuous_variable():
    """X uniform on 0 ... m - 1, Y uniform on X ... X + 2: ln m - (m - 1) ln 2 / m (Gao et al. 2017, experiment I)."""
    m = 5
    x = whole(m, N, 1)
    y = x + 2 * torch.rand(N, 1, generator=generator(1), dtype=torch.float64)
    assert mixed_ksg(x, y).item() == pytest.approx(math.log(m) - (m - 1) * math.log(2) / m, abs=0.06)


def test_a_mixture_of_point_masses_and_a_density():
    """Half of the pairs are (b, b), b = 10 or 11, half independent normals: ln 2 for which half, ln 2 / 2 for b."""
    bit = 10 + whole(2, N, 1)
    mass = whole(2, N, 1, seed=1).bool()
    x, y = torch.where(mass, bit, normal(N, 1, seed=2)), torch.where(mass, bit, normal(N, 1, seed=3))
    assert mixed_ksg(x, y).item() == pytest.approx(1.5 * math.log(2), abs=0.06)


def test_symmetry_scale_and_order():
    x, y = normal(200, 2), normal(200, 1, seed=1)
    y = y + x[:, :1]
    plain = mixed_ksg(x, y)
    torch.testing.assert_close(mixed_ksg(y, x), plain, rtol=0, atol=1e-12)
    torch.testing.assert_close(mixed_ksg(1024 * x, 1024 * y), plain, rtol=0, atol=1e-12)
    few = (x.round(), y.round())  # joint neighbours coincide: within 1e-15 lie all points of tiny data
    torch.testing.assert_close(mixed_ksg(*(2.0**-70 * part for part in few), k=1), mixed_ksg(*few, k=1))
    order = torch.randperm(200, generator=generator(4))
    torch.testing.assert_close(mixed_ksg(x[order], y[order]), plain, rtol=0, atol=1e-12)


def test_batches_and_blocks_change_nothing(monkeypatch):
    x, y = normal(2, 3, 80, 2), normal(2, 3, 80, 1, seed=1)
    together = mixed_ksg(x, y)
    assert together.shape == (2, 3)
    monkeypatch.setattr("dynatlas.instruments.information.BUDGET", 700)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(mixed_ksg(x[i, j], y[i, j]), together[i, j], rtol=0, atol=1e-13)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="k = 20: wanted is 1 to 19 for 20 samples"):
        mixed_ksg(normal(20, 1), normal(20, 1), k=20)
    with pytest.raises(ValueError, match="the same samples"):
        mixed_ksg(normal(20, 1), normal(19, 1))
    with pytest.raises(ValueError, match="row 0"):
        mixed_ksg(normal(20, 1) * torch.nan, normal(20, 1))
