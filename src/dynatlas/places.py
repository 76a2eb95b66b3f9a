"""Where what is written by hand, or kept in git, stands in a repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dynatlas.config import ConfigError
from dynatlas.declarations import StudySpec


def claims_path(root: Path, spec: StudySpec) -> Path:
    """Where a study's claims are declared."""
    return study_folder(root, spec) / "claims.yaml"


def study_folder(root: Path, spec: StudySpec) -> Path:
    """The folder of a study's Python package."""
    return root.joinpath("src", *spec.package.split("."))


def read_lock(root: Path) -> dict[str, dict[str, Any]]:
    """config/claims.lock, by study and claim; empty where there is none. Raises ConfigError if it is no JSON."""
    path = root / "config" / "claims.lock"
    try:
        lock: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"config/claims.lock: line {error.lineno}: {error.msg}; it is written by: dynatlas lock"
        ) from None
    return lock


def notebook_path(root: Path, study: str) -> Path:
    """Where a study's notebook source stands."""
    return root / "workflow" / "notebooks" / f"{study}.py"
