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

from dynatlas.figures.palette import NEUTRAL, ArmStyle

if TYPE_CHECKING:
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
    """Set a, b, c, ... in bold at the upper left of the panels, in reading order."""
    for letter, axes in zip(string.ascii_lowercase, np.ravel(np.asarray(panels, dtype=object)), strict=False):
        axes.set_title(letter, loc="left", fontweight="bold", fontsize=10)


def reference_line(axes: Axes, value: float, *, label: str | None = None, across: Literal["x", "y"] = "y") -> None:
    """A thin dashed line at a value that is no datum (chance, null, the paper's figure), across the whole panel."""
    draw = axes.axhline if across == "y" else axes.axvline
    draw(value, color=NEUTRAL, linewidth=0.8, linestyle=(0, (4, 2)), zorder=0.5)
    if label is None:
        return
    where: dict[str, Any] = (
        {"xy": (1, value), "xycoords": axes.get_yaxis_transform(), "ha": "right", "xytext": (0, 1.5)}
        if across == "y"
        else {"xy": (value, 1), "xycoords": axes.get_xaxis_transform(), "va": "top", "xytext": (2, 0)}
    )
    axes.annotate(label, textcoords="offset points", color=NEUTRAL, fontsize=SMALLEST_TEXT, **where)


def arm_legend(owner: Figure | Axes, styles: Mapping[str, ArmStyle], *, lines: bool = True, **keywords: Any) -> None:
    """A legend of arms by colour, marker and dash; for a Figure it stands outside, above the panels, by default."""
    handles = [
        Line2D([], [], label=name, **{**style.line, **({} if lines else {"linestyle": "none"})})
        for name, style in styles.items()
    ]
    if isinstance(owner, Figure):
        keywords = {"loc": "outside upper center", "ncols": min(len(handles), 6), **keywords}
    owner.legend(handles=handles, **keywords)
