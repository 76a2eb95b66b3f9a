"""What is wrong with a figure, in words: the contract that every `draw_*` of every study is held to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dynatlas.figures.audit_looks import look_problems
from dynatlas.figures.audit_panels import panel_problems
from dynatlas.figures.audit_texts import text_problems
from dynatlas.figures.style import WIDTHS, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_problems(figure: Figure) -> list[str]:
    """Everything about a figure that a reader would stumble over; empty for a sound one.

    Checked: the page (`WIDTHS`); every text (`audit_texts`: size, place, contrast with what is under it, overlaps);
    every panel (`audit_panels`: letter, title, labels and ticks of its axes, cells); everything drawn (`audit_looks`:
    explained, told apart by more than colour, neither cut off nor hidden). The figure is drawn once.
    """
    with house_style():
        page, renderer = _page_without_texts(figure)
        problems = [*_size(figure), *text_problems(figure, page, renderer)]
        return [*problems, *panel_problems(figure), *look_problems(figure)]


def _page_without_texts(figure: Figure) -> tuple[np.ndarray, Any]:
    """What is under the texts, as colours in [0, 1], shape (height, width, 3), laid out as with them; the renderer."""
    canvas = FigureCanvasAgg(figure)
    renderer: Any = canvas.get_renderer()
    with _no_texts(renderer):
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255, renderer


@contextmanager
def _no_texts(renderer: Any) -> Iterator[None]:
    """Texts keep their extents, and with them the layout, but are not painted."""
    renderer.draw_text = lambda *_, **__: None
    try:
        yield
    finally:
        del renderer.draw_text


def _size(figure: Figure) -> list[str]:
    width = figure.get_figwidth()
    if any(abs(width - allowed) < 1e-6 for allowed in WIDTHS.values()):
        return []
    return [f"width of {width:.2f} in: one or two columns are {' or '.join(map(str, WIDTHS.values()))} in"]
