"""Colours that stay apart in greyscale and for colour-blind readers, and a fixed look for each arm of a study.

Of the first eight, lightness (CIE L*) rises by about eight from colour to colour, so that a photocopy still tells them
apart; hues were chosen to maximise the smallest distance seen with normal vision, protanopia and deuteranopia (Machado
et al. 2009). Five more lie between them, for studies of many arms: apart in hue, in greyscale by their markers.
Conditions that have an order (a gain, a batch size) get colours that have one, dark to light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

COLOURS = (
    *("#0d39b1", "#fe8f2c", "#4ed0f7", "#003d31", "#8a8164", "#2a99fe", "#b01d04", "#b73b90"),
    *("#7700ff", "#aacc99", "#550066", "#cc9955", "#bb99aa"),
)
"""Ordered so that the first few are the furthest apart."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES = ((0, ()), (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))

NEUTRAL = "#5b6068"
"""For reference lines, seed points and whatever is no arm."""
INK = "#16181c"
"""For intervals, and for data that belong to no arm."""

ORDERED = ("viridis", 0.85)
"""Colour map of ordered conditions, and how far up it they go: beyond, lines are too light for white paper."""


Level = TypeVar("Level", str, int, float)


@dataclass(frozen=True)
class ArmStyle:
    """How one arm looks: colour, marker, and dash pattern of its line (matplotlib's `(offset, on-off)` form)."""

    color: str
    marker: str | tuple[int, int, float]
    dash: tuple[int, tuple[float, ...]]

    @property
    def line(self) -> dict[str, Any]:
        """Keywords for `Axes.plot` and `Line2D`."""
        return {"color": self.color, "marker": self.marker, "linestyle": self.dash}


def arm_styles(names: Sequence[str]) -> dict[str, ArmStyle]:
    """The look of every arm of a study, from the study's own list of arms in its own order.

    A study calls this once, on all its arms, and looks names up in every figure: the same arm then looks the same
    everywhere, also in a figure that shows only some. No two arms share a colour.

    Raises:
        ValueError: a name is there twice, or there are more names than colours.
    """
    _refuse_twins(names)
    if len(names) > len(COLOURS):
        raise ValueError(
            f"{len(names)} arms and {len(COLOURS)} colours: readers do not tell more apart; draw fewer arms, "
            "or use ordered_styles for conditions along an axis"
        )
    return {name: ArmStyle(COLOURS[i], *_shape(i)) for i, name in enumerate(names)}


def ordered_styles(levels: Sequence[Level]) -> dict[Level, ArmStyle]:
    """Looks for conditions along an axis (gains, batch sizes, noise), names or numbers in its order: dark to light.

    Raises:
        ValueError: a level is there twice.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    _refuse_twins(levels)
    name_of_map, top = ORDERED
    steps = max(len(levels) - 1, 1)
    colours = [to_hex(colormaps[name_of_map](top * i / steps)) for i in range(len(levels))]
    return {level: ArmStyle(colour, *_shape(i)) for i, (level, colour) in enumerate(zip(levels, colours, strict=True))}


def direction_styles(count: int) -> dict[str, ArmStyle]:
    """Looks for `count` directions around a ring, by their angle ("45°"): the marker is a triangle that points there.

    Raises:
        ValueError: there are more directions than colours.
    """
    turns = {f"{turn:g}°": turn for turn in (360 * number / count for number in range(count))}
    styles = arm_styles(list(turns))
    return {name: replace(style, marker=(3, 0, turns[name] - 90)) for name, style in styles.items()}


def without_markers(styles: dict[Level, ArmStyle]) -> dict[Level, ArmStyle]:
    """The same colours and dashes for lines of so many points that markers would hide them."""
    return {level: replace(style, marker="") for level, style in styles.items()}


def _shape(place: int) -> tuple[str, tuple[int, tuple[float, ...]]]:
    return MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)]


def _refuse_twins(names: Sequence[Any]) -> None:
    twice = sorted({str(name) for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f"arms named twice: {', '.join(twice)}; every arm needs a name of its own")
