"""What is wrong with marks: unexplained, told apart by colour alone, cut off, hidden, bars without a zero."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import Collection, PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.contour import ContourSet
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Annotation

from dynatlas.figures.audit_panels import is_colour_bar, is_table, name_of
from dynatlas.figures.audit_texts import visible_texts
from dynatlas.figures.palette import INK, NEUTRAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

NO_ARM = {NEUTRAL, INK, "#000000", "#ffffff"}
"""Colours that mark no arm."""


@dataclass(frozen=True)
class Look:
    """Colour, dash pattern (None: no line) and marker (None: no marker) of what is drawn."""

    colour: str
    dash: tuple[float, ...] | None
    marker: str | None

    def shows(self, other: Look) -> bool:
        """Whether a reader finds this look in a legend's `other`: what both have must be the same."""
        pairs = [(self.dash, other.dash), (self.marker, other.marker)]
        both = [one == two for one, two in pairs if one is not None and two is not None]
        return self.colour == other.colour and bool(both) and all(both)


@dataclass(frozen=True)
class Key:
    """What a figure explains: the looks in its legends, and the words that stand in it."""

    looks: list[Look]
    words: set[str]
    mapped: list[Any]
    """What its colour bars are of."""


def look_problems(figure: Figure) -> list[str]:
    """Problems of everything drawn in each panel, against the legends, words and colour bars of the figure."""
    key = _key(figure)
    problems = _legend_twins(figure)
    for axes in figure.axes:
        if axes.get_visible() and axes.axison and not is_colour_bar(axes):
            found = [
                *_unexplained(axes, key),
                *_alike(axes),
                *_bars(axes),
                *_cut_off(axes, key),
                *_hidden(axes),
                *_arrows(axes),
            ]
            problems += [f"panel {name_of(axes)}: {problem}" for problem in dict.fromkeys(found)]
    return problems


def _key(figure: Figure) -> Key:
    looks = [_look(handle) for legend in _legends(figure) for handle in legend.legend_handles]
    bars = [axes._colorbar for axes in figure.axes if is_colour_bar(axes)]  # type: ignore[attr-defined]
    words = {text.get_text() for text in visible_texts(figure)}
    return Key([look for look in looks if look], words, [bar.mappable for bar in bars])


def _legends(figure: Figure) -> list[Any]:
    own = [axes.get_legend() for axes in figure.axes]
    return [*figure.legends, *(legend for legend in own if legend is not None)]


def _look(artist: Any) -> Look | None:
    """The look of a line, of an outline of steps, or of a patch or cloud of one colour."""
    if isinstance(artist, Line2D):
        pattern = artist._unscaled_dash_pattern[1]  # type: ignore[attr-defined] # matplotlib has no public way to it
        drawn = artist.get_linestyle() not in {"None", "none", " ", ""}
        marker = artist.get_marker()
        shown = str(marker) if marker not in {"None", "none", " ", "", None} else None
        return Look(to_hex(artist.get_color()), tuple(pattern or ()) if drawn else None, shown)
    if isinstance(artist, StepPatch):
        return Look(to_hex(artist.get_edgecolor()), tuple(artist._unscaled_dash_pattern[1] or ()), None)  # type: ignore[attr-defined]
    colours = np.atleast_2d(artist.get_facecolor())
    return Look(to_hex(colours[0]), None, None) if len(colours) else None


def _lines(axes: Axes) -> list[tuple[Line2D, Look]]:
    """Lines and points with something in them, in the order in which they are painted."""
    drawn = [line for line in axes.lines if line.get_visible() and np.isfinite(_points(line)).any()]
    looks = [(line, _look(line)) for line in sorted(drawn, key=lambda line: line.get_zorder())]
    return [(line, look) for line, look in looks if look and (look.dash is not None or look.marker is not None)]


def _points(line: Line2D) -> np.ndarray:
    """What a line goes through, in pixels, shape (n, 2)."""
    xy = np.asarray(line.get_xydata(), dtype=float)
    with np.errstate(all="ignore"):
        return np.asarray(line.get_transform().transform(xy)) if len(xy) else np.full((1, 2), np.nan)


def _unexplained(axes: Axes, key: Key) -> Iterator[str]:
    """Looks that neither a legend nor a word nor the name of a column explains."""
    lines = _lines(axes)
    arms = {look.colour for line, look in lines if not _reference(line)} - NO_ARM
    unwritten = {id(line) for line, _ in lines if not str(line.get_label()).startswith("_") and not _written(line, key)}
    explained = {id(line) for line, _ in lines if _written(line, key)} | {
        id(line)
        for line, look in lines
        if arms == {look.colour}
        or any(look.shows(shown) for shown in key.looks)
        or look.colour in {to_hex(text.get_color()) for text in axes.texts} - NO_ARM
        or _in_a_column(axes, line)
        or str(look.marker).startswith("$")  # a marker that is a letter says itself what it is
    }
    explained -= unwritten  # a line with a name of its own is what no other line of its look is
    clear = [(line, look) for line, look in lines if id(line) in explained]
    for line, look in lines:
        if id(line) not in explained and not _interval_of(line, [point for point, _ in clear]):
            yield f"nothing says what {_words(look)} is"
    known = {look.colour for _, look in clear} | {look.colour for look in key.looks}
    yield from (f"nothing says what {thing} is" for thing in _unexplained_areas(axes, key, known))


