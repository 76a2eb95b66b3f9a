"""`dynatlas ancestry PATH`: the figure, its tables, their runs, down to the numbers each was made with."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path

from dynatlas.atlas import Atlas
from dynatlas.cli import atlas_of
from dynatlas.commands.ledger import covered, ledger_path
from dynatlas.config import SCALES, ConfigError, split_scale
from dynatlas.names import nearest
from dynatlas.nodes import Node
from dynatlas.steps.sidecar import sidecar_path


def run(options: argparse.Namespace) -> int:
    """Print the tree of nodes above one path of the plan."""
    path = os.path.relpath(options.path or ".")
    node = find_node(atlas_of(options, path_scale=scale_in(path)), path)
    needs = _needs_of_figure(node, Path(path).stem) or list(node.needs)
    print(path)
    for line in _tree(node, needs, indent="  "):
        print(line)
    return 0


def scale_in(path: str) -> str:
    """The scale in a path below the working folder. Raises ConfigError where none can stand."""
    parts = Path(path).parts
    scale = parts[1] if len(parts) > 2 and parts[0] in ("results", "figures") else ""
    if split_scale(scale)[0] not in SCALES:
        raise ConfigError(
            f"{path}: the atlas makes files under results/<scale>/ and figures/<scale>/ of the folder that it works in "
            f"({Path.cwd()}); a scale is one of {', '.join(SCALES)}, or one of these with -dev"
        )
    return scale


def find_node(atlas: Atlas, path: str) -> Node:
    """The node that makes `path`, at the atlas' scale. Raises ConfigError naming the nearest path that some node makes.

    A ledger that is there already is one over the studies that it says itself.
    """
    nodes = [node for study in atlas.at_scale for node in atlas.plan(study).nodes.values()]
    joint = atlas.joint(studies=covered(atlas) if ledger_path(atlas).exists() else atlas.at_scale)
    made = {output: node for node in [*nodes, *joint.values(), *atlas.guides().values()] for output in node.outputs}
    if path not in made:
        raise ConfigError(f"{path}: nothing makes this file{nearest(path, made)}")
    return made[path]


def _needs_of_figure(node: Node, name: str) -> list[str] | None:
    figures = node.settings.get("figures", {}) if node.step == "figures" else {}
    return figures[name]["needs"] if name in figures else None


def _tree(node: Node, needs: list[str], *, indent: str) -> Iterator[str]:
    name = f"{node.study}/{node.name}" if node.study else node.name
    yield f"{indent}{node.step} {name}: {node.call or node.step}"
    if node.seeds:
        yield f"{indent}    seeds {node.seeds[0]}-{node.seeds[-1]}, {json.dumps(dict(node.settings))}"
    sidecar = sidecar_path(node)
    if sidecar.exists():
        costs = json.loads(sidecar.read_text())
        when, where = costs["finished"], costs["commit"][:12]
        yield f"{indent}    made {when} at commit {where}, {costs['cpu_seconds']} CPU s, {costs['peak_memory_mb']} MB"
    for need in needs:
        for part in node.needs[need]:
            yield from _tree(part, list(part.needs), indent=indent + "  ")
