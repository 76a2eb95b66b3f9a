"""`dynatlas <step>`, which the rules call, and what a user calls by hand."""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dynatlas.config import SCALES, ConfigError

if TYPE_CHECKING:
    from dynatlas.atlas import Atlas

STEPS = {
    "data": ("compute", "make one data set of a study"),
    "train": ("compute", "train one run of a study"),
    "measure": ("compute", "measure runs into one table"),
    "figures": ("figures", "draw all figures of a study"),
    "claims": ("claims", "decide all claims of a study"),
    "notebook": ("notebook", "execute and render a study's notebook"),
    "page": ("site", "render a study's page"),
    "guide": ("notebook", "execute and render a notebook that belongs to no study"),
    "collect": ("claims", "join the studies' claims into the ledger"),
    "index": ("site", "render the site's front page"),
}
STEP_OF_COMMAND = {"collect": "ledger"}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 done, 1 failed with a message, 2 wrong usage)."""
    from dynatlas.artefacts import ArtefactError
    from dynatlas.datasets.published import PublishedFileError

    options = parse(arguments)
    try:
        return options.run(options)
    except (ConfigError, ArtefactError, PublishedFileError) as error:
        print(f"dynatlas {options.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a command. Exits with status 2, and the command's own usage, for one that does not count there."""
    parser, commands = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest:
        counted = [one for action in commands[options.command]._actions for one in action.option_strings]
        long = ", ".join(one for one in counted if one.startswith("--"))
        commands[options.command].error(f"{rest[0]}: does not count here (options of {options.command}: {long})")
    return options


# ---------------------------------------------------------------- options: each means the same wherever it is taken


def _scale(parser: argparse.ArgumentParser) -> None:
    scales = [scale + dev for scale in SCALES for dev in ("", "-dev")]
    text = f"{', '.join(SCALES)}; -dev: development seeds"
    parser.add_argument("--scale", choices=scales, metavar="SCALE", help=text)


def _studies(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--studies", nargs="+", metavar="STUDY", help="only these studies")


def _draws(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, help="number of seeds, from 100, instead of the study's own")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="where training runs")
    parser.add_argument("--base-seed", type=int, help="changes every random draw")


def _folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="work in this folder, made where it is missing, instead of here")


def atlas_of(options: argparse.Namespace, *, path_scale: str | None = None) -> Atlas:
    """The atlas as configured, with a command's options put over it; at `path_scale` where that is given."""
    from dynatlas.atlas import Atlas

    return Atlas(overrides=overrides(options), path_scale=path_scale or getattr(options, "scale", None))


def overrides(options: argparse.Namespace) -> dict[str, object]:
    """What a command's options say of the keys of config/config.yaml, but for the scale."""
    named = {key: getattr(options, key, None) for key in ("studies", "seeds", "device", "base_seed")}
    return {key: value for key, value in named.items() if value is not None}


# ---------------------------------------------------------------- commands

Commands = dict[str, argparse.ArgumentParser]


def _parser() -> tuple[argparse.ArgumentParser, Commands]:
    parser = argparse.ArgumentParser(prog="dynatlas", description="An atlas of learning dynamics.", allow_abbrev=False)
    parser.add_argument("--version", action=_Version)
    group = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands: Commands = {}

    def add(name: str, text: str, run: Callable[[argparse.Namespace], int], *options: Options) -> None:
        shown = f"step of the DAG: {text}" if name in STEPS else text
        commands[name] = group.add_parser(name, help=shown, description=text, allow_abbrev=False)
        commands[name].set_defaults(run=run)
        for option in options:
            option(commands[name])

    for name, (_, text) in STEPS.items():
        add(name, text, run_step, *_OPTIONS_OF_STEP.get(name, (_study, _scale, _draws, _folder)))
    for name, (text, options) in _USER_COMMANDS.items():
        add(name, text, partial(_run_command, name), *options)
    return parser, commands


class _Version(argparse.Action):
    """`--version`: that of pyproject.toml, also where the package is not installed (an environment made by conda)."""

    def __init__(self, option_strings: Sequence[str], dest: str):
        super().__init__(option_strings, dest, nargs=0, help="print the version, and leave")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import tomllib

        from dynatlas.nodes import ROOT

        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        print(f"dynatlas {project['version']}")
        parser.exit()


