from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from scipy import stats

from dynatlas.figures.contrast import READABLE, contrast
from dynatlas.figures.marks import (
    NOTHING,
    arrow_head,
    heat_map,
    lanes,
    log_points,
    name_layers,
    paths,
    points_with_interval,
    printed,
    seed_band,
    seed_bands,
    short_number,
    time_map,
)
from dynatlas.figures.palette import COLOURS, arm_styles, ordered_styles
from dynatlas.figures.style import new_panels
from dynatlas.figures.tables import seed_interval, summarise

STYLES = arm_styles(["MP", "SEP"])


@pytest.fixture
def axes():
    return new_panels()[1][0, 0]


@pytest.fixture
def curve():
    rng = np.random.default_rng(5)
    return pd.DataFrame([{"seed": s, "x": x, "value": x**2 + rng.normal()} for x in (3.0, 1.0, 2.0) for s in range(6)])


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
    interval = seed_interval(groups["SEP"])
    assert {0.1, 0.4, 0.2, 0.9, interval.mean, interval.low, interval.high} <= set(drawn[~np.isnan(drawn)])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["SEP", "MP"]


def test_seeds_that_agree_are_one_marker(axes):
    points_with_interval(axes, {"MP": [0.5, 0.5, 0.5]}, styles=STYLES)
    stroke, marker = axes.lines
    assert marker.get_xydata().tolist() == [[0, 0.5]]
    assert stroke.get_ydata().tolist() == [0.5, 0.5]


def test_band_on_logarithms_is_that_of_the_geometric_mean(axes, curve):
    table = curve.assign(value=np.exp(curve["value"]))
    seed_band(axes, table, x="x", style=STYLES["MP"], log=True)
    summary = summarise(curve, ["x"]).sort_values("x")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), np.exp(summary["mean"]))
    edges = axes.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([edges.min(), edges.max()], np.exp([summary["low"].min(), summary["high"].max()]))


def test_lines_with_gaps_lie_over_those_without(axes, curve):
    for name in ("SEP", "MP"):  # MP, drawn later, is solid
        seed_band(axes, curve, x="x", style=STYLES[name])
    dashed, solid = axes.lines
    assert dashed.get_zorder() > solid.get_zorder()


def test_heat_map_prints_every_number_once_and_says_where_there_is_none(axes):
    matrix = pd.DataFrame([[0.25, 1.0], [0.5, np.nan]], index=["a", "b"], columns=["c", "d"])
    heat_map(axes, matrix, unit="accuracy", limits=(0, 1))
    assert [text.get_text() for text in axes.texts] == ["0.25", "1.00", "0.50", NOTHING]


@pytest.mark.parametrize("centred", [False, True])
def test_numbers_of_a_heat_map_stand_out_from_every_colour(axes, centred):
    matrix = pd.DataFrame(np.linspace(-1, 1, 60).reshape(6, 10))
    heat_map(axes, matrix, unit="difference", centred=centred)
    cells = axes.collections[0].get_facecolor()[:, :3]
    inks = np.array([to_rgb(text.get_color()) for text in axes.texts])
    assert contrast(inks, cells).min() >= READABLE
    assert len(np.unique(inks, axis=0)) == 2


@pytest.mark.parametrize(
    ("limits", "extend"),
    [(None, "neither"), ((0, 1), "neither"), ((0.3, 1), "min"), ((0, 0.9), "max"), ((0.3, 0.9), "both")],
)
def test_a_colour_bar_that_cuts_values_off_ends_in_arrows(axes, limits, extend):
    heat_map(axes, pd.DataFrame([[0.25, 1.0]]), unit="accuracy", limits=limits)
    assert axes.collections[0].colorbar.extend == extend


def test_centred_heat_map_has_symmetric_limits(axes):
    heat_map(axes, pd.DataFrame([[-0.2, 0.5]]), unit="difference", centred=True)
    assert axes.collections[0].get_clim() == (-0.5, 0.5)


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [
        (-0.004, ".2f", "0.00"),
        (-0.004, "+.2f", "0.00"),
        (0.004, "+.2f", "0.00"),
        (-0.006, ".2f", "-0.01"),
        (3.0, "+.1f", "+3.0"),
    ],
)
def test_zero_is_printed_without_a_sign(value, number, text):
    assert printed(value, number) == text


def test_log_points_are_geometric_means_with_intervals_of_logarithms(axes):
    values = [10.0, 1000.0, 100.0]
    log_points(axes, {"MP": values, "SEP": [5.0]}, styles=STYLES)
    assert axes.get_yscale() == "log"
    seeds, stroke, mean, _, count = axes.lines
    np.testing.assert_allclose(seeds.get_ydata(), values)
    expected = stats.ttest_1samp(np.log(values), 0).confidence_interval()
    np.testing.assert_allclose(stroke.get_ydata(), np.exp([expected.low, expected.high]))
    np.testing.assert_allclose([mean.get_ydata()[0], count.get_ydata()[0]], [100, 5])
    assert [line.get_color() for line in (mean, count)] == [STYLES["MP"].color, STYLES["SEP"].color]
    assert [text.get_text() for text in axes.texts] == ["100", "5"]
    assert not axes.patches


