"""The two nodes over all studies: the ledger, and the site's front page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dynatlas.nodes import Node
from dynatlas.plan import Plan, keyed, templates_digest


def ledger_nodes(plans: Mapping[str, Plan], *, known: Sequence[str], root: Path, scale: str) -> tuple[Node, Node]:
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
            settings={"studies": list(plans), "missing": missing},
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
            },
            needs={"ledger": (ledger,), **{name: (plan.node("page", "page"),) for name, plan in plans.items()}},
            fingerprint=index.fingerprint("dynatlas.steps.site"),
        )
    )
    return ledger, front
