"""The steps that compute: data, train and measure. They give a study's function its needs and keep its result."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dynatlas import artefacts
from dynatlas.ensemble.memory import keep_freed_memory
from dynatlas.fingerprint import CodeIndex
from dynatlas.jobs import Job, Run
from dynatlas.nodes import ROOT, Node
from dynatlas.signatures import signatures_of


def run_node(node: Node) -> None:
    """Compute a data, train or measure node and write its one artefact.

    Checkpoints of this very node are kept beside the results until it is done; those of other code or settings are
    discarded, as are this node's once its artefact stands.
    """
    keep_freed_memory()
    target = Path(node.outputs[0])
    scratch = _scratch(node, target)
    result = load_function(node.call)(job_of(node, scratch), **typed(node.call, node.settings), **read_needs(node))
    if node.step == "measure":
        artefacts.check_table(result, node.table)
        result = result.assign(study=node.study, experiment=node.name)
        artefacts.write_table(target, node.provenance, result)
    else:
        artefacts.check_stacked(result, {axis: node.settings[axis] for axis in node.stacked})
        artefacts.write_run(target, node.provenance, result)
    _clear(scratch)


def job_of(node: Node, scratch: Path | None = None) -> Job:
    """The surroundings that a study's function gets for this node."""
    return Job(
        study=node.study, seeds=node.seeds, base_seed=node.base_seed, device=usable_device(node.device), scratch=scratch
    )


def usable_device(device: str) -> str:
    """`device`, if this machine has it. Raises ValueError otherwise: a job never falls back in silence."""
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ValueError("device: cuda: this machine has no usable GPU; write `device: cpu` in config/config.yaml")
    return device


def read_needs(node: Node) -> dict[str, Any]:
    """Everything that the node needs, by keyword: runs as `Run`, tables as data frames."""
    return {name: _read(node, name) for name in node.needs}


def _read(node: Node, name: str) -> Any:
    nodes = node.needs[name]
    paths = [Path(part.outputs[0]) for part in nodes]
    if nodes[0].step == "measure":
        return artefacts.read_table(*paths, keys=[part.key for part in nodes])
    runs = [read_run(path, part) for path, part in zip(paths, nodes, strict=True)]
    return runs[0] if name in node.single else runs


def read_run(path: Path, node: Node) -> Run:
    """The run that a node left, with the settings as its function took them."""
    run = artefacts.read_run(path, key=node.key)
    return Run(dict(run), seeds=run.seeds, settings=typed(node.call, run.settings))


def typed(call: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the function behind a call takes them."""
    return signatures_of(_index()).typed(call, settings)


@cache
def _index() -> CodeIndex:
    return CodeIndex(ROOT / "src")


def load_function(call: str) -> Callable[..., Any]:
    """The function behind `package.module:function`."""
    module, _, name = call.partition(":")
    return getattr(importlib.import_module(module), name)


def _clear(scratch: Path) -> None:
    """Remove a finished node's checkpoints, and the folders around them once they are empty."""
    shutil.rmtree(scratch, ignore_errors=True)
    for folder in (scratch.parent, scratch.parent.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _scratch(node: Node, target: Path) -> Path:
    """The node's own folder for checkpoints, named by its key; folders of other keys are removed."""
    around = target.parent.parent / "checkpoints" / node.name
    own = around / node.key[:24]
    for other in around.glob("*"):
        if other != own:
            shutil.rmtree(other, ignore_errors=True)
    return own
