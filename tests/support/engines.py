"""Copies of the repository with a made-up study in the place of the real ones, and the real engine on them."""

from __future__ import annotations

import compileall
import multiprocessing
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import schedule

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests" / "workflow" / "toy"
READY = multiprocessing.get_context("forkserver")
"""Makes processes that have imported the libraries already, which is most of what a command that only reads costs."""
READY.set_forkserver_preload(["snakemake.cli", "torch", "pandas", "pyarrow.parquet", "pydantic", "seaborn"])
LEAVE_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*.swp")


def snapshot_of_repository(target: Path) -> Path:
    """What the engine needs of this repository, without any study or guide."""
    for folder in ("workflow", "profiles", "config", "src"):
        shutil.copytree(ROOT / folder, target / folder, ignore=LEAVE_OUT)
    for file in ("Snakefile", "environment.yml", "requirements.lock"):
        shutil.copy2(ROOT / file, target / file)
    for path in (target / "config" / "studies").glob("*.yaml"):
        path.unlink()
    for path in (target / "src" / "dynatlas" / "studies").glob("[a-z]*/"):
        shutil.rmtree(path)
    for path in (target / "workflow" / "notebooks").rglob("*.py"):
        path.unlink()
    compileall.compile_dir(target / "src", quiet=2)  # copies keep time stamps, so that none compiles it again
    return target


def with_study(snapshot: Path, target: Path, *, study: Path = TOY) -> Path:
    """A copy of a snapshot with the study in the folder `study`."""
    shutil.copytree(snapshot, target)
    shutil.copytree(study, target, dirs_exist_ok=True)
    return target


@dataclass
class Engine:
    """The engine in a folder."""

    folder: Path

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        cache = str(self.folder / ".cache")
        return {**kept, "PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": cache, "MPLCONFIGDIR": cache, **extra}

    def start(self, *arguments: str, before: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        """`python -m ARGUMENTS` with this folder's own code, no environment activated, in a session of its own."""
        return subprocess.Popen(
            [*before, sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=self.environment(PYTHONPATH=str(self.folder / "src"), **environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **kept: object) -> subprocess.CompletedProcess[str]:
        """As `start`, to the end."""
        process = self.start(*arguments, **kept)  # type: ignore[arg-type]
        out, err = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def snakemake(self, *arguments: str, **kept: object) -> subprocess.CompletedProcess[str]:
        """`snakemake ARGUMENTS`, called by its full path."""
        return self.run("snakemake", *arguments, **kept)

    def dynatlas(self, *arguments: str, **kept: object) -> subprocess.CompletedProcess[str]:
        """`dynatlas ARGUMENTS` with this folder's own code."""
        return self.run("dynatlas", *arguments, **kept)

    def dry(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`snakemake ARGUMENTS` where no job is started."""
        return self._forked("snakemake", *arguments)

    def reading(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`dynatlas ARGUMENTS` where nothing is computed."""
        return self._forked("dynatlas", *arguments)

    def _forked(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m MODULE ARGUMENTS` in a fork of a process that has imported what it needs."""
        environment = self.environment(PYTHONPATH=str(self.folder / "src"))
        with tempfile.TemporaryDirectory() as kept:
            process = READY.Process(target=_run, args=(self.folder, [module, *arguments], environment, Path(kept)))
            process.start()
            process.join()
            out, err, cost = ((Path(kept) / name).read_text() for name in ("out", "err", "cost"))
        schedule.add_elsewhere(float(cost))
        assert process.exitcode is not None
        return subprocess.CompletedProcess(arguments, process.exitcode, out, err)

    def make(self, *arguments: str, **kept: object) -> str:
        """Run to the end; what was printed. Fails the test with the engine's own words."""
        done = self.snakemake(*arguments, "--cores", "2", **kept)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *arguments: str) -> set[str]:
        """The rules' jobs that a dry run would run, as `rule` or `rule:node`."""
        done = self.dry("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return _jobs(done.stdout + done.stderr)

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a file; `old` must be there exactly once."""
        text = (self.folder / path).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        (self.folder / path).write_text(text.replace(old, new))

    def artefacts(self, *patterns: str, scale: str = "quick") -> dict[str, bytes]:
        """The bytes of everything sealed under results/, by path (default: runs, tables, verdicts)."""
        chosen = patterns or ("*/data/*", "*/runs/*", "*/tables/*", "*/claims.json", "ledger.*")
        results = self.folder / "results" / scale
        return {str(path.relative_to(results)): path.read_bytes() for one in chosen for path in results.glob(one)}


def _run(folder: Path, command: list[str], environment: Mapping[str, str], kept: Path) -> None:
    """What `python -m COMMAND` does in a folder; what it says, and its cost, go to files."""
    for stream, name in ((0, os.devnull), (1, kept / "out"), (2, kept / "err")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), stream)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 (for this process's life)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, environment["PYTHONPATH"])
    sys.argv = list(command)
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    finally:
        (kept / "cost").write_text(str(schedule.cpu_seconds()))


def _jobs(printed: str) -> set[str]:
    """The jobs of a dry run, with the node that their wildcards name; targets, which make nothing, are left out."""
    jobs: set[str] = set()
    rule = ""
    for line in printed.splitlines():
        if line.strip().startswith(("rule ", "localrule ")):  # a job of a group is indented
            rule = line.split()[1].rstrip(":")
        elif line.strip().startswith("output:"):  # a target has none
            jobs.add(rule)
        elif line.strip().startswith("wildcards:") and "node=" in line:
            jobs.discard(rule)
            jobs.add(f"{rule}:{line.split('node=')[1].split(',')[0].strip()}")
    return jobs
