from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from scipy import stats

from dynatlas.figures.marks import (
    heat_map,
    log_bars,
    points_with_interval,
    seed_band,
    short_number,
    summarise,
    t_interval,
)
from dynatlas.figures.palette import arm_styles
from dynatlas.figures.style import new_panels

STYLES = arm_styles(["MP", "SEP"])


@pytest.fixture
def axes():
    return new_panels()[1][0, 0]


@pytest.fixture
def curve():
    rng = np.random.default_rng(5)
    return pd.DataFrame([{"seed": s, "x": x, "value": x**2 + rng.normal()} for x in (3.0, 1.0, 2.0) for s in range(6)])


@pytest.mark.parametrize("level", [0.5, 0.95, 0.972])
@pytest.mark.parametrize("n", [2, 5, 8, 20])
def test_interval_is_that_of_scipy(n, level):
    values = np.random.default_rng(n).normal(3, 2, n)
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    ours = t_interval(values, level)
    np.testing.assert_allclose(
        [ours.mean, ours.low, ours.high], [values.mean(), expected.low, expected.high], rtol=1e-12
    )


def test_no_spread_gives_the_point():
    assert t_interval([2.0, 2.0, 2.0]) == t_interval([2.0, 2.0])


def test_one_seed_has_no_interval():
    interval = t_interval([2.0])
    assert interval.mean == 2
    assert np.isnan([interval.low, interval.high]).all()


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf"), 0.0]])
def test_what_is_not_finite_is_refused(values):
    with pytest.raises(ValueError, match="finite"):
        t_interval(values)


def test_summary_keeps_order_and_counts(curve):
    summary = summarise(curve, ["x"])
    assert summary["x"].tolist() == [3.0, 1.0, 2.0]
    assert summary["n"].tolist() == [6, 6, 6]
    assert summary["low"].lt(summary["mean"]).all()
    assert summary["mean"].lt(summary["high"]).all()


def test_band_draws_the_summary(axes, curve):
    seed_band(axes, curve, x="x", style=STYLES["MP"])
    summary = summarise(curve, ["x"]).sort_values("x")
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), summary[["x", "mean"]].to_numpy())
    edges = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert set(summary["low"]) | set(summary["high"]) <= set(edges)


def test_points_draw_every_seed_the_mean_and_the_interval(axes):
    groups = {"SEP": [0.1, 0.4, 0.2], "MP": [0.9]}
    points_with_interval(axes, groups, styles=STYLES)
    drawn = np.concatenate([line.get_ydata() for line in axes.lines])
    interval = t_interval(groups["SEP"])
    assert {0.1, 0.4, 0.2, 0.9, interval.mean, interval.low, interval.high} <= set(drawn[~np.isnan(drawn)])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["SEP", "MP"]


def test_heat_map_prints_every_number_once(axes):
    matrix = pd.DataFrame([[0.25, 1.0], [0.5, np.nan]], index=["a", "b"], columns=["c", "d"])
    heat_map(axes, matrix, unit="accuracy", limits=(0, 1))
    assert sorted(text.get_text() for text in axes.texts) == ["0.25", "0.50", "1.00"]


def test_centred_heat_map_has_symmetric_limits(axes):
    heat_map(axes, pd.DataFrame([[-0.2, 0.5]]), unit="difference", centred=True)
    assert axes.collections[0].get_clim() == (-0.5, 0.5)


def test_log_bars_are_geometric_means_with_intervals_of_logarithms(axes):
    values = [10.0, 1000.0, 100.0]
    log_bars(axes, {"MP": values, "SEP": [5.0]}, styles=STYLES)
    assert axes.get_yscale() == "log"
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], [100, 5])
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [STYLES["MP"].color, STYLES["SEP"].color]
    expected = stats.ttest_1samp(np.log(values), 0).confidence_interval()
    np.testing.assert_allclose(axes.lines[0].get_ydata(), np.exp([expected.low, expected.high]))
    assert [text.get_text() for text in axes.texts] == ["100", "5"]


def test_log_bars_refuse_what_has_no_logarithm(axes):
    with pytest.raises(ValueError, match="MP has the value 0"):
        log_bars(axes, {"MP": [1, 0]}, styles=STYLES)


@pytest.mark.parametrize(
    ("value", "text"), [(0.053, "0.053"), (7, "7"), (483, "483"), (9500, "9.5k"), (999_600, "1M"), (8.54e6, "8.5M")]
)
def test_short_numbers(value, text):
    assert short_number(value) == text


def test_a_row_of_no_group_is_no_row_to_drop():
    """pandas leaves groups that are NaN out of a groupby in silence."""
    table = pd.DataFrame({"x": [1.0, 1.0, np.nan], "value": [0.1, 0.2, 0.9]})
    with pytest.raises(ValueError, match=r"NaN among the groups, in rows of: x \(1\)"):
        summarise(table, ["x"])
