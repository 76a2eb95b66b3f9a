"""`dynatlas resume`: the one way back after the engine was killed."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from dynatlas.cli import atlas_of, overrides
from dynatlas.config import ConfigError
from dynatlas.nodes import ROOT

SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def run(options: argparse.Namespace) -> int:
    """Unlock the working folder, sweep it, and start snakemake again, configured as the options say.

    Refuses while another engine lives in it.
    """
    command = engine_command(options)
    engine = living_engine(Path.cwd())
    if engine is not None:
        raise ConfigError(f"an engine (process {engine}) is at work in this folder; stop it first, or let it finish")
    sweep(Path.cwd())
    if any(Path(".snakemake", "locks").glob("*")):
        subprocess.run([*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--unlock"], check=True)
    return subprocess.run(command, check=False).returncode


def engine_command(options: argparse.Namespace) -> list[str]:
    """The snakemake command that a resume stands for: its options as `--config`, then what follows `--`.

    Raises ConfigError for options that cannot work, and where the configuration is given both ways.
    """
    atlas = atlas_of(options)
    passed_on = [argument for argument in options.arguments if argument != "--"]
    config = overrides(options)
    if options.scale:
        config |= {"scale": atlas.config.scale, "seeds": atlas.config.seeds}
    if config and any(argument.partition("=")[0] in ("--config", "-C") for argument in passed_on):
        raise ConfigError(
            f"{', '.join(config)}: also --config is passed on to snakemake; give all of it one way: "
            "resume --scale ..., or resume -- --config scale=..."
        )
    given = [
        f"{key}=[{','.join(value)}]" if isinstance(value, list) else f"{key}={value}" for key, value in config.items()
    ]
    # an option that takes many values must not stand before a target
    return [*SNAKEMAKE, *(["--config", *given] if given else []), "--snakefile", str(ROOT / "Snakefile"), *passed_on]


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
