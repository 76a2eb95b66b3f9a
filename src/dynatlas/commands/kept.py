"""`dynatlas kept`: the ledger of a scale that is kept in git, and what it was made by."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from dynatlas.claims.ledger import as_table, kept_lines
from dynatlas.cli import atlas_of
from dynatlas.commands.ledger import kept_ledgers
from dynatlas.config import ConfigError


def run(options: argparse.Namespace) -> int:
    """Print the kept rows of the configured scale; nothing has to have been run for it."""
    atlas = atlas_of(options)
    if atlas.scale.endswith("-dev"):
        raise ConfigError(f"--scale {atlas.scale}: development seeds decide nothing; their ledger is not kept")
    kept = kept_ledgers(atlas, atlas.selected, atlas.scale)
    if not kept:
        wanted = f"none of {', '.join(atlas.selected)} has a ledger in docs/ledgers/{atlas.scale}"
        raise ConfigError(f"{wanted}; to keep that of a run: dynatlas keep --scale {atlas.scale}")
    if options.format == "json":
        print(json.dumps([asdict(one) for one in kept], indent=1))
        return 0
    rows = [row for one in kept for row in one.rows.values() if row["part_of"] is None or not options.brief]
    print("\n".join([as_table(rows, options.format or "table"), "", *kept_lines(kept)]))
    return 0
