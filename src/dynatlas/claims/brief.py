"""The ledger as a person reads it in a terminal: a line a claim, the studies as headings, fitted to the width."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from dynatlas.claims.ledger import interval_text

NARROWEST = 40
"""Columns below which lines are no longer shortened."""


def brief_table(rows: Sequence[Mapping[str, Any]], *, width: int) -> str:
    """The claims among `rows` (no parts of compounds): verdict, effect [interval], and what it says.

    No line is longer than `width` (at least 40); what a claim says is cut short with an ellipsis.
    """
    claims = [row for row in rows if row["part_of"] is None]
    cells = [(row["id"], row["verdict"], interval_text(row, "")) for row in claims]
    widths = [max((len(cell[column]) for cell in cells), default=0) for column in range(3)]
    lines: list[str] = []
    above = None
    for row, cell in zip(claims, cells, strict=True):
        if row["study"] != above:
            above = row["study"]
            lines += ["", above] if lines else [above]
        aligned = "  ".join(text.ljust(length) for text, length in zip(cell, widths, strict=True))
        lines.append(shortened(f"  {aligned}  {row['says']}".rstrip(), max(width, NARROWEST)))
    return "\n".join(lines)


def folded(text: str, *, width: int) -> str:
    """`text` with every line that is longer than `width` (at least 40) folded, its rest indented."""
    lines = text.splitlines()
    folds = (
        textwrap.wrap(line, max(width, NARROWEST), subsequent_indent="    ", break_on_hyphens=False) for line in lines
    )
    return "\n".join("\n".join(fold) for fold in folds)


def shortened(line: str, width: int) -> str:
    """`line` in at most `width` characters; an ellipsis stands for what was cut."""
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
