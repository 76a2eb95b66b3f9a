"""What is drawn: seed bands, points with intervals, points on a logarithmic axis, heat maps with numbers.

Every interval comes from the table by Student's t over seeds; nothing here draws a random number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dynatlas.figures.contrast import ink_on
from dynatlas.figures.palette import INK, NEUTRAL, ArmStyle, ordered_styles
from dynatlas.figures.style import log_axis
from dynatlas.figures.tables import log_summary, rows_where, seed_interval, summarise
from dynatlas.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from pandas import DataFrame


ZERO: dict[str, Any] = {"color": "#c3c8cf", "linewidth": 0.5}
"""The look of a lane's zero."""
SUFFIXES = ("", "k", "M", "G", "T")
SHORT_PATH = 0.02
"""Share of a panel's width or height: paths that stay closer together are too short for an arrow head."""
NOTHING = "–"
"""Stands in the cells of a heat map for which there is no value."""


def seed_band(
    axes: Axes,
    table: DataFrame,
    *,
    x: str,
    style: ArmStyle,
    value: str = "value",
    level: float = 0.95,
    log: bool = False,
) -> None:
    """A line through the means over seeds at each `x`, with markers, and the t interval as a band.

    Where `log`, means are geometric and intervals taken on logarithms.
    """
    line = (log_summary if log else summarise)(table, [x], value=value, level=level).sort_values(x)
    axes.fill_between(line[x], line["low"], line["high"], color=style.color, alpha=0.18, linewidth=0)
    above = 2.1 if style.dash[1] else 2.0  # lines with gaps over those without, so that neither hides the other
    axes.plot(line[x], line["mean"], **style.line, zorder=above)


def seed_bands(
    axes: Axes, table: DataFrame, by: str, *, x: str, styles: Mapping[Any, ArmStyle] | None = None, log: bool = False
) -> dict[Any, ArmStyle]:
    """A `seed_band` for each arm in the table's column `by` that has a style, in the order of `styles`.

    Without `styles` the arms are levels, which have an order: see `palette.ordered_styles`.

    Returns:
        The arms drawn with their styles, for a legend.

    Raises:
        ValueError: no arm of the table has a style, or a row belongs to no arm.
    """
    held = set(table[by])
    styles = ordered_styles(sorted(held)) if styles is None else styles
    drawn = {arm: style for arm, style in styles.items() if arm in held}
    if not drawn:
        raise ValueError(f"nothing to draw: {by!r} is one of {sorted(held)}, and styles are those of {list(styles)}")
    for arm, style in drawn.items():
        seed_band(axes, rows_where(table, **{by: arm}), x=x, style=style, log=log)
    return drawn


def name_layers(axes: Axes, last: int) -> None:
    """Name the layers of a network below a panel: 0 the inputs, then hidden layers by number, `last` the logits."""
    names = ["inputs", *(str(layer) for layer in range(1, last)), "logits"]
    axes.set_xticks(range(last + 1), names)
    axes.tick_params(axis="x", labelrotation=60 if last > 7 else 0)
    axes.set_xlabel("layer")


def lanes(
    axes: Axes, table: DataFrame, channels: Mapping[str, Mapping[str, ArmStyle]], *, x: str, height: float = 0.4
) -> None:
    """Signals over time in lanes, the first on top: lane -> metric -> look, a step line each, 1 drawn as `height`.

    A line at each lane's zero; the lanes' names are the ticks, the last at 0 and the others 1 apart.

    Raises:
        ValueError: the table has no row of a metric.
    """
    for offset, metrics in zip(range(len(channels) - 1, -1, -1), channels.values(), strict=True):
        axes.axhline(offset, **ZERO, zorder=0)
        for metric, style in metrics.items():
            line = rows_where(table, metric=metric).sort_values(x)
            if line.empty:
                raise ValueError(f"lanes: no row has the metric {metric!r}; there are {sorted(set(table['metric']))}")
            axes.step(line[x], offset + height * line["value"], where="post", **style.line)
    axes.set_yticks(range(len(channels) - 1, -1, -1), list(channels))


