"""What is wrong with the texts of a figure: too small, cut off, hard to read, upon each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.path import Path
from matplotlib.text import Text

from dynatlas.figures.contrast import READABLE, contrast
from dynatlas.figures.style import SMALLEST_TEXT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MINUS_ZERO = re.compile(r"[-\N{MINUS SIGN}]0*\.?0*\s*%?")
COVERED = 0.15
"""The share of a text's box that may be hard to tell from the text: the corner of a marker, not a line through it."""
SLACK = 1.5
"""Pixels by which boxes of texts may touch: they are larger than the letters."""


@dataclass(frozen=True)
class Box:
    """A text's rectangle on the page: corners in pixels from the lower left, shape (4, 2), turned as the text is."""

    text: Text
    corners: np.ndarray

    @property
    def words(self) -> str:
        """What the text says."""
        return self.text.get_text()


def text_problems(figure: Figure, page: np.ndarray, renderer: Any) -> list[str]:
    """Problems of all visible texts; `page` is what is under them, shape (height, width, 3)."""
    boxes = [Box(text, _corners(text, renderer)) for text in visible_texts(figure)]
    problems = [problem for box in boxes for problem in _of_one(box, figure, page)]
    return [*problems, *_overlaps(boxes), *_labels_too_long(figure, renderer)]


def visible_texts(figure: Figure) -> list[Text]:
    """Every text with something in it that is drawn."""
    hidden = _hidden_ticks(figure)
    texts = [item for item in figure.findobj(Text) if isinstance(item, Text) and id(item) not in hidden]
    return [item for item in texts if item.get_visible() and item.get_text().strip()]


def _hidden_ticks(figure: Figure) -> set[int]:
    """Labels of ticks beyond an axis's limits, and of axes switched off: they exist, and are never drawn."""
    axis_of = [(axes, axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    return {
        id(label)
        for axes, axis in axis_of
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not axes.axison or not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for label in (tick.label1, tick.label2)
    }


def _corners(text: Text, renderer: Any) -> np.ndarray:
    """The turned rectangle around a text, from the upright one that matplotlib gives and the height of its lines."""
    upright = text.get_window_extent(renderer)
    turn = np.deg2rad(text.get_rotation())
    along, across = abs(np.cos(turn)), abs(np.sin(turn))
    lines = text.get_text().count("\n") + 1
    height = min(lines * 1.2 * float(text.get_fontsize()) * renderer.dpi / 72, max(upright.height, upright.width))
    if across < 1e-3 or along < 1e-3:
        width, height = upright.width, upright.height
        turn = 0.0
    elif along > across:
        width = (upright.width - height * across) / along
    else:
        width = (upright.height - height * along) / across
    half = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.array([upright.x0 + upright.width / 2, upright.y0 + upright.height / 2])
    return half @ rotation.T + centre


def _of_one(box: Box, figure: Figure, page: np.ndarray) -> list[str]:
    problems = []
    size = float(box.text.get_fontsize())
    if size < SMALLEST_TEXT:
        problems.append(f"text {box.words!r} of {size:g} pt: at least {SMALLEST_TEXT} pt")
    if MINUS_ZERO.fullmatch(box.words.strip()):
        problems.append(f"text {box.words!r}: zero has no sign")
    low, high = box.corners.min(axis=0), box.corners.max(axis=0)
    outside = -min(*low, *(np.array([figure.bbox.x1, figure.bbox.y1]) - high))
    if np.isfinite(outside) and outside > 1:
        return [*problems, f"text {box.words!r} sticks {outside:.0f} pixels out of the figure"]
    return [*problems, *_contrast(box, page)]


def _contrast(box: Box, page: np.ndarray) -> list[str]:
    """Most of what is under a text must stand out from it."""
    left, low = np.floor(box.corners.min(axis=0)).astype(int)
    right, high = np.ceil(box.corners.max(axis=0)).astype(int)
    x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(low, high) + 0.5)
    inside = Path(box.corners).contains_points(np.stack([x.ravel(), y.ravel()], axis=1))
    rows = np.clip(len(page) - 1 - y.ravel()[inside].astype(int), 0, len(page) - 1)
    under = page[rows, np.clip(x.ravel()[inside].astype(int), 0, page.shape[1] - 1)]
    if not len(under):
        return []
    ratio = contrast(under, np.array(to_rgb(box.text.get_color())))
    covered = float((ratio < READABLE).mean())
    if covered <= COVERED:
        return []
    return [
        f"text {box.words!r} is hard to read: over {covered:.0%} of it, contrast with what is under it is "
        f"below {READABLE} (median {np.median(ratio):.1f})"
    ]


def _overlaps(boxes: list[Box]) -> list[str]:
    near = (
        (one, other)
        for one, other in combinations(boxes, 2)
        if (one.corners.min(axis=0) < other.corners.max(axis=0)).all()
        and (other.corners.min(axis=0) < one.corners.max(axis=0)).all()
    )
    return [f"texts {one.words!r} and {other.words!r} overlap" for one, other in near if _meet(one, other)]


def _meet(one: Box, other: Box) -> bool:
    """Whether two rectangles overlap by more than `SLACK`: no side of either separates them (separating axes)."""
    for corners in (one.corners, other.corners):
        for side in (corners[1] - corners[0], corners[3] - corners[0]):
            length = float(np.linalg.norm(side))
            if length == 0:
                return False
            a, b = one.corners @ side / length, other.corners @ side / length
            if min(a.max(), b.max()) - max(a.min(), b.min()) < SLACK:
                return False
    return True


def _labels_too_long(figure: Figure, renderer: Any) -> list[str]:
    """Labels of axes that are longer than their axes, so that they run into a neighbour's."""
    problems = []
    for axes in figure.axes:
        box = axes.get_window_extent(renderer)
        for label, room, which in (
            (axes.xaxis.label, box.width, "wider"),
            (axes.yaxis.label, box.height, "taller"),
        ):
            extent = label.get_window_extent(renderer)
            length = extent.width if which == "wider" else extent.height
            if axes.axison and label.get_visible() and label.get_text().strip() and length > 1.05 * room:
                problems.append(f"label {label.get_text()!r} is {which} than its axes")
    return problems
