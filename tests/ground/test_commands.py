"""The command line: help, exit codes, threads, the engine's death, and the commands on an atlas with nothing made."""

import os
import subprocess
import sys
import tomllib

import pytest

from dynatlas import cli
from dynatlas.atlas import Atlas
from dynatlas.commands import ancestry, doctor, resume, schema
from dynatlas.config import AtlasConfig, ConfigError
from dynatlas.nodes import ROOT


@pytest.fixture(scope="module")
def unmade(once, copy_repository, engine_in):
    return engine_in(once("plans", copy_repository))


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for command in (*cli.STEPS, "studies", "ledger", "kept", "keep", "ancestry", "doctor", "resume", "schema", "lock"):
        assert f"    {command} " in shown
        with pytest.raises(SystemExit) as left:
            cli.main([command, "--help"])
        assert left.value.code == 0
        shown_there = capsys.readouterr().out
        counted = {option for option in OPTIONS if f"  {option}" in shown_there}
        assert counted == COUNTED.get(command, OPTIONS - {"--studies"}), command


OPTIONS = {"--scale", "--studies", "--seeds", "--device", "--base-seed"}
COUNTED = {
    **dict.fromkeys(("studies", "ledger", "doctor", "resume", "collect", "index"), OPTIONS),
    "kept": {"--scale", "--studies"},
    "keep": {"--scale", "--studies"},
    "schema": set(),
    "lock": set(),
    "guide": {"--scale"},
    "ancestry": {"--seeds", "--device", "--base-seed"},  # the scale stands in the path
}
"""Where it is not every option but --studies."""


@pytest.mark.parametrize("command", [*cli.STEPS, *COUNTED])
def test_an_option_that_does_not_count_is_refused_with_those_that_do(command, capsys):
    positional = {
        "ancestry": ["results/quick/x"],
        "guide": ["g"],
        **{step: ["s", "n"] for step in ("data", "train", "measure")},
        **{step: ["s"] for step in ("figures", "claims", "notebook", "page")},
    }
    counted = COUNTED.get(command, OPTIONS - {"--studies"})
    for option in {*OPTIONS, "--seed", "--scales"} - counted:
        with pytest.raises(SystemExit) as left:
            cli.main([command, *positional.get(command, []), option, "3"])
        assert left.value.code == 2
        said = capsys.readouterr().err
        assert f"dynatlas {command}: error: {option}: does not count here (options of {command}: " in said
        assert all(one in said for one in counted)


def test_the_version_is_that_of_the_declaration(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["--version"])
    assert left.value.code == 0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"dynatlas {project['version']}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["trian"], ["train"], ["ledger", "--format", "xml"], ["studies", "--scale", "quik"]]
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    assert "dynatlas" in capsys.readouterr().err


def test_options_are_put_over_the_file():
    def configured(*options):
        return cli.atlas_of(cli.parse(["studies", *options])).config

    assert configured() == AtlasConfig()
    assert configured("--scale", "quick-dev") == AtlasConfig(seeds="dev")
    assert configured("--scale", "smoke", "--seeds", "3", "--base-seed", "0") == AtlasConfig(scale="smoke", seeds=3)
    assert configured("--studies", "lyapunov", "--device", "cuda") == AtlasConfig(studies=["lyapunov"], device="cuda")
    with pytest.raises(ConfigError, match=r"^seeds: 3: a number counts the ledger's seeds, but quick-dev has those"):
        configured("--scale", "quick-dev", "--seeds", "3")
    with pytest.raises(ConfigError, match=r"^the command line: studies: 'lyapunof': no such study; did you mean"):
        configured("--studies", "lyapunof")


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ((), []),
        (("--", "ledger", "--cores", "2"), []),
        (("--scale", "smoke", "--studies", "lyapunov"), ["studies=[lyapunov]", "scale=smoke", "seeds=ledger"]),
        (("--scale", "quick-dev"), ["scale=quick", "seeds=dev"]),
        (("--seeds", "3", "--base-seed", "1", "--", "site"), ["seeds=3", "base_seed=1"]),
    ],
)
def test_resume_hands_its_options_to_the_engine(options, given):
    """In the words of `--config`, and so that no target is taken for one of them."""
    from snakemake.cli import get_argument_parser, parse_config

    command = resume.engine_command(cli.parse(["resume", *options]))
    assert command[1:3] == ["-m", "snakemake"]
    passed = get_argument_parser().parse_args(command[3:])
    assert list(passed.config or []) == given
    own, passed_on = (
        (options[: options.index("--")], options[options.index("--") + 1 :]) if "--" in options else (options, ())
    )
    assert tuple(passed.targets or ()) == passed_on[:1]
    expected = cli.atlas_of(cli.parse(["studies", *own]))
    assert Atlas(overrides=parse_config(passed.config)).config == expected.config


