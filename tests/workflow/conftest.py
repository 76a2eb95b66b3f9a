"""Copies of the repository with a made-up study in the place of the real ones, and the real engine on them."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).parent / "toy"
LEAVE_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info")


def copy_repository(target: Path, *, study: Path = TOY) -> Path:
    """What the engine needs of this repository, with the studies replaced by the one in `study`."""
    for folder in ("workflow", "profiles", "config", "src"):
        shutil.copytree(ROOT / folder, target / folder, ignore=LEAVE_OUT)
    for file in ("Snakefile", "environment.yml"):
        shutil.copy2(ROOT / file, target / file)
    for path in (target / "config" / "studies").glob("*.yaml"):
        path.unlink()
    for path in (target / "src" / "dynatlas" / "studies").glob("[a-z]*/"):
        shutil.rmtree(path)
    if study is not None:
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

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`snakemake ARGUMENTS`, called by its full path, with no environment activated."""
        command = [sys.executable, "-m", "snakemake", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment(**environment), capture_output=True, text=True, check=False
        )

    def dynatlas(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`dynatlas ARGUMENTS` with this folder's own code."""
        command = [sys.executable, "-m", "dynatlas", *arguments]
        env = self.environment(PYTHONPATH=str(self.folder / "src"), **environment)
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def make(self, *arguments: str, **environment: str) -> str:
        """Run to the end; what was printed. Fails the test with the engine's own words."""
        done = self.snakemake("--cores", "2", *arguments, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *arguments: str) -> set[str]:
        """The rules' jobs that a dry run would run, as `rule` or `rule:node`."""
        done = self.snakemake("--dry-run", "--quiet", "host", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return _jobs(done.stdout + done.stderr)

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a file; `old` must be there exactly once."""
        text = (self.folder / path).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        (self.folder / path).write_text(text.replace(old, new))


def _jobs(printed: str) -> set[str]:
    """`rule X:` blocks of a dry run, with the node that their wildcards name."""
    jobs: set[str] = set()
    rule = ""
    for line in printed.splitlines():
        if line.startswith(("rule ", "localrule ")):
            rule = line.split()[1].rstrip(":")
            if rule not in ("all", "ledger", "notebooks", "site", "toy"):
                jobs.add(rule)
        elif line.strip().startswith("wildcards:") and "node=" in line:
            jobs.discard(rule)
            jobs.add(f"{rule}:{line.split('node=')[1].split(',')[0].strip()}")
    return jobs


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which the toy atlas was made once, at scale quick."""
    folder = copy_repository(tmp_path_factory.mktemp("made") / "atlas")
    Engine(folder).make()
    return folder


@pytest.fixture
def engine(made: Path, tmp_path: Path) -> Engine:
    """A fresh copy of the made atlas, time stamps and the engine's records included."""
    folder = tmp_path / "atlas"
    shutil.copytree(made, folder, symlinks=True)
    return Engine(folder)


@pytest.fixture
def bare(tmp_path: Path) -> Engine:
    """A fresh copy in which nothing is made."""
    return Engine(copy_repository(tmp_path / "atlas"))