def _written(artist: Any, key: Key) -> bool:
    """Whether the name that an artist was given stands in the figure, as words of some text."""
    name = str(artist.get_label())
    given = bool(name) and not name.startswith("_")
    return given and any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", word) for word in key.words)


def _reference(line: Line2D) -> bool:
    """Whether a line crosses the whole panel, whatever the data: `axhline` and `axvline`."""
    return line.axes is not None and line.get_transform() != line.axes.transData


def _words(look: Look) -> str:
    dash = "" if look.dash is None else "a solid line" if not look.dash else f"a line dashed {look.dash}"
    marker = "" if look.marker is None else f"marker {look.marker!r}"
    return f"{' with '.join(part for part in (dash, marker) if part)} of colour {look.colour}"


def _in_a_column(axes: Axes, line: Line2D) -> bool:
    """Whether all of a line is within half a unit of one tick that bears a name, on either axis."""
    xy = np.asarray(line.get_xydata(), dtype=float)
    return not _reference(line) and any(
        bool((np.abs(xy[:, side] - place) <= 0.5).all())
        for side, axis in enumerate((axes.xaxis, axes.yaxis))
        for place in _named(axis)
    )


def _named(axis: Axis) -> list[float]:
    ticks = [(tick.get_loc(), tick.label1.get_text()) for tick in axis.get_major_ticks()]
    names = [(float(place), name.replace("mathdefault", "")) for place, name in ticks]
    return [place for place, name in names if sum(map(str.isalpha, name)) > 1]


def _interval_of(line: Line2D, points: list[Line2D]) -> bool:
    """Whether a line is an upright or level stroke through a marker: what it is of is clear."""
    xy = np.asarray(line.get_xydata(), dtype=float)
    if len(xy) != 2 or (np.ptp(xy, axis=0) > 0).all():
        return False
    low, high = xy.min(axis=0) - 1e-9, xy.max(axis=0) + 1e-9
    marked = [np.asarray(point.get_xydata(), dtype=float) for point in points]
    return any(bool(((low <= at) & (at <= high)).all(axis=-1).any()) for at in marked)


def _unexplained_areas(axes: Axes, key: Key, known: set[str]) -> Iterator[str]:
    for item in axes.collections:
        if isinstance(item, PolyCollection) and item.get_array() is None:
            look = _look(item)
            if look and look.colour not in known and not _written(item, key):
                yield f"an area of colour {look.colour}"
        elif item.get_array() is not None and not _mapped(axes, item, key):
            yield f"the colour scale {item.get_cmap().name!r}"
        elif isinstance(item, PathCollection) and item.get_array() is None:
            look = _look(item)
            if look and look.colour not in known | NO_ARM and not _written(item, key):
                yield f"a cloud of colour {look.colour}"
    for patch in axes.patches:
        look = _look(patch)
        named = isinstance(patch, Rectangle) and any(
            abs(patch.get_x() + patch.get_width() / 2 - place) <= 0.5 for place in _named(axes.xaxis)
        )
        if look and look.colour not in known and not _written(patch, key) and not named:
            yield f"an area of colour {look.colour}"


def _mapped(axes: Axes, item: Collection, key: Key) -> bool:
    """Whether colours can be read: by a colour bar, by labels on contours, or by a number in each cell."""
    if isinstance(item, ContourSet) and getattr(item, "labelTexts", None):
        return True
    return any(_same_scale(item, shown) for shown in key.mapped) or (
        isinstance(item, QuadMesh) and is_table(axes, item)
    )


def _same_scale(one: Any, other: Any) -> bool:
    return one.get_cmap().name == other.get_cmap().name and one.get_clim() == other.get_clim()


