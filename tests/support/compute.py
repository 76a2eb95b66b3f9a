"""All data, runs and tables of the studies at one scale without the engine: torch is imported once, not once a job.

    python tests/support/compute.py FOLDER [--scale smoke] [--leave STUDY] [--pretended]
    python tests/support/compute.py --smallest

A node is computed by the function that its job would call, with the plan's threads, log and sidecar, in a process of
its own, forked from this one: nothing that a node leaves in memory reaches the next. What is there already, sealed and
with the plan's key, is kept. Prints one line for each node that fails, and then ends with 1.

With `--pretended`, jobs compute on a device that is none (`pretended.py`), whose every bit must be the CPU's:

    python tests/support/compute.py /tmp/here; python tests/support/compute.py /tmp/there --pretended
    python tests/support/same_values.py /tmp/here /tmp/there
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NoReturn

import pretended

from dynatlas.artefacts import ArtefactError, check_key, provenance_of
from dynatlas.atlas import Atlas
from dynatlas.cli import set_threads
from dynatlas.nodes import Node
from dynatlas.plan import COMPUTING
from dynatlas.steps.compute import load_function, run_node
from dynatlas.steps.sidecar import write_sidecar

Surroundings = Callable[[], AbstractContextManager[None]]


def computing_nodes(atlas: Atlas, studies: Sequence[str]) -> list[Node]:
    """Data, runs and tables of some studies; what is needed comes before what needs it."""
    return [node for study in studies for (step, _), node in atlas.plan(study).nodes.items() if step in COMPUTING]


def is_made(node: Node, folder: Path) -> bool:
    """Whether the node's artefact lies under `folder`, whole and of this plan."""
    path = folder / node.outputs[0]
    try:
        check_key(path, provenance_of(path), node.key)
    except (ArtefactError, OSError, ValueError):
        return False
    return True


def smallest(atlas: Atlas) -> str:
    """The study with the fewest nodes to compute."""
    return min(atlas.studies, key=lambda study: len(computing_nodes(atlas, [study])))


def compute(nodes: Sequence[Node], processes: int, around: Surroundings = nullcontext) -> list[Node]:
    """Compute nodes, each in a fork of this process within `around()`; gives those that failed or were not begun."""
    waiting, running = list(nodes), dict[int, Node]()
    undone = {node.outputs[0] for node in nodes}
    while waiting or running:
        ready = [node for node in waiting if undone.isdisjoint(node.inputs)]
        for node in ready[: processes - len(running)]:
            waiting.remove(node)
            running[_forked(node, around)] = node
        if not running:
            break
        process, status = os.wait()
        node = running.pop(process)
        if status == 0:
            undone.remove(node.outputs[0])
    return [node for node in nodes if node.outputs[0] in undone]


def import_once(nodes: Sequence[Node]) -> None:
    """Import what the forks would each import again: torch and the libraries of tables, and the studies' own code."""
    for library in ("torch", "safetensors.torch", "pandas", "pyarrow.parquet"):
        importlib.import_module(library)
    for node in nodes:
        load_function(node.call)


def _forked(node: Node, around: Surroundings) -> int:
    """Begin a node in a fork; gives its process id."""
    process = os.fork()
    if process == 0:
        _work(node, around)
    return process


def _work(node: Node, around: Surroundings) -> NoReturn:
    """The whole life of a fork: what `dynatlas STEP STUDY NODE > LOG` does."""
    import torch

    log = log_path(node)
    log.parent.mkdir(parents=True, exist_ok=True)
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    status = 1
    try:
        torch.set_num_threads(node.threads)
        with write_sidecar(node), around():
            run_node(node)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def log_path(node: Node) -> Path:
    """Where the rules put a job's log."""
    return Path("logs", node.scale, node.study, f"{node.step}-{node.name}.log")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path())
    parser.add_argument("--scale", default="smoke")
    parser.add_argument("--leave", help="a study that is left to the engine")
    parser.add_argument("--pretended", action="store_true", help="compute on a device that is not the CPU")
    parser.add_argument("--smallest", action="store_true", help="only print the study with the fewest nodes")
    options = parser.parse_args()
    set_threads(1)
    atlas = Atlas(overrides={"scale": options.scale})
    if options.smallest:
        print(smallest(atlas))
        return 0
    options.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(options.folder)
    nodes = computing_nodes(atlas, [study for study in atlas.studies if study != options.leave])
    nodes = [node for node in nodes if not is_made(node, Path())]
    import_once(nodes)
    around = pretended.jobs_on_device if options.pretended else nullcontext
    failed = compute(nodes, len(os.sched_getaffinity(0)), around)
    for node in failed:
        print(f"{node.study}: {node.step} {node.name} failed: {options.folder / log_path(node)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
