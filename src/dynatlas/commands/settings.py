"""`dynatlas settings STUDY`: every number of a study with what it means, its unit, and its value at each scale."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from dynatlas.cli import atlas_of
from dynatlas.number_table import number_rows
from dynatlas.signatures import signatures_of


def run(options: argparse.Namespace) -> int:
    """Print the numbers of the studies that are named, of all that are selected without a name."""
    atlas = atlas_of(options)
    for study in options.names or atlas.selected:
        spec = atlas.plan(study).spec
        rows = number_rows(spec, signatures_of(atlas.index))
        table = [["name", "meaning", "unit", *spec.scales]]
        table += [
            [row.name, row.meaning, row.unit, *(row.values.get(scale, "") for scale in spec.scales)] for row in rows
        ]
        print(f"{study}: {spec.paper.title}")
        for line in _aligned(table):
            print(line)
    return 0


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    for row in table:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
