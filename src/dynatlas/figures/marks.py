"""What is drawn: seed bands, points with intervals, heat maps with numbers, bars on a logarithmic axis.

Every interval comes from the table by Student's t over seeds; nothing here draws a random number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dynatlas.figures.palette import ArmStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


SUFFIXES = ("", "k", "M", "G", "T")


@dataclass(frozen=True)
class Interval:
    """A mean and its interval; all three the same where values do not spread, nan bounds for a single value."""

    mean: float
    low: float
    high: float


def t_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Mean and two-sided Student-t interval of independent values, shape (n,).

    Raises:
        ValueError: no value, or one that is not finite.
    """
    from scipy.special import stdtrit  # the quantile of scipy.stats.t, at a tenth of its import

    sample = np.asarray(values, dtype=float).ravel()
    if sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"an interval needs finite values, got {sample.tolist()}")
    mean = float(sample.mean())
    if sample.size == 1:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stdtrit(sample.size - 1, (1 + level) / 2) * sample.std(ddof=1) / np.sqrt(sample.size))
    return Interval(mean, mean - half, mean + half)


def summarise(table: DataFrame, by: Sequence[str], *, value: str = "value", level: float = 0.95) -> DataFrame:
    """Mean and t interval over seeds of each group, in the order in which groups first appear.

    Raises ValueError for a row whose group is NaN, which would be left out.

    Returns:
        A frame with the columns of `by`, then `mean`, `low`, `high`, `n`.
    """
    import pandas as pd

    if lacking := [f"{name} ({int(n)})" for name, n in table[list(by)].isna().sum().items() if n]:
        raise ValueError(f"NaN among the groups, in rows of: {', '.join(lacking)}")
    rows = []
    for key, group in table.groupby(list(by), sort=False):
        interval = t_interval(group[value].to_numpy(), level)
        rows.append([*key, interval.mean, interval.low, interval.high, len(group)])
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "n"])


def seed_band(
    axes: Axes, table: DataFrame, *, x: str, style: ArmStyle, value: str = "value", level: float = 0.95
) -> None:
    """A line through the means over seeds at each `x`, with markers, and the t interval as a band."""
    line = summarise(table, [x], value=value, level=level).sort_values(x)
    axes.fill_between(line[x], line["low"], line["high"], color=style.color, alpha=0.18, linewidth=0)
    axes.plot(line[x], line["mean"], **style.line)


def points_with_interval(
    axes: Axes, groups: Mapping[str, Sequence[float]], *, styles: Mapping[str, ArmStyle], level: float = 0.95
) -> None:
    """One column a group: left a small point a seed in the order of seeds, right the mean with its t interval."""
    for position, (name, values) in enumerate(groups.items()):
        style = styles[name]
        spread = np.linspace(-0.3, 0.04, len(values)) if len(values) > 1 else np.array([-0.13])
        axes.plot(
            position + spread,
            values,
            linestyle="none",
            marker=style.marker,
            markersize=2.6,
            color=style.color,
            alpha=0.55,
            markeredgewidth=0,
        )
        _bar_of_interval(axes, position + 0.22, t_interval(values, level), style)
    _name_columns(axes, list(groups))


def _bar_of_interval(axes: Axes, position: float, interval: Interval, style: ArmStyle) -> None:
    axes.plot([position] * 2, [interval.low, interval.high], color="#16181c", linewidth=1.1, solid_capstyle="butt")
    axes.plot(
        [position],
        [interval.mean],
        marker=style.marker,
        markersize=6,
        color=style.color,
        markeredgecolor="#16181c",
        markeredgewidth=0.8,
        linestyle="none",
    )


def _name_columns(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    if sum(map(len, names)) > 30:
        axes.tick_params(axis="x", labelrotation=40)
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
        matrix: values, shape (rows, columns); empty cells (nan) stay blank.
        unit: what the colour bar shows, with its unit.
        limits: lowest and highest value of the colour bar; the matrix's own range by default.
        number: format of the printed numbers.
        centred: white at zero, purple below and orange above, with symmetric limits.
    """
    import seaborn as sns

    largest = float(np.nanmax(np.abs(matrix.to_numpy(dtype=float))))
    low, high = limits or ((-largest, largest) if centred else (None, None))
    sns.heatmap(
        matrix,
        ax=axes,
        annot=True,
        fmt=number,
        annot_kws={"fontsize": 7},
        vmin=low,
        vmax=high,
        cmap="PuOr_r" if centred else "cividis",
        linewidths=0.4,
        linecolor="white",
        cbar_kws={"label": unit},
    )
    axes.tick_params(length=0, axis="both")
    axes.set(xlabel="", ylabel="")
    axes.tick_params(axis="y", labelrotation=0)


def short_number(value: float) -> str:
    """A positive number with two digits and a letter for its thousands: 9500 is `9.5k`, 8.5e6 `8.5M`."""
    exponent = min(max(int(np.floor(np.log10(float(f"{value:.1e}")) / 3)), 0), 4)
    scaled = value / 1000**exponent
    return f"{scaled:.0f}{SUFFIXES[exponent]}" if scaled >= 10 else f"{scaled:.2g}{SUFFIXES[exponent]}"


def log_bars(
    axes: Axes, groups: Mapping[str, Sequence[float]], *, styles: Mapping[str, ArmStyle], floor: float = 0.5
) -> None:
    """Bars on a logarithmic axis: geometric mean over seeds, t interval taken on logarithms, value (2 digits) above it.

    Args:
        axes: where to draw; its y axis becomes logarithmic.
        groups: positive values of each arm, one a seed (one value where there is no spread: a count).
        styles: the arms' looks.
        floor: bars start at this fraction of the smallest mean (a logarithmic axis has no zero).

    Raises:
        ValueError: a value is not positive.
    """
    for name, values in groups.items():
        if min(values) <= 0:
            raise ValueError(f"log_bars: {name} has the value {min(values)}, which has no logarithm")
    logs = [t_interval(np.log(values)) for values in groups.values()]
    means = np.exp([interval.mean for interval in logs])
    axes.set_yscale("log")
    axes.bar(range(len(means)), means, color=[styles[name].color for name in groups], width=0.68)
    for position, (mean, interval) in enumerate(zip(means, logs, strict=True)):
        if np.isfinite(interval.low):
            axes.plot([position] * 2, np.exp([interval.low, interval.high]), color="#16181c", linewidth=1.1)
        top = max(mean, np.exp(interval.high)) if np.isfinite(interval.high) else mean
        axes.annotate(
            short_number(mean), (position, top), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=7
        )
    axes.set_ylim(float(means.min()) * floor, axes.get_ylim()[1] * 1.5)
    _name_columns(axes, list(groups))