def test_resume_refuses_a_configuration_given_both_ways():
    with pytest.raises(ConfigError, match=r"^scale, seeds: also --config is passed on"):
        resume.engine_command(cli.parse(["resume", "--scale", "smoke", "--", "--config", "scale=quick"]))
    command = resume.engine_command(cli.parse(["resume", "--", "--config", "scale=smoke"]))
    assert command[-2:] == ["--config", "scale=smoke"]


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
        (("ancestry", "README.md"), "README.md: the atlas makes files under results/<scale>/ and figures/<scale>/"),
        (("ancestry", "/etc"), "/etc: the atlas makes files under results/<scale>/ and figures/<scale>/"),
        (("ancestry", "results/quik/toy/claims.json"), "a scale is one of smoke, quick, standard, paper"),
        (("ancestry", "results/quick"), "the atlas makes files under"),
        (("ancestry", "results/paper/ledger.json"), "no block for 'paper'"),
        (("ancestry", "results/quick-dev/ledger.json", "--seeds", "3"), "seeds: 3: a number counts the ledger's seeds"),
        (("studies", "--scale", "paper"), "no block for 'paper'"),
        (("studies", "toi"), "'toi': no such study; did you mean 'toy'"),
        (("train", "toy", "biases", "--scale", "smoke-dev", "--seeds", "3"), "seeds: 3: a number counts the ledger's"),
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


def test_a_named_study_is_listed_whole(unmade):
    done = unmade.dynatlas("studies", "toy", "--scale", "smoke")
    assert done.returncode == 0, done.stderr
    first, declared, at, *entries = done.stdout.splitlines()
    assert first == "toy: A toy: learning a line (Nobody, 2026)"
    assert (
        declared
        == "scales smoke, quick; declared in config/studies/toy.yaml, told in src/dynatlas/studies/toy/README.md"
    )
    assert at == "at smoke: 6 jobs   2 figures, 0/10 made"
    assert [line.split()[:3] for line in entries][:2] == [["data", "points", "not"], ["train", "lines@rate=0.1", "not"]]
    assert len(entries) == 10


@pytest.mark.parametrize("path", ["{folder}/figures/quick/toy/errors.png", "./figures/../figures/quick/toy/errors.png"])
def test_a_figure_is_traced_down_to_its_data(unmade, path):
    done = unmade.dynatlas("ancestry", path.format(folder=unmade.folder))
    assert done.returncode == 0, done.stderr
    names = [line.strip().split(":")[0] for line in done.stdout.splitlines() if not line.lstrip().startswith("seeds")]
    assert names == [
        "figures/quick/toy/errors.png",
        "figures toy/figures",
        "measure toy/error",
        "data toy/points",
        *("train toy/lines@rate=0.1", "data toy/points", "train toy/lines@rate=0.3", "data toy/points"),
    ]


@pytest.mark.parametrize("path", ["results/quick/ledger.json", "results/smoke-dev/site/index.html"])
def test_ledger_and_front_page_are_traced_too(unmade, path):
    done = unmade.dynatlas("ancestry", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == path
    assert "    claims toy/claims: claims" in done.stdout
    assert "train toy/lines@rate=0.1: dynatlas.studies.toy.train:train_lines" in done.stdout


def test_the_doctor_names_what_no_step_makes(unmade, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atlas = Atlas(unmade.folder)
    planned = [*atlas.plan("toy").nodes.values(), *atlas.joint().values(), *atlas.guides().values()]
    strange = [
        "figures/quick/toy/old.png",
        "results/quick/gone/tables/a.parquet",
        "results/quick/toy/runs/lines@rate=0.7.safetensors",
        "results/quick/toy/tables/error@rate=0.7.parquet",
    ]
    other = [
        "results/quick/toy/checkpoints/biases/abc/fit.safetensors",
        "results/quick/toy/tables/.error.parquet.7.part",
        "results/smoke/toy/tables/strange.parquet",
    ]
    for path in (*(path for node in planned for path in node.outputs), *strange, *other):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    found = [str(path) for path in doctor.strangers(atlas)]
    assert found == [strange[0], "results/quick/gone", *strange[2:]]
    own = [str(path) for path in doctor.strangers(Atlas(unmade.folder, {"studies": ["toy"]}), alone=True)]
    assert own == [strange[0], *strange[2:]]


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
    with pytest.raises(ConfigError, match="nothing makes this file"):
        ancestry.find_node(Atlas(unmade.folder), "figures/quick/toy/nothing-like-it.png")


def test_no_path_and_no_kept_development_are_answered_in_words(capsys):
    assert cli.main(["ancestry", ""]) == 1
    assert "the atlas makes files under results/<scale>/" in capsys.readouterr().err
    assert cli.main(["kept", "--scale", "smoke-dev"]) == 1
    assert "development seeds decide nothing" in capsys.readouterr().err
