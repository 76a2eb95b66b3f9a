"""What is wrong with a figure, in words: the contract that every `draw_*` of every study is held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from dynatlas.figures.style import SMALLEST_TEXT, WIDTHS, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def figure_problems(figure: Figure) -> list[str]:
    """Everything about a figure that a reader would stumble over; empty for a sound one.

    Checked: the width is one or two columns; no text is smaller than `SMALLEST_TEXT` points or sticks out of the page;
    a panel that shows data names its numeric axes; every panel shows something.
    """
    with house_style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return [*_size(figure), *_texts(figure, canvas), *(p for axes in figure.axes for p in _panel(axes))]


def _size(figure: Figure) -> list[str]:
    width = figure.get_figwidth()
    if any(abs(width - allowed) < 1e-6 for allowed in WIDTHS.values()):
        return []
    return [f"width of {width:.2f} in: one or two columns are {' or '.join(map(str, WIDTHS.values()))} in"]


def _texts(figure: Figure, canvas: FigureCanvasAgg) -> list[str]:
    problems = []
    hidden = _hidden_ticks(figure)
    texts = [item for item in figure.findobj(Text) if isinstance(item, Text) and id(item) not in hidden]
    for text in (item for item in texts if item.get_visible() and item.get_text().strip()):
        if float(text.get_fontsize()) < SMALLEST_TEXT:
            problems.append(f"text {text.get_text()!r} of {text.get_fontsize():g} pt: at least {SMALLEST_TEXT} pt")
        box = text.get_window_extent(canvas.get_renderer())
        outside = min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1)
        if np.isfinite(outside) and outside < -1:
            problems.append(f"text {text.get_text()!r} sticks {-outside:.0f} pixels out of the figure")
    return problems


def _hidden_ticks(figure: Figure) -> set[int]:
    """Labels of ticks beyond an axis's limits: they exist, and are never drawn."""
    axis_of = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    return {
        id(label)
        for axis in axis_of
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for label in (tick.label1, tick.label2)
    }


def _panel(axes: Axes) -> list[str]:
    """Axes without data are faulty unless switched off; an axis of names needs no title, an axis of numbers does."""
    if not axes.axison:
        return []
    if not axes.has_data():
        return [f"panel {axes.get_title(loc='left') or axes.get_title()!r} shows nothing"]
    spread = [("x", axes.xaxis, axes.get_xlabel()), ("y", axes.yaxis, axes.get_ylabel())]
    return [
        f"panel {axes.get_title(loc='left') or axes.get_title()!r}: its {which} axis shows numbers and has no label"
        for which, axis, label in spread
        if not label and _shows_numbers(axis) and not _labelled_by_neighbour(axes, which)
    ]


def _shows_numbers(axis: Axis) -> bool:
    labels = [label.get_text().strip() for label in axis.get_ticklabels() if label.get_visible()]
    return any(any(char.isdigit() for char in label) and not any(c.isalpha() for c in label) for label in labels)


def _labelled_by_neighbour(axes: Axes, which: str) -> bool:
    """A shared axis may carry its label on another panel, or the figure may carry one for all."""
    group = (axes.get_shared_x_axes() if which == "x" else axes.get_shared_y_axes()).get_siblings(axes)
    figure = axes.get_figure()
    over_all = getattr(figure, f"get_sup{which}label")() if figure is not None else ""
    return bool(over_all) or any(getattr(other, f"get_{which}label")() for other in group)
