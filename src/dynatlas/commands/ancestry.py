"""`dynatlas ancestry PATH`: the figure, its tables, their runs, down to the numbers each was made with."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from dynatlas.atlas import Atlas
from dynatlas.cli import overrides
from dynatlas.config import ConfigError
from dynatlas.names import nearest
from dynatlas.nodes import Node
from dynatlas.steps.sidecar import sidecar_path


def run(options: argparse.Namespace) -> int:
    """Print the tree of nodes above one path of the plan."""
    atlas = Atlas(overrides=overrides(options))
    node = find_node(atlas, options.path)
    needs = _needs_of_figure(node, Path(options.path).stem) or list(node.needs)
    print(options.path)
    for line in _tree(node, needs, indent="  "):
        print(line)
    return 0


def find_node(atlas: Atlas, path: str) -> Node:
    """The node that makes `path`. Raises ConfigError naming the nearest path that some node makes."""
    wanted = str(Path(path))
    scale = Path(wanted).parts[1] if len(Path(wanted).parts) > 1 else atlas.scale
    nodes = [node for study in atlas.studies for node in atlas.plan(study, scale).nodes.values()]
    made = {output: node for node in nodes for output in node.outputs}
    if wanted not in made:
        raise ConfigError(f"{path}: nothing makes this file{nearest(wanted, made)}")
    return made[wanted]


def _needs_of_figure(node: Node, name: str) -> list[str] | None:
    figures = node.settings.get("figures", {}) if node.step == "figures" else {}
    return figures[name]["needs"] if name in figures else None


def _tree(node: Node, needs: list[str], *, indent: str) -> Iterator[str]:
    yield f"{indent}{node.step} {node.study}/{node.name}: {node.call or node.step}"
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
