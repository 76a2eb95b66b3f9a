"""`dynatlas schema`: the JSON schemas that editors use, generated from the models."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from dynatlas.artefacts import write_bytes
from dynatlas.claims.declaration import ClaimsFile
from dynatlas.config import AtlasConfig, ConfigError, Strict
from dynatlas.declarations import StudySpec
from dynatlas.nodes import ROOT


def schemas() -> dict[str, str]:
    """File name to content, for every yaml file that a user writes."""
    models: dict[str, type[Strict]] = {"config": AtlasConfig, "study": StudySpec, "claims": ClaimsFile}
    return {
        f"{name}.schema.json": json.dumps(model.model_json_schema(by_alias=True), indent=1) + "\n"
        for name, model in models.items()
    }


def run(options: argparse.Namespace) -> int:
    """Write (or check) workflow/schemas."""
    folder = ROOT / "workflow" / "schemas"
    for name, text in schemas().items():
        path: Path = folder / name
        if options.check and (not path.exists() or path.read_text() != text):
            raise ConfigError(f"workflow/schemas/{name} is out of step with the models; run: dynatlas schema")
        if not options.check:
            write_bytes(path, text.encode())
    return 0
