"""One row of the forest plot: a claim's interval against null and margin, beside its control's, as inline SVG.

Effects of different claims have different units, so every row has its own scale. The null stands in the middle, the
stated side on the right, and distances from the null are counted in units of the margin's distance and compressed by
asinh, so that margins of all rows stand in line. Where margin and null coincide, the unit is a third of the row's own
largest distance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import asinh, inf, isfinite
from typing import Any

from dynatlas.claims.verdicts import HYPOTHESES, Hypothesis
from dynatlas.site.shapes import marker

WIDTH, HEIGHT = 320, 40
MIDDLE, REACH = WIDTH / 2, WIDTH / 2 - 12
FURTHEST = 15.0
"""Units from the null at which a row ends; what lies beyond is drawn as an arrow at the edge."""

OWN_Y, CONTROL_Y = 14.0, 31.0


@dataclass(frozen=True)
class _Axis:
    """Maps a row's effects to horizontal positions."""

    null: float
    unit: float
    sign: int

    def units(self, value: float) -> float:
        return self.sign * (value - self.null) / self.unit

    def x(self, value: float) -> float:
        distance = min(max(self.units(value), -FURTHEST), FURTHEST)
        return MIDDLE + REACH * asinh(distance) / asinh(FURTHEST)


def forest_svg(row: Mapping[str, Any]) -> str:
    """The plot of one row of the ledger; an empty text for a row without an effect of its own (a compound)."""
    if row["effect"] is None and row["control_effect"] is None:
        return ""
    hypothesis = HYPOTHESES[row["test"]](row["margin"], row["target"] or 0.0) if row["margin"] is not None else None
    axis = _axis(row, hypothesis)
    parts = [
        f'<svg class="forest" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{describe(row)}">',
        _region(axis, hypothesis),
        _line(MIDDLE, "null"),
        *(_line(axis.x(end), "margin") for end in _ends(hypothesis) if axis.x(end) != MIDDLE),
        _interval(row, "control_", axis=axis, y=CONTROL_Y),
        _interval(row, "", axis=axis, y=OWN_Y),
        "</svg>",
    ]
    return "".join(parts)


def describe(row: Mapping[str, Any]) -> str:
    """The plot in words, for those who do not see it."""
    said = [f"effect {interval_text(row)}"]
    if row["margin"] is not None:
        said.append(f"margin {number(row['margin'])}")
    if row["control_effect"] is not None:
        said.append(f"control {interval_text(row, 'control_')}")
    return "; ".join([*said, str(row["verdict"])])


def interval_text(row: Mapping[str, Any], prefix: str = "") -> str:
    """`0.43 [0.31, 0.55]`; the point alone where there is no spread; empty without an effect."""
    effect, low, high = (row[f"{prefix}{name}"] for name in ("effect", "low", "high"))
    if effect is None:
        return ""
    return number(effect) if low is None or low == high else f"{number(effect)} [{number(low)}, {number(high)}]"


def number(value: float | None) -> str:
    """Three significant digits, with a real minus sign."""
    return "" if value is None else f"{value:.3g}".replace("-", "−")


def _axis(row: Mapping[str, Any], hypothesis: Hypothesis | None) -> _Axis:
    null = hypothesis.null if hypothesis else 0.0
    ends = _ends(hypothesis)
    names = ("effect", "low", "high", "control_effect", "control_low", "control_high")
    widest = max((abs(row[name] - null) for name in names if row[name] is not None), default=0.0)
    unit = max((abs(end - null) for end in ends), default=0.0) or widest / 3 or 1.0
    leftwards = hypothesis is not None and hypothesis.lower == -inf
    return _Axis(null, unit, -1 if leftwards else 1)


def _ends(hypothesis: Hypothesis | None) -> list[float]:
    return [end for end in (hypothesis.lower, hypothesis.upper) if isfinite(end)] if hypothesis else []


def _region(axis: _Axis, hypothesis: Hypothesis | None) -> str:
    """The effects that the statement claims, shaded."""
    if hypothesis is None:
        return ""
    left, right = sorted(axis.x(end) for end in (max(hypothesis.lower, -1e300), min(hypothesis.upper, 1e300)))
    left, right = (0 if left < 13 else left), (WIDTH if right > WIDTH - 13 else right)
    return f'<rect class="region" x="{left:.1f}" y="0" width="{right - left:.1f}" height="{HEIGHT}"/>'


def _line(x: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}"/>'


def _interval(row: Mapping[str, Any], prefix: str, *, axis: _Axis, y: float) -> str:
    effect = row[f"{prefix}effect"]
    if effect is None:
        return ""
    kind = "control" if prefix else f"own v-{str(row['verdict']).replace(' ', '-')}"
    low, high = (row[f"{prefix}{end}"] for end in ("low", "high"))
    whisker = ""
    if low is not None and high is not None:
        left, right = sorted((axis.x(low), axis.x(high)))
        whisker = f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}"/>' + _arrows(axis, (low, high), y)
    point = marker("control" if prefix else str(row["verdict"]), axis.x(effect), y, 4 if prefix else 5.5)
    return f'<g class="{kind}">{whisker}{point}</g>'


def _arrows(axis: _Axis, ends: tuple[float, float], y: float) -> str:
    """An arrow head at the edge for each end that lies beyond it."""
    drawn = ""
    for units in map(axis.units, ends):
        if abs(units) > FURTHEST:
            side = 1 if units > 0 else -1
            tip = MIDDLE + side * (REACH + 10)
            drawn += f'<path d="M{tip:.1f} {y}l{-side * 7} -4v8z"/>'
    return drawn
