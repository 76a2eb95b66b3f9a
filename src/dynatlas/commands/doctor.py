"""`dynatlas doctor`: is the environment what the lock says, and is every artefact whole and of this plan?"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from dynatlas import artefacts
from dynatlas.artefacts import ArtefactError
from dynatlas.atlas import Atlas
from dynatlas.cli import overrides
from dynatlas.config import SCALES
from dynatlas.engine import cuda_devices
from dynatlas.nodes import ROOT, Node

SEALED = (".safetensors", ".parquet", ".json")


def run(options: argparse.Namespace) -> int:
    """Print what is found; 1 if an artefact is damaged or is not what the plan expects under its name."""
    for line in environment_lines():
        print(line)
    atlas = Atlas(overrides=overrides(options))
    made = [name for scale in SCALES for name in (scale, f"{scale}-dev") if Path("results", name).is_dir()]
    complaints = 0
    for scale in [options.scale] if options.scale else made:
        counts, complaint_lines = inspect(atlas, scale)
        found = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        print(f"results/{scale}: {found or 'nothing made'}")
        for line in complaint_lines:
            print(f"  {line}")
        complaints += len(complaint_lines)
    return 1 if complaints else 0


def environment_lines() -> Iterator[str]:
    """Python, libraries against the lock, GPU, disk."""
    yield f"Python {sys.version.split()[0]}, torch {version('torch')}, {cuda_devices()} GPU(s)"
    other = [f"{name} {_installed(name)} (lock: {pin})" for name, pin in locked_versions() if _differs(name, pin)]
    yield f"libraries unlike requirements.lock: {', '.join(other) or 'none'}"
    yield f"free disk: {shutil.disk_usage('.').free / 1e9:.1f} GB"


def locked_versions() -> Iterator[tuple[str, str]]:
    """Name and exact version of every library that requirements.lock asks for on this Python and system."""
    lines = re.findall(r"^[\w.-]+==[^\\\n]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement.name, next(iter(requirement.specifier)).version


def _differs(name: str, locked: str) -> bool:
    return _installed(name) not in ("", locked)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # for another Python or system, or not wanted here
        return ""


def inspect(atlas: Atlas, scale: str) -> tuple[Counter[str], list[str]]:
    """States of all artefacts at a scale, and a line for each that is damaged or out of place."""
    counts: Counter[str] = Counter()
    lines = []
    studies = [study for study in atlas.selected if scale.removesuffix("-dev") in atlas.studies[study].scales]
    nodes = [node for study in studies for node in atlas.plan(study, scale).nodes.values()]
    if studies == atlas.selected:
        nodes += [*atlas.joint(scale).values(), *atlas.guides(scale).values()]
    for node in nodes:
        for path in (Path(output) for output in node.outputs):
            state, line = _state(node, path)
            counts[state] += 1
            lines += [line] if line else []
    return counts, lines


def _state(node: Node, path: Path) -> tuple[str, str]:
    if not path.exists():
        return "missing", ""
    try:
        if path.suffix in SEALED:
            artefacts.check_key(path, artefacts.provenance_of(path), node.key)
        elif node.step == "figures":
            artefacts.read_file(path.parent, Path(node.outputs[0]), name=path.name)
    except (ArtefactError, ValueError) as error:
        return ("out of date" if "not what the plan expects" in str(error) else "damaged"), str(error)
    return "whole", ""
