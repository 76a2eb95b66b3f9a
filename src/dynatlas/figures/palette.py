"""Eight colours that stay apart in greyscale and for colour-blind readers, and a fixed look for each arm of a study.

Lightness (CIE L*) rises by about eight from colour to colour, so that a photocopy still tells them apart; hues were
chosen to maximise the smallest distance seen with normal vision, protanopia and deuteranopia (Machado et al. 2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

COLOURS = ("#0d39b1", "#fe8f2c", "#4ed0f7", "#003d31", "#8a8164", "#2a99fe", "#b01d04", "#b73b90")
"""Ordered so that the first few are the furthest apart."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES = ((0, ()), (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))

NEUTRAL = "#5b6068"
"""For reference lines, seed points and whatever is no arm."""


@dataclass(frozen=True)
class ArmStyle:
    """How one arm looks: colour, marker, and dash pattern of its line (matplotlib's `(offset, on-off)` form)."""

    color: str
    marker: str
    dash: tuple[int, tuple[float, ...]]

    @property
    def line(self) -> dict[str, Any]:
        """Keywords for `Axes.plot` and `Line2D`."""
        return {"color": self.color, "marker": self.marker, "linestyle": self.dash}


def arm_styles(names: Sequence[str]) -> dict[str, ArmStyle]:
    """The look of every arm of a study, from the study's own list of arms in its own order.

    A study calls this once, on all its arms, and looks names up in every figure: the same arm then looks the same
    everywhere, also in a figure that shows only some. Colours, markers and dashes repeat with periods 8, 9 and 5, so
    that up to 360 arms differ.

    Raises:
        ValueError: a name is there twice.
    """
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f"arms named twice: {', '.join(twice)}; every arm needs a name of its own")
    return {
        name: ArmStyle(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for i, name in enumerate(names)
    }
