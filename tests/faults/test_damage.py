"""A damaged or exchanged file is noticed before a number is derived from it, whatever its time stamp says."""

import os
import shutil

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.slow]

RUN, OTHER_RUN = "toy/runs/lines@rate=0.1.safetensors", "toy/runs/lines@rate=0.3.safetensors"
TABLE, OTHER_TABLE = "toy/tables/bias.parquet", "toy/tables/error.parquet"
CLAIMS, LEDGER = "toy/claims.json", "ledger.json"
DAMAGES = ("flipped", "truncated", "emptied", "swapped")


def damage(results, name, kind, *, other):
    path = results / name
    raw = path.read_bytes()
    stamp = path.stat()
    if kind == "swapped":
        shutil.copyfile(results / other, path)
    else:
        at = len(raw) * 2 // 3
        flipped = raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]
        path.write_bytes({"flipped": flipped, "truncated": raw[:-7], "emptied": b""}[kind])
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


READERS = {
    RUN: ("measure", "toy", "error"),
    TABLE: ("figures", "toy"),
    CLAIMS: ("collect",),
}
"""Who derives something from each file."""
FOLLOWING = {"measure:error", "figures_toy", "claims", "collect", "notebook", "page", "index"}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_noticed_by_every_reader(engine, kind):
    results = engine.folder / "results" / "quick"
    for name, other in ((RUN, OTHER_RUN), (TABLE, OTHER_TABLE), (CLAIMS, LEDGER)):
        damage(results, name, kind, other=other)

    # old time stamps: the engine cannot see it; the doctor does, and so does whoever reads
    doctor = engine.reading("doctor")
    assert doctor.returncode == 1
    for name, reader in READERS.items():
        assert f"snakemake --force results/quick/{name}" in doctor.stdout, doctor.stdout
        done = engine.reading(*reader, "--scale", "quick")
        assert done.returncode == 1
        assert f"snakemake --force results/quick/{name}" in done.stderr
        assert "Traceback" not in done.stderr

    # fresh ones: all that follows is to run again, and so meets the readers above
    for name in READERS:
        os.utime(results / name)
    assert engine.planned() == FOLLOWING


def test_the_engine_stops_at_an_exchanged_run_and_names_the_way_back(engine):
    whole = engine.artefacts()
    damage(engine.folder / "results" / "quick", RUN, "swapped", other=OTHER_RUN)
    os.utime(engine.folder / "results" / "quick" / RUN)
    done = engine.snakemake("--cores", "2")
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"results/quick/{RUN} is not what the plan expects here" in printed
    assert f"snakemake --force results/quick/{RUN}" in printed
    assert "Traceback" not in printed
    # the command that was named leads back to the same bytes
    engine.make("--force", f"results/quick/{RUN}")
    engine.make("ledger")
    assert engine.artefacts() == whole


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_ledger_is_read_by_nobody(engine, kind):
    damage(engine.folder / "results" / "quick", LEDGER, kind, other=CLAIMS)
    for command in (("ledger",), ("index", "--scale", "quick"), ("doctor",)):
        done = engine.reading(*command)
        assert done.returncode == 1, done.stdout
        assert "results/quick/ledger.json" in done.stdout + done.stderr
        assert "snakemake --force results/quick/ledger.json" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_a_whole_atlas_is_called_whole(engine):
    doctor = engine.reading("doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "damaged" not in doctor.stdout
