"""The six figures of the study: tables in, matplotlib figures out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dynatlas.figures.marks import heat_map, t_interval
from dynatlas.figures.palette import NEUTRAL, ArmStyle, arm_styles
from dynatlas.figures.style import arm_legend, house_style, letter_panels, new_panels, reference_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
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
STARTS = arm_styles([f"start {place}" for place in range(8)])
RELU = 1000
"""The gain that stands for ReLU; it is on no map."""


def _rows(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """The rows in which every named column has the wanted value."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def _bare(styles: dict[str, ArmStyle]) -> dict[str, ArmStyle]:
    """The same colours and dashes without markers, for lines of many points."""
    return {name: ArmStyle(style.color, "", style.dash) for name, style in styles.items()}


@house_style()
def draw_family(*, family: pd.DataFrame) -> Figure:
    """F1: the activation and its slope, and the largest slope over gain and saturation."""
    figure, panels = new_panels(1, 3, width=2, height=2.9)
    curves = family[family["metric"] != "largest_slope"]
    styles = _bare(CURVES)
    for axes, metric, label in zip(panels[0], ("activation", "slope"), ("γ(x; n, s)", "slope"), strict=False):
        for place, (style, (_, own)) in enumerate(
            zip(styles.values(), _rows(curves, metric=metric).groupby(["n", "s"], sort=False), strict=True)
        ):
            axes.plot(own["x"], own["value"], **style.line, linewidth=2.0 if place < CORNERS else 1.0)
        axes.set(xlabel="x", ylabel=label)
    panels[0, 0].set_ylim(-0.4, 2.5)
    panels[0, 1].set_ylim(-0.8, 1.6)
    _slope_contours(panels[0, 2], _rows(family, metric="largest_slope"))
    letter_panels(panels)
    arm_legend(figure, styles, ncols=4)
    return figure


def _slope_contours(axes: Axes, rows: pd.DataFrame) -> None:
    grid = rows.pivot_table(index="s", columns="n", values="value")
    drawn = axes.contour(grid.columns, grid.index, grid, levels=[0.5, 0.7, 1, 1.5, 2, 3, 4, 5], cmap="cividis")
    axes.clabel(drawn, fontsize=6.5, fmt="%g")
    axes.set(xscale="log", xlabel="gain n", ylabel="saturation s", title="largest slope")
    axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"], minor=False)
    axes.set_xticks([], minor=True)


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
    static = _rows(performance, mode="static")
    _mapped(panels[0, 0], _rows(static, task="digits", metric="final"), unit="accuracy", title="digits, at the end")
    _mapped(panels[0, 1], _rows(static, task="digits", metric="area"), unit="area", title="digits, area")
    _mapped(panels[0, 2], _rows(static, task="copy", metric="final"), unit="accuracy", title="copy, at the end")
    before = _rows(dynamics, network="untrained")
    shown = {
        "closeness": ("|λ₁| (nats / step)", "leading exponent"),
        "norm_2": ("mean 2-norm", "Jacobian"),
        "information": ("nats", "input and state"),
    }
    for axes, (metric, (unit, title)) in zip(panels[1], shown.items(), strict=True):
        own = _rows(before, metric=metric)
        _mapped(axes, own.assign(value=own["value"].abs()), unit=unit, title=title)
    letter_panels(panels)
    return figure


@house_style()
def draw_trajectories(*, course: pd.DataFrame) -> Figure:
    """F3: arrows from start to end of (n, s) of networks with one pair, on the accuracy of static networks."""
    tasks = list(course["task"].unique())
    modes = [mode for mode in ("homogeneous", "late homogeneous") if mode in set(course["mode"])]
    figure, panels = new_panels(len(modes), len(tasks), width=2, height=3.0 * len(modes), sharex=True, sharey=True)
    for row, mode in zip(panels, modes, strict=True):
        for axes, task in zip(row, tasks, strict=True):
            drawn = _arrows(axes, _rows(course, task=task), mode)
            axes.set_title(f"{task}, from the middle on" if mode.startswith("late") else task)
        row[0].set_ylabel("saturation s")
        figure.colorbar(drawn, ax=row.tolist(), label="accuracy, static")
    for axes in panels[-1]:
        axes.set_xlabel("gain n")
    letter_panels(panels)
    return figure


def _arrows(axes: Axes, rows: pd.DataFrame, mode: str) -> PathCollection:
    """Means over seeds; a dot is coloured by the final accuracy of the static network of its start."""
    last, starts = rows["update"].max(), ["n", "s"]
    final = _rows(rows, mode="static", metric="accuracy", update=last).groupby(starts)["value"].mean()
    path = _rows(rows, mode=mode)
    n, s = (_rows(path, metric=f"{name}_mean").pivot_table(index=starts, columns="update", values="value")
            for name in ("gain", "saturation"))  # fmt: skip
    for start in n.index:
        axes.plot(n.loc[start], s.loc[start], color="#16181c", linewidth=0.8, zorder=1)
        ends = [(float(shape.loc[start].iloc[place])) for place in (-2, -1) for shape in (n, s)]
        axes.annotate("", xy=(ends[2], ends[3]), xytext=(ends[0], ends[1]),
                      arrowprops={"arrowstyle": "-|>", "linewidth": 0.8, "color": "#16181c"})  # fmt: skip
    places = n.index.to_frame()
    drawn = axes.scatter(places["n"], places["s"], c=final.loc[n.index], cmap="cividis", vmin=0, vmax=1, s=26, zorder=2)
    axes.set(xscale="log")
    axes.set_xticks([1, 2.5, 5, 10, 20], ["1", "2.5", "5", "10", "20"], minor=False)
    axes.set_xticks([], minor=True)
    return drawn


