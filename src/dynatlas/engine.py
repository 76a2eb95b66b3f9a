"""What the rule files ask about the engine: options and prefix of shell lines, device check, hints at targets."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import shlex
import sys
from pathlib import Path

from dynatlas.atlas import Atlas
from dynatlas.config import ConfigError
from dynatlas.names import nearest


def job_options(atlas: Atlas) -> str:
    """The command-line options that hand a job the configuration as the engine sees it (`--config` included).

    All of it, always: a value given twice, in the file and on the command line, must not change the shell line.
    The scale stands in every path and so in every shell line; `studies` matters to the ledger and the index alone.
    """
    config = atlas.config
    seeds = f" --seeds {config.seeds}" if isinstance(config.seeds, int) else ""
    return f"--device {config.device} --base-seed {config.base_seed}{seeds}"


def job_prefix(root: Path, *, conda: bool) -> str:
    """What stands before every shell line, so that it finds `dynatlas`, its Python, and the engine it belongs to.

    Inside a conda environment of the engine's making the Python is that environment's; else it is the engine's own.
    """
    folders = [str(root / "workflow" / "bin")] + ([] if conda else [str(Path(sys.executable).parent)])
    path = ":".join(shlex.quote(folder) for folder in folders)
    source = shlex.quote(str(root / "src"))
    # braces would be taken for wildcards
    return f"export PATH={path}:$PATH PYTHONPATH={source} DYNATLAS_ENGINE={os.getpid()}; ".replace("{", "{{").replace(
        "}", "}}"
    )


def check_device(atlas: Atlas, *, local: bool) -> None:
    """Raise ConfigError if jobs run here on a GPU that is not here. A cluster's submit node need not have one."""
    if atlas.config.device == "cuda" and local and cuda_devices() == 0:
        raise ConfigError(
            f"{atlas.source('device')}: device: 'cuda': this machine has no usable GPU (allowed here: 'cpu'); on a "
            "cluster, submit the jobs: snakemake --workflow-profile profiles/slurm"
        )


def cuda_devices() -> int:
    """How many GPUs the driver sees, asked without torch."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


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


def hint_at_targets(atlas: Atlas) -> None:
    """Make Snakemake name the nearest target when it is asked for one that does not exist."""
    from snakemake.logging import logger

    nodes = [node for study in atlas.at_scale for node in atlas.plan(study).nodes.values()]
    paths = [path for node in nodes for path in node.outputs]
    logger.addFilter(TargetHint([*atlas.at_scale, "all", "ledger", "notebooks", "site", *paths]))
