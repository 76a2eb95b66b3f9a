"""Intervals and p values against scipy, brute force and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dynatlas.claims.verdicts import HYPOTHESES, p_sign_flip, p_value
from dynatlas.intervals import mean_interval, sign_flip_p, t_p
from dynatlas.statistics import icc, ranks, slope, spearman


@pytest.fixture
def rng() -> np.random.Generator:
    """A stream of the test's own: no test's draws depend on which ran before it."""
    return np.random.default_rng(11)


@pytest.mark.parametrize("n", [2, 5, 8, 20])
@pytest.mark.parametrize("level", [0.9, 0.95, 1 - 0.05 * 5 / 9])
def test_interval_is_students(n: int, level: float, rng: np.random.Generator) -> None:
    x = rng.normal(3, 2, size=(4, n))
    mean, low, high = mean_interval(x, level)
    for row in range(4):
        expected = stats.ttest_1samp(x[row], 0).confidence_interval(level)
        assert (low[row], high[row]) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert mean == pytest.approx(x.mean(axis=1))


@pytest.mark.parametrize("value", [0.7, 0.0, -1e-300, 1e6 / 3])
@pytest.mark.parametrize("n", [1, 6, 7])
def test_without_spread_the_interval_is_the_point(value: float, n: int) -> None:
    assert [float(end) for end in mean_interval(np.full(n, value))] == [value] * 3


@pytest.mark.parametrize("bound", [0.0, 0.4])
def test_t_p_is_scipys(bound: float, rng: np.random.Generator) -> None:
    x = rng.normal(0.5, 1, size=(3, 8))
    expected = stats.ttest_1samp(x, bound, axis=1, alternative="greater").pvalue
    assert t_p(x, bound) == pytest.approx(expected, rel=1e-10)


def test_p_without_spread_is_that_of_the_sign_flips() -> None:
    assert t_p(np.full(8, 0.2), 0.0) == sign_flip_p(np.full(8, 0.2), 0.0) == 2.0**-8
    assert t_p(np.full(8, -0.2), 0.0) == sign_flip_p(np.full(8, -0.2), 0.0) == 1.0
    assert t_p(np.zeros(8), 0.0) == sign_flip_p(np.zeros(8), 0.0) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=9), st.integers(-3, 3))
def test_sign_flips_by_enumeration(values: list[int], bound: int) -> None:
    d = np.array(values) - bound
    sums = [np.dot(signs, d) for signs in itertools.product([-1, 1], repeat=len(d))]
    assert sign_flip_p(np.array(values, dtype=float), bound) == np.mean([one >= d.sum() for one in sums])


def test_sign_flips_above_enumeration_join_on() -> None:
    x = np.random.default_rng(3).normal(0.25, 1, size=41)
    assert sign_flip_p(x, 0) == pytest.approx(sign_flip_p(x[:40], 0), rel=0.35)
    assert sign_flip_p(np.zeros(41), 0) == 1.0


def test_sign_flip_p_is_exact_under_the_null() -> None:
    x = np.random.default_rng(4).standard_t(3, size=(4000, 6))
    p = np.array([sign_flip_p(one, 0) for one in x])
    for alpha in (1 / 64, 4 / 64, 16 / 64):
        assert np.mean(p <= alpha) == pytest.approx(alpha, abs=4 * np.sqrt(alpha / 4000))


def test_p_of_every_test_agrees_with_its_interval(rng: np.random.Generator) -> None:
    """With one-sided p at .025, p and the 95 % interval say the same."""
    x = rng.normal(0.3, 1, size=(500, 8))
    _, low, high = mean_interval(x)
    for test, margin, target in [("greater", 0.2, 0), ("less", -0.1, 0), ("at_most", 0.9, 0), ("equivalent", 1.2, 0.1)]:
        hypothesis = HYPOTHESES[test](margin, target)
        assert ((p_value(hypothesis, x) < 0.025) == hypothesis.inside(low, high)).all(), test
        flips = np.array([p_sign_flip(hypothesis, one) for one in x])
        assert np.abs(flips - p_value(hypothesis, x)).mean() < 0.03, test


def test_ranks_and_spearman_are_scipys(rng: np.random.Generator) -> None:
    x, y = rng.integers(0, 4, size=(2, 30, 6)).astype(float)
    assert (ranks(x) == stats.rankdata(x, axis=-1)).all()
    both = (np.ptp(x, axis=1) > 0) & (np.ptp(y, axis=1) > 0)
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(x[both], y[both], strict=True)]
    assert spearman(x, y)[both] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_slope_is_the_least_squares_slope(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 7, 5))
    assert slope(x, y) == pytest.approx([np.polyfit(a, b, 1)[0] for a, b in zip(x, y, strict=True)])
    assert np.isnan(slope(np.ones(5), np.arange(5.0)))


def test_icc_by_hand_and_at_its_ends() -> None:
    """Groups 1, 3 and 5, 7: mean squares 16 between and 2 within, so (16 - 2) / (16 + 2)."""
    groups = np.array([0.0, 0, 1, 1])
    assert icc(groups, np.array([1.0, 3, 5, 7])) == pytest.approx(14 / 18, abs=1e-15)
    assert icc(groups, np.array([2.0, 2, 5, 5])) == 1
    assert icc(groups, np.array([1.0, 3, 3, 1])) == -1
    assert np.isnan(icc(np.zeros(4), np.arange(4.0)))
    assert np.isnan(icc(np.arange(4.0), np.arange(4.0)))
    assert np.isnan(icc(groups, np.ones(4)))


def test_icc_is_the_share_of_variance_between_groups_also_of_unequal_ones(rng: np.random.Generator) -> None:
    equal, unequal = np.repeat(np.arange(300.0), 4), np.repeat(np.arange(400.0), rng.integers(1, 6, 400))
    for groups in (equal, unequal):
        own = 2 * rng.normal(size=int(groups.max()) + 1)[groups.astype(int)]
        order = rng.permutation(len(groups))
        y = own + rng.normal(size=len(groups))
        assert icc(groups, y) == pytest.approx(0.8, abs=0.05)
        assert icc(groups[order], y[order]) == pytest.approx(float(icc(groups, y)), abs=1e-12)
        assert abs(icc(groups, y[order])) < 0.12, "a wrong pairing leaves nothing"
        together = icc(groups, np.stack([y, y[order]]))
        assert together.tolist() == [icc(groups, y), icc(groups, y[order])]