@house_style()
def draw_courses(*, course: pd.DataFrame) -> Figure:
    """F4: accuracy along training by mode, median and quartiles over starts."""
    tasks = list(course["task"].unique())
    figure, panels = new_panels(1, len(tasks), width=2, height=2.7)
    accuracy = _rows(course, metric="accuracy")
    adaptive = accuracy[accuracy["mode"] == "heterogeneous"]
    starts = set(zip(adaptive["n"], adaptive["s"], strict=True))
    same = [start in starts for start in zip(accuracy["n"], accuracy["s"], strict=True)]
    styles = _bare({name: MODES[name] for name in ("static", "homogeneous", "heterogeneous")})
    for axes, task in zip(panels[0], tasks, strict=True):
        for mode, style in styles.items():
            own = _rows(accuracy[same], task=task, mode=mode).groupby(["n", "s", "update"])["value"].mean()
            low, middle, high = (own.groupby("update").quantile(share) for share in (0.25, 0.5, 0.75))
            for quartile in (low, high):
                axes.plot(quartile.index, quartile, **style.line, linewidth=0.6)
            axes.plot(middle.index, middle, **style.line, linewidth=1.8)
        axes.set(xlabel="updates", ylabel="held-out accuracy", title=task, ylim=(0, 1.02))
    letter_panels(panels)
    arm_legend(figure, styles)
    return figure


@house_style()
def draw_units(*, units: pd.DataFrame) -> Figure:
    """F5: gains (over their start) and saturations of single units, by the saturation that they started from."""
    tasks = list(units["task"].unique())
    figure, panels = new_panels(2, len(tasks), width=2, height=4.2, sharex="row")
    saturations = sorted(units["s"].unique())
    styles = _bare(dict(zip([f"start s = {s:g}" for s in saturations], STARTS.values(), strict=False)))
    for column, task in enumerate(tasks):
        own = _rows(units, task=task)
        own = own.assign(value=np.where(own["metric"] == "gain", own["value"] / own["n"], own["value"]))
        for axes, metric in zip(panels[:, column], ("gain", "saturation"), strict=True):
            rows = _rows(own, metric=metric)
            low, high = (float(rows["value"].quantile(share)) for share in (0.002, 0.998))
            edges = np.linspace(low, high, 60)
            for s, style in zip(saturations, styles.values(), strict=True):
                shares, _ = np.histogram(_rows(rows, s=s)["value"], bins=edges)
                axes.stairs(shares / max(shares.sum(), 1), edges, color=style.color, linestyle=style.dash)
            for begin in [1.0] if metric == "gain" else saturations:
                reference_line(axes, begin, across="x")
            axes.set_title(task)
            axes.set_xlabel("gain over its start" if metric == "gain" else "saturation")
    for axes in panels.flat:
        axes.set_ylabel("share of units")
    letter_panels(panels)
    arm_legend(figure, styles)
    return figure


@house_style()
def draw_adaptation(*, adaptation: pd.DataFrame) -> Figure:
    """F6: accuracy on changed inputs before and after each set of parameters adapted."""
    accuracy = _rows(adaptation, metric="accuracy")
    changes = [change for change in accuracy["change"].unique() if change != "none"]
    figure, panels = new_panels(width=2, height=3.4)
    axes, width = panels[0, 0], 0.8 / (len(SETS) - 1)
    for place, (name, style) in enumerate(SETS.items()):
        for at, change in enumerate(changes):
            interval = t_interval(_rows(accuracy, change=change, parameters=name)["value"].to_numpy())
            x = at + (place - (len(SETS) - 2) / 2) * width
            if name == "retrained":
                axes.plot([at - 0.45, at + 0.45], [interval.mean] * 2, color=NEUTRAL, linewidth=1.2, zorder=3)
                continue
            axes.bar(x, interval.mean, width=0.9 * width, color=style.color)
            axes.plot([x, x], [interval.low, interval.high], color="#16181c", linewidth=0.9)
    reference_line(axes, float(_rows(accuracy, change="none")["value"].mean()))
    axes.set_xticks(range(len(changes)), changes)
    axes.set(ylabel="held-out accuracy", xlim=(-0.6, len(changes) - 0.4), ylim=(0, 1.02))
    bars = {name: ArmStyle(style.color, "s", (0, ())) for name, style in SETS.items() if name != "retrained"}
    arm_legend(figure, bars, lines=False, ncols=4)
    return figure
