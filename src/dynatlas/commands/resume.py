"""`dynatlas resume`: the one way back after the engine was killed."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from dynatlas.config import ConfigError
from dynatlas.nodes import ROOT


def run(options: argparse.Namespace) -> int:
    """Unlock the working folder, sweep it, and start snakemake again. Refuses while another engine lives in it."""
    engine = living_engine(Path.cwd())
    if engine is not None:
        raise ConfigError(f"an engine (process {engine}) is at work in this folder; stop it first, or let it finish")
    sweep(Path.cwd())
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    arguments = [argument for argument in options.arguments if argument != "--"]
    if any(Path(".snakemake", "locks").glob("*")):
        subprocess.run([*snakemake, "--unlock"], check=True)
    return subprocess.run([*snakemake, *arguments], check=False).returncode


def sweep(folder: Path) -> None:
    """Remove the temporary files of writers that were killed. Only where no engine is at work."""
    for made in ("results", "figures", "logs"):
        for part in (folder / made).rglob(".*.part"):
            part.unlink(missing_ok=True)


def living_engine(folder: Path) -> int | None:
    """The process id of a snakemake whose working directory is `folder`, or None (read from /proc)."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            at_work = (process / "cwd").resolve() == folder.resolve()
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if at_work and any(Path(word.decode(errors="replace")).name == "snakemake" for word in words[:3]):
            return int(process.name)
    return None
