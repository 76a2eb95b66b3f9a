"""What is wrong with the panels of a figure: letters, titles, axes, ticks and cells."""

from __future__ import annotations

import string
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import QuadMesh

from dynatlas.figures.audit_texts import visible_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def panel_problems(figure: Figure) -> list[str]:
    """Problems of letters and titles, and of each panel's axes, ticks and cells."""
    drawn = {id(text) for text in visible_texts(figure)}
    shown = [axes for axes in figure.axes if axes.get_visible() and axes.axison]
    panels = [axes for axes in shown if not is_colour_bar(axes)]
    problems = [*_letters(panels), *_twins(panels)]
    for axes in shown:
        problems += _axes(axes, drawn)
    return [*problems, *(problem for axes in panels for problem in _cells(axes))]


def is_colour_bar(axes: Axes) -> bool:
    """Whether axes hold a colour bar; matplotlib labels those."""
    return axes.get_label() == "<colorbar>"


def name_of(axes: Axes) -> str:
    """How a panel is called in a complaint."""
    names = [axes.get_title(loc=where) for where in ("left", "center")]
    return repr(" ".join(name for name in names if name))


def _letters(panels: list[Axes]) -> list[str]:
    """Several panels are lettered a, b, c, ...; a single one needs no letter."""
    found = [axes.get_title(loc="left") for axes in panels]
    wanted = list(string.ascii_lowercase[: len(panels)])
    if len(panels) < 2 or sorted(found) == wanted:
        return []
    return [f"panels have the letters {found}: each of {len(panels)} panels has one, from a to {wanted[-1]}"]


def _twins(panels: list[Axes]) -> list[str]:
    """Two panels of one title, and of the same axes, cannot be told apart."""
    called = Counter((axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) for axes in panels)
    return [
        f"{count} panels have the title {title!r} and the same labels (x {x!r}, y {y!r})"
        for (title, x, y), count in called.items()
        if count > 1
    ]


def _axes(axes: Axes, drawn: set[int]) -> list[str]:
    """Axes without data are faulty unless switched off; an axis of names needs no title, an axis of numbers does."""
    if not axes.has_data() and not is_colour_bar(axes):
        return [f"panel {name_of(axes)} shows nothing"]
    problems = []
    for which, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if is_colour_bar(axes) and not _ticks(axis, drawn):
            continue  # the short side of a colour bar
        where = f"panel {name_of(axes)}: its {which} axis"
        names = [text for _, text in _ticks(axis, drawn)]
        if _numeric(names) and not getattr(axes, f"get_{which}label")() and not _labelled_by_neighbour(axes, which):
            problems.append(f"{where} shows numbers and has no label")
        few = len(names) < 2 and not any(is_table(axes, mesh) for mesh in _meshes(axes))
        if few and not any(map(str.isalpha, "".join(names))) and not _ticked_by_neighbour(axes, which, drawn):
            problems.append(f"{where} has {len(names)} tick labels: a reader needs two to read a value")
        problems += [f"{where} {problem}" for problem in _misplaced(axes, axis, drawn)]
    return problems


def _ticks(axis: Axis, drawn: set[int]) -> list[tuple[float, str]]:
    """Place and text of every tick label that is drawn."""
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    labels = [(tick.get_loc(), label) for tick in ticks for label in (tick.label1, tick.label2)]
    return [(float(place), label.get_text().strip()) for place, label in labels if id(label) in drawn]


def _numeric(names: list[str]) -> bool:
    return any(any(c.isdigit() for c in name) and not any(c.isalpha() for c in _plain(name)) for name in names)


def _plain(name: str) -> str:
    """A tick label without the commands of matplotlib's mathematics, which are letters."""
    return name.replace(r"\mathdefault", "").replace(r"\times", "")


def _labelled_by_neighbour(axes: Axes, which: str) -> bool:
    """A shared axis may carry its label on another panel, or the figure may carry one for all."""
    figure = axes.get_figure()
    over_all = getattr(figure, f"get_sup{which}label")() if figure is not None else ""
    return bool(over_all) or any(getattr(other, f"get_{which}label")() for other in _sharing(axes, which))


def _ticked_by_neighbour(axes: Axes, which: str, drawn: set[int]) -> bool:
    """A shared axis may carry its numbers on another panel of the same row or column."""
    return any(len(_ticks(getattr(other, f"{which}axis"), drawn)) > 1 for other in _sharing(axes, which))


def _sharing(axes: Axes, which: str) -> list[Axes]:
    """The panels in the same column (x) or row (y) that share an axis with this one, itself among them."""
    group = (axes.get_shared_x_axes() if which == "x" else axes.get_shared_y_axes()).get_siblings(axes)
    side = 0 if which == "x" else 1
    here = axes.get_position().get_points()[:, side]
    return [other for other in group if np.allclose(other.get_position().get_points()[:, side], here, atol=0.02)]


def _misplaced(axes: Axes, axis: Axis, drawn: set[int]) -> list[str]:
    """Numbers that do not stand where they belong: values at odd distances, drawn at even ones.

    In a table of printed numbers (every cell of a mesh has its own) rows and columns are names, and stand evenly.
    """
    if any(is_table(axes, mesh) for mesh in _meshes(axes)):
        return []
    ticks = [(place, _number(name)) for place, name in _ticks(axis, drawn)]
    wrong = [
        f"{value:g} stands at {place:g}"
        for place, value in ticks
        if value is not None and abs(value - place) > 0.02 * max(abs(place), abs(value)) + 1e-12
    ]
    scaled = bool(axis.get_offset_text().get_text())  # numbers are multiples of what is written at the end of the axis
    return (
        [f"has numbers where they do not belong ({', '.join(wrong[:3])}, ...)"] if len(wrong) > 1 and not scaled else []
    )


def _number(name: str) -> float | None:
    try:
        return float(name.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return None


def _meshes(axes: Axes) -> list[QuadMesh]:
    return [item for item in axes.collections if isinstance(item, QuadMesh)]


def _values(mesh: QuadMesh) -> np.ma.MaskedArray[Any, Any]:
    """The values of a mesh's cells, without the missing ones, shape (rows, columns)."""
    shape = np.asarray(mesh.get_coordinates()).shape
    return np.ma.masked_invalid(np.ma.asarray(mesh.get_array())).reshape(shape[0] - 1, shape[1] - 1)


def _empty_of_text(axes: Axes, mesh: QuadMesh) -> np.ndarray:
    """Which cells have no text within, shape (rows, columns)."""
    corners = np.asarray(mesh.get_coordinates())
    low = np.minimum(corners[:-1, :-1], corners[1:, 1:])
    high = np.maximum(corners[:-1, :-1], corners[1:, 1:])
    empty = np.ones(low.shape[:2], dtype=bool)
    for text in axes.texts:
        if text.get_text().strip():
            at = np.asarray(text.get_position(), dtype=float)
            empty &= ~((low <= at) & (at <= high)).all(axis=-1)
    return empty


def is_table(axes: Axes, mesh: QuadMesh) -> bool:
    """Whether every cell of a mesh holds a text: its number."""
    return not _empty_of_text(axes, mesh).any()


def _cells(axes: Axes) -> list[str]:
    """Cells without a value say so; a reader takes white for a value."""
    blank = sum(int((np.ma.getmaskarray(_values(mesh)) & _empty_of_text(axes, mesh)).sum()) for mesh in _meshes(axes))
    return [f"panel {name_of(axes)}: {blank} cells are blank and hold no word"] if blank else []
