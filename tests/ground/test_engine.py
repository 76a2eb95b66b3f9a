"""What the rule files ask of the engine's side: shell lines, devices, hints."""

import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dynatlas import cli, engine
from dynatlas.atlas import Atlas
from dynatlas.config import ConfigError
from dynatlas.nodes import ROOT


@pytest.fixture(scope="module")
def root(once, copy_repository):
    return once("plans", copy_repository)


def test_a_job_is_told_the_whole_configuration(root):
    assert engine.job_options(Atlas(root)) == "--device cpu --base-seed 0"
    assert engine.job_options(Atlas(root, {"device": "cpu", "base_seed": 0})) == "--device cpu --base-seed 0"
    assert engine.job_options(Atlas(root, {"base_seed": 7, "seeds": 3})) == "--device cpu --base-seed 7 --seeds 3"
    assert engine.job_options(Atlas(root, {"seeds": "dev"})) == "--device cpu --base-seed 0"


@pytest.mark.parametrize("seeds", ["ledger", "dev", 3])
@pytest.mark.parametrize("scale", ["smoke", "smoke-dev", "quick", "quick-dev"])
def test_engine_and_job_mean_the_same_by_a_path_of_any_scale(root, seeds, scale):
    """Or both refuse. The job's options and its scale are all that it is told."""
    by_engine = Atlas(root, {"seeds": seeds, "base_seed": 7})
    line = ["train", "toy", "biases", "--scale", scale, *engine.job_options(by_engine).split()]
    options = cli.parse(line)

    def by_job():
        return Atlas(root, cli.overrides(options), path_scale=options.scale)

    if seeds == 3 and scale.endswith("-dev"):
        for make in (lambda: by_engine.node("train", "toy", name="biases", scale=scale), by_job):
            with pytest.raises(ConfigError, match=f"seeds: 3: a number counts the ledger's seeds, but {scale}"):
                make()
    else:
        wanted = by_engine.node("train", "toy", name="biases", scale=scale)
        assert by_job().node("train", "toy", name="biases") == wanted
        assert wanted.seeds[0] == (0 if scale.endswith("-dev") else 100)


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


def test_the_job_takes_the_place_of_the_shell_that_the_engine_started(tmp_path):
    """Its parent is the engine, whose death it learns of; the line itself has no `exec`."""
    command = tmp_path / "workflow" / "bin" / "dynatlas"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\necho "$$" "$@"\n')
    command.chmod(0o755)
    script = f"{engine.job_prefix(tmp_path, conda=False).format()}echo $$; dynatlas one 'two three' 2>&1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    shell, job = done.stdout.splitlines()
    assert job == f"{shell} one two three"


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


PARAMS = {"call": "m:f", "settings": {"rate": 0.1, "sizes": [1, 2]}, "seeds": [100], "code": "a" * 64, "key": "k" * 64}
UNION = "Union of exclusive params before and now across all output: before: {before} now: {now} "


def reason_told(reason):
    """What a job's reason becomes on its way through the filters."""
    record = logging.makeLogRecord({"msg": None, "reason": reason})
    assert engine.ShortReason().filter(record)
    return record.reason


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"settings": {"rate": 0.3, "sizes": [1, 2]}}, "settings.rate 0.1 -> 0.3"),
        ({"settings": {"rate": 0.1, "sizes": [1, 2, 3]}}, "settings.sizes[2] (none) -> 3"),
        ({"settings": {"sizes": [1, 2]}, "seeds": [100, 101]}, "settings.rate 0.1 -> (none), seeds[1] (none) -> 101"),
        ({"call": "m:g", "code": "b" * 64}, "call 'm:f' -> 'm:g', code"),
        ({}, "what it is made from (key)"),
        (
            {"seeds": list(range(9))},
            ", ".join(f"seeds[{n}] {100 if n == 0 else '(none)'} -> {n}" for n in range(6)) + ", and 3 more",
        ),
    ],
)
def test_a_reason_names_what_changed_and_nothing_else(change, told):
    union = UNION.format(before=PARAMS, now=PARAMS | change | {"key": "l" * 64})
    head = "Code has changed since last execution; Params have changed since last execution: "
    assert reason_told(head + union) == head + told
    rest = "; Software environment definition has changed since last execution"
    assert reason_told(head + union + rest) == head + told + rest


def test_a_reason_in_other_words_is_left_as_it_is():
    union = UNION.format(before="<nothing exclusive>", now="'--device cpu'")
    for reason in ("Missing output files: a; b", union, UNION.format(before="1,2", now="1"), "Params have changed"):
        assert reason_told(reason) == reason


def test_the_words_that_are_shortened_are_those_that_this_engine_says():
    from snakemake.persistence import ParamsChange

    said = str(ParamsChange({repr(PARAMS)}, {repr(PARAMS | {"seeds": [100, 101], "key": "l"})}, {"f"}))
    assert reason_told(said) == "seeds[1] (none) -> 101"


def test_a_shell_line_is_one_command_that_can_be_pasted():
    """The job takes the shell's place, so that a second command would never run; what is printed holds no exec."""
    lines = [
        line.strip().strip('"')
        for file in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
        for line in file.read_text().splitlines()
        if "dynatlas " in line and line.strip().startswith('"')
    ]
    assert len(lines) == 10
    for line in lines:
        assert re.fullmatch(r"dynatlas [\w{}. -]+ > \{log:q\} 2>&1", line), line


def test_dynatlas_runs_from_a_clone_that_is_not_installed(root, tmp_path):
    """As conda users have it: the dependencies in some Python, this repository's workflow/bin in PATH (or a link)."""
    blank = tmp_path / "blanks & Ümläute"
    shutil.copytree(root, blank)
    (tmp_path / "dynatlas").symlink_to(blank / "workflow" / "bin" / "dynatlas")
    for command in (blank / "workflow" / "bin" / "dynatlas", tmp_path / "dynatlas", "dynatlas"):
        path = f"{blank / 'workflow' / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin"
        done = subprocess.run(
            [str(command), "studies"], cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("toy  "), "the installed package ran in the place of this folder's"


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
