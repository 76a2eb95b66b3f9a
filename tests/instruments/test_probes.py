"""Probes against scikit-learn, and against what must come out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynatlas.instruments.cross_neighbours import cross_neighbours
from dynatlas.instruments.probes import decodability, fit_ridge, knn_accuracy, linear_probe, predict_ridge

SEEDS, TIMES, UNITS, CLASSES = 2, 3, 12, 4


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def states(n, *, seed=0, spread=1.0, dtype=torch.float64):
    """Clouds around one centre a class (seed, time, example, unit), with offsets, and labels (example,)."""
    y = torch.randint(CLASSES, (n,), generator=torch.Generator().manual_seed(seed))
    centres = normal(SEEDS, TIMES, CLASSES, UNITS, seed=99)
    return (centres[:, :, y] + spread * normal(SEEDS, TIMES, n, UNITS, seed=seed) + 3).to(dtype), y


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_linear_probe_is_scikit_learns_ridge_classifier(dtype):
    linear = pytest.importorskip("sklearn.linear_model")
    (x, y), (x_test, y_test) = states(80, spread=2.0, dtype=dtype), states(60, seed=1, spread=2.0, dtype=dtype)
    ours = linear_probe(x, y, x_test, y_test, alpha=0.5)
    assert ours.shape == (SEEDS, TIMES)
    for seed in range(SEEDS):
        for time in range(TIMES):
            theirs = linear.RidgeClassifier(alpha=0.5).fit(x[seed, time].double().numpy(), y.numpy())
            assert ours[seed, time].item() == theirs.score(x_test[seed, time].double().numpy(), y_test.numpy())
    assert 0.3 < ours.min() < ours.max() < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 5, 10])
def test_knn_is_scikit_learns(dtype, k):
    neighbours = pytest.importorskip("sklearn.neighbors")
    (x, y), (x_test, y_test) = states(80, spread=1.5, dtype=dtype), states(60, seed=1, spread=1.5, dtype=dtype)
    ours = knn_accuracy(x, y, x_test, y_test, k=k)
    for seed in range(SEEDS):
        for time in range(TIMES):
            theirs = neighbours.KNeighborsClassifier(k, algorithm="brute").fit(
                x[seed, time].double().numpy(), y.numpy()
            )
            assert ours[seed, time].item() == theirs.score(x_test[seed, time].double().numpy(), y_test.numpy())
    assert 0.3 < ours.min() < ours.max() < 1


def test_ridge_solves_its_normal_equations_and_alpha_is_not_scaled():
    x, z = normal(3, 40, 5) + 2, normal(3, 40, 2, seed=1)
    weights, constant = fit_ridge(x, z, alpha=0.7)
    error = z - predict_ridge((weights, constant), x)
    torch.testing.assert_close(x.mT @ error, 0.7 * weights, rtol=0, atol=1e-9)
    assert error.sum(dim=-2).abs().max() < 1e-10
    doubled = fit_ridge(x.repeat(1, 2, 1), z.repeat(1, 2, 1), alpha=1.4)[0]
    torch.testing.assert_close(doubled, weights, rtol=0, atol=1e-12)


def test_decodability_is_r2_of_ridge_regression():
    linear, metrics = (pytest.importorskip(f"sklearn.{name}") for name in ("linear_model", "metrics"))
    z, z_test = normal(70, 3), normal(50, 3, seed=1)
    mix = normal(SEEDS, 3, UNITS, seed=2)
    mix[:, 2] = 0
    x, x_test = z @ mix + 0.5 * normal(SEEDS, 70, UNITS, seed=3), z_test @ mix + 0.5 * normal(SEEDS, 50, UNITS, seed=4)
    ours = decodability(x, z, x_test, z_test, alpha=0.1)
    assert ours.shape == (SEEDS, 3)
    for seed in range(SEEDS):
        predicted = linear.Ridge(alpha=0.1).fit(x[seed].numpy(), z.numpy()).predict(x_test[seed].numpy())
        theirs = metrics.r2_score(z_test.numpy(), predicted, multioutput="raw_values")
        np.testing.assert_allclose(ours[seed].numpy(), theirs, rtol=0, atol=1e-10)
    assert ours[:, :2].min() > 0.9
    assert ours[:, 2].max() < 0.1


def test_an_exact_linear_latent_has_r2_one():
    x = normal(60, 6)
    z = x @ normal(6, 2, seed=1) - 4
    found = decodability(x[:40], z[:40], x[40:], z[40:], alpha=1e-9)
    torch.testing.assert_close(found, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-9)


def test_separated_classes_are_read_without_error_and_shuffled_labels_are_not():
    (x, y), (x_test, y_test) = states(200, spread=0.05), states(300, seed=1, spread=0.05)
    for probe in (linear_probe, knn_accuracy):
        assert torch.equal(probe(x, y, x_test, y_test), torch.ones(SEEDS, TIMES, dtype=torch.float64))
        shuffled = y[torch.randperm(200, generator=torch.Generator().manual_seed(3))]
        assert probe(x, shuffled, x_test, y_test).mean() < 0.6


@pytest.mark.parametrize("probe", [linear_probe, knn_accuracy])
def test_batched_equals_one_at_a_time_and_labels_may_differ_by_seed(probe):
    (x, y), (x_test, y_test) = states(50, spread=2.0), states(40, seed=1, spread=2.0)
    own = torch.stack([y, (y + 1) % CLASSES])[:, None].expand(SEEDS, TIMES, -1)
    own_test = torch.stack([y_test, (y_test + 1) % CLASSES])[:, None].expand(SEEDS, TIMES, -1)
    together = probe(x, own, x_test, own_test)
    for seed in range(SEEDS):
        for time in range(TIMES):
            alone = probe(x[seed, time], own[seed, time], x_test[seed, time], own_test[seed, time])
            assert torch.equal(together[seed, time], alone)


def brute(points, queries, k):
    squared = (queries.double()[..., :, None, :] - points.double()[..., None, :, :]).square().sum(dim=-1)
    return squared.sort(dim=-1, stable=True).indices[..., :k].sort(dim=-1).values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("budget", [50, 2**22])
@pytest.mark.parametrize("offset", [0, 1000])
def test_neighbours_are_those_of_a_direct_search(dtype, budget, offset):
    points, queries = (normal(2, 3, n, 7, seed=n).to(dtype) + offset for n in (60, 25))
    for k in (1, 6, 59, 60):
        found = cross_neighbours(points, queries, k, budget=budget)
        assert torch.equal(found.sort(dim=-1).values, brute(points, queries, k))


def test_equal_distances_go_to_the_earlier_point():
    """On a small lattice nearly every k-th distance is shared by several points, and duplicates abound."""
    lattice = torch.randint(3, (200, 3), generator=torch.Generator().manual_seed(0)).float()
    queries = torch.randint(3, (50, 3), generator=torch.Generator().manual_seed(1)).float()
    for k in (1, 4, 20, 199):
        found = cross_neighbours(lattice, queries, k)
        assert torch.equal(found.sort(dim=-1).values, brute(lattice, queries, k))


def test_equal_votes_go_to_the_first_class():
    x = torch.tensor([[-1.0], [1.0]])
    for labels, wanted in (([2, 0], 0), ([1, 2], 1)):
        y = torch.tensor(labels)
        assert knn_accuracy(x, y, torch.zeros(1, 1), torch.tensor([wanted]), k=2).item() == 1


def test_a_latent_that_is_constant_has_no_r2_whatever_its_mean_rounds_to():
    x, z = normal(9, 2), normal(9, 1)
    for value, count in ((0.1, 3), (0.1, 7), (1e5 / 3, 5), (0.0, 3)):
        with pytest.raises(ValueError, match="constant over the test examples"):
            decodability(x, z, x[:count], torch.full((count, 1), value, dtype=torch.float64))


@pytest.mark.parametrize("size", [1e-200, 2.0**-600, 2.0**600, 1e200])
def test_r2_does_not_ask_for_the_unit_of_the_latent(size):
    x, z = normal(60, 4), normal(60, 2, seed=1) + 0.1
    plain = decodability(x[:40], z[:40], x[40:], z[40:])
    found = decodability(x[:40], size * z[:40], x[40:], size * z[40:])
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-10)


def test_ridge_beside_huge_and_tiny_states():
    """A penalty is nothing beside huge states, and everything beside tiny ones."""
    x, z = normal(60, 4), normal(60, 2, seed=1) + normal(60, 4)[:, :2]
    least_squares = decodability(x[:40], z[:40], x[40:], z[40:], alpha=1e-13)
    for size in (1e100, 1e200):
        found = decodability(size * x[:40], z[:40], size * x[40:], z[40:])
        torch.testing.assert_close(found, least_squares, rtol=1e-9, atol=1e-9)
    mean = 1 - (z[40:] - z[:40].mean(0)).square().sum(0) / (z[40:] - z[40:].mean(0)).square().sum(0)
    torch.testing.assert_close(decodability(1e-200 * x[:40], z[:40], x[40:], z[40:]), mean, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match=r"alpha = 0\.1 is lost beside states as large as"):
        decodability(1e200 * x[:3], z[:3], x[40:], z[40:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int8])
def test_neighbours_among_half_precision_and_whole_numbers(dtype):
    points, queries = (20 * normal(60, 3, seed=seed).clamp(-4, 4) for seed in range(2))
    for given in ((points.to(dtype), queries.to(dtype)), (points.to(dtype), queries), (points.float(), queries)):
        found = cross_neighbours(*given, 5)
        assert torch.equal(found.sort(dim=-1).values, brute(*given, 5))


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_neighbours_of_which_single_precision_cannot_hold_the_squares(size):
    points, queries = (size * normal(60, 3, seed=seed).float() for seed in range(2))
    assert torch.equal(cross_neighbours(points, queries, 5).sort(dim=-1).values, brute(points, queries, 5))


def test_mistakes_are_named():
    x, y = states(20)
    with pytest.raises(ValueError, match="labels are empty"):
        linear_probe(x, y, x[..., :0, :], y[:0])
    with pytest.raises(ValueError, match="does not fit"):
        decodability(x, normal(5, 20, 1), x, normal(5, 20, 1))
    with pytest.raises(ValueError, match="targets hold NaN"):
        fit_ridge(x, normal(*x.shape[:-1], 1) * torch.nan, alpha=1)
    with pytest.raises(ValueError, match="alpha = 0"):
        linear_probe(x, y, x, y, alpha=0)
    with pytest.raises(ValueError, match="one for each of 20 examples"):
        linear_probe(x, y[:5], x, y)
    with pytest.raises(ValueError, match="whole numbers"):
        knn_accuracy(x, y.double(), x, y)
    with pytest.raises(ValueError, match="k = 21: wanted is 1 to 20"):
        knn_accuracy(x, y, x, y, k=21)
    with pytest.raises(ValueError, match="do not fit"):
        cross_neighbours(x, x[0], 3)
    with pytest.raises(ValueError, match="constant over the test examples"):
        decodability(x, normal(20, 1), x, torch.ones(20, 1))
    broken = x.clone()
    broken[1, 2, 3] = torch.nan
    for probe in (linear_probe, knn_accuracy):
        with pytest.raises(ValueError, match=r"NaN or infinity"):
            probe(broken, y, x, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_latent_that_is_constant_up_to_the_rounding_of_its_type_has_no_r2(dtype):
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    z = torch.tensor([[0.1], [0.3], [0.1]], dtype=dtype) - torch.tensor([[0.0], [0.2], [0.0]], dtype=dtype)
    assert len(z.unique()) == 2
    with pytest.raises(ValueError, match="constant over the test examples"):
        decodability(x, x[:, :1], x[:3], z)
    decodability(x, x[:, :1], x[:3], z + torch.tensor([[0.0], [0.1], [0.0]], dtype=dtype))
