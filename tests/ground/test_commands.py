"""The command line: help, exit codes, threads, the engine's death, and the commands on an atlas with nothing made."""

import os
import subprocess
import sys

import pytest

from dynatlas import cli
from dynatlas.commands import ancestry, resume, schema
from dynatlas.config import ConfigError
from dynatlas.nodes import ROOT


@pytest.fixture(scope="module")
def unmade(once, copy_repository, engine_in):
    return engine_in(once("plans", copy_repository))


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for command in (*cli.STEPS, "studies", "ledger", "ancestry", "doctor", "resume", "schema", "lock"):
        assert f"    {command} " in shown
        with pytest.raises(SystemExit) as left:
            cli.main([command, "--help"])
        assert left.value.code == 0
        assert "--scale" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["trian"], ["train"], ["ledger", "--format", "xml"], ["studies", "--scale", "quik"]]
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    assert "dynatlas" in capsys.readouterr().err


def test_options_become_overrides():
    parse = cli._parser().parse_args
    assert cli.overrides(parse(["studies"])) == {}
    assert cli.overrides(parse(["studies", "--scale", "quick-dev"])) == {"scale": "quick", "seeds": "dev"}
    assert cli.overrides(parse(["studies", "--scale", "smoke", "--seeds", "3", "--base-seed", "0"])) == {
        "scale": "smoke",
        "seeds": 3,
        "base_seed": 0,
    }


def test_threads_are_what_the_plan_says(monkeypatch):
    for variable in cli.THREAD_VARIABLES:
        monkeypatch.setenv(variable, "64")
    cli.set_threads(1)
    assert {os.environ[variable] for variable in cli.THREAD_VARIABLES} == {"1"}


def test_a_job_whose_engine_is_gone_does_not_begin(unmade):
    done = unmade.dynatlas("data", "toy", "points", "--scale", "quick", DYNATLAS_ENGINE="1")
    assert done.returncode != 0
    assert "the engine that started this job is gone" in done.stderr
    assert not (unmade.folder / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "toi", "x"), "'toi': no such study; did you mean 'toy'"),
        (("train", "toy", "lines", "--scale", "quick"), "no train step is called 'lines'"),
        (("measure", "toy", "error", "--scale", "quick"), "points.safetensors does not exist; to make it again"),
        (("ledger",), "results/quick/ledger.json does not exist; to make it again: snakemake --force"),
        (("ancestry", "figures/quick/toy/erors.png"), "did you mean 'figures/quick/toy/errors.png'"),
        (("studies", "--scale", "paper"), "no block for 'paper'"),
    ],
)
def test_a_command_that_cannot_work_says_why_in_a_line(unmade, arguments, words):
    done = unmade.dynatlas(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"dynatlas {arguments[0]}: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_studies_are_listed_with_what_is_made(unmade):
    done = unmade.dynatlas("studies")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    for words in ("toy", "6 jobs", "2 figures", "0/10 made", "2026", "A toy: learning a line"):
        assert words in line


def test_a_figure_is_traced_down_to_its_data(unmade):
    done = unmade.dynatlas("ancestry", "figures/quick/toy/errors.png")
    assert done.returncode == 0, done.stderr
    names = [line.strip().split(":")[0] for line in done.stdout.splitlines() if not line.lstrip().startswith("seeds")]
    assert names == [
        "figures/quick/toy/errors.png",
        "figures toy/figures",
        "measure toy/error",
        "data toy/points",
        *("train toy/lines@rate=0.1", "data toy/points", "train toy/lines@rate=0.3", "data toy/points"),
    ]


def test_schemas_on_disk_are_those_of_the_models():
    for name, text in schema.schemas().items():
        assert (ROOT / "workflow" / "schemas" / name).read_text() == text, "run: dynatlas schema"


def test_a_living_engine_is_found_by_its_folder(tmp_path):
    script = tmp_path / "snakemake"
    script.write_text("import time; print('on', flush=True); time.sleep(60)")
    (tmp_path / "other").mkdir()
    engine = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, stdout=subprocess.PIPE)
    try:
        engine.stdout.readline()
        assert resume.living_engine(tmp_path) == engine.pid
        assert resume.living_engine(tmp_path / "other") is None
    finally:
        engine.kill()
        engine.communicate()
    assert resume.living_engine(tmp_path) is None


def test_what_killed_writers_left_is_swept(tmp_path):
    left = tmp_path / "results" / "quick" / ".a.parquet.123.part"
    kept = tmp_path / "results" / "quick" / "a.parquet"
    left.parent.mkdir(parents=True)
    for path in (left, kept):
        path.write_bytes(b"x")
    resume.sweep(tmp_path)
    assert list(left.parent.iterdir()) == [kept]


def test_an_unknown_path_has_no_ancestry(unmade):
    from dynatlas.atlas import Atlas

    with pytest.raises(ConfigError, match="nothing makes this file"):
        ancestry.find_node(Atlas(unmade.folder), "figures/quick/toy/nothing-like-it.png")
