"""`dynatlas ledger`: every claim with its verdict, for a terminal, as a table, as markdown or as JSON."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dynatlas import artefacts
from dynatlas.atlas import Atlas
from dynatlas.claims.brief import brief_table, folded
from dynatlas.claims.kept import Kept, read_kept
from dynatlas.claims.ledger import draw_text, render, summarise, summary_text
from dynatlas.cli import atlas_of
from dynatlas.keeping import changed_since, kept_path


def run(options: argparse.Namespace) -> int:
    """Print the ledger of the configured scale, or the verdicts of some studies, read from their own claims.json.

    A terminal gets a line a claim, fitted to it, unless a format is asked for; `--brief` gives that to a pipe too.
    """
    atlas = atlas_of(options)
    studies = options.studies or list(atlas.studies)
    rows = study_rows(atlas, studies) if options.studies else ledger_rows(atlas)
    if options.brief:
        rows = [row for row in rows if row["part_of"] is None]
    draw = draw_of(atlas, rows)
    if options.format is None and not options.beside and (options.brief or sys.stdout.isatty()):
        width = shutil.get_terminal_size(fallback=(120, 24)).columns
        around = [folded(text, width=width) for text in (draw_text(draw), summary_text(summarise(rows, studies)))]
        print("\n\n".join([around[0], brief_table(rows, width=width), around[1]]))
    else:
        beside = [kept for scale in options.beside for kept in kept_ledgers(atlas, draw["seeds"], scale)]
        print(render(rows, options.format or "table", studies=studies, draw=draw, beside=beside), end="")
    return 0


def kept_ledgers(atlas: Atlas, studies: Iterable[str], scale: str) -> list[Kept]:
    """The ledgers of a scale that are kept in git, of those studies that have one."""
    found = [study for study in studies if kept_path(atlas.root, study, scale).exists()]
    since = partial(changed_since, atlas.root, config=atlas.config, scale=scale, index=atlas.index)
    return [read_kept(kept_path(atlas.root, study, scale), since=since(atlas.studies[study])) for study in found]


def draw_of(atlas: Atlas, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What decided every random draw behind the rows, as `draw_text` takes it."""
    studies = dict.fromkeys(row["study"] for row in rows)
    seeds = {study: list(atlas.plan(study).node("claims", "claims").seeds) for study in studies}
    return {"scale": atlas.scale, "base_seed": atlas.config.base_seed, "seeds": seeds}


def ledger_rows(atlas: Atlas) -> list[Mapping[str, Any]]:
    """The rows of the ledger, whichever studies it was made over; its key must be that of these."""
    path = ledger_path(atlas)
    return list(artefacts.read_json(path, key=atlas.joint(studies=covered(atlas))["ledger"].key)["rows"])


def ledger_path(atlas: Atlas) -> Path:
    """Where the ledger of the atlas' scale lies."""
    return Path("results", atlas.scale, "ledger.json")


def covered(atlas: Atlas) -> list[str]:
    """The studies that the ledger says it was made over, as far as they are declared (all others miss in it).

    Raises ArtefactError where it is missing or damaged.
    """
    settings = artefacts.provenance_of(ledger_path(atlas))["settings"]
    said = settings.get("studies", atlas.at_scale)  # another artefact under this name says none; its key refuses it
    return [study for study in said if study in atlas.at_scale]


def study_rows(atlas: Atlas, studies: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows of each study's own claims, whatever the ledger was made over."""
    nodes = [atlas.plan(study).node("claims", "claims") for study in studies]
    return [row for node in nodes for row in artefacts.read_json(Path(node.outputs[0]), key=node.key)["rows"]]
