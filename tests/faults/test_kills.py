"""SIGKILL of jobs and of the engine at random moments: nothing goes on writing; the way back gives the same bits."""

import os
import re
import signal
import time
from functools import partial

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.slow]

TABLE = "results/quick/slow/tables/loss.parquet"
KILLS = 2
LONGEST = 2.0


def checkpoints(engine):
    return sorted((engine.folder / "results" / "quick" / "slow" / "checkpoints").glob("*/*/*.safetensors"))


def training(engine, processes):
    return processes(engine.folder, "dynatlas", "train")


def ended_or(process, condition):
    return process.poll() is not None or condition()


def finished(engine):
    return sorted((engine.folder / "results" / "quick" / "slow" / "runs").glob("*.safetensors"))


def first_steps(engine):
    """Where each training log begins: `step N/100`."""
    logs = (engine.folder / "logs" / "quick" / "slow").glob("train-*.log")
    found = [re.search(r"fit: step (\d+)/", log.read_text()) for log in logs]
    return [int(match[1]) for match in found if match]


def test_a_killed_job_goes_on_where_it_saved_itself(slow, undisturbed, processes, until, moment):
    later = []
    for _ in range(KILLS):
        engine = slow.start("snakemake", TABLE, "--cores", "2")
        until(partial(ended_or, engine, lambda: checkpoints(slow) and training(slow, processes)), "training")
        moment(LONGEST)
        victims = training(slow, processes)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        engine.communicate()
        assert engine.returncode != 0 or not victims
        assert all(path.suffix == ".safetensors" and not path.name.startswith(".") for path in finished(slow))
        later += first_steps(slow)
    slow.make(TABLE)
    assert slow.artefacts("*/runs/*", "*/tables/*") == undisturbed
    assert max(later + first_steps(slow)) > 1, "no loop was taken up where it was left"
    assert checkpoints(slow) == []


def test_a_killed_engine_leaves_no_orphan_and_resume_leads_back(slow, undisturbed, processes, until, moment):
    for kill in range(KILLS):
        arguments = (
            ("dynatlas", "resume", "--", TABLE, "--cores", "2") if kill else ("snakemake", TABLE, "--cores", "2")
        )
        outer = slow.start(*arguments)
        until(partial(ended_or, outer, lambda: training(slow, processes)), "training")
        moment(LONGEST)
        engines = processes(slow.folder, "snakemake")
        for engine in engines:
            os.kill(engine, signal.SIGKILL)
        outer.communicate()
        until(lambda: not processes(slow.folder, "dynatlas"), "the end of all jobs")
        before = {path: path.stat().st_mtime_ns for path in (slow.folder / "results").rglob("*")}
        time.sleep(0.3)
        assert before == {path: path.stat().st_mtime_ns for path in (slow.folder / "results").rglob("*")}
    back = slow.dynatlas("resume", "--", TABLE, "--cores", "2")
    assert back.returncode == 0, back.stdout + back.stderr
    assert slow.artefacts("*/runs/*", "*/tables/*") == undisturbed
    assert not list((slow.folder / "results").rglob("*.part")), "what a killed writer left is swept away"
    again = slow.dynatlas("resume", "--", TABLE, "--cores", "2")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_resume_refuses_while_an_engine_lives(slow, undisturbed, processes, until):
    engine = slow.start("snakemake", TABLE, "--cores", "2", OMP_NUM_THREADS="2", PYTHONHASHSEED="3")
    until(lambda: training(slow, processes), "training")
    refused = slow.dynatlas("resume", "--", TABLE, "--cores", "2")
    assert refused.returncode == 1
    assert f"an engine (process {engine.pid}) is at work in this folder" in refused.stderr
    out, err = engine.communicate()
    assert engine.returncode == 0, out + err
    assert slow.artefacts("*/runs/*", "*/tables/*") == undisturbed


@pytest.mark.parametrize("edit", ["settings", "code", "damage"])
def test_a_checkpoint_that_is_not_of_this_very_loop_is_discarded(slow, undisturbed, processes, until, edit):
    by_hand = ("dynatlas", "train", "slow", "fits@rate=0.03", "--scale", "quick")
    job = slow.start(*by_hand)
    (saved,) = until(lambda: checkpoints(slow), "a checkpoint")
    until(lambda: saved.stat().st_size > 0, "a checkpoint")
    os.kill(job.pid, signal.SIGKILL)
    job.communicate()
    if edit == "settings":
        slow.replace("config/studies/slow.yaml", "steps: 100", "steps: 40")
    elif edit == "code":
        slow.replace("src/dynatlas/studies/slow/train.py", "PAUSE = 16, 32, 0.02", "PAUSE = 16, 32, 0.001")
    else:
        raw = saved.read_bytes()
        saved.write_bytes(raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:])
    done = slow.run(*by_hand)
    assert done.returncode == 0, done.stderr
    assert "fit: step 1/" in done.stderr
    assert not saved.exists()
    if edit == "damage":
        assert "checkpoint discarded, beginning anew" in done.stderr
        name = "slow/runs/fits@rate=0.03.safetensors"
        assert slow.artefacts("*/runs/*")[name] == undisturbed[name]
