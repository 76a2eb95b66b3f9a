"""The ledgers that are kept in git, held against the plan: which there are, and what has changed since."""

from __future__ import annotations

from pathlib import Path

from dynatlas.artefacts import ArtefactError, provenance_of, remake
from dynatlas.config import AtlasConfig, ConfigError
from dynatlas.declarations import StudySpec
from dynatlas.fingerprint import CodeIndex, file_digest
from dynatlas.plan import Plan


def kept_path(root: Path, study: str, scale: str) -> Path:
    """Where the ledger of a study at a scale is kept in git, if it is."""
    return root / "docs" / "ledgers" / scale / f"{study}.json"


def kept_ledgers(
    root: Path, spec: StudySpec, config: AtlasConfig, *, scale: str, index: CodeIndex
) -> dict[str, dict[str, str]]:
    """By scale, a study's kept ledgers of all scales but `scale`: file, its digest, and what has changed since.

    Raises ConfigError for one that is damaged.
    """
    paths = {other: kept_path(root, spec.study, other) for other in spec.scales if other != scale}
    return {
        other: {
            "file": str(path.relative_to(root)),
            "digest": file_digest(path),
            "since": changed_since(root, spec, config, scale=other, index=index),
        }
        for other, path in paths.items()
        if path.exists()
    }


def changed_since(root: Path, spec: StudySpec, config: AtlasConfig, *, scale: str, index: CodeIndex) -> str:
    """What has changed in the plan of a scale since its ledger was kept, in words; empty if nothing has.

    The plan is that of the kept ledger's own draws: what the present run draws says nothing about another.
    """
    path = kept_path(root, spec.study, scale)
    try:
        made = provenance_of(path)
    except ArtefactError as error:
        again = f"to make it again: dynatlas keep --scale {scale} --studies {spec.study}"
        raise ConfigError(str(error).replace(remake(path), again)) from None
    draws = {"seeds": "ledger", "base_seed": made["base_seed"], "device": made["device"]}
    try:
        plan = Plan(root, spec, config.model_copy(update=draws), scale=scale, index=index)
    except ConfigError:
        return "its plan cannot be read any more"
    now = plan.node("claims", "claims")
    if now.key == made["key"]:
        return ""
    return f"{'claims' if now.settings['digest'] != made['claims'] else 'code, settings or seeds'} changed since"
