"""Where a figure comes from, as a small layered graph from data and runs on the left to the figure on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from dynatlas.site.content import Ancestor

KIND = {"data": "data", "train": "run", "measure": "table", "figures": "figure"}
"""What the reader knows a node as, by its step."""

LETTER, LINE, GAP_X, GAP_Y, PAD = 6.7, 38, 44, 10, 8
"""Pixels: width of a letter, height of a node, gaps between columns and rows, padding within a node."""


def ancestry_svg(nodes: Sequence[Ancestor]) -> str:
    """The graph of `nodes`, each as far right as its longest chain of needs says.

    Raises:
        KeyError: a node needs one that is not there.
    """
    columns = _columns({node.name: node for node in nodes})
    widths = [max(_width(node) for node in column) for column in columns]
    height = max(len(column) * (LINE + GAP_Y) - GAP_Y for column in columns) + 4
    place: dict[str, tuple[float, float, float]] = {}
    x = 2.0
    for column, width in zip(columns, widths, strict=True):
        top = (height - len(column) * (LINE + GAP_Y) + GAP_Y) / 2
        for row, node in enumerate(column):
            place[node.name] = (x, top + row * (LINE + GAP_Y), width)
        x += width + GAP_X
    total = x - GAP_X + 2
    edges = [_edge(place[need], place[node.name]) for node in nodes for need in node.needs]
    boxes = [_box(node, place[node.name]) for node in nodes]
    return (
        f'<svg class="ancestry" viewBox="0 0 {total:.0f} {height:.0f}" width="{total:.0f}" height="{height:.0f}" '
        f'role="img" aria-label="{escape(_describe(nodes))}">{"".join(edges)}{"".join(boxes)}</svg>'
    )


def _columns(nodes: Mapping[str, Ancestor]) -> list[list[Ancestor]]:
    depth: dict[str, int] = {}

    def reach(name: str) -> int:
        if name not in depth:
            depth[name] = max((reach(need) + 1 for need in nodes[name].needs), default=0)
        return depth[name]

    columns: list[list[Ancestor]] = [[] for _ in range(max(map(reach, nodes)) + 1)]
    for name, node in nodes.items():
        columns[depth[name]].append(node)
    return columns


def _width(node: Ancestor) -> float:
    return LETTER * max(len(node.name), 5) + 2 * PAD


def _edge(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    x0, y0 = start[0] + start[2], start[1] + LINE / 2
    x1, y1 = end[0], end[1] + LINE / 2
    middle = (x0 + x1) / 2
    return f'<path class="edge" d="M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"/>'


def _box(node: Ancestor, place: tuple[float, float, float]) -> str:
    x, y, width = place
    about = f"<title>{escape(node.about)}</title>" if node.about else ""
    return (
        f'<g class="node k-{KIND[node.step]}">{about}'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{LINE}" rx="5"/>'
        f'<text class="kind" x="{x + PAD:.1f}" y="{y + 14:.1f}">{KIND[node.step]}</text>'
        f'<text x="{x + PAD:.1f}" y="{y + 29:.1f}">{escape(node.name)}</text></g>'
    )


def _describe(nodes: Sequence[Ancestor]) -> str:
    said = [
        f"{KIND[node.step]} {node.name}" + (f" from {', '.join(node.needs)}" if node.needs else "") for node in nodes
    ]
    return "; ".join(said)
