"""Nodes that belong to no study: the guides, the ledger over all studies, and the site's front page."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dynatlas.config import ConfigError
from dynatlas.fingerprint import CodeIndex, code_digest, file_digest, templates_digest
from dynatlas.nodes import Node
from dynatlas.plan import Plan, keyed


def guide_nodes(root: Path, *, scale: str, index: CodeIndex) -> dict[str, Node]:
    """The notebooks under workflow/notebooks/guides, by name. They read no results, and show what the wings can do.

    Raises ConfigError for one that does not begin with a heading or cannot be parsed.
    """
    return {
        path.stem: _guide_node(path, root=root, scale=scale, index=index)
        for path in sorted((root / "workflow" / "notebooks" / "guides").glob("*.py"))
    }


def _guide_node(path: Path, *, root: Path, scale: str, index: CodeIndex) -> Node:
    file = str(path.relative_to(root))
    source = path.read_text(encoding="utf-8")
    headings = [line.removeprefix("# # ") for line in source.splitlines() if line.startswith("# # ")]
    if not headings:
        raise ConfigError(f"{file}: no heading; a guide begins with a markdown cell whose first line is `# # Title`")
    try:
        used = sorted(set(_imported(ast.parse(source), index)))
    except SyntaxError as error:
        raise ConfigError(f"{file}, line {error.lineno}: {error.msg}") from None
    settings = {
        "file": file,
        "digest": file_digest(path),
        "title": headings[0],
        "templates": templates_digest(root),
    }
    pages = f"results/{scale}/site/guides/{path.stem}"
    return keyed(
        Node(
            step="guide",
            study="",
            name=path.stem,
            scale=scale,
            outputs=(f"{pages}.html", f"{pages}.ipynb"),
            settings=settings,
            fingerprint=code_digest(index, "dynatlas.steps.notebook", *used),
        )
    )


def _imported(tree: ast.Module, index: CodeIndex) -> Iterator[str]:
    """The modules of the package that a notebook imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in index)
        elif isinstance(node, ast.ImportFrom):
            package = str(node.module)
            names = (f"{package}.{alias.name}" for alias in node.names)
            yield from (name if name in index else package for name in names if package in index)


def ledger_nodes(
    plans: Mapping[str, Plan], guides: Mapping[str, Node], *, known: Sequence[str], root: Path, scale: str
) -> tuple[Node, Node]:
    """The ledger over some studies, and the site's index over it. `known` are all studies that there are."""
    index = next(iter(plans.values())).index
    missing = [name for name in known if name not in plans]
    ledger = keyed(
        Node(
            step="ledger",
            study="",
            name="ledger",
            scale=scale,
            outputs=(f"results/{scale}/ledger.json", f"results/{scale}/ledger.parquet"),
            settings={
                "studies": list(plans),
                "missing": missing,
                "seeds": {name: list(plan.node("claims", "claims").seeds) for name, plan in plans.items()},
            },
            base_seed=next(iter(plans.values())).config.base_seed,
            needs={name: (plan.node("claims", "claims"),) for name, plan in plans.items()},
            fingerprint=index.fingerprint("dynatlas.steps.claims"),
        )
    )
    front = keyed(
        Node(
            step="index",
            study="",
            name="index",
            scale=scale,
            outputs=(f"results/{scale}/site/index.html",),
            settings={
                "templates": templates_digest(root),
                "papers": {name: plan.spec.paper.title for name, plan in plans.items()},
                "covers": {name: plan.cover for name, plan in plans.items()},
                "guides": {name: guide.settings["title"] for name, guide in guides.items()},
            },
            needs={
                "ledger": (ledger,),
                "guides": tuple(guides.values()),
                **{name: (plan.node("page", "page"), plan.node("figures", "figures")) for name, plan in plans.items()},
            },
            fingerprint=index.fingerprint("dynatlas.steps.site"),
        )
    )
    return ledger, front
