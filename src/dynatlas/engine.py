"""What the rule files ask about the engine: options and prefix of shell lines, device check, hints at targets."""

from __future__ import annotations

import ast
import ctypes
import logging
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dynatlas.atlas import Atlas
from dynatlas.config import ConfigError
from dynatlas.names import nearest
from dynatlas.nodes import Node


def job_options(atlas: Atlas, *, folder: str | None = None) -> str:
    """The command-line options that hand a job the configuration as the engine sees it (`--config` included).

    All of it, always: a value given twice, in the file and on the command line, must not change the shell line.
    The scale stands in every path and so in every shell line; `studies` matters to the ledger and the index alone.
    `folder` is the `prefix:` under which another workflow imports this one.
    """
    config = atlas.config
    seeds = f" --seeds {config.seeds}" if isinstance(config.seeds, int) else ""
    return f"--device {config.device} --base-seed {config.base_seed}{seeds}{folder_option(folder)}"


def folder_option(folder: str | None) -> str:
    """The option that makes a job work in `folder`; nothing where there is none."""
    return f" --folder {shlex.quote(folder)}".replace("{", "{{").replace("}", "}}") if folder else ""


def job_prefix(root: Path, *, conda: bool) -> str:
    """What stands before every shell line, so that it finds `dynatlas`, its Python, and the engine it belongs to.

    The job takes the shell's place (`exec`), and so learns of the death of the engine, its parent: a function of the
    shell sees to that, so that neither the printed line, which can be pasted into a shell that must go on, nor the
    lines of a workflow that imports this one have an `exec`. Inside a conda environment of the engine's making the
    Python is that environment's; else it is the engine's own.
    """
    folders = [str(root / "workflow" / "bin")] + ([] if conda else [str(Path(sys.executable).parent)])
    path = ":".join(shlex.quote(folder) for folder in folders)
    source = shlex.quote(str(root / "src"))
    # braces would be taken for wildcards
    exported = f"export PATH={path}:$PATH PYTHONPATH={source} DYNATLAS_ENGINE={os.getpid()}"
    return f'{exported}; dynatlas() {{ exec dynatlas "$@"; }}; '.replace("{", "{{").replace("}", "}}")


def check_device(atlas: Atlas, *, local: bool) -> None:
    """Raise ConfigError if jobs run here on a GPU that is not here. A cluster's submit node need not have one."""
    if atlas.config.device == "cuda" and local and cuda_devices() == 0:
        raise ConfigError(
            f"{atlas.source('device')}: device: 'cuda': this machine has no usable GPU (allowed here: 'cpu'); on a "
            "cluster, submit the jobs: snakemake --workflow-profile profiles/slurm"
        )


def require_files(atlas: Atlas, node: Node, *, others: bool, dry: bool) -> None:
    """Before any job: raise ConfigError if a node is to be made and lacks published files; a dry run only tells it.

    The message holds all that its study lacks at this scale, and with `others` what the other selected studies lack.
    """
    if not node.files or all(Path(path).exists() for path in node.outputs):
        return
    if not atlas.missing_files(node.study, node.scale, names=node.files):
        return
    studies = [node.study, *(study for study in atlas.selected if others and study != node.study)]
    lines = [f"scale {node.scale} reads published files that are not here (the other scales may need none):"]
    for study in studies:
        lines += [f"  {study}: {line}" for line in atlas.missing_files(study, node.scale)]
    message = "\n".join(lines)
    if not dry:
        raise ConfigError(message)
    if message not in _told:
        _told.add(message)
        print(f"Nothing could be made now: {message}", file=sys.stderr)


_told: set[str] = set()


def cuda_devices() -> int:
    """How many GPUs the driver sees, asked without torch."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


def report_texts(atlas: Atlas) -> dict[str, Any]:
    """What the report quotes and does not type: how many papers there are, and `caption(study, figure)` as HTML."""

    def caption(study: str, figure: str) -> str:
        from dynatlas.site.markdown import render_markdown  # slow, and wanted by a report alone

        return render_markdown(atlas.studies[study].figures[figure].caption)

    count = len(atlas.selected)
    return {"papers": f"{count} paper{'s' * (count != 1)}", "caption": caption}


class TargetHint(logging.Filter):
    """Makes what Snakemake says about a target that does not exist as short and helpful as our own words.

    Adds the nearest target to "no rule to produce", and leaves of a ConfigError inside an input function the message.
    """

    unknown = re.compile(r"No rule to produce (\S+)")
    ours = re.compile(r"InputFunctionException.*WorkflowError:\n\s*(.*?)\nWildcards:", re.DOTALL)

    def __init__(self, targets: list[str]):
        super().__init__()
        self.targets = targets

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record's message; never drops one."""
        message = str(record.msg)
        if unknown := self.unknown.search(message):
            wanted = unknown.group(1).strip("'\"")
            record.msg = f"{wanted}: no such target{nearest(wanted, self.targets)}\n{message}"
        elif ours := self.ours.search(message):
            record.msg = ours.group(1)
        return True


class ShortReason(logging.Filter):
    """Makes Snakemake's reason to run a job again name the numbers that changed, not all params that hold one."""

    changed = re.compile(
        r"Union of exclusive params before and now across all output: before: (?P<before>.*) now: (?P<now>.*?) "
        r"(?=$|; Software environment)",
        re.DOTALL,
    )

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the reason of a job, where the record has one; never drops a record."""
        reason = getattr(record, "reason", None)
        if isinstance(reason, str):
            record.reason = self.changed.sub(self._said, reason)
        return True

    def _said(self, found: re.Match[str]) -> str:
        try:
            before, now = (ast.literal_eval(f"[{found[part]}]") for part in ("before", "now"))
        except (SyntaxError, ValueError):  # nothing on one side, or words of another version of the engine
            return found[0]
        if len(before) != 1 or len(now) != 1:
            return found[0]
        return what_changed(before[0], now[0])


MOST_CHANGES = 6


def what_changed(before: Any, now: Any) -> str:
    """`settings.steps: 20 -> 21` for each number or word that differs between two params of a node.

    The key differs whenever anything does; where it alone does, an input was made with other numbers or code.
    """
    old, new = dict(_leaves(before, "")), dict(_leaves(now, ""))
    differing = [path for path in {**old, **new} if old.get(path, NOTHING) != new.get(path, NOTHING)]
    told = [path for path in differing if path != "key"]
    if differing and not told:
        return "what it is made from (key)"
    lines = [
        "code" if path == "code" else f"{path} {old.get(path, NOTHING)} -> {new.get(path, NOTHING)}".strip()
        for path in told
    ]
    more = [f"and {len(lines) - MOST_CHANGES} more"] if len(lines) > MOST_CHANGES else []
    return ", ".join([*lines[:MOST_CHANGES], *more])


NOTHING = "(none)"


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every number or word inside, with the way to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _leaves(item, f"{path}[{place}]")
    else:
        yield path, repr(value)


def speak_plainly(atlas: Atlas) -> None:
    """Make Snakemake name the nearest target when one does not exist, and the very numbers that changed."""
    from snakemake.logging import logger

    nodes = [node for study in atlas.at_scale for node in atlas.plan(study).nodes.values()]
    paths = [path for node in nodes for path in node.outputs]
    logger.addFilter(ShortReason())
    logger.addFilter(TargetHint([*atlas.at_scale, "all", "ledger", "notebooks", "site", *paths]))
