"""The page step (one study) and the index step (the whole atlas)."""

from __future__ import annotations

from dynatlas.nodes import Node


def run_node(node: Node) -> None:
    """Render a study's page, or the front page over the ledger."""
    raise NotImplementedError(node.name)
