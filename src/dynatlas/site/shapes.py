"""Verdicts as shapes: each has one of its own, so that colour is never needed to tell them apart."""

from __future__ import annotations

from collections.abc import Callable


def _circle(x: float, y: float, r: float) -> str:
    return f'<circle class="fill" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"/>'


def _path(kind: str, *corners: tuple[float, float], closed: bool = True) -> Callable[[float, float, float], str]:
    """A drawing of a polygon (or open line) given for radius 1 around the origin."""

    def draw(x: float, y: float, r: float) -> str:
        points = "L".join(f"{x + r * dx:.1f} {y + r * dy:.1f}" for dx, dy in corners)
        return f'<path class="{kind}" d="M{points}{"z" if closed else ""}"/>'

    return draw


def _cross(x: float, y: float, r: float) -> str:
    left, right, top, bottom = (f"{at:.1f}" for at in (x - 0.85 * r, x + 0.85 * r, y - 0.85 * r, y + 0.85 * r))
    return f'<path class="stroke" d="M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}"/>'


SHAPES: dict[str, Callable[[float, float, float], str]] = {
    "reproduced": _circle,
    "direction": _path("fill", (0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
    "inconclusive": _path("hollow", (0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),
    "contradicted": _cross,
    "reported": _path("hollow", (-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "not run": _path("stroke", (-1, 0), (1, 0), closed=False),
    "control": _path("hollow", (0, -1), (0.9, 0.75), (-0.9, 0.75)),
}


def marker(kind: str, x: float, y: float, r: float) -> str:
    """The shape of a verdict (or of a control) as an SVG element, centred at (x, y), of radius r."""
    return SHAPES[kind](x, y, r)


def icon(verdict: str) -> str:
    """The shape of a verdict as a picture of its own, to stand beside its name."""
    kind = verdict.replace(" ", "-")
    return f'<svg class="icon v-{kind}" viewBox="0 0 14 14" aria-hidden="true">{marker(verdict, 7, 7, 5)}</svg>'
