"""What every figure of every study is held to, drawn from the tables of a run at scale smoke."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dynatlas.artefacts import read_table
from dynatlas.atlas import Atlas
from dynatlas.figures.audit import figure_problems
from dynatlas.figures.save import figure_bytes
from dynatlas.figures.style import house_style
from dynatlas.steps.compute import load_function

ATLAS = Atlas(overrides={"scale": "smoke"})
DRAWN = [
    (study, figure)
    for study in ATLAS.studies
    for figure in ATLAS.plan(study, "smoke").node("figures", "figures").settings["figures"]
]
pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.xdist_group("smoke")]


@pytest.fixture(scope="session")
def smoke(once, engine_in):
    """A copy of the repository as it is, in which every table of every study was made at scale smoke."""

    def make(folder):
        for part in ("workflow", "profiles", "config", "src"):
            shutil.copytree(ATLAS.root / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("Snakefile", "environment.yml"):
            shutil.copy2(ATLAS.root / file, folder / file)
        plans = [ATLAS.plan(study, "smoke") for study in ATLAS.studies]
        tables = [path for plan in plans for node in plan.step("measure") for path in node.outputs]
        engine_in(folder).make(*tables, "--config", "scale=smoke")

    return once("smoke-atlas", make)


def drawing(folder: Path, study: str, figure: str):
    """The figure's function, and its tables by keyword."""
    node = ATLAS.plan(study, "smoke").node("figures", "figures")
    chosen = node.settings["figures"][figure]
    tables = {
        need: read_table(*(folder / path for part in node.needs[need] for path in part.outputs))
        for need in chosen["needs"]
    }
    return load_function(chosen["call"]), tables


@pytest.mark.parametrize(("study", "figure"), DRAWN)
class TestEveryFigure:
    def test_a_reader_has_nothing_to_stumble_over(self, smoke, study, figure):
        draw, tables = drawing(smoke, study, figure)
        with house_style():
            assert figure_problems(draw(**tables)) == []

    def test_same_tables_same_bytes_and_tables_are_left_alone(self, smoke, study, figure):
        draw, tables = drawing(smoke, study, figure)
        before = {name: table.copy() for name, table in tables.items()}
        first, second = (figure_bytes(draw(**tables), "png", title=figure, provenance={}) for _ in range(2))
        assert first == second
        for name, table in tables.items():
            assert table.equals(before[name])

    def test_it_shows_its_tables(self, smoke, study, figure):
        """Other values, another picture: nothing drawn is typed in."""
        draw, tables = drawing(smoke, study, figure)
        changed = {name: table.assign(value=table["value"] * 0.9 + 0.01) for name, table in tables.items()}
        one, other = (figure_bytes(draw(**given), "png", title=figure, provenance={}) for given in (tables, changed))
        assert one != other


@pytest.mark.parametrize("study", ATLAS.studies)
def test_figures_are_drawn_without_torch(study):
    module = f"{ATLAS.studies[study].package}.figures"
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
