"""The notebooks under workflow/notebooks/guides: they run as they stand, and ask each question in a few lines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jupytext
import pytest

from dynatlas.site.notebook import render_notebook

GUIDES = Path(__file__).resolve().parents[1] / "workflow" / "notebooks" / "guides"
QUESTIONS = ("lyapunov_spectrum(", "dimension_profile(", "linear_probe(", "perturbation_curve(", "random_lesions(")
PICTURES = QUESTIONS[:-1]


def source():
    return (GUIDES / "own-networks.py").read_text(encoding="utf-8")


def code_cells():
    return [cell.source for cell in jupytext.reads(source(), fmt="py:percent").cells if cell.cell_type == "code"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_takes_less_than_ten_lines(question):
    (cell,) = [cell for cell in code_cells() if question in cell]
    lines = [line for line in cell.splitlines() if line and not line.startswith(("from ", "import "))]
    assert len(lines) < 10


@pytest.mark.slow
def test_the_guide_to_own_networks_runs_and_shows_a_frame_and_a_picture_for_each_question(tmp_path):
    ipynb, page = render_notebook(source(), name="own-networks", parameters={}, cwd=tmp_path)
    cells = [cell for cell in json.loads(ipynb)["cells"] if cell["cell_type"] == "code"]
    for question in QUESTIONS:
        at = next(i for i, cell in enumerate(cells) if question in "".join(cell["source"]))
        shown = [set(output.get("data", ())) for cell in cells[at : at + 2] for output in cell["outputs"]]
        assert any("text/html" in one for one in shown), question
        assert any("image/png" in one for one in shown) or question not in PICTURES, question
    said = "".join("".join(output.get("text", "")) for cell in cells for output in cell["outputs"])
    assert "bidirectional" in said
    assert "proj_size" in said
    assert "it holds .lstm (LSTM)" in said
    assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])
    assert not re.search(r"Warning", page.decode())
