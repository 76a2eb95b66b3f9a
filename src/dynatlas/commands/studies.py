"""`dynatlas studies`: one line a study."""

from __future__ import annotations

import argparse
from pathlib import Path

from dynatlas.atlas import Atlas
from dynatlas.cli import overrides
from dynatlas.plan import Plan


def run(options: argparse.Namespace) -> int:
    """Print every selected study: its paper, its size, and how many of its steps are made at this scale."""
    atlas = Atlas(overrides=overrides(options))
    width = max(len(study) for study in atlas.selected)
    for study in atlas.selected:
        plan = atlas.plan(study)
        paper = plan.spec.paper
        print(f"{study:{width}}  {_size(plan)}  {_made(plan):14}  {paper.year}  {paper.title}")
    return 0


def _size(plan: Plan) -> str:
    jobs = sum(len(plan.step(step)) for step in ("data", "train", "measure"))
    return f"{jobs:3} jobs  {len(plan.figures):2} figures"


def _made(plan: Plan) -> str:
    there = sum(all(Path(path).exists() for path in node.outputs) for node in plan.nodes.values())
    return f"{there}/{len(plan.nodes)} made"
