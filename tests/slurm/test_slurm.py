"""profiles/slurm on a real slurm: the same bytes as on one machine, few submissions, sound after a cancelled job."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.slurm]

SLOW = Path(__file__).parents[1] / "faults" / "slow"
MOST_SUBMISSIONS = 8
TABLE = "results/quick/slow/tables/loss.parquet"
PROFILE = ("--workflow-profile", "profiles/slurm")
# what a cluster of one idle machine need not wait for
HASTE = (
    *("--latency-wait", "5", "--seconds-between-status-checks", "2", "--slurm-init-seconds-before-status-checks", "2"),
    *("--default-resources", "mem_mb=400", "runtime=10", "slurm_partition=main"),
)


def submit(cluster, engine, *targets):
    """Start the engine with the profile; its jobs go to the cluster."""
    return engine.start("snakemake", *PROFILE, *HASTE, "--", *targets, **cluster.environment)


def finish(process):
    """What was printed, and the exit status."""
    out, err = process.communicate()
    return out + err, process.returncode


def submissions(printed):
    """Slurm's numbers of the jobs submitted."""
    return set(re.findall(r"SLURM jobid (\d+)", printed))


def test_a_study_makes_the_same_bytes_on_a_cluster_in_few_submissions(cluster, made, bare, engine_in):
    printed, status = finish(submit(cluster, bare, "toy"))
    assert status == 0, printed
    patterns = ("toy/data/*", "toy/runs/*", "toy/tables/*", "toy/claims.json")
    here, there = engine_in(made).artefacts(*patterns), bare.artefacts(*patterns)
    assert len(here) == 7
    assert here == there
    jobs = submissions(printed)
    assert 0 < len(jobs) <= MOST_SUBMISSIONS, printed
    sidecars = [json.loads(path.read_text()) for path in (bare.folder / "logs" / "quick" / "toy").glob("*.json")]
    assert {one["slurm_job"] for one in sidecars} == jobs
    again, status = finish(submit(cluster, bare, "toy"))
    assert status == 0
    assert "Nothing to be done" in again


def test_a_cancelled_job_goes_on_from_its_checkpoint(cluster, undisturbed, copy_repository, engine_in, tmp_path):
    """`scancel` in the middle of training; the next run ends with the bits of an undisturbed one."""
    engine = engine_in(copy_repository(tmp_path / "atlas", study=SLOW))
    process = submit(cluster, engine, TABLE)
    checkpoints = engine.folder / "results" / "quick" / "slow" / "checkpoints"
    cluster.wait(lambda: [path for path in checkpoints.rglob("*") if path.is_file()], "a checkpoint")
    cluster.ask("scancel", "--user=root")
    printed, status = finish(process)
    assert status != 0, printed
    assert not (engine.folder / TABLE).exists()
    kept = [path for path in checkpoints.rglob("*") if path.is_file()]
    assert kept, "the cancelled job's checkpoints are gone"
    printed, status = finish(submit(cluster, engine, TABLE))
    assert status == 0, printed
    patterns = ("*/runs/*", "*/tables/*")
    assert engine.artefacts(*patterns) == engine_in(undisturbed).artefacts(*patterns)
