"""What is not stable about a step: when, where, how long, how much memory. Kept beside the logs, never compared."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dynatlas.artefacts import write_bytes
from dynatlas.nodes import Node


def sidecar_path(node: Node) -> Path:
    """Where a node's sidecar lies."""
    return Path("logs", node.scale, node.study or "atlas", f"{node.step}-{node.name}.json")


@contextmanager
def write_sidecar(node: Node) -> Iterator[None]:
    """Measure the step inside the block, and keep its costs and surroundings when it succeeds."""
    started, cpu = time.monotonic(), time.process_time()
    yield
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    costs = {
        "node": f"{node.scale}/{node.study}/{node.step}/{node.name}",
        "key": node.key,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(time.monotonic() - started, 2),
        "cpu_seconds": round(time.process_time() - cpu + children.ru_utime + children.ru_stime, 2),
        "peak_memory_mb": max(own.ru_maxrss, children.ru_maxrss) // 1024,
        "device": node.device,
        "machine": platform.platform(),
        "cpu_capability": cpu_capability(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "commit": current_commit(),
    }
    write_bytes(sidecar_path(node), json.dumps(costs, indent=1).encode() + b"\n")


def cpu_capability() -> str | None:
    """The vector instructions by which torch rounds here, such as AVX2; None of a step that has not loaded it."""
    torch = sys.modules.get("torch")
    return str(torch.backends.cpu.get_cpu_capability()) if torch else None


def current_commit() -> str:
    """The commit of the code that runs, or `unknown` outside a git checkout."""
    here = Path(__file__).parent
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"
