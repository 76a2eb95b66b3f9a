"""What one can ask for: everything, a study, a figure by its path, verdicts, notebooks, site; lint and report."""

import json
import re
import shutil
import zipfile

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

TRAINED = {"data:points", "train:lines@rate=0.1", "train:lines@rate=0.3", "train:biases"}
MEASURED = {*TRAINED, "measure:error", "measure:bias"}
EVERYTHING = {*MEASURED, "figures_toy", "claims", "collect", "notebook", "page", "guide:tour", "index"}


@pytest.mark.parametrize(
    ("target", "planned"),
    [
        ("all", EVERYTHING),
        ("toy", EVERYTHING - {"collect", "guide:tour", "index"}),
        ("figures/quick/toy/errors.png", MEASURED | {"figures_toy"}),
        ("ledger", MEASURED | {"claims", "collect"}),
        ("notebooks", MEASURED | {"figures_toy", "claims", "notebook", "guide:tour"}),
        ("results/quick/site/guides/tour.html", {"guide:tour"}),
        ("site", EVERYTHING),
        ("results/smoke/toy/runs/lines@rate=0.3.safetensors", {"data:points", "train:lines@rate=0.3"}),
    ],
)
def test_a_target_asks_for_what_it_needs(bare, target, planned):
    assert bare.planned(target) == planned


def test_a_figure_of_one_scale_can_be_asked_for_at_another(bare):
    bare.replace("config/studies/toy.yaml", 'title: "Bias"', 'scales: [smoke], title: "Bias"')
    assert bare.planned("figures/smoke/toy/biases.png") == MEASURED | {"figures_toy_1"}
    assert bare.planned("figures/quick/toy/errors.png") == MEASURED - {"train:biases", "measure:bias"} | {"figures_toy"}
    refused = bare.dry("--dry-run", "figures/quick/toy/biases.png")
    assert "figures/quick/toy/biases.png: no such target" in refused.stdout + refused.stderr


def test_the_whole_atlas_is_there(made):
    quick = made / "results" / "quick"
    for path in (
        "ledger.json",
        "ledger.parquet",
        "toy/claims.json",
        "toy/notebook.html",
        "site/guides/tour.html",
        "site/index.html",
    ):
        assert (quick / path).stat().st_size > 0
    for figure in ("errors", "biases"):
        assert (made / "figures" / "quick" / "toy" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert (made / "figures" / "quick" / "toy" / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    assert not list(made.rglob("*.part"))
    assert not list(quick.glob("toy/checkpoints/*/*"))


def test_lint_is_clean(bare):
    done = bare.dry("--lint")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in a good condition" in done.stdout + done.stderr


def test_the_report_holds_figures_notebooks_and_ledger_and_opens_offline(engine):
    engine.make("--report", "report.zip")
    with zipfile.ZipFile(engine.folder / "report.zip") as report:
        names = report.namelist()
        pages = [report.read(name).decode(errors="replace") for name in names if name.endswith("report.html")]
    for wanted in ("errors.png", "biases.png", "notebook.html", "ledger.json"):
        assert any(name.endswith(wanted) for name in names), (wanted, names)
    (page,) = pages
    for words in ("Error against rate", "Figures", "Notebooks", "Ledger", "toy", "the results of 1 paper on"):
        assert words in page
    captions = r"<p>([^<]*)</p><p>Figure of(?:(?!</p>).)*?dynatlas ancestry figures/quick/toy/(\w+).png"
    assert {name: caption for caption, name in re.findall(captions, page, re.DOTALL)} == {
        "errors": "Squared error after training; points are seeds.",
        "biases": "Mean of the targets; points are seeds.",
    }
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']https?://", page)


def add_second_study(folder):
    """A copy of the toy under another name."""
    package = folder / "src" / "dynatlas" / "studies"
    shutil.copytree(package / "toy", package / "second")
    studies = folder / "config" / "studies"
    (studies / "second.yaml").write_text((studies / "toy.yaml").read_text().replace("study: toy", "study: second"))
    shutil.copy(folder / "workflow" / "notebooks" / "toy.py", folder / "workflow" / "notebooks" / "second.py")


def test_a_run_over_some_studies_marks_its_ledger_partial(engine):
    add_second_study(engine.folder)
    # the first study's own pages know nothing of the second
    planned = engine.planned("--config", "studies=[toy]")
    assert planned == {"collect", "index"}
    assert "data:points" in engine.planned("second")
    engine.make("ledger", "--config", "studies=[toy]")
    ledger = json.loads((engine.folder / "results" / "quick" / "ledger.json").read_text())
    assert ledger["provenance"]["settings"]["missing"] == ["second"]
    assert {row["study"] for row in ledger["rows"]} == {"toy"}
    printed = engine.dynatlas("ledger")
    assert printed.returncode == 0, printed.stderr
    assert re.search(r"partial.*second", printed.stdout)
    # one study's verdicts are its own, whatever the ledger was made over; and so is its state
    alone = engine.dynatlas("ledger", "--studies", "toy")
    assert alone.returncode == 0, alone.stderr
    assert "partial" not in alone.stdout
    unmade = engine.dynatlas("ledger", "--studies", "second")
    assert "results/quick/second/claims.json does not exist" in unmade.stderr
    doctor = engine.dynatlas("doctor", "--studies", "toy")
    assert doctor.returncode == 0, doctor.stdout
    assert "out of date" not in doctor.stdout
    told = engine.dynatlas("ancestry", "results/quick/ledger.json")
    assert "claims toy/claims" in told.stdout
    assert "second" not in told.stdout.replace('"missing": ["second"]', "")


@pytest.mark.parametrize("width", [60, 100, 359])
def test_the_ledger_is_fitted_to_its_terminal(engine, width):
    shown = engine.dynatlas("ledger", "--brief", COLUMNS=str(width))
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= width
    rows = json.loads((engine.folder / "results" / "quick" / "ledger.json").read_text())["rows"]
    claims = [row for row in rows if row["part_of"] is None]
    for row in claims:
        assert any(line.split()[:1] == [row["id"]] and row["verdict"] in line for line in lines), row["id"]
    whole = engine.dynatlas("ledger", COLUMNS=str(width))
    assert whole.stdout.splitlines()[2].split()[:3] == ["study", "claim", "verdict"]


def test_a_study_without_this_scale_stops_only_those_who_ask_for_it(bare):
    add_second_study(bare.folder)
    numbers = "  smoke: {seeds: 6, points: 8}\n"
    bare.replace("config/studies/second.yaml", numbers, "")
    target = "results/smoke/toy/data/points.safetensors"
    assert bare.planned("--config", "scale=smoke", "studies=[toy]", "--", target) == {"data:points"}
    refused = bare.dry("--dry-run", "--config", "scale=smoke")
    assert refused.returncode != 0
    assert "second.yaml: scales: no block for 'smoke' (there are: quick)" in refused.stdout + refused.stderr