def paths(axes: Axes, table: DataFrame, by: str, *, x: str, y: str, along: str, styles: Mapping[Any, ArmStyle]) -> None:
    """A line in the plane of two metrics for each value of `by`, in ascending order, with a marker at its end.

    Args:
        axes: where to draw.
        table: one row for each `by`, `along` and metric.
        by: the column that tells lines apart.
        x: the metric that is drawn to the right.
        y: the metric that is drawn upwards.
        along: the column by which points follow each other.
        styles: looks of the lines, in their order.

    Raises:
        ValueError: there are more lines than looks, or fewer.
    """
    wide = table.pivot_table(index=[by, along], columns="metric", values="value")
    for (_, path), style in zip(wide.groupby(level=by), styles.values(), strict=True):
        axes.plot(path[x], path[y], **style.line, linewidth=0.9, markersize=5, markevery=[-1])


def arrow_head(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Where a path (point,) of x and y ends, along its last part that is long enough to have a direction.

    A path whose points all lie closer to its end than `SHORT_PATH` has none. Call it once the scales and limits of the
    axes are final: what is long enough is judged by them.
    """
    across = axes.transLimits.transform(np.stack([axes.transScale.transform(xy) for xy in zip(x, y, strict=True)]))
    far = np.linalg.norm(across - across[-1], axis=1)
    if far.max() < SHORT_PATH:
        return
    back = np.flatnonzero(far >= SHORT_PATH)[-1]
    look = {"arrowstyle": "-|>", "mutation_scale": 7, "linewidth": 0.8, "color": INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=(x[-1], y[-1]), xytext=(x[back], y[back]), arrowprops=look, zorder=4)


def points_with_interval(
    axes: Axes, groups: Mapping[str, Sequence[float]], *, styles: Mapping[str, ArmStyle], level: float = 0.95
) -> None:
    """One column a group: left a small point a seed in the order of seeds, right the mean with its t interval."""
    for position, (name, values) in enumerate(groups.items()):
        _column(axes, position, values, seed_interval(values, level), styles[name])
    _name_columns(axes, list(groups))


def log_points(axes: Axes, groups: Mapping[str, Sequence[float]], *, styles: Mapping[str, ArmStyle]) -> None:
    """As `points_with_interval`, on a logarithmic axis: geometric means, and t intervals taken on logarithms.

    The mean is written above each column with two digits. No bars: a logarithmic axis has no zero for them to start at.

    Args:
        axes: where to draw; its y axis becomes logarithmic.
        groups: positive values of each arm, one a seed (one value, or equal ones, where there is no spread: a count).
        styles: the arms' looks.

    Raises:
        ValueError: a value is not positive.
    """
    for name, values in groups.items():
        if min(values) <= 0:
            raise ValueError(f"log_points: {name} has the value {min(values)}, which has no logarithm")
    for position, (name, values) in enumerate(groups.items()):
        interval = Interval(*np.exp(seed_interval(np.log(values))).tolist())
        _column(axes, position, values, interval, styles[name])
        above: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7}
        axes.annotate(short_number(interval.mean), (position, max(*values, interval.high)), (0, 6), **above)
    _leave_room(axes)
    log_axis(axes, "y")
    _name_columns(axes, list(groups))


def _leave_room(axes: Axes) -> None:
    """Limits of a logarithmic axis with room for numbers above; a factor of five at least, so that two are named."""
    low, high = np.log10(axes.dataLim.intervaly)
    missing, room = max(0.7 - (high - low), 0) / 2, 0.1 * max(high - low, 1)
    axes.set_ylim(10 ** (low - missing - room), 10 ** (high + missing + 1.6 * room))


def _column(axes: Axes, position: float, values: Sequence[float], interval: Interval, style: ArmStyle) -> None:
    """Points of seeds left, mean and interval right; the mean alone, in the middle, where all seeds agree."""
    if interval.low == interval.high:
        mean_with_interval(axes, position, interval, style)
        return
    look: dict[str, Any] = {"marker": style.marker, "color": style.color, "linestyle": "none"}
    spread = position + np.linspace(-0.3, 0.04, len(values))
    axes.plot(spread, values, **look, markersize=2.6, alpha=0.55, markeredgewidth=0)
    mean_with_interval(axes, position + 0.22, interval, style)


def mean_with_interval(
    axes: Axes,
    position: float,
    interval: Interval,
    style: ArmStyle,
    *,
    size: float = 6,
    across: Literal["x", "y"] = "x",
) -> None:
    """A marker at a mean, and a stroke over its interval; `across` is the axis on which `position` lies."""
    turned = slice(None, None, 1 if across == "x" else -1)
    stroke = ([position] * 2, [interval.low, interval.high])[turned]
    axes.plot(*stroke, color=INK, linewidth=1.1, solid_capstyle="butt")
    edge: dict[str, Any] = {"markeredgecolor": INK, "markeredgewidth": 0.7, "linestyle": "none"}
    axes.plot(*([position], [interval.mean])[turned], marker=style.marker, markersize=size, color=style.color, **edge)


def _name_columns(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    if sum(map(len, names)) > 30:
        turn_names(axes, 40)


def turn_names(axes: Axes, degrees: float) -> None:
    """Turn the names below an axis so that each ends at its tick."""
    axes.tick_params(axis="x", labelrotation=degrees)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")


def heat_map(
    axes: Axes,
    matrix: DataFrame,
    *,
    unit: str,
    limits: tuple[float, float] | None = None,
    number: str = ".2f",
    centred: bool = False,
) -> None:
    """A matrix as colours with its numbers printed in the cells; rows and columns are named by the frame's labels.

    Args:
        axes: where to draw.
        matrix: values, shape (rows, columns); cells without one (nan) stay white and hold a dash.
        unit: what the colour bar shows, with its unit.
        limits: lowest and highest value of the colour bar; the matrix's own range by default. Where values lie beyond,
            the bar ends in an arrow.
        number: format of the printed numbers.
        centred: white at zero, purple below and orange above, with symmetric limits.
    """
    import seaborn as sns

    values = matrix.to_numpy(dtype=float)
    largest = float(np.nanmax(np.abs(values)))
    low, high = limits or ((-largest, largest) if centred else (np.nanmin(values), np.nanmax(values)))
    sns.heatmap(
        matrix,
        ax=axes,
        vmin=low,
        vmax=high,
        cmap="PuOr_r" if centred else "cividis",
        linewidths=0.4,
        linecolor="white",
        cbar_kws={"label": unit, "extend": beyond(values, low, high)},
    )
    mesh: Any = axes.collections[0]
    _print_numbers(axes, mesh, values, number)
    axes.tick_params(length=0, axis="both")
    axes.set(xlabel="", ylabel="")
    axes.tick_params(axis="y", labelrotation=0)


def _print_numbers(axes: Axes, mesh: QuadMesh, values: np.ndarray, number: str) -> None:
    """The number of each cell, black or white, whichever reads better on the cell's colour."""
    mesh.update_scalarmappable()
    faces = np.asarray(mesh.get_facecolor())[:, :3].reshape(*values.shape, 3)
    for (row, column), value in np.ndenumerate(values):
        text, ink = (printed(value, number), ink_on(faces[row, column])) if np.isfinite(value) else (NOTHING, NEUTRAL)
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, color=ink)