def _alike(axes: Axes) -> Iterator[str]:
    """Arms of one colour, and arms that nothing but colour tells apart; columns are told apart by their names.

    One pair of each kind is named.
    """
    free = [
        (line, look)
        for line, look in _lines(axes)
        if not _reference(line) and not _in_a_column(axes, line) and not _stroke(line)
    ]
    pairs = list(combinations(free, 2))
    for (_, one), (_, other) in pairs:
        if one.colour == other.colour and one.colour not in NO_ARM and _differ(one, other):
            yield f"{_words(one)} and {_words(other)} have one colour"
            break
    for (line, one), (second, other) in pairs:
        widths = sorted((line.get_linewidth(), second.get_linewidth()))
        thin = one.dash is not None and other.dash is not None and widths[1] >= 2 * widths[0]
        if one.colour != other.colour and (one.dash, one.marker) == (other.dash, other.marker) and not thin:
            yield f"{_words(one)} and {_words(other)} are told apart by colour alone"
            break


def _differ(one: Look, other: Look) -> bool:
    pairs = [(one.dash, other.dash), (one.marker, other.marker)]
    return any(a != b for a, b in pairs if a is not None and b is not None)


def _stroke(line: Line2D) -> bool:
    """A line of two points without markers: an interval, or a level that is drawn for orientation."""
    return len(np.asarray(line.get_xydata())) <= 2 and str(line.get_marker()) in {"None", "", " ", "none"}


def _legend_twins(figure: Figure) -> list[str]:
    """Two entries of one legend that have the same colour."""
    problems = []
    for legend in _legends(figure):
        names = [text.get_text() for text in legend.get_texts()]
        looks = zip(names, map(_look, legend.legend_handles), strict=True)
        for (name, one), (twin, other) in combinations(looks, 2):
            if one and other and one.colour == other.colour and one.colour not in NO_ARM:
                problems.append(f"legend: {name!r} and {twin!r} have one colour, {one.colour}")
    return problems


def _bars(axes: Axes) -> Iterator[str]:
    """Bars tell by their length, and a logarithmic axis has no zero to measure it from."""
    for container in axes.containers:
        if isinstance(container, BarContainer):
            scale = axes.get_xscale() if container.orientation == "horizontal" else axes.get_yscale()
            if scale == "log":
                yield "bars stand on a logarithmic axis: draw points"


def _cut_off(axes: Axes, key: Key) -> Iterator[str]:
    """Data beyond the limits of a panel, or of a colour bar that does not end in an arrow there.

    Bands and strokes of intervals may go beyond: an accuracy's interval ends where accuracies do.
    """
    box = axes.bbox
    for line, look in _lines(axes):
        points = _points(line)
        beyond = np.maximum(points - [box.x1, box.y1], [box.x0, box.y0] - points)
        if not _reference(line) and not _stroke(line) and np.nanmax(np.where(np.isfinite(beyond), beyond, 0)) > 1:
            yield f"{_words(look)} leaves the panel"
    for item in axes.collections:
        if item.get_array() is None or isinstance(item, ContourSet):
            continue
        values: np.ndarray = np.ma.masked_invalid(np.ma.asarray(item.get_array(), dtype=float)).compressed()
        bars = [shown.colorbar for shown in key.mapped if _same_scale(item, shown)]
        if len(values) and bars:
            yield from _cut_colours(values, item.get_clim(), {bar.extend for bar in bars})


def _cut_colours(values: np.ndarray, limits: tuple[float, float], extends: set[str]) -> Iterator[str]:
    slack = 1e-9 * max(map(abs, limits))
    ends = [("min", values.min() < limits[0] - slack), ("max", values.max() > limits[1] + slack)]
    for end, beyond in ends:
        if beyond and not extends & {end, "both"}:
            yield f"values lie beyond the {end}imum of the colour bar, which shows no arrow there"


def _hidden(axes: Axes) -> Iterator[str]:
    """A line that lies wholly under a later one without gaps, and at least as thick."""
    lines = [(line, look) for line, look in _lines(axes) if look.dash is not None and not _stroke(line)]
    for (under, one), (over, other) in combinations(lines, 2):
        a, b = _points(under), _points(over)
        covered = len(a) > 1 and a.shape == b.shape and bool((np.abs(a - b).max(axis=1) < 0.75).all())
        arms = one.colour != other.colour and one.colour not in NO_ARM
        if covered and arms and not other.dash and over.get_linewidth() >= under.get_linewidth():
            yield f"{_words(one)} is hidden under {_words(other)}"


def _arrows(axes: Axes) -> Iterator[str]:
    """Arrows so short that there is only a head, whose direction a reader cannot see."""
    for text in axes.texts:
        if isinstance(text, Annotation) and text.arrow_patch is not None:
            arrow = text.arrow_patch
            ends = axes.transData.transform([text.xy, text.xyann])
            figure = axes.get_figure()
            head = arrow.get_mutation_scale() * (figure.dpi if figure else 72) / 72 * 0.4  # matplotlib's head_length
            if str(text.xycoords) == "data" and np.linalg.norm(ends[0] - ends[1]) < head:
                yield f"the arrow to ({text.xy[0]:g}, {text.xy[1]:g}) is shorter than its head"
