"""The claims step (one study's verdicts) and the ledger step (all studies' verdicts joined)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dynatlas import artefacts
from dynatlas.claims.checks import parse_claims, reads
from dynatlas.claims.decide import decide
from dynatlas.claims.ledger import join_rows
from dynatlas.claims.lock import claim_hash, lock_state
from dynatlas.claims.resolve import resolve
from dynatlas.claims.rules import ResolvedClaim
from dynatlas.claims.tables import ClaimError
from dynatlas.config import read_yaml
from dynatlas.nodes import ROOT, Node
from dynatlas.places import read_lock
from dynatlas.steps.compute import read_needs


def run_node(node: Node) -> None:
    """Decide a study's claims, or join those of all studies."""
    if node.step == "ledger":
        join_studies(node)
    else:
        decide_study(node)


def decide_study(node: Node) -> None:
    """Write a study's claims.json: one row a claim, and one for each part of a compound."""
    file = str(node.settings["file"])
    tables: dict[str, pd.DataFrame] = read_needs(node)
    lock = read_lock(ROOT).get(node.study, {})
    scale = node.scale.removesuffix("-dev")
    rows: list[dict[str, Any]] = []
    for declared in parse_claims(read_yaml(ROOT / file), file):
        claim = resolve(declared, scale)
        now = claim_hash(claim, run_settings(claim, node))
        try:
            decided = decide(
                claim,
                tables,
                study=node.study,
                seeds=expected_seeds(claim, node),
                base_seed=node.base_seed,
                claim_hash=now,
                locked=lock_state(lock, claim.id, scale, now),
            )
        except ClaimError as error:
            raise artefacts.ArtefactError(f"{file}: {error}") from None
        rows += [row.to_dict() for row in decided]
    artefacts.write_json(Path(node.outputs[0]), node.provenance, {"rows": rows})


def expected_seeds(claim: ResolvedClaim, node: Node) -> list[int] | None:
    """The seeds that must be there for a claim: those of its tables, or None where its tables differ in them."""
    tables = {table for table, _ in reads(claim) if table in node.needs}
    found = {part.seeds for table in tables for part in node.needs[str(table)]}
    return list(found.pop()) if len(found) == 1 else None


def run_settings(claim: ResolvedClaim, node: Node) -> dict[str, Any]:
    """Call, settings and seeds of everything that a claim's tables are made from, and the base seed of all draws.

    The device is left out: its draws are others, but a verdict is meant for whichever machine there is.
    """
    found: dict[str, Any] = {"base_seed": node.base_seed}

    def visit(part: Node) -> None:
        found[f"{part.step}/{part.name}"] = [part.call, dict(part.settings), list(part.seeds)]
        for needed in part.needs.values():
            for below in needed:
                visit(below)

    for table, _ in reads(claim):
        for part in node.needs.get(str(table), ()):
            visit(part)
    return found


def join_studies(node: Node) -> None:
    """Write the ledger as sealed JSON and as a table: `{provenance, sha256, rows}`."""
    rows: list[Mapping[str, Any]] = []
    for (claims,) in node.needs.values():
        rows += artefacts.read_json(Path(claims.outputs[0]), key=claims.key)["rows"]
    joined = join_rows(rows)
    artefacts.write_json(Path(node.outputs[0]), node.provenance, {"rows": joined})
    artefacts.write_table(Path(node.outputs[1]), node.provenance, pd.DataFrame(joined))
