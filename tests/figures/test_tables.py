from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dynatlas.figures.tables import arm_values, log_summary, rows_where, seed_interval, summarise, without_lost
from dynatlas.intervals import mean_interval


@pytest.fixture
def curve():
    rng = np.random.default_rng(5)
    return pd.DataFrame([{"seed": s, "x": x, "value": x**2 + rng.normal()} for x in (3.0, 1.0, 2.0) for s in range(6)])


@pytest.mark.parametrize("level", [0.5, 0.95, 0.972])
@pytest.mark.parametrize("n", [2, 5, 8, 20])
def test_interval_is_that_of_scipy(n, level):
    values = np.random.default_rng(n).normal(3, 2, n)
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    ours = seed_interval(values, level)
    np.testing.assert_allclose(
        [ours.mean, ours.low, ours.high], [values.mean(), expected.low, expected.high], rtol=1e-12
    )


def test_no_spread_gives_the_point():
    assert seed_interval([2.0, 2.0, 2.0]) == seed_interval([2.0, 2.0])


def test_figures_and_claims_have_one_interval():
    """One seed, and equal ones, have the point; nearly equal ones too, as far as rounding explains."""
    for values in ([2.0], [0.1 + 0.2, 0.3, 0.3], [1.0, 3.0]):
        assert seed_interval(values) == tuple(map(float, mean_interval(np.array(values))))
    assert seed_interval([2.0]) == (2.0, 2.0, 2.0)


def test_values_of_arms_are_means_over_the_other_conditions_in_the_order_of_seeds():
    rows = [("b", 2, "x", 1.0), ("b", 2, "y", 3.0), ("b", 1, "x", 5.0), ("a", 1, "x", 7.0)]
    table = pd.DataFrame(rows, columns=["arm", "seed", "task", "value"])
    assert list(arm_values(table, "arm").items()) == [("b", [5.0, 2.0]), ("a", [7.0])]
    assert list(arm_values(table, "arm", ["absent", "a", "b"])) == ["a", "b"]


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf"), 0.0]])
def test_what_is_not_finite_is_refused(values):
    with pytest.raises(ValueError, match="finite"):
        seed_interval(values)


def test_summary_keeps_order_and_counts(curve):
    summary = summarise(curve, ["x"])
    assert summary["x"].tolist() == [3.0, 1.0, 2.0]
    assert summary["n"].tolist() == [6, 6, 6]
    assert summary["low"].lt(summary["mean"]).all()
    assert summary["mean"].lt(summary["high"]).all()


@pytest.mark.parametrize("gap", [None, float("nan")])
@pytest.mark.parametrize(
    "use",
    [
        lambda table: summarise(table, ["arm"]),
        lambda table: arm_values(table.assign(seed=1), "arm"),
        lambda table: log_summary(table, ["arm"]),
        lambda table: rows_where(table, arm="MP"),
    ],
)
def test_a_row_of_no_condition_is_an_error_and_not_dropped(use, gap):
    whole = pd.DataFrame({"arm": ["MP", "MP", "SEP", "SEP"], "value": [1.0, 2.0, 3.0, 5.0]})
    use(whole)
    with pytest.raises(ValueError, match=r"'arm' in 1 of 4 rows: such rows belong to no condition"):
        use(whole.assign(arm=["MP", gap, "SEP", "SEP"]))


def test_a_gap_elsewhere_is_no_matter():
    table = pd.DataFrame({"arm": ["MP", "MP"], "note": [None, "late"], "value": [1.0, 2.0]})
    assert summarise(table, ["arm"])["mean"].tolist() == [1.5]


def test_rows_where_needs_every_column_to_agree():
    table = pd.DataFrame({"arm": ["MP", "MP", "SEP"], "rate": [0.1, 0.2, 0.1], "value": [1.0, 2.0, 3.0]})
    assert rows_where(table, arm="MP", rate=0.1)["value"].tolist() == [1.0]
    assert rows_where(table)["value"].tolist() == [1.0, 2.0, 3.0]


def test_geometric_means_and_their_intervals(curve):
    positive = curve.assign(value=np.exp(curve["value"]))
    expected, found = summarise(curve, ["x"]), log_summary(positive, ["x"])
    np.testing.assert_allclose(np.log(found[["mean", "low", "high"]]), expected[["mean", "low", "high"]], atol=1e-12)
    assert found["n"].tolist() == expected["n"].tolist()


def test_what_has_no_logarithm_is_named(curve):
    with pytest.raises(ValueError, match=r"no logarithm of -1.0 \(at \{'x': 3.0\}\)"):
        log_summary(curve.assign(value=-1.0), ["x"])


def test_conditions_with_a_lost_network_are_left_out():
    rows = [(seed, batch, layer, metric) for seed in (0, 1) for batch in (5, 10) for layer in (0, 1) for metric in "ab"]
    table = pd.DataFrame(rows, columns=["seed", "batch", "layer", "metric"]).assign(value=1.0, arm=None)
    assert len(without_lost(table)) == 16
    infinite = table.assign(value=np.where((table.seed == 1) & (table.batch == 5) & (table.layer == 0), np.inf, 1.0))
    assert without_lost(infinite)["batch"].tolist() == [10] * 8
    said = table.replace({"metric": {"a": "lost"}}).assign(value=((table.batch == 5) & (table.seed == 0)).astype(float))
    assert without_lost(said)["batch"].tolist() == [10] * 8
    with pytest.raises(ValueError, match="lower the learning rate"):
        without_lost(infinite[infinite.batch == 5])


def test_a_table_without_conditions_is_whole_or_nothing():
    table = pd.DataFrame({"seed": [0, 1], "metric": "mle", "value": [1.0, 2.0]})
    assert len(without_lost(table)) == 2
    with pytest.raises(ValueError, match="nothing to draw"):
        without_lost(table.assign(value=[1.0, np.inf]))
