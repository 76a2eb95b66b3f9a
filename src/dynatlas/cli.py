"""`dynatlas <step>`, which the rules call, and what a user calls by hand."""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from dynatlas.config import SCALES, ConfigError

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

    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ConfigError, ArtefactError) as error:
        print(f"dynatlas {options.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dynatlas", description="An atlas of learning dynamics.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in STEPS.items():
        step = commands.add_parser(name, help=f"step of the DAG: {text}", description=text)
        if name not in ("guide", "collect", "index"):
            step.add_argument("study")
        if name == "guide":
            step.add_argument("node", metavar="guide", help="the name of its file in workflow/notebooks/guides")
        if name in ("data", "train", "measure"):
            step.add_argument(
                "node", help="its name in the study's yaml (with @axis=value where it is split into jobs)"
            )
        _add_config(step)
        step.set_defaults(run=run_step)
    _add_user_commands(commands)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    scales = [scale + dev for scale in SCALES for dev in ("", "-dev")]
    parser.add_argument(
        "--scale", choices=scales, metavar="SCALE", help=f"{', '.join(SCALES)}; -dev: development seeds"
    )
    parser.add_argument("--studies", nargs="+", help="only these studies (ledger and index)")
    parser.add_argument("--seeds", type=int, help="number of seeds, instead of the study's own")
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--base-seed", type=int)


def _add_user_commands(commands: argparse._SubParsersAction) -> None:
    def add(name: str, module: str, text: str) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=text, description=text)
        parser.set_defaults(run=lambda options: importlib.import_module(f"dynatlas.commands.{module}").run(options))
        _add_config(parser)
        return parser

    add("studies", "studies", "list the studies, and what of each is made")
    ledger = add("ledger", "ledger", "print the ledger: every claim with its verdict")
    ledger.add_argument("--format", choices=["table", "markdown", "json"], default="table")
    ledger.add_argument("--study", help="only this study's claims (read from its own claims.json)")
    ledger.add_argument("--brief", action="store_true", help="claims without the parts of compounds")
    ancestry = add("ancestry", "ancestry", "say what an artefact or a figure was made from")
    ancestry.add_argument("path")
    add("doctor", "doctor", "check the environment, and every artefact against its seal and the plan")
    resume = add("resume", "resume", "unlock after a killed engine, then go on")
    resume.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="passed on to snakemake (after --)")
    schema = add("schema", "schema", "write the JSON schemas of the yaml files")
    schema.add_argument("--check", action="store_true", help="write nothing; fail if a schema on disk is out of step")
    lock = add("lock", "lock", "write the hashes of all claims into config/claims.lock")
    lock.add_argument(
        "--check", action="store_true", help="write nothing; fail if a claim changed without its dated line"
    )


def overrides(options: argparse.Namespace) -> dict[str, object]:
    """The values given on the command line, as they stand in config/config.yaml."""
    given: dict[str, object] = {}
    if options.scale:
        given["scale"] = options.scale.removesuffix("-dev")
        if options.scale.endswith("-dev"):
            given["seeds"] = "dev"
    if options.seeds is not None and "seeds" not in given:
        given["seeds"] = options.seeds
    named = {"studies": options.studies, "device": options.device, "base_seed": options.base_seed}
    return given | {key: value for key, value in named.items() if value is not None}


def run_step(options: argparse.Namespace) -> int:
    """One step of the DAG, for its one node."""
    die_with_engine()
    from dynatlas.atlas import Atlas
    from dynatlas.steps.sidecar import write_sidecar

    atlas = Atlas(overrides=overrides(options))
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
