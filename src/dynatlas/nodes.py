"""A node of the DAG: one job, with all that decides what it makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynatlas.fingerprint import FORMAT, digest
from dynatlas.table_schema import TableSchema

ROOT = Path(__file__).resolve().parents[2]
"""The folder of Snakefile, config and src; what is declared is read from here, whatever the working folder."""


@dataclass(frozen=True)
class Node:
    """One job of the atlas. Paths are relative to the working directory of the engine."""

    step: str
    """data, train, measure, figures, claims, notebook, page, ledger or index."""
    study: str
    name: str
    scale: str
    """Scale as it stands in paths: `quick`, or `quick-dev` on development seeds."""
    outputs: tuple[str, ...]
    call: str = ""
    """`package.module:function`; empty where the step has only one thing to do."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the call, or what else the step reads from the declarations."""
    needs: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    """For each keyword, the nodes whose output arrives under it."""
    single: frozenset[str] = frozenset()
    """Needs that arrive as one object rather than as a list."""
    seeds: tuple[int, ...] = ()
    base_seed: int = 0
    device: str = "cpu"
    threads: int = 1
    about: str = ""
    files: tuple[str, ...] = ()
    """Entries of `files:` in the study's yaml that it reads; what is in them, its call checks itself."""
    axes: Mapping[str, Any] = field(default_factory=dict)
    """This node's values on the `jobs:` axes."""
    stacked: tuple[str, ...] = ()
    """Its `stacked:` axes, whose labels stand in `settings`: the members of what it leaves have them."""
    table: TableSchema | None = None
    """What a measure's table holds; what does not hold to it is not written."""
    fingerprint: str = ""
    key: str = ""
    """Hash of everything above that decides the content, and of the keys of all inputs."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Paths of everything that this node reads."""
        return tuple(path for nodes in self.needs.values() for node in nodes for path in node.outputs)

    @property
    def params(self) -> dict[str, Any]:
        """What Snakemake compares to decide whether the job must run again.

        The key alone decides (it is what a reader of the artefact demands); the rest says what it was that changed.
        """
        return self._own | {"key": self.key}

    @property
    def _own(self) -> dict[str, Any]:
        return {
            "call": self.call,
            "settings": json.loads(canonical(self.settings)),
            "seeds": list(self.seeds),
            "base_seed": self.base_seed,
            "device": self.device,
            "metrics": list(self.table.metrics) if self.table else [],
            "code": self.fingerprint,
            "format": FORMAT,
        }

    @property
    def provenance(self) -> dict[str, Any]:
        """What is stable about an artefact's making; stands in its header."""
        return {
            "study": self.study,
            "step": self.step,
            "node": self.name,
            "scale": self.scale,
            "key": self.key,
            "call": self.call,
            "seeds": list(self.seeds),
            "base_seed": self.base_seed,
            "device": self.device,
            "settings": dict(self.settings),
            "fingerprint": self.fingerprint,
            "inputs": {node.outputs[0]: node.key for nodes in self.needs.values() for node in nodes},
        }

    def compute_key(self) -> str:
        """The key of this node: its parameters, and the keys of its inputs."""
        inputs = [f"{arg}={node.key}" for arg, nodes in sorted(self.needs.items()) for node in nodes]
        return digest([self.step, self.study, self.name, self.scale, canonical(self._own), *inputs])


def canonical(value: Any) -> str:
    """A text that is the same for the same value, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True)
