"""The one style: matplotlib settings, figure sizes, panels and panel letters.

Figures are made at the width at which they are printed, so that font sizes here are the sizes on paper.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter

from dynatlas.figures.palette import NEUTRAL, ArmStyle

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

WIDTHS = {1: 3.5, 2: 7.2}
"""Inches of one and of two columns of a journal's page (89 and 183 mm)."""

SMALLEST_TEXT = 6.5
"""Points; nothing in a figure is set smaller."""

_RC: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs on every machine
    "mathtext.fontset": "dejavusans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#33363b",
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "grid.color": "#dfe2e6",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "lines.markeredgewidth": 0.5,
    "lines.markeredgecolor": "white",
    "hatch.linewidth": 0.6,
    "image.cmap": "cividis",
    "image.interpolation": "nearest",
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "savefig.bbox": None,
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
    "svg.hashsalt": "dynatlas",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's defaults with the house's settings on top, whatever a user's matplotlibrc says; undone on leaving.

    Usable as a decorator: `@house_style()` above every `draw_*`.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_panels(
    rows: int = 1, columns: int = 1, *, width: Literal[1, 2] = 1, height: float = 2.4, **keywords: Any
) -> tuple[Figure, np.ndarray]:
    """A figure of one or two journal columns with a grid of panels.

    Args:
        rows: rows of panels.
        columns: columns of panels.
        width: journal columns, see `WIDTHS`.
        height: inches.
        keywords: passed on to `Figure.subplots` (`sharey`, `width_ratios`, ...).

    Returns:
        The figure and its axes, shape (rows, columns).
    """
    figure = Figure(figsize=(WIDTHS[width], height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **keywords)


def letter_panels(panels: Sequence[Axes] | np.ndarray) -> None:
    """Set a, b, c, ... in bold at the upper left of the panels, in reading order: every panel of a figure has one."""
    for letter, axes in zip(string.ascii_lowercase, np.ravel(np.asarray(panels, dtype=object)), strict=False):
        axes.set_title(letter, loc="left", fontweight="bold", fontsize=10)


REFERENCE: dict[str, Any] = {"color": NEUTRAL, "linewidth": 0.8, "linestyle": (0, (4, 2))}
"""Keywords for a line that is no datum: chance, a bound, an identity."""


def reference_line(
    axes: Axes,
    value: float,
    *,
    label: str,
    across: Literal["x", "y"] = "y",
    written: bool = True,
    along: float = 1,
) -> None:
    """A thin dashed line at a value that is no datum (chance, null, the paper's figure), across the whole panel.

    Args:
        axes: where to draw.
        value: where the line stands.
        label: what stands there; no line goes without.
        across: `y` for a horizontal line, `x` for a vertical one.
        written: whether the label is written at the line; if not, another panel or a legend of the figure does.
        along: where along the line the label is written, from 0 to 1.
    """
    draw = axes.axhline if across == "y" else axes.axvline
    draw(value, **REFERENCE, zorder=0.5, label=label)
    if not written:
        return
    where: dict[str, Any] = (
        {"xy": (along, value), "xycoords": axes.get_yaxis_transform(), "xytext": (0, 1.5)}
        | {"ha": "left" if along < 0.3 else "right" if along > 0.7 else "center"}
        if across == "y"
        else {"xy": (value, along), "xycoords": axes.get_xaxis_transform(), "xytext": (2, 0)}
        | {"va": "bottom" if along < 0.3 else "top" if along > 0.7 else "center"}
    )
    axes.annotate(label, textcoords="offset points", color=NEUTRAL, fontsize=SMALLEST_TEXT, **where)


def arm_legend(
    owner: Figure | Axes,
    styles: Mapping[Any, ArmStyle],
    *,
    names: Mapping[Any, str] | str = "{}",
    lines: bool = True,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    patches: Mapping[str, Mapping[str, Any]] | None = None,
    **keywords: Any,
) -> None:
    """A legend of arms by colour, marker and dash; for a Figure it stands outside, above the panels, by default.

    Arms are called what `names` says: by arm, or as a format (`"batch {:g}"`). `others` are lines that are no arm, by
    name, each as keywords of `Line2D` (`REFERENCE`, for one); `patches` are areas, as keywords of `Patch`.
    """
    handles: list[Artist] = [
        Line2D([], [], label=_called(arm, names), **{**style.line, **({} if lines else {"linestyle": "none"})})
        for arm, style in styles.items()
    ]
    handles += [Line2D([], [], label=name, **look) for name, look in (others or {}).items()]
    handles += [Patch(label=name, **look) for name, look in (patches or {}).items()]
    if isinstance(owner, Figure):
        most = 6 if owner.get_figwidth() > WIDTHS[1] else 2
        keywords = {"loc": "outside upper center", "ncols": min(len(handles), most), **keywords}
    owner.legend(handles=handles, **keywords)


def legend_beside(axes: Axes, styles: Mapping[Any, ArmStyle], **keywords: Any) -> None:
    """An `arm_legend` right of a panel, where no line runs; keywords as there."""
    where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.02), "borderpad": 0, "handlelength": 2.2}
    arm_legend(axes, styles, alignment="left", **where, **keywords)


def _called(arm: Any, names: Mapping[Any, str] | str) -> str:
    return names.format(arm) if isinstance(names, str) else names[arm]


def log_axis(axes: Axes, which: Literal["x", "y"] = "x", *, linear_below: float | None = None) -> None:
    """A logarithmic axis on which at least two numbers are written; call it when everything is drawn.

    Written are 1, 2 and 5 within a decade, 1 and 3 within two, the decades alone over more. With `linear_below`,
    the axis is linear up to there, so that it can begin at 0 (matplotlib's `symlog`).
    """
    low, high = getattr(axes, f"get_{which}lim")()
    if linear_below is None:
        getattr(axes, f"set_{which}scale")("log")
        low, high = getattr(axes, f"get_{which}lim")()
        ends = np.log10([low, high])
    else:
        getattr(axes, f"set_{which}scale")("symlog", linthresh=linear_below, linscale=0.4)
        ends = np.log10([linear_below, high])
        low = max(low, -0.3 * linear_below)  # the margin of a linear axis would be most of this one
    powers = range(int(np.floor(ends[0])) - 1, int(np.ceil(ends[1])) + 1)
    decades = ends[1] - ends[0]
    steps = (1.0, 2.0, 5.0) if decades < 1 else (1.0, 3.0) if decades < 2 else (1.0,)
    ticks = [step * 10.0**power for power in powers for step in steps]
    shown = [tick for tick in ticks if max(low, linear_below or 0) <= tick <= high]
    if linear_below is None and len(shown) < 2:
        shown = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    shown = shown if linear_below is None else [0.0, *shown]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(shown, labels=[_power_or_number(tick) for tick in shown])
    minor = [step * 10.0**power for power in powers for step in range(1, 10)]
    axis.set_ticks([tick for tick in minor if tick >= (linear_below or 0)], minor=True)
    axis.set_minor_formatter(NullFormatter())
    getattr(axes, f"set_{which}lim")(low, high)


def _power_or_number(value: float) -> str:
    """0.05 and 2000 as numbers, 1e-4 and 1e5 as powers of ten."""
    if value == 0 or 1e-4 <= value < 1e4:
        return f"{value:g}"
    power = int(np.floor(np.log10(value) + 1e-9))
    digit = value / 10.0**power
    return f"$10^{{{power}}}$" if abs(digit - 1) < 1e-6 else rf"${digit:g}\times10^{{{power}}}$"
