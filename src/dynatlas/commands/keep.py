"""`dynatlas keep`: put a scale's verdicts into git, where a reader finds them without having run it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from dynatlas import artefacts
from dynatlas.claims.kept import dump_kept, read_kept
from dynatlas.cli import atlas_of
from dynatlas.config import ConfigError
from dynatlas.keeping import kept_path


def run(options: argparse.Namespace) -> int:
    """Write docs/ledgers/<scale>/<study>.json for every study whose claims were decided at the scale."""
    atlas = atlas_of(options)
    if atlas.scale.endswith("-dev"):
        raise ConfigError(f"--scale {atlas.scale}: development seeds decide nothing; their ledger is not kept")
    folder = Path(options.folder)
    files = {study: folder / "results" / atlas.scale / study / "claims.json" for study in atlas.selected}
    made = {study: path for study, path in files.items() if path.exists()}
    if not made:
        wanted = ", ".join(str(path) for path in files.values())
        raise artefacts.ArtefactError(f"nothing to keep, none of these exists: {wanted}")
    for study, path in made.items():
        kept = kept_path(atlas.root, study, atlas.scale)
        artefacts.write_bytes(kept, kept_bytes(path, folder))
        content = read_kept(kept)
        print(f"{kept.relative_to(atlas.root)}: {study}, {content.about}")
    return 0


def kept_bytes(path: Path, folder: Path) -> bytes:
    """The kept ledger of a study's claims.json, whatever code made it; commit and day stand in its sidecar in `logs/`.

    Raises ArtefactError if either is missing or damaged, or if the sidecar is another run's.
    """
    claims = artefacts.read_json(path)
    said = claims["provenance"]
    beside = folder / "logs" / said["scale"] / said["study"] / "claims-claims.json"
    try:
        sidecar = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise artefacts.ArtefactError(
            f"{beside} says at which commit {path} was made, and cannot be read ({error}); {artefacts.remake(path)}"
        ) from None
    if sidecar["key"] != said["key"]:
        raise artefacts.ArtefactError(f"{beside} is about another run than {path}; {artefacts.remake(path)}")
    return dump_kept(claims, commit=sidecar["commit"], made=sidecar["finished"][:10])