def time_map(axes: Axes, matrix: DataFrame, *, limits: tuple[float, float]) -> QuadMesh:
    """A matrix as colours from `limits[0]` to `limits[1]`; rows are numbered from 1, above, columns labelled by times.

    A column reaches halfway to the times before and after its own, the first one begins at its time. Returns what a
    colour bar is made from.
    """
    times = matrix.columns.to_numpy(dtype=float)
    middle = (times[1:] + times[:-1]) / 2
    edges = np.concatenate([times[:1], middle, times[-1:] + (times[-1:] - middle[-1:])])
    rows = np.arange(len(matrix) + 1) + 0.5
    image = axes.pcolormesh(edges, rows, matrix.to_numpy(), vmin=limits[0], vmax=limits[1])
    axes.set(xlim=(edges[0], edges[-1]), ylim=(rows[-1], rows[0]))
    return image


def beyond(values: np.ndarray, low: float, high: float) -> Literal["neither", "min", "max", "both"]:
    """At which ends of a colour bar from `low` to `high` values are cut off: matplotlib's `extend`."""
    slack = 1e-9 * max(abs(low), abs(high))
    under, over = bool(np.nanmin(values) < low - slack), bool(np.nanmax(values) > high + slack)
    return "both" if under and over else "min" if under else "max" if over else "neither"


def printed(value: float, number: str) -> str:
    """A number in a format, without the sign where nothing but zeros is left of it."""
    text = format(value, number)
    return text if any(digit in "123456789" for digit in text) else text.lstrip("+-")


def short_number(value: float) -> str:
    """A positive number with two digits and a letter for its thousands: 9500 is `9.5k`, 8.5e6 `8.5M`."""
    exponent = min(max(int(np.floor(np.log10(float(f"{value:.1e}")) / 3)), 0), 4)
    scaled = value / 1000**exponent
    return f"{scaled:.0f}{SUFFIXES[exponent]}" if scaled >= 10 else f"{scaled:.2g}{SUFFIXES[exponent]}"