def _study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study")


def _node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("node", help="its name in the study's yaml (with @axis=value where it is split into jobs)")


def _guide(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("node", metavar="guide", help="the name of its file in workflow/notebooks/guides")


def _names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="STUDY", help="say more of these: every entry, and what is made")


def _ledger(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=["table", "markdown", "json"], help="every column (default but in terminals)"
    )
    parser.add_argument("--brief", action="store_true", help="no parts of compounds; without --format, a line a claim")


def _beside(parser: argparse.ArgumentParser) -> None:
    text = "a column for each of these scales, from what is kept of them in git"
    parser.add_argument("--beside", nargs="+", choices=SCALES, default=[], metavar="SCALE", help=text)


def _run_folder(parser: argparse.ArgumentParser) -> None:
    text = "folder with results/ and logs/ of the run, of this code or of earlier code (default: this one)"
    parser.add_argument("--from", dest="folder", default=".", metavar="FOLDER", help=text)


def _path(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="of anything that the atlas makes; its scale stands in it")


def _passed_on(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="passed on to snakemake (after --)")


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; fail if what is on disk is out of step")


Options = Callable[[argparse.ArgumentParser], None]
_OPTIONS_OF_STEP: dict[str, tuple[Options, ...]] = {
    **dict.fromkeys(("data", "train", "measure"), (_study, _node, _scale, _draws, _folder)),
    **dict.fromkeys(("collect", "index"), (_scale, _studies, _draws, _folder)),
    "guide": (_guide, _scale, _folder),
}
_USER_COMMANDS: dict[str, tuple[str, tuple[Options, ...]]] = {
    "studies": ("list the studies, and what of each is made", (_names, _scale, _studies, _draws)),
    "settings": ("print the numbers of studies: meaning, unit, value at each scale", (_names,)),
    "ledger": ("print the ledger: every claim with its verdict", (_ledger, _beside, _scale, _studies, _draws)),
    "kept": ("print the ledger of a scale that is kept in git", (_ledger, _scale, _studies)),
    "keep": ("keep a scale's verdicts in git, under docs/ledgers", (_run_folder, _scale, _studies)),
    "ancestry": ("say what an artefact or a figure was made from", (_path, _draws)),
    "doctor": ("check the environment, and every artefact against its seal and the plan", (_scale, _studies, _draws)),
    "resume": ("unlock after a killed engine, then go on", (_passed_on, _scale, _studies, _draws)),
    "schema": ("write the JSON schemas of the yaml files", (_check,)),
    "lock": ("write the hashes of all claims into config/claims.lock", (_check,)),
}


def _run_command(name: str, options: argparse.Namespace) -> int:
    return importlib.import_module(f"dynatlas.commands.{name}").run(options)


def run_step(options: argparse.Namespace) -> int:
    """One step of the DAG, for its one node."""
    die_with_engine()
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        os.chdir(options.folder)
    from dynatlas.steps.sidecar import write_sidecar

    atlas = atlas_of(options)
    step = STEP_OF_COMMAND.get(options.command, options.command)
    name = getattr(options, "node", step)
    node = atlas.node(step, getattr(options, "study", ""), name=name)
    set_threads(node.threads)
    module = importlib.import_module(f"dynatlas.steps.{STEPS[options.command][0]}")
    with write_sidecar(node):
        module.run_node(node)
    return 0


def die_with_engine() -> None:
    """Stop when the engine that started this job is killed, so that no orphan goes on writing.

    The rules export the engine's process id; by hand there is none, and nothing is done.
    """
    engine = os.environ.get("DYNATLAS_ENGINE")
    if engine is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(engine):  # it died before the signal was asked for
        raise SystemExit("dynatlas: the engine that started this job is gone")


def set_threads(threads: int) -> None:
    """Compute with `threads` threads whatever the environment says. Must come before numpy and torch are imported."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)


if __name__ == "__main__":
    raise SystemExit(main())
