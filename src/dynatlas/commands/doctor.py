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
from dynatlas.cli import atlas_of
from dynatlas.config import SCALES, split_scale
from dynatlas.engine import cuda_devices
from dynatlas.nodes import ROOT, Node

SEALED = (".safetensors", ".parquet", ".json")


def run(options: argparse.Namespace) -> int:
    """Print what is found; 1 if an artefact is damaged or is not what the plan expects under its name.

    Files that no step makes are named too, but harm nothing: nobody reads them.
    """
    for line in environment_lines():
        print(line)
    complaints = 0
    for scale in [options.scale] if options.scale else _made_scales(counted=options.seeds is not None):
        atlas = atlas_of(options, path_scale=scale)
        counts, complaint_lines = inspect(atlas, alone=options.studies is not None)
        strange = strangers(atlas, alone=options.studies is not None)
        found = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        print(f"results/{scale}: {found or 'nothing made'}")
        for line in [
            *complaint_lines,
            *(f"{path}: a stranger: no step makes it, and nothing reads it" for path in strange),
        ]:
            print(f"  {line}")
        complaints += len(complaint_lines)
    return 1 if complaints else 0


def _made_scales(*, counted: bool) -> list[str]:
    """The scales of which something is there; a number of seeds counts those of the ledger, and so rules out -dev."""
    scales = [name for scale in SCALES for name in (scale, f"{scale}-dev") if Path("results", name).is_dir()]
    return [scale for scale in scales if not (counted and split_scale(scale)[1])]


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


def inspect(atlas: Atlas, *, alone: bool = False) -> tuple[Counter[str], list[str]]:
    """States of all artefacts at the atlas' scale, and a line for each that is damaged or out of place.

    `alone`: the selected studies' own, without what is made over all of them (ledger, front page, guides).
    """
    counts: Counter[str] = Counter()
    lines = []
    for node in _nodes(atlas, alone=alone):
        for path in (Path(output) for output in node.outputs):
            state, line = _state(node, path)
            counts[state] += 1
            lines += [line] if line else []
    return counts, lines


def _nodes(atlas: Atlas, *, alone: bool) -> list[Node]:
    studies = [study for study in atlas.selected if study in atlas.at_scale]
    nodes = [node for study in studies for node in atlas.plan(study).nodes.values()]
    over_all = [] if alone or studies != atlas.selected else list(atlas.joint().values())
    return nodes + over_all + ([] if alone else list(atlas.guides().values()))


def strangers(atlas: Atlas, *, alone: bool = False) -> list[Path]:
    """Files and folders among the results and figures of the atlas' scale that no step of the plan makes.

    Left by an axis value that was taken out, by another declaration or by hand. Whole folders stand for what is in
    them; checkpoints and what a writer is at work on are none. `alone`: only those of the selected studies.
    """
    planned = {Path(output) for node in _nodes(_with_all(atlas), alone=False) for output in node.outputs}
    own = {parent for path in planned for parent in path.parents}
    roots = [Path(folder, atlas.scale) for folder in ("results", "figures")]
    if alone:
        roots = [root / study for root in roots for study in atlas.selected]
    return sorted(path for root in roots for path in _unplanned(root, planned, own))


def _unplanned(folder: Path, planned: set[Path], own: set[Path]) -> Iterator[Path]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path in own:
            yield from _unplanned(path, planned, own)
        elif path not in planned and path.name != "checkpoints" and not path.name.startswith("."):
            yield path


def _with_all(atlas: Atlas) -> Atlas:
    """The same over every study: another study's files are no strangers."""
    return Atlas(atlas.root, {**atlas.overrides, "studies": atlas.at_scale}, path_scale=atlas.scale)


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
