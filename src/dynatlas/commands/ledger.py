"""`dynatlas ledger`: every claim with its verdict, as a table, as markdown or as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from dynatlas import artefacts
from dynatlas.atlas import Atlas
from dynatlas.claims.ledger import render
from dynatlas.cli import overrides


def run(options: argparse.Namespace) -> int:
    """Print the ledger of the configured scale, or the verdicts of one study alone."""
    atlas = Atlas(overrides=overrides(options))
    if options.study:
        node, studies = atlas.plan(options.study).node("claims", "claims"), [options.study]
    else:
        node, studies = atlas.joint()["ledger"], list(atlas.studies)
    rows = artefacts.read_json(Path(node.outputs[0]), key=node.key)["rows"]
    if options.brief:
        rows = [row for row in rows if row["part_of"] is None]
    seeds = {
        study: list(atlas.plan(study).node("claims", "claims").seeds)
        for study in dict.fromkeys(row["study"] for row in rows)
    }
    draw = {"scale": node.scale, "base_seed": node.base_seed, "seeds": seeds}
    print(render(rows, options.format, studies=studies, draw=draw), end="")
    return 0
