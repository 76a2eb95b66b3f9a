"""What every figure of every study is held to, drawn from the tables of a run at scale smoke."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dynatlas.artefacts import read_table
from dynatlas.atlas import Atlas
from dynatlas.figures.audit import figure_problems
from dynatlas.figures.style import house_style
from dynatlas.steps.compute import load_function

ATLAS = Atlas(overrides={"scale": "smoke"})
FIGURES = {
    f"{study}-{figure}": (study, figure)
    for study in ATLAS.studies
    for figure in ATLAS.plan(study, "smoke").node("figures", "figures").settings["figures"]
}
COARSE = 50
"""Dots per inch at which two pictures are compared: enough for a moved line, and cheap."""


class Drawn:
    """One figure, drawn once for all its checks, which may render it, and leave it as it is."""

    def __init__(self, call: str, tables: dict[str, pd.DataFrame]):
        self.call, self.tables = call, tables
        self.before = {name: table.copy() for name, table in tables.items()}
        self.figure = self.draw(tables)
        self.picture = pixels(self.figure)  # now: a layout, once made, stays

    def draw(self, tables: dict[str, pd.DataFrame]) -> Figure:
        """Draw it afresh from tables, inside the house's style as the step does."""
        with house_style():
            return load_function(self.call)(**tables)


def pixels(figure: Figure) -> bytes:
    """All that a figure shows, as coarse pixels; without the layout, which is half the cost and adds no artist."""
    layout, dpi = figure.get_layout_engine(), figure.get_dpi()
    figure.set_layout_engine("none")
    figure.set_dpi(COARSE)
    with house_style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    figure.set_dpi(dpi)
    figure.set_layout_engine(layout)
    return bytes(canvas.buffer_rgba())


@pytest.fixture(scope="class", params=FIGURES)
def drawn(smoke, request):
    study, figure = FIGURES[request.param]
    node = ATLAS.plan(study, "smoke").node("figures", "figures")
    chosen = node.settings["figures"][figure]
    parts = {need: node.needs[need] for need in chosen["needs"]}
    tables = {
        need: read_table(*(smoke / part.outputs[0] for part in nodes), keys=[part.key for part in nodes])
        for need, nodes in parts.items()
    }
    return Drawn(chosen["call"], tables)


@pytest.mark.workflow
@pytest.mark.slow
class TestEveryFigure:
    def test_a_reader_has_nothing_to_stumble_over(self, drawn):
        assert figure_problems(drawn.figure) == []

    def test_same_tables_same_picture_and_tables_are_left_alone(self, drawn):
        assert pixels(drawn.draw(drawn.tables)) == drawn.picture
        for name, table in drawn.tables.items():
            assert table.equals(drawn.before[name])

    def test_it_shows_its_tables(self, drawn):
        """Other values, another picture: nothing drawn is typed in."""
        changed = {name: table.assign(value=table["value"] * 0.9 + 0.01) for name, table in drawn.tables.items()}
        assert pixels(drawn.draw(changed)) != drawn.picture


@pytest.mark.slow
def test_figures_are_drawn_without_torch():
    modules = [f"{spec.package}.figures" for spec in ATLAS.studies.values()]
    code = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
