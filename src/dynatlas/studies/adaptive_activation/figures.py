"""The six figures of the study: tables in, matplotlib figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dynatlas.figures.marks import arrow_head, heat_map, mean_with_interval
from dynatlas.figures.palette import INK, NEUTRAL, arm_styles, ordered_styles, without_markers
from dynatlas.figures.style import (
    REFERENCE,
    arm_legend,
    house_style,
    letter_panels,
    log_axis,
    new_panels,
    reference_line,
)
from dynatlas.figures.tables import arm_values, rows_where, seed_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODES = arm_styles(["static", "homogeneous", "heterogeneous", "late homogeneous", "late heterogeneous"])
CURVES = arm_styles(
    ["softplus (1, 0)", "sigmoid (1, 1)", "near ReLU (20, 0)", "(5, 0)", "(5, 0.25)", "(5, 0.5)", "(20, -0.25)"]
)
CORNERS = 3
"""The first of the curves are the corners of the family."""
SETS = arm_styles(
    ["nothing", "one shape", "shapes", "bias", "readout", "weights", "shapes, shuffled labels", "retrained"]
)
RETRAINED = {"color": NEUTRAL, "linewidth": 1.6}
RELU = 1000
"""The gain that stands for ReLU; it is on no map."""


@house_style()
def draw_family(*, family: pd.DataFrame) -> Figure:
    """F1: the activation and its slope, and the largest slope over gain and saturation."""
    figure, panels = new_panels(1, 3, width=2, height=2.9)
    curves = family[family["metric"] != "largest_slope"]
    styles = without_markers(CURVES)
    for axes, metric, label in zip(panels[0], ("activation", "slope"), ("γ(x; n, s)", "slope"), strict=False):
        for place, (style, (_, own)) in enumerate(
            zip(styles.values(), rows_where(curves, metric=metric).groupby(["n", "s"], sort=False), strict=True)
        ):
            axes.plot(own["x"], own["value"], **style.line, linewidth=2.0 if place < CORNERS else 1.0)
        axes.set(xlabel="x", ylabel=label)
    _slope_contours(panels[0, 2], rows_where(family, metric="largest_slope"))
    letter_panels(panels)
    arm_legend(figure, styles, ncols=4)
    return figure


def _slope_contours(axes: Axes, rows: pd.DataFrame) -> None:
    grid = rows.pivot_table(index="s", columns="n", values="value")
    drawn = axes.contour(
        grid.columns, grid.index, grid, levels=[0.5, 0.7, 1, 1.5, 2, 3, 4, 5], colors=INK, linewidths=0.8
    )
    axes.clabel(drawn, fontsize=7, fmt="%g")
    axes.set(xlabel="gain n", ylabel="saturation s", title="largest slope")
    log_axis(axes)


def _mapped(axes: Axes, rows: pd.DataFrame, *, unit: str, title: str) -> None:
    """Means over seeds as a heat map with s up and n to the right."""
    grid = rows[rows["n"] < RELU].pivot_table(index="s", columns="n", values="value").sort_index(ascending=False)
    grid.index, grid.columns = [f"{s:g}" for s in grid.index], [f"{n:g}" for n in grid.columns]
    heat_map(axes, grid, unit=unit)
    axes.set(xlabel="gain n", ylabel="saturation s", title=title)


@house_style()
def draw_maps(*, performance: pd.DataFrame, dynamics: pd.DataFrame) -> Figure:
    """F2: accuracy, area under its curve, exponent, Jacobian norm and information over the grid of static networks."""
    figure, panels = new_panels(2, 3, width=2, height=5.0)
    static = rows_where(performance, mode="static")
    _mapped(
        panels[0, 0], rows_where(static, task="digits", metric="final"), unit="accuracy", title="digits, at the end"
    )
    _mapped(panels[0, 1], rows_where(static, task="digits", metric="area"), unit="area", title="digits, area")
    _mapped(panels[0, 2], rows_where(static, task="copy", metric="final"), unit="accuracy", title="copy, at the end")
    before = rows_where(dynamics, network="untrained")
    shown = {
        "closeness": ("|λ₁| (nats / step)", "leading exponent"),
        "norm_2": ("mean 2-norm", "Jacobian"),
        "information": ("nats", "input and state"),
    }
    for axes, (metric, (unit, title)) in zip(panels[1], shown.items(), strict=True):
        own = rows_where(before, metric=metric)
        _mapped(axes, own.assign(value=own["value"].abs()), unit=unit, title=title)
    letter_panels(panels)
    return figure


@house_style()
def draw_trajectories(*, course: pd.DataFrame) -> Figure:
    """F3: arrows from start to end of (n, s) of networks with one pair, on the accuracy of static networks."""
    tasks = list(course["task"].unique())
    modes = [mode for mode in ("homogeneous", "late homogeneous") if mode in set(course["mode"])]
    figure, panels = new_panels(
        len(modes), len(tasks), width=2, height=3.0 * len(modes) + 0.3, sharex=True, sharey=True
    )
    paths = []
    for row, mode in zip(panels, modes, strict=True):
        for axes, task in zip(row, tasks, strict=True):
            own = _paths(axes, rows_where(course, task=task), mode)
            paths += [(axes, *path) for path in own]
            axes.set_title(f"{task}, late" if mode.startswith("late") else task)
        row[0].set_ylabel("saturation s")
        figure.colorbar(axes.collections[0], ax=row.tolist(), label="accuracy, static")
    log_axis(panels[0, 0])
    for path in paths:
        arrow_head(*path)
    for axes in panels[-1]:
        axes.set_xlabel("gain n")
    letter_panels(panels)
    start = {"marker": "o", "linestyle": "none", "color": NEUTRAL}
    arm_legend(figure, {}, others={"start": start, "path; arrow head: end": {"color": INK, "linewidth": 0.8}})
    return figure


def _paths(axes: Axes, rows: pd.DataFrame, mode: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw means over seeds, and return them (n, s); a dot is coloured by the static network's final accuracy."""
    last, starts = rows["update"].max(), ["n", "s"]
    final = rows_where(rows, mode="static", metric="accuracy", update=last).groupby(starts)["value"].mean()
    path = rows_where(rows, mode=mode)
    n, s = (rows_where(path, metric=f"{name}_mean").pivot_table(index=starts, columns="update", values="value")
            for name in ("gain", "saturation"))  # fmt: skip
    places = n.index.to_frame()
    axes.scatter(places["n"], places["s"], c=final.loc[n.index], cmap="cividis", vmin=0, vmax=1, s=14)
    found = [(n.loc[start].to_numpy(), s.loc[start].to_numpy()) for start in n.index]
    for x, y in found:
        axes.plot(x, y, color=INK, linewidth=0.8, zorder=3)
    return found


