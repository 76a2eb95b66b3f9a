"""`dynatlas lock`: config/claims.lock holds what was fixed before looking."""

from __future__ import annotations

import argparse
import json
from datetime import date

from dynatlas.artefacts import write_bytes
from dynatlas.atlas import Atlas
from dynatlas.claims.checks import parse_claims
from dynatlas.claims.declaration import Claim
from dynatlas.claims.lock import LockError, claim_hash, lock_problems, update_lock
from dynatlas.claims.resolve import resolve
from dynatlas.config import ConfigError, read_yaml
from dynatlas.nodes import ROOT, Node
from dynatlas.places import claims_path, read_lock, study_folder
from dynatlas.steps.claims import run_settings

PATH = ROOT / "config" / "claims.lock"
LOCKED_SCALES = ("quick", "standard", "paper")


def run(options: argparse.Namespace) -> int:
    """Write the lock, or check it."""
    atlas = Atlas()
    hashes = {study: study_hashes(atlas, study) for study in atlas.studies}
    readmes = {name: (study_folder(ROOT, spec) / "README.md").read_text() for name, spec in atlas.studies.items()}
    lock = read_lock(ROOT)
    if options.check:
        problems = lock_problems(lock, hashes, readmes)
        if problems:
            raise ConfigError("\n".join(["config/claims.lock is not true; run: dynatlas lock", *problems]))
        return 0
    try:
        new = update_lock(lock, hashes, readmes, today=date.today().isoformat())
    except LockError as error:
        raise ConfigError(str(error)) from None
    write_bytes(PATH, json.dumps(new, indent=1, sort_keys=True).encode() + b"\n")
    return 0


def study_hashes(atlas: Atlas, study: str) -> dict[str, str]:
    """Hash of each claim over its declaration and the settings of its runs at every scale that can decide something."""
    claims = parse_claims(read_yaml(claims_path(atlas.root, atlas.studies[study])))
    scales = [scale for scale in LOCKED_SCALES if scale in atlas.studies[study].scales]
    nodes: dict[str, Node] = {scale: atlas.plan(study, scale).node("claims", "claims") for scale in scales}

    def hash_at(claim: Claim, scale: str) -> str:
        asked = resolve(claim, scale)
        return f"{scale}:{claim_hash(asked, run_settings(asked, nodes[scale]))}"

    return {claim.id: " ".join(hash_at(claim, scale) for scale in scales) for claim in claims}
