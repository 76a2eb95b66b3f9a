"""Held-out readouts, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from dynatlas.instruments.heldout import cross_fitted_best, heldout_readout


def data(seeds=5, configs=16, p=2, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((seeds, configs, p)) * [1, 100, 0.01][:p] + 5
    return x, np.sin(x[..., 0]) + 0.1 * rng.standard_normal((seeds, configs))


@pytest.mark.parametrize("p", [1, 2, 3])
def test_scikit_learn_and_scipy_give_the_same(p):
    neighbors = pytest.importorskip("sklearn.neighbors")
    metrics = pytest.importorskip("sklearn.metrics")
    stats = pytest.importorskip("scipy.stats")
    x, y = data(p=p)
    found = heldout_readout(x, y, k=5)
    for seed in range(5):
        rest = [other for other in range(5) if other != seed]
        learn = x[rest].reshape(-1, p)
        mean, spread = learn.mean(axis=0), learn.std(axis=0)
        model = neighbors.KNeighborsRegressor(5).fit((learn - mean) / spread, y[rest].ravel())
        predicted = model.predict((x[seed] - mean) / spread)
        np.testing.assert_allclose(found.predicted[seed], predicted, rtol=0, atol=1e-12)
        assert found.r2[seed] == pytest.approx(metrics.r2_score(y[seed], predicted), abs=1e-12)
        assert found.spearman[seed] == pytest.approx(stats.spearmanr(y[seed], predicted).statistic, abs=1e-12)


def test_by_hand():
    x = np.array([[[0.0], [10.0]], [[1.0], [9.0]], [[2.0], [8.0]]])
    y = np.array([[0.0, 1.0], [2.0, 5.0], [4.0, 7.0]])
    found = heldout_readout(x, y, k=2)
    assert found.predicted.tolist() == [[3.0, 6.0], [2.0, 4.0], [1.0, 3.0]]
    assert found.r2[0] == pytest.approx(1 - (9 + 25) / 0.5)
    assert found.spearman.tolist() == [1.0, 1.0, 1.0]


def test_a_function_of_the_features_is_foreseen_and_permuted_targets_are_not():
    x, y = data(seeds=8, configs=60, p=1)
    assert heldout_readout(x, y).r2.min() > 0.9
    rng = np.random.default_rng(3)
    permuted = np.stack([rng.permutation(row) for row in y])
    null = heldout_readout(x, permuted)
    assert null.r2.max() < 0.1
    assert abs(null.spearman.mean()) < 0.15


def test_the_scale_of_a_feature_does_not_matter_nor_does_a_constant_one():
    x, y = data()
    plain = heldout_readout(x, y)
    scaled = heldout_readout(x * [1e6, 1e-3] - 7, y)
    constant = heldout_readout(np.concatenate([x, np.full((5, 16, 1), 0.1)], axis=-1), y)
    for other in (scaled, constant):
        np.testing.assert_allclose(other.predicted, plain.predicted, rtol=0, atol=1e-12)


def test_seeds_of_one_fold_do_not_teach_each_other():
    x, y = data(seeds=4)
    y[1] = 1000.0
    together = heldout_readout(x, y, fold=[0, 0, 1, 1])
    assert np.abs(together.predicted[:2]).max() < 3
    assert np.abs(heldout_readout(x, y).predicted[0]).max() > 100


def test_equal_distances_go_to_the_earlier_row():
    x = np.zeros((3, 2, 1))
    y = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert heldout_readout(x, y, k=1).predicted[:, 0].tolist() == [3.0, 1.0, 1.0]


def test_constant_targets_have_no_r2():
    x, y = data()
    y[2] = 1.5
    found = heldout_readout(x, y)
    assert np.isnan(found.r2).tolist() == [False, False, True, False, False]
    assert np.isnan(found.spearman[2])


def test_mistakes_are_named():
    x, y = data()
    with pytest.raises(ValueError, match=r"not \(5, 16, 2\), \(5, 15\) and \(5,\)"):
        heldout_readout(x, y[:, :15])
    with pytest.raises(ValueError, match="k = 65: only 64 rows"):
        heldout_readout(x, y, k=65)
    with pytest.raises(ValueError, match="at least two folds, not k = 5 and 1"):
        heldout_readout(x, y, fold=[0] * 5)
    with pytest.raises(ValueError, match="k >= 1"):
        heldout_readout(x, y, k=0)
    y[3, 7] = np.nan
    with pytest.raises(ValueError, match="1 rows are not finite, the first at seed 3, config 7"):
        heldout_readout(x, y)


def test_the_best_condition_is_chosen_without_the_seed_it_is_judged_on():
    values = np.array([[9.0, 1.0, 0.0], [0.0, 2.0, 3.0], [0.0, 2.0, 3.0]])
    chosen, found = cross_fitted_best(values)
    assert chosen.tolist() == [2, 0, 0]  # means of the others: [0, 2, 3], then [4.5, 1.5, 1.5] twice
    assert found.tolist() == [0.0, 0.0, 0.0]
    chosen, found = cross_fitted_best(values, fold=[0, 1, 1])
    assert chosen.tolist() == [2, 0, 0]


def test_the_best_of_many_equal_conditions_gains_nothing():
    values = np.random.default_rng(3).standard_normal((200, 8, 40))
    gains = np.array([cross_fitted_best(one)[1].mean() for one in values])
    assert abs(gains.mean()) < 4 * gains.std() / np.sqrt(len(gains))
    assert values.mean(axis=1).max(axis=1).mean() > 0.5  # what choosing on the same seeds would claim


def test_of_equal_conditions_the_first_is_chosen():
    assert cross_fitted_best(np.ones((3, 4)))[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("values", "fold", "message"),
    [
        (np.ones(3), None, "two folds or more"),
        (np.ones((2, 3)), [0, 0], "two folds or more"),
        (np.array([[1.0, np.nan], [1.0, 2.0]]), None, "seed 0, condition 1 is not finite"),
    ],
)
def test_what_cannot_be_cross_fitted_is_refused(values, fold, message):
    with pytest.raises(ValueError, match=message):
        cross_fitted_best(values, fold=fold)
