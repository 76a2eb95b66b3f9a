"""What the rule files ask of the engine's side: shell lines, devices, hints."""

import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dynatlas import engine
from dynatlas.atlas import Atlas
from dynatlas.config import ConfigError


@pytest.fixture(scope="module")
def root(once, copy_repository):
    return once("plans", copy_repository)


def test_a_job_is_told_the_whole_configuration(root):
    assert engine.job_options(Atlas(root)) == "--device cpu --base-seed 0"
    assert engine.job_options(Atlas(root, {"device": "cpu", "base_seed": 0})) == "--device cpu --base-seed 0"
    assert engine.job_options(Atlas(root, {"base_seed": 7, "seeds": 3})) == "--device cpu --base-seed 7 --seeds 3"
    assert engine.job_options(Atlas(root, {"seeds": "dev"})) == "--device cpu --base-seed 0"


@pytest.mark.parametrize("name", ["plain", "with blanks & Ümläuten", "it's {here}", '"quoted" $HOME `x`'])
def test_the_prefix_finds_package_and_python_in_any_folder(tmp_path, name):
    root = tmp_path / name
    (root / "workflow" / "bin").mkdir(parents=True)
    prefix = engine.job_prefix(root, conda=False).format()  # as Snakemake formats a shell line
    script = f'{prefix}printf "%s\\n" "$PATH" "$PYTHONPATH" "$DYNATLAS_ENGINE"'
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    path, source, owner = done.stdout.splitlines()
    assert path.split(":")[:2] == [str(root / "workflow" / "bin"), str(Path(sys.executable).parent)]
    assert source == str(root / "src")
    assert owner == str(os.getpid())


def test_inside_conda_the_environments_own_python_comes_first(tmp_path):
    prefix = engine.job_prefix(tmp_path, conda=True)
    assert str(Path(sys.executable).parent) not in shlex.split(prefix.partition(";")[0])[1].split(":")


def test_a_gpu_is_asked_for_only_where_jobs_run(root, monkeypatch):
    on_gpu, on_cpu = Atlas(root, {"device": "cuda"}), Atlas(root)
    monkeypatch.setattr(engine, "cuda_devices", lambda: 0)
    refusal = r"^the command line: device: 'cuda': this machine has no usable GPU \(allowed here: 'cpu'\)"
    with pytest.raises(ConfigError, match=refusal):
        engine.check_device(on_gpu, local=True)
    engine.check_device(on_gpu, local=False)
    engine.check_device(on_cpu, local=True)
    monkeypatch.setattr(engine, "cuda_devices", lambda: 1)
    engine.check_device(on_gpu, local=True)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("No rule to produce ledgre (if you use input functions)", "ledgre: no such target; did you mean 'ledger'?"),
        (
            "InputFunctionException in rule x:\nError:\n  WorkflowError:\n    toy: no step\nWildcards:\nTraceback:\n",
            "toy: no step",
        ),
        ("Something else", "Something else"),
    ],
)
def test_the_engines_words_are_made_helpful(said, told):
    record = logging.LogRecord("snakemake", logging.ERROR, "", 0, said, None, None)
    assert engine.TargetHint(["ledger", "toy"]).filter(record)
    assert str(record.msg).startswith(told)
    assert "Traceback" not in str(record.msg)
