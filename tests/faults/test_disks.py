"""No room and no right to write: named, and nothing half-written under a final name."""

import shutil
import subprocess

import pytest

from dynatlas import artefacts

pytestmark = [pytest.mark.faults, pytest.mark.slow]

TABLE = "results/quick/toy/tables/error.parquet"
MOUNTED = """
mount -t tmpfs -o {options} none results && "$@"
status=$?
cp -r results kept
exit $status
"""
MAY_MOUNT = ("unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt")


def mounting(options):
    """What comes before a command so that its `results` lie on a small disk of their own, and are kept afterwards."""
    if shutil.which("unshare") is None or subprocess.run(MAY_MOUNT, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount")
    return ("unshare", "-m", "sh", "-c", MOUNTED.format(options=options), "sh")


def all_whole(folder):
    """Every file under `folder` is a whole artefact; gives how many there are."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        artefacts.provenance_of(path)
    return len(files)


def test_a_full_disk_is_named(bare):
    (bare.folder / "results").mkdir()
    done = bare.snakemake(TABLE, "--cores", "1", before=mounting("size=4k"))  # room for the data, not for a run
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert "could not be written: No space left on device; nothing bears that name" in printed
    assert "Traceback" not in printed
    assert all_whole(bare.folder / "kept") == 1


def test_a_limit_on_file_sizes_is_named(bare):
    """Where mounting is not allowed, this is as near to a full disk as one comes."""
    # of that process alone: this one goes on writing what other tests share
    limited = ("sh", "-c", 'ulimit -f 2 && exec "$@"', "sh")  # blocks of 512 bytes
    done = bare.dynatlas("data", "toy", "points", "--scale", "quick", before=limited)
    assert done.returncode == 1
    assert "points.safetensors could not be written: File too large" in done.stderr
    assert all_whole(bare.folder / "results") == 0


def test_a_read_only_folder_is_named(bare):
    (bare.folder / "results").mkdir()
    done = bare.dynatlas("data", "toy", "points", "--scale", "quick", before=mounting("ro"))
    assert done.returncode == 1
    assert "points.safetensors could not be written: Read-only file system" in done.stderr
    engine = bare.snakemake("ledger", "--cores", "1", before=mounting("ro"))
    printed = engine.stdout + engine.stderr
    assert engine.returncode != 0
    assert "Read-only file system" in printed
    assert "results" in printed
    assert all_whole(bare.folder / "kept") == 0
