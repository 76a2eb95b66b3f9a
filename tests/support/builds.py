"""What many tests look at and none may change: made once a session, by whoever comes first, under a lock.

Several test workers share it. While they run other tests, `python tests/support/builds.py FOLDER NAME ...` makes it
beside them (see `tests/conftest.py`); a test that comes too early waits, and makes it itself where that process failed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engines import ROOT, Engine, snapshot_of_repository, with_study
from schedule import cpu_seconds

SLOW = ROOT / "tests" / "faults" / "slow"
EXAMPLE = ROOT / "docs" / "adding-a-study.md"
BLOCK = re.compile(r"^\*\*`(?P<path>[^`]+)`\*\*\n\n```\w+\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time; the test workers are several."""
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def once(base: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` under `base`, which all processes share; whoever comes first makes it."""
    folder = base / name
    with _alone(base / f"{name}.lock"):
        if not (base / f"{name}.done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            before = cpu_seconds()
            make(folder)
            (base / f"{name}.done").write_text(f"{cpu_seconds() - before:.2f}")
    return folder


def snapshot(base: Path) -> Path:
    """All copies of a session are equal, also while someone edits the sources."""
    return once(base, "snapshot", snapshot_of_repository)


def made(base: Path) -> Path:
    """The toy atlas, made whole by the engine at scale quick."""
    return once(base, "made", lambda folder: Engine(with_study(snapshot(base), folder)).make())


def undisturbed(base: Path) -> Path:
    """Runs and table of the slow study, computed without any fault, and without the engine."""

    def make(folder: Path) -> None:
        with_study(snapshot(base), folder, study=SLOW)
        compute_tables(folder, scale="quick", source=folder / "src")

    return once(base, "undisturbed", make)


def example_files() -> dict[str, str]:
    """Path to content of every file of the worked example in docs/adding-a-study.md."""
    return {match["path"]: match["content"] for match in BLOCK.finditer(EXAMPLE.read_text(encoding="utf-8"))}


def example(base: Path) -> Path:
    """The atlas of the worked example, made whole by the engine at scale quick."""

    def make(folder: Path) -> None:
        study = folder.with_name("example-files")
        for path, content in example_files().items():
            (study / path).parent.mkdir(parents=True, exist_ok=True)
            (study / path).write_text(content, encoding="utf-8")
        Engine(with_study(snapshot(base), folder, study=study)).make()

    return once(base, "example", make)


def smoke(base: Path) -> Path:
    """Data, runs and tables of every real study at scale smoke, computed without the engine.

    They stay from session to session: what is whole and has the plan's key is not computed again.
    """
    kept = ROOT / ".cache" / "smoke"
    once(base, "smoke", lambda _: compute_tables(kept, scale="smoke", source=ROOT / "src"))
    return kept


def compute_tables(folder: Path, *, scale: str, source: Path) -> None:
    """Run `compute.py` over the studies of a source tree. Raises RuntimeError with what it said where a node failed."""
    program = [sys.executable, str(Path(__file__).with_name("compute.py")), str(folder), "--scale", scale]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def check_tables(folder: Path) -> None:
    """Hold results that were handed over against the plan. Raises ValueError naming the first that is not of it."""
    from compute import computing_nodes, is_made

    from dynatlas.atlas import Atlas

    atlas = Atlas(overrides={"scale": "smoke"})
    for node in computing_nodes(atlas, list(atlas.studies)):
        if not is_made(node, folder):
            raise ValueError(
                f"DYNATLAS_SMOKE={folder}: {node.outputs[0]} is missing, damaged or not of this code; "
                f"make it with `python tests/support/compute.py {folder}`, or leave the variable out"
            )


def costs_of(base: Path) -> dict[str, float]:
    """Processor seconds that each shared folder took."""
    return {f"(made once: {path.stem})": float(path.read_text()) for path in base.glob("*.done")}


BUILDS = {"made": made, "undisturbed": undisturbed, "example": example, "smoke": smoke}
"""By the name of the fixture that gives it."""


def main() -> int:
    base, *names = sys.argv[1:]
    for name in names:
        BUILDS[name](Path(base))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
