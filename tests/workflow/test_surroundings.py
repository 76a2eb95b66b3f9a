"""The same bits wherever, however and beside whatever the atlas is made."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

OFFLINE = ("unshare", "-n")
TABLE = "results/{scale}/toy/tables/error.parquet"
RUN = "results/{scale}/toy/runs/lines@rate=0.1.safetensors"


def can(*command):
    """Whether this machine allows a command."""
    return shutil.which(command[0]) is not None and subprocess.run([*command, "true"], check=False).returncode == 0


def differing(one, other):
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def test_elsewhere_offline_with_blanks_umlauts_and_no_home(made, engine_in, copy_repository, tmp_path):
    """One core, two threads asked for, another hash seed, a working folder apart: every artefact bit-equal."""
    repository = copy_repository(tmp_path / "Möbel & Stühle" / "der Atlas")
    elsewhere = tmp_path / "anders wo"
    elsewhere.mkdir()
    before = OFFLINE if can(*OFFLINE) else ()
    arguments = ("--snakefile", str(repository / "Snakefile"), "--directory", str(elsewhere))
    quiet = {"HOME": "/proc/none", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
    profile = ("--workflow-profile", str(repository / "profiles" / "default"))
    done = engine_in(tmp_path).snakemake(*arguments, *profile, "--cores", "1", before=before, **quiet)
    assert done.returncode == 0, done.stdout + done.stderr
    here, there = engine_in(made), engine_in(elsewhere)
    assert here.artefacts()
    assert differing(here.artefacts(), there.artefacts()) == set()
    pictures = [{path.name: path.read_bytes() for path in (at / "figures").rglob("*.*")} for at in (made, elsewhere)]
    assert len(pictures[0]) == 4
    assert differing(*pictures) == set()
    assert not (repository / "results").exists()
    again = engine_in(tmp_path).snakemake(*arguments, *profile, "--cores", "2", before=before)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_two_scales_and_two_clones_at_once(made, bare, engine_in, copy_repository, tmp_path):
    """Three engines side by side, two of them in one folder, threads set to one or to nonsense: no interference."""
    clone = engine_in(copy_repository(tmp_path / "clone"))
    quick, smoke = RUN.format(scale="quick"), RUN.format(scale="smoke")
    running = [
        bare.start("snakemake", quick, "--cores", "1", OMP_NUM_THREADS="1"),
        bare.start("snakemake", "--cores", "1", "--config", "scale=smoke", "--", smoke),
        clone.start("snakemake", quick, "--cores", "1", OMP_NUM_THREADS="3", PYTHONHASHSEED="1"),
    ]
    for process in running:
        out, err = process.communicate()
        assert process.returncode == 0, out + err
    wanted = (made / quick).read_bytes()
    assert (bare.folder / quick).read_bytes() == wanted
    assert (clone.folder / quick).read_bytes() == wanted
    assert (bare.folder / smoke).exists()
    assert not (clone.folder / smoke).exists()


def test_a_job_runs_by_hand_from_its_shell_line(engine):
    """What the engine prints can be pasted: same bytes, with the engine absent, and the shell goes on."""
    table = engine.folder / TABLE.format(scale="quick")
    before = table.read_bytes()
    table.unlink()
    printed = engine.snakemake("--dry-run", "--printshellcmds", TABLE.format(scale="quick"))
    (line,) = [said for said in printed.stdout.splitlines() + printed.stderr.splitlines() if "dynatlas measure" in said]
    here = f"{engine.folder / 'workflow' / 'bin'}:{Path(sys.executable).parent}"
    shell = subprocess.run(
        ["bash"],
        input=f"export PATH={here}:$PATH\n{line.removeprefix('Shell command: ')}\necho status $?, still here\n",
        cwd=engine.folder,
        env=engine.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == "status 0, still here\n", (engine.folder / "logs/quick/toy/measure-error.log").read_text()
    assert table.read_bytes() == before
