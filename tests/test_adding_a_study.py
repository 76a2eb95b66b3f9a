"""The worked example of docs/adding-a-study.md, written from its text into a copy of the repository, and run."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from builds import EXAMPLE, example_files

from dynatlas.artefacts import read_json

TEXT = EXAMPLE.read_text(encoding="utf-8")


def test_every_block_of_the_example_has_a_path():
    assert len(example_files()) == len(re.findall(r"^```\w+$", TEXT, re.MULTILINE)) == 10
    table = {line.split("`")[1] for line in TEXT.splitlines() if line.startswith("| `")}
    assert len(table) == 9


def test_what_the_wings_are_said_to_have_is_there():
    section = TEXT.split("## What the wings have")[1].split("\n## ")[0]
    names = re.findall(r"`([a-z_]+(?:\.\w+)+)`", section)
    assert len(names) > 25
    for name in names:
        module, _, what = name.rpartition(".")
        assert getattr(import_module(f"dynatlas.{module}"), what, None) is not None, name


@pytest.fixture
def atlas(example, engine_in):
    """The worked example, made whole; shared, and so left as it is."""
    return engine_in(example)


@pytest.mark.workflow
@pytest.mark.slow
class TestTheExample:
    def test_its_claims_are_decided_and_no_control_passes(self, atlas):
        rows = read_json(atlas.folder / "results" / "quick" / "ledger.json")["rows"]
        assert [row["verdict"] for row in rows] == ["reproduced", "reproduced"]
        assert [row["control_verdict"] for row in rows] == ["contradicted", "contradicted"]

    def test_everything_a_reader_sees_is_there(self, atlas):
        for path in ("results/quick/site/index.html", "results/quick/site/iterate-averaging-notebook.html"):
            assert "The average of the iterates is much closer" in (atlas.folder / path).read_text()
        page = (atlas.folder / "results/quick/site/iterate-averaging.html").read_text()
        for part in (
            'alt="Averaging the iterates removes the wandering. Squared distance',
            "textbook result",
            "<math",
            "k-run",
        ):
            assert part in page

    def test_its_figure_is_sound(self, atlas):
        code = (
            "from pathlib import Path\n"
            "from dynatlas.artefacts import read_table\n"
            "from dynatlas.figures.audit import figure_problems\n"
            "from dynatlas.figures.style import house_style\n"
            "from dynatlas.studies.iterate_averaging.figures import draw_errors\n"
            "table = read_table(Path('results/quick/iterate-averaging/tables/errors.parquet'))\n"
            "with house_style():\n"
            "    print(figure_problems(draw_errors(errors=table)))\n"
        )
        (atlas.folder / "audit_figure.py").write_text(code)
        done = atlas.run("audit_figure")
        assert done.stdout.strip() == "[]", done.stderr

    def test_its_own_test_passes(self, atlas):
        done = atlas.run("pytest", "-q", "-p", "no:cacheprovider", "tests/studies/test_iterate_averaging.py")
        assert "2 passed" in done.stdout, done.stdout + done.stderr

    def test_a_second_run_has_nothing_to_do(self, atlas):
        assert atlas.planned() == set()
