"""`dynatlas studies`: one line a study; with names, every entry of these."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from dynatlas.atlas import Atlas
from dynatlas.cli import atlas_of
from dynatlas.nodes import ROOT, Node
from dynatlas.places import study_folder
from dynatlas.plan import Plan


def run(options: argparse.Namespace) -> int:
    """Print every selected study: its paper, its size, and how many of its steps are made; or all of those named."""
    atlas = atlas_of(options)
    for line in _whole(atlas, options.names) if options.names else _listed(atlas):
        print(line)
    return 0


def _listed(atlas: Atlas) -> Iterator[str]:
    width = max(len(study) for study in atlas.selected)
    for study in atlas.selected:
        plan = atlas.plan(study)
        paper = plan.spec.paper
        yield f"{study:{width}}  {_size(plan)}  {_made(plan):14}  {paper.year}  {paper.title}"


def _whole(atlas: Atlas, names: list[str]) -> Iterator[str]:
    """Paper, scales, where to read more, and every node with what it is and whether it is made."""
    for name in names:
        plan = atlas.plan(name)
        paper = plan.spec.paper
        readme = study_folder(ROOT, plan.spec).relative_to(ROOT) / "README.md"
        yield f"{name}: {paper.title} ({paper.authors}, {paper.year})"
        yield f"scales {', '.join(plan.spec.scales)}; declared in {plan.where}, told in {readme}"
        yield f"at {plan.path_scale}: {_size(plan).strip()}, {_made(plan)}"
        width = max(len(node.name) for node in plan.nodes.values())
        for node in plan.nodes.values():
            state = "made" if _is_made(node) else "not made"
            yield f"  {node.step:8}  {node.name:{width}}  {state:8}  {node.about}".rstrip()


def _size(plan: Plan) -> str:
    jobs = sum(len(plan.step(step)) for step in ("data", "train", "measure"))
    return f"{jobs:3} jobs  {len(plan.figures):2} figures"


def _made(plan: Plan) -> str:
    there = sum(_is_made(node) for node in plan.nodes.values())
    return f"{there}/{len(plan.nodes)} made"


def _is_made(node: Node) -> bool:
    return all(Path(path).exists() for path in node.outputs)