@house_style()
def draw_courses(*, course: pd.DataFrame) -> Figure:
    """F4: accuracy along training by mode, median and quartiles over starts."""
    tasks = list(course["task"].unique())
    figure, panels = new_panels(1, len(tasks), width=2, height=2.7)
    accuracy = rows_where(course, metric="accuracy")
    adaptive = accuracy[accuracy["mode"] == "heterogeneous"]
    starts = set(zip(adaptive["n"], adaptive["s"], strict=True))
    same = [start in starts for start in zip(accuracy["n"], accuracy["s"], strict=True)]
    styles = without_markers({name: MODES[name] for name in ("static", "homogeneous", "heterogeneous")})
    for axes, task in zip(panels[0], tasks, strict=True):
        for mode, style in styles.items():
            own = rows_where(accuracy[same], task=task, mode=mode).groupby(["n", "s", "update"])["value"].mean()
            low, middle, high = (own.groupby("update").quantile(share) for share in (0.25, 0.5, 0.75))
            for quartile in (low, high):
                axes.plot(quartile.index, quartile, **style.line, linewidth=0.6)
            axes.plot(middle.index, middle, **style.line, linewidth=1.8)
        axes.set(xlabel="updates", ylabel="held-out accuracy", title=task, ylim=(0, 1.02))
    letter_panels(panels)
    arm_legend(figure, styles, others={"quartiles over starts": {"color": NEUTRAL, "linewidth": 0.6}})
    return figure


@house_style()
def draw_units(*, units: pd.DataFrame) -> Figure:
    """F5: gains (over their start) and saturations of single units, by the saturation that they started from."""
    tasks = list(units["task"].unique())
    figure, panels = new_panels(2, len(tasks), width=2, height=4.2)
    saturations = sorted(units["s"].unique())
    styles = without_markers(ordered_styles(saturations))
    for column, task in enumerate(tasks):
        own = rows_where(units, task=task)
        own = own.assign(value=np.where(own["metric"] == "gain", own["value"] / own["n"], own["value"]))
        for axes, metric in zip(panels[:, column], ("gain", "saturation"), strict=True):
            rows = rows_where(own, metric=metric)
            low, high = (float(rows["value"].quantile(share)) for share in (0.002, 0.998))
            edges = np.linspace(low, high, 60)
            for s, style in styles.items():
                counts, _ = np.histogram(rows_where(rows, s=s)["value"].clip(low, high), bins=edges)
                axes.stairs(counts / counts.sum(), edges, color=style.color, linestyle=style.dash)
            for begin in [1.0] if metric == "gain" else saturations:
                reference_line(axes, begin, label="start", across="x", written=False)
            axes.set_title(task)
            axes.set_xlabel("gain over its start" if metric == "gain" else "saturation")
    for axes in panels.flat:
        axes.set_ylabel("share of units")
    letter_panels(panels)
    arm_legend(figure, styles, names="start s = {:g}", others={"start": REFERENCE})
    return figure


@house_style()
def draw_adaptation(*, adaptation: pd.DataFrame) -> Figure:
    """F6: accuracy on changed inputs before and after each set of parameters adapted."""
    accuracy = rows_where(adaptation, metric="accuracy")
    changes = [change for change in accuracy["change"].unique() if change != "none"]
    figure, panels = new_panels(width=2, height=3.4)
    axes, styles = panels[0, 0], {name: style for name, style in SETS.items() if name != "retrained"}
    for at, change in enumerate(changes):
        values = arm_values(rows_where(accuracy, change=change), "parameters")
        axes.plot([at - 0.45, at + 0.45], [np.mean(values["retrained"])] * 2, **RETRAINED, zorder=1)
        for place, (name, style) in enumerate(styles.items()):
            x = at + (place - (len(styles) - 1) / 2) * 0.8 / len(styles)
            mean_with_interval(axes, x, seed_interval(values[name]), style, size=4.5)
    unchanged = float(rows_where(accuracy, change="none")["value"].mean())
    reference_line(axes, unchanged, label="inputs as they are", written=False)
    axes.set_xticks(range(len(changes)), changes)
    axes.set(ylabel="held-out accuracy", xlim=(-0.6, len(changes) - 0.4), ylim=(0, 1.02))
    others = {"retrained": RETRAINED, "inputs as they are": REFERENCE}
    arm_legend(figure, styles, lines=False, others=others, ncols=5)
    return figure