def test_log_points_refuse_what_has_no_logarithm(axes):
    with pytest.raises(ValueError, match="MP has the value 0"):
        log_points(axes, {"MP": [1, 0]}, styles=STYLES)


@pytest.mark.parametrize(
    ("value", "text"), [(0.053, "0.053"), (7, "7"), (483, "483"), (9500, "9.5k"), (999_600, "1M"), (8.54e6, "8.5M")]
)
def test_short_numbers(value, text):
    assert short_number(value) == text


def test_bands_of_all_arms_that_the_table_holds_in_the_order_of_styles(axes, curve):
    table = pd.concat([curve.assign(arm=arm) for arm in ("SEP", "other", "MP")])
    assert seed_bands(axes, table, "arm", x="x", styles=arm_styles(["MP", "absent", "SEP"])).keys() == {"MP", "SEP"}
    assert [line.get_color() for line in axes.lines] == [COLOURS[0], COLOURS[2]]
    with pytest.raises(ValueError, match="'arm'"):
        seed_bands(axes, table, "arm", x="x", styles=arm_styles(["absent"]))


def test_columns_of_a_time_map_reach_halfway_to_their_neighbours(axes):
    matrix = pd.DataFrame([[1.0, 2, 3], [4, 5, 6]], columns=[0, 10, 40])
    image = time_map(axes, matrix, limits=(2, 5))
    np.testing.assert_array_equal(image.get_coordinates()[0, :, 0], [0, 5, 25, 55])
    np.testing.assert_array_equal(image.get_coordinates()[:, 0, 1], [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(image.get_array().reshape(2, 3), matrix)
    assert (axes.get_xlim(), axes.get_ylim(), image.get_clim()) == ((0, 55), (2.5, 0.5), (2, 5))


def test_levels_without_styles_are_drawn_in_their_order(axes, curve):
    table = pd.concat([curve.assign(level=level) for level in (10, 2.5)])
    assert list(seed_bands(axes, table, "level", x="x").items()) == list(ordered_styles([2.5, 10]).items())
    assert len(axes.lines) == 2


@pytest.mark.parametrize(("last", "turned"), [(3, 0), (9, 60)])
def test_layers_are_named_and_many_names_are_turned(axes, last, turned):
    name_layers(axes, last)
    labels = axes.get_xticklabels()
    assert [label.get_text() for label in labels] == ["inputs", *map(str, range(1, last)), "logits"]
    assert {label.get_rotation() for label in labels} == {turned}


def rows_of(metric: str, values: list[float], **conditions: object) -> pd.DataFrame:
    steps = range(len(values))[::-1]  # out of order
    return pd.DataFrame([{"step": k, "metric": metric, "value": values[k], **conditions} for k in steps])


def test_lanes_stand_one_below_the_other_in_their_order(axes):
    table = pd.concat([rows_of("go", [0.0, 1.0]), rows_of("sine", [1.0, -1.0])])
    lanes(axes, table, {"cue": {"go": STYLES["MP"]}, "answer": {"sine": STYLES["SEP"]}}, x="step", height=0.25)
    drawn = {line.get_color(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn[STYLES["MP"].color] == [[0, 1], [1, 1.25]]
    assert drawn[STYLES["SEP"].color] == [[0, 0.25], [1, -0.25]]
    ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    assert {place: label.get_text() for place, label in ticks} == {1: "cue", 0: "answer"}
    with pytest.raises(ValueError, match=r"'cosine'; there are .*'go', 'sine'"):
        lanes(axes, table, {"cue": {"cosine": STYLES["MP"]}}, x="step")


def test_paths_run_in_time_and_end_in_a_marker(axes):
    table = pd.concat([rows_of(m, [k, k + 1.0, 0.0], trial=k) for k in (2, 1) for m in ("pc1", "pc2")])
    paths(axes, table, "trial", x="pc1", y="pc2", along="step", styles=STYLES)
    assert [line.get_xdata().tolist() for line in axes.lines] == [[1, 2, 0], [2, 3, 0]]
    assert all(line.get_markevery() == [-1] for line in axes.lines)
    with pytest.raises(ValueError, match="shorter"):
        paths(axes, table, "trial", x="pc1", y="pc2", along="step", styles={"MP": STYLES["MP"]})


def test_an_arrow_head_ends_a_path_along_its_last_part_that_has_a_direction(axes):
    axes.set(xlim=(0, 1), ylim=(0, 10))
    arrow_head(axes, np.array([0.1, 0.5, 0.9, 0.901]), np.array([0.0, 8.0, 2.0, 2.0]))
    (head,) = axes.texts
    assert (tuple(head.xy), head.xyann) == ((0.901, 2.0), (0.5, 8.0))


def test_a_path_that_stays_where_it_is_has_no_arrow_head(axes):
    axes.set(xlim=(0, 1), ylim=(0, 10))
    arrow_head(axes, np.array([0.5, 0.51]), np.array([5.0, 5.1]))
    assert not axes.texts
