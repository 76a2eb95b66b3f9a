"""Exact re-runs: after an edit, a dry run names what follows from it, and nothing else."""

import os
import shutil

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

STUDY = "config/studies/toy.yaml"
PACKAGE = "src/dynatlas/studies/toy"
VERDICTS = {"claims", "collect"}
SHOWN = {"notebook", "page", "index"}
LINES = {"train:lines@rate=0.1", "train:lines@rate=0.3"}


@pytest.mark.parametrize(
    ("file", "old", "new", "planned"),
    [
        pytest.param(
            *(STUDY, "rates: [0.1, 0.3]", "rates: [0.1, 0.3, 0.31]"),
            {"train:lines@rate=0.31", "measure:error", "figures_toy", *VERDICTS, *SHOWN},
            id="one rate",
        ),
        pytest.param(
            *("src/dynatlas/instruments/fit_error.py", ".mean(axis=1)", ".mean(axis=-1)"),
            {"measure:error", "measure:bias", "figures_toy", *VERDICTS, *SHOWN, "guide:tour"},
            id="one instrument",
        ),
        pytest.param(
            *(f"{PACKAGE}/figures.py", 'yscale="log"', 'yscale="linear"'), {"figures_toy", *SHOWN}, id="one figure"
        ),
        pytest.param(
            *("workflow/notebooks/guides/tour.py", "np.ones(1)", "np.zeros(1)"), {"guide:tour", "index"}, id="one guide"
        ),
        pytest.param(*(f"{PACKAGE}/claims.yaml", "margin: 2\n", "margin: 3\n"), {*VERDICTS, *SHOWN}, id="one margin"),
        pytest.param(
            *(STUDY, "call: train_biases, needs", "call: train_lines, with: {rate: 1, steps: 1}, needs"),
            {"train:biases", "measure:bias", "figures_toy", *VERDICTS, *SHOWN},
            id="another function of the same module",
        ),
        pytest.param(
            *(STUDY, "rates: [0.1, 0.3]", "rates: [0.3, 0.1]"),
            {"measure:error", "figures_toy", *VERDICTS, *SHOWN},
            id="another order of an axis",
        ),
    ],
)
def test_an_edit_runs_what_follows_and_nothing_else(engine, file, old, new, planned):
    engine.replace(file, old, new)
    assert engine.planned() == planned


def test_a_dry_run_names_the_number_that_changed(engine):
    engine.replace(STUDY, "numbers: {steps: 20", "numbers: {steps: 21")
    done = engine.dry("--dry-run", "results/quick/toy/tables/error.parquet")
    reasons = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "Params have changed" in line]
    assert reasons == ["reason: Params have changed since last execution: settings.steps 20 -> 21"] * 2


def test_nothing_runs_after_what_changes_nothing(engine):
    """Every file touched, comments and docstrings edited, a new member of a wing, the same options given aloud."""
    engine.replace(f"{PACKAGE}/train.py", "    x, y =", "    # plain arrays\n    x, y =")
    engine.replace(f"{PACKAGE}/measure.py", '"""Mean target of each seed."""', '"""Each seed\'s mean target."""')
    engine.replace("src/dynatlas/instruments/slope.py", '"""A member of', '"""One member of')
    (engine.folder / "src" / "dynatlas" / "instruments" / "brand_new.py").write_text('"""New."""\n\nnew = 1\n')
    for path in engine.folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path)
    assert engine.planned("--config", "base_seed=0", "device=cpu", "scale=quick") == set()
    printed = engine.make()
    assert "Nothing to be done" in printed


def test_a_lost_artefact_is_made_again_with_the_same_bytes(engine):
    before = engine.artefacts()
    shutil.rmtree(engine.folder / "results" / "quick" / "toy" / "tables")
    engine.make("results/quick/toy/tables/error.parquet")
    made = engine.artefacts("*/tables/*")
    assert list(made) == ["toy/tables/error.parquet"]
    assert made["toy/tables/error.parquet"] == before["toy/tables/error.parquet"]


def test_deleted_intermediates_are_made_again_only_for_who_reads_them(engine):
    for folder in ("runs", "data"):
        shutil.rmtree(engine.folder / "results" / "quick" / "toy" / folder)
    assert engine.planned() == set()
    engine.replace("src/dynatlas/instruments/fit_error.py", ".mean(axis=1)", ".mean(axis=-1)")
    trained = {"data:points", "train:biases", *LINES}
    assert engine.planned("results/quick/toy/tables/error.parquet") == {"data:points", *LINES, "measure:error"}
    assert trained | {"measure:error", "measure:bias"} <= engine.planned()


def test_one_more_seed_leaves_the_earlier_seeds_rows_as_they_were(engine, read_table):
    table = "results/quick/toy/tables/error.parquet"
    before = read_table(engine.folder / table)
    engine.replace(STUDY, "quick: {seeds: 8", "quick: {seeds: 9")
    assert "data:points" in engine.planned(table)
    engine.make(table)
    after = read_table(engine.folder / table)
    assert set(after["seed"]) - set(before["seed"]) == {108}
    earlier = after[after["seed"] < 108].reset_index(drop=True)
    # the node's name and study are columns too, so whole rows are compared
    assert earlier.equals(before)
