"""Dimension estimators against their formulas, worked out by hand or slowly, and against scikit-dimension."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

from dynatlas.instruments.dimension import (
    count_duplicates,
    effective_rank,
    local_participation_ratio,
    mle_dimension,
    participation_ratio,
    scale_curve,
    twonn_dimension,
)
from dynatlas.instruments.dimension_profile import bias_table, dimension_interval, dimension_profile, measure_dimension
from dynatlas.instruments.neighbours import knn_distances, nearest_neighbours


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def crosses(*lengths):
    """Points at plus and minus `length` on each axis: their covariance is diagonal, with entries length^2."""
    axes = torch.diag(tensor(*lengths))
    return torch.cat([axes, -axes])


@pytest.mark.parametrize("lengths", [(1.0, 1.0, 1.0), (3.0, 2.0, 1.0, 0.5), (1.0, 0.0)])
def test_participation_ratio_of_a_known_covariance(lengths):
    variance = [length**2 for length in lengths]
    wanted = sum(variance) ** 2 / sum(v**2 for v in variance)
    assert float(participation_ratio(crosses(*lengths))) == pytest.approx(wanted, rel=1e-13)
    wide = torch.nn.functional.pad(crosses(*lengths), (0, 40))
    assert float(participation_ratio(wide)) == pytest.approx(wanted, rel=1e-13)


def test_participation_ratio_equals_that_of_the_eigenvalues():
    points = normal(3, 80, 12) * torch.linspace(0.1, 2, 12, dtype=torch.float64) + 5
    values = torch.linalg.eigvalsh(torch.stack([torch.cov(cloud.T) for cloud in points]))
    torch.testing.assert_close(participation_ratio(points), values.sum(-1) ** 2 / values.square().sum(-1))


def pareto_distances(d, n, *, shuffled=True):
    """r_1, r_2 whose log ratios are the exact quantiles of an exponential law with rate d."""
    log_mu = -torch.log1p(-torch.arange(1, n + 1, dtype=torch.float64) / n) / d
    log_mu[-1] = 10.0
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0)) if shuffled else torch.arange(n)
    first = 1 + torch.rand(n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.stack([first, first * log_mu[order].exp()], dim=-1)


@pytest.mark.parametrize("d", [0.5, 3.0, 17.0])
@pytest.mark.parametrize("discard", [0.1, 0.4])
def test_twonn_reads_the_rate_off_exact_quantiles(d, discard):
    assert float(twonn_dimension(pareto_distances(d, 50), discard)) == pytest.approx(d, rel=1e-10)


def test_twonn_by_likelihood_on_four_points():
    mu = tensor(1.5, 4.0, 2.0, 3.0)
    distances = torch.stack([torch.ones(4, dtype=torch.float64), mu], dim=-1)
    everything = 3 / float(mu.log().sum())
    assert float(twonn_dimension(distances, 0.0, method="mle")) == pytest.approx(everything)
    censored = 1 / (math.log(1.5) + math.log(2.0) + 2 * math.log(2.0))
    assert float(twonn_dimension(distances, 0.5, method="mle")) == pytest.approx(censored)


def test_twonn_by_likelihood_is_unbiased_under_censoring():
    log_mu = torch.empty(20_000, 12, dtype=torch.float64).exponential_(4.0, generator=torch.Generator().manual_seed(0))
    distances = torch.stack([torch.ones_like(log_mu), log_mu.exp()], dim=-1)
    for discard in (0.0, 0.25):
        found = twonn_dimension(distances, discard, method="mle")
        assert abs(float(found.mean()) - 4.0) < 4 * float(found.std()) / 20_000**0.5


def test_copies_of_points_change_no_estimate_of_two_nn():
    """500 Gaussian points in ten dimensions and 600 copies of some: 32.5 where copies are neighbours."""
    points = normal(500, 10)
    copied = torch.randint(500, (600,), generator=torch.Generator().manual_seed(1))
    crowd = torch.cat([points, points[copied]])
    wanted = measure_dimension(points, ["twonn", "twonn_mle", "mle", "local_participation_ratio"])
    found = measure_dimension(crowd, list(wanted), dropped=True)
    assert int(found.pop("dropped")) == 600
    for name, value in wanted.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-12), name
    assert 8 < float(found["twonn"]) < 11


def test_duplicates_are_dropped_from_the_ratios():
    distances = pareto_distances(3.0, 50)
    crowded = torch.cat([distances, tensor([0.0, 1.0], [0.0, 0.0])])
    for method in ("linear", "mle"):
        torch.testing.assert_close(
            twonn_dimension(crowded, method=method), twonn_dimension(distances, method=method), rtol=1e-13, atol=0
        )
    assert int(count_duplicates(crowded)) == 2


def test_mle_by_hand():
    distances = tensor([1.0, 2.0, 4.0, 9.0], [1.0, 1.0, 8.0, 9.0], [0.0, 1.0, 1.0, 1.0])
    each = [2 / (math.log(4) + math.log(2)), 2 / (2 * math.log(8))]
    assert float(mle_dimension(distances, 3)) == pytest.approx(2 / sum(1 / d for d in each))
    assert float(mle_dimension(distances, 3, combine="mean")) == pytest.approx(sum(each) / 2)


@pytest.mark.parametrize("d", [1, 4])
def test_mle_on_a_ball_seen_from_its_centre(d):
    k = 4000
    radii = (torch.arange(1, k + 1, dtype=torch.float64) / k) ** (1 / d)
    assert float(mle_dimension(radii[None], k)) == pytest.approx(d, rel=2e-3)


def test_scale_curve_maximises_its_likelihood():
    distances = knn_distances(normal(300, 3), 16)
    curve = scale_curve(distances, 8)
    assert curve.neighbours.tolist() == [1, 2, 4, 8]
    grid = torch.linspace(1.0, 6.0, 5001, dtype=torch.float64)
    for i, n in enumerate(curve.neighbours.tolist()):
        log_mu = (distances[:, 2 * n - 1] / distances[:, n - 1]).log()
        likelihood = torch.stack(
            [(d.log() + (n - 1) * torch.expm1(d * log_mu).log() - ((2 * n - 1) * d + 1) * log_mu).sum() for d in grid]
        )
        assert float(curve.dimension[i]) == pytest.approx(float(grid[likelihood.argmax()]), abs=1.01e-3)
        assert float(curve.radius[i]) == pytest.approx(float(distances[:, 2 * n - 1].mean()))
    first = (distances[:, 1] / distances[:, 0]).log()
    assert float(curve.dimension[0]) == pytest.approx(300 / float(first.sum()), rel=1e-12)


def test_scale_curve_sees_noise_at_small_scales_and_the_line_at_large_ones():
    line = torch.rand(1500, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noisy = torch.nn.functional.pad(20 * line, (0, 2)) + 0.05 * normal(1500, 3)
    curve = scale_curve(knn_distances(noisy, 128)).dimension
    assert abs(curve[0] - 3) < 4 * 3 / 1500**0.5, "the noise fills three dimensions"
    assert abs(curve[-1] - 1) < 0.1
    assert (curve[1:].diff() < 0).all()


def test_local_participation_ratio_point_by_point():
    points = normal(2, 70, 5)
    found = local_participation_ratio(points, 12)
    for cloud, value in zip(points, found, strict=True):
        nearest = torch.cdist(cloud, cloud).argsort(dim=-1)[:, :12]
        spectra = torch.stack([torch.linalg.eigvalsh(torch.cov(cloud[near].T)) for near in nearest])
        ratio = spectra.sum(-1).square() / spectra.square().sum(-1)
        assert float(value) == pytest.approx(float(ratio.mean()), rel=1e-10)
    again = local_participation_ratio(points, 12, neighbours=nearest_neighbours(points, 30))
    assert torch.equal(again, found)


def test_a_heap_of_copies_is_one_point():
    points = normal(100, 4)
    heap = torch.full((40, 4), 50.1, dtype=torch.float64)
    crowd, alone = torch.cat([points, heap]), torch.cat([points, heap[:1]])
    torch.testing.assert_close(local_participation_ratio(crowd, 20), local_participation_ratio(alone, 20))
    near, wanted = (scale_curve(knn_distances(cloud, 8), 4) for cloud in (crowd, alone))
    torch.testing.assert_close(near.dimension, wanted.dimension, rtol=1e-10, atol=0)
    torch.testing.assert_close(near.radius, wanted.radius, rtol=1e-10, atol=0)


def test_scale_curve_answers_in_the_units_of_the_data():
    distances = knn_distances(normal(60, 3), 8)
    plain = scale_curve(distances, 4)
    for c in (1e-150, 1e150):
        scaled = scale_curve(c * distances, 4)
        torch.testing.assert_close(scaled.radius / c, plain.radius, rtol=1e-10, atol=0)
        torch.testing.assert_close(scaled.dimension, plain.dimension, rtol=1e-9, atol=0)


@pytest.mark.parametrize("size", [7e-83, 1e-160, 1e160])
def test_participation_ratio_does_not_under_or_overflow(size):
    """The squares of its squares would."""
    points = normal(80, 3)
    assert float(participation_ratio(size * points)) == pytest.approx(float(participation_ratio(points)), rel=1e-12)


def test_effective_rank_by_hand():
    spectrum = tensor([4.0, 4.0, 0.0, 0.0], [8.0, 4.0, 0.5, 0.3], [1.0, 1.0, 1.0, 1.0])
    entropy = effective_rank(spectrum)
    assert entropy[[0, 2]].tolist() == pytest.approx([2.0, 4.0])
    p = spectrum[1] / spectrum[1].sum()
    assert float(entropy[1]) == pytest.approx(math.exp(-float((p * p.log()).sum())))
    assert effective_rank(spectrum, "participation").tolist() == pytest.approx([2.0, 12.8**2 / 80.34, 4.0])
    assert effective_rank(spectrum, "largest").tolist() == pytest.approx([2.0, 1.6, 4.0])
    assert effective_rank(spectrum, "threshold").tolist() == [2, 3, 4]


def test_effective_rank_by_participation_is_the_participation_ratio():
    points = normal(60, 8)
    values = torch.linalg.eigvalsh(torch.cov(points.T))
    torch.testing.assert_close(effective_rank(values, "participation"), participation_ratio(points))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: twonn_dimension(r, 0.0), "discard = 0.0"),
        (lambda r: twonn_dimension(r, method="median"), "method = 'median'"),
        (lambda r: mle_dimension(r, 7), "7 neighbours of each point are needed, distances are given to 6"),
        (lambda r: mle_dimension(r, 5, combine="sum"), "combine = 'sum'"),
        (lambda r: mle_dimension(r, 1), "k = 1"),
        (lambda r: scale_curve(r, 4), "8 neighbours"),
        (lambda r: twonn_dimension(r.flip(-1)), "ascending"),
        (lambda r: mle_dimension(torch.ones_like(r), 5), "unequal distances"),
        (lambda r: mle_dimension(torch.zeros_like(r), 5), "no point"),
        (lambda r: twonn_dimension(r[:2]), "fewer than 2"),
        (lambda r: effective_rank(-r), "not negative"),
        (lambda r: effective_rank(r, "entropi"), "did you mean 'entropy'"),
        (lambda r: effective_rank(torch.zeros(3)), "all values are 0"),
        (lambda r: local_participation_ratio(normal(20, 3), 2), "at least 3"),
    ],
)
def test_errors_name_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(knn_distances(normal(20, 3), 6))


def test_profile_is_tidy_and_counts_what_is_dropped():
    wide = normal(2, 120, 30)
    dead = torch.nn.functional.relu(wide[..., :2] - 0.5)
    frame = dimension_profile({"input": wide, "dead": dead}, estimators=["mle", "participation_ratio"], seeds=[4, 7])
    assert list(frame.columns) == ["layer", "depth", "seed", "estimator", "value", "dropped"]
    assert len(frame) == 8
    assert not frame.duplicated(["layer", "seed", "estimator"]).any()
    row = frame.query("layer == 'input' and seed == 7 and estimator == 'mle'")["value"].item()
    assert row == float(mle_dimension(knn_distances(wide[1], 20)))
    zeros = (dead[0] == 0).all(dim=-1).sum()
    assert zeros > 10
    assert (frame.query("layer == 'dead' and seed == 4")["dropped"] == int(zeros) - 1).all()
    assert (frame.query("layer == 'input'")["dropped"] == 0).all()
    with pytest.raises(ValueError, match="did you mean 'twonn'"):
        dimension_profile({"input": wide}, estimators=["twon"], seeds=[4, 7])
    with pytest.raises(ValueError, match=r"layer 'input': shape \(2, 120, 30\)"):
        dimension_profile({"input": wide})


@pytest.mark.parametrize("estimator", ["mle", "twonn", "participation_ratio"])
@pytest.mark.parametrize("fraction", [0.3, 0.5])
def test_standard_error_from_subsets_is_that_over_fresh_clouds(estimator, fraction):
    clouds = normal(300, 300, 4) * tensor(1.0, 1.0, 0.8, 0.6)
    spread = float(measure_dimension(clouds, [estimator])[estimator].std())
    draw = torch.Generator().manual_seed(1)
    found = dimension_interval(clouds[:40], estimator, generator=draw, fraction=fraction, draws=30)
    assert float(found.standard_error.mean()) == pytest.approx(spread, rel=0.25)
    assert torch.equal(found.value, measure_dimension(clouds[:40], [estimator])[estimator])
    torch.testing.assert_close(found.high - found.low, 2 * 1.959964 * found.standard_error, rtol=1e-6, atol=0)


def test_intervals_hold_the_mean_of_fresh_clouds_as_often_as_they_say():
    clouds = normal(200, 200, 3)
    truth = measure_dimension(clouds, ["mle"])["mle"].mean()
    found = dimension_interval(clouds, generator=torch.Generator().manual_seed(1), draws=20, level=0.8)
    share = ((found.low < truth) & (truth < found.high)).double().mean()
    assert 0.68 < float(share) < 0.92


def test_subsets_have_no_point_twice():
    found = dimension_interval(normal(60, 3), generator=torch.Generator().manual_seed(0), fraction=0.9)
    assert torch.isfinite(found.standard_error)
    with pytest.raises(ValueError, match="fraction = 1"):
        dimension_interval(normal(60, 3), generator=torch.Generator(), fraction=1)
    with pytest.raises(ValueError, match="draws = 1"):
        dimension_interval(normal(60, 3), generator=torch.Generator(), draws=1)


def test_bias_grows_with_dimension_and_falls_with_the_number_of_points():
    table = bias_table(
        lambda n, d: normal(6, n, d), points=[100, 400], dimensions=[2, 8, 20], estimators=["mle", "twonn"]
    )
    assert list(table.columns) == ["points", "dimension", "estimator", "cloud", "value"]
    assert len(table) == 2 * 3 * 2 * 6
    share = (
        (table["value"] / table["dimension"]).groupby([table["estimator"], table["points"], table["dimension"]]).mean()
    )
    for estimator in ("mle", "twonn"):
        assert share[estimator, 400, 2] == pytest.approx(1, abs=0.1)
        assert share[estimator, 100, 20] < share[estimator, 400, 20] < share[estimator, 400, 8] < 1.02


@pytest.mark.parametrize("name", ["mle", "twonn", "local_participation_ratio", "participation_ratio"])
def test_all_estimators_at_once_are_each_alone(name):
    points = normal(2, 90, 5)
    together = measure_dimension(
        points, ["mle", "twonn", "local_participation_ratio", "participation_ratio"], dropped=True
    )
    alone = measure_dimension(points, [name])
    torch.testing.assert_close(together[name], alone[name], rtol=1e-12, atol=0)
    assert together["dropped"].tolist() == [0, 0]


@pytest.fixture(scope="module")
def skdim():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("skdim")


@pytest.mark.parametrize("ambient", [10, 40])
@pytest.mark.parametrize("method", ["linear", "mle"])
@pytest.mark.parametrize("discard", [0.1, 0.3])
def test_twonn_agrees_with_scikit_dimension(skdim, ambient, method, discard):
    points = normal(500, ambient) @ normal(ambient, ambient, seed=1)
    peer = skdim.id.TwoNN(discard_fraction=discard, method=method).fit(points.numpy()).dimension_
    found = float(twonn_dimension(knn_distances(points, 2), discard, method=method))
    assert found == pytest.approx(peer, rel=1e-7), "its distances in more than 25 dimensions come from a product"
    exact = skdim.id.TwoNN(discard_fraction=discard, method=method, dist=True)
    assert found == pytest.approx(exact.fit(knn_distances(points, 2).numpy()).dimension_, rel=1e-12)


def test_clouds_with_copies_agree_with_scikit_dimension_without(skdim):
    points = normal(300, 6)
    peer = skdim.id.TwoNN().fit(points.numpy()).dimension_
    distances = knn_distances(torch.cat([points, points[:30]]), 2)
    assert int(count_duplicates(distances)) == 30
    assert float(twonn_dimension(distances)) == pytest.approx(peer, rel=1e-10)


@pytest.mark.parametrize("k", [5, 20])
@pytest.mark.parametrize(("combine", "comb"), [("harmonic", "mle"), ("mean", "mean")])
def test_mle_agrees_with_scikit_dimension(skdim, k, combine, comb):
    points = normal(400, 7)
    peer = skdim.id.MLE().fit(points.numpy(), n_neighbors=k, comb=comb).dimension_
    assert float(mle_dimension(knn_distances(points, k), k, combine=combine)) == pytest.approx(peer, rel=1e-10)


def test_participation_ratio_agrees_with_scikit_dimension(skdim):
    points = normal(400, 7) * torch.linspace(0.3, 2, 7, dtype=torch.float64)
    peer = skdim.id.lPCA(ver="participation_ratio").fit(points.numpy()).dimension_
    assert float(participation_ratio(points)) == pytest.approx(peer, rel=1e-10)
