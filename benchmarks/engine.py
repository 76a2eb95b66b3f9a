"""Cost of the engine alone: a dry run, and the building of all plans, for a made-up atlas of 18 studies and 270 jobs.

    python benchmarks/engine.py

Allowed: 6 CPU seconds for `snakemake --dry-run` (Python and imports included), 0.5 for all plans.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOY = ROOT / "tests" / "workflow" / "toy"
STUDIES, JOBS = 18, 270
OWN_JOBS = 9  # of the toy: data, two lines, biases, two measures, figures, claims, notebook; its page is one more
BUILD_PLANS = """
import time
from dynatlas.atlas import Atlas
started = time.process_time()
atlas = Atlas()
atlas.check()
print(sum(len(atlas.plan(study).nodes) for study in atlas.studies), time.process_time() - started)
"""


def main() -> None:
    """Print both costs beside what is allowed."""
    with tempfile.TemporaryDirectory() as folder:
        atlas = make_atlas(Path(folder) / "atlas")
        nodes, seconds = _python(atlas, "-c", BUILD_PLANS).split()
        print(f"all plans ({STUDIES} studies, {nodes} nodes): {float(seconds):.2f} CPU s (allowed: 0.5)")
        before = _children()
        printed = _python(atlas, "-m", "snakemake", "--dry-run", "--quiet", "rules")
        print(f"dry run ({_jobs(printed)} jobs): {_children() - before:.1f} CPU s (allowed: 6)")


def make_atlas(folder: Path) -> Path:
    """A copy of the engine's side of this repository with made-up studies, each with its own modules."""
    for part in ("workflow", "profiles", "config", "src", "Snakefile", "environment.yml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        folder.mkdir(exist_ok=True)
        copy(ROOT / part, folder / part)
    shutil.rmtree(folder / "config" / "studies", ignore_errors=True)
    shutil.rmtree(folder / "workflow" / "notebooks", ignore_errors=True)
    for path in (folder / "src" / "dynatlas" / "studies").glob("[a-z]*/"):
        shutil.rmtree(path)
    for number in range(STUDIES):
        add_study(folder, f"toy{number:02}")
    return folder


def add_study(folder: Path, name: str) -> None:
    """The toy of the tests under another name, with as many rates as make up its share of the jobs."""
    for path in TOY.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            target = folder / str(path.relative_to(TOY)).replace("toy", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text().replace("toy", name))
    rates = 2 + JOBS // STUDIES - OWN_JOBS - 1
    declared = folder / "config" / "studies" / f"{name}.yaml"
    text = declared.read_text()
    wanted = [0.1, 0.3, *(round(0.3 + 0.01 * extra, 2) for extra in range(1, rates - 1))]
    declared.write_text(text.replace("rates: [0.1, 0.3]", f"rates: {wanted}"))


def _python(folder: Path, *arguments: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder / "src"), "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout + done.stderr


def _jobs(printed: str) -> int:
    totals = [line.split()[1] for line in printed.splitlines() if line.startswith("total")]
    return int(totals[-1])


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
