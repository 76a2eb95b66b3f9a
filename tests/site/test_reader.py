from __future__ import annotations

from html import escape

import pandas as pd
import pytest

from dynatlas import artefacts
from dynatlas.config import read_yaml
from dynatlas.nodes import ROOT
from dynatlas.site.content import alternative
from dynatlas.site.notebook import render_notebook
from dynatlas.site.reader import open_study

FOLDER = "results/quick/task-primitives/tables"
TABLES = {
    "accuracy": [f"{FOLDER}/accuracy.parquet"],
    "drop": [f"{FOLDER}/drop@arm=SEP.parquet", f"{FOLDER}/drop@arm=MP.parquet"],
}
DECLARED = read_yaml(ROOT / "config" / "studies" / "task-primitives.yaml")["figures"]["accuracy"]
WORDS = escape(alternative(DECLARED["title"], DECLARED["caption"]))


@pytest.fixture(scope="module")
def root(tmp_path_factory, page):
    root = tmp_path_factory.mktemp("atlas")
    results = root / "results" / "quick" / "task-primitives"
    frame = pd.DataFrame({"seed": [100, 101], "metric": "accuracy", "value": [0.5, 0.25]})
    artefacts.write_table(root / TABLES["accuracy"][0], {"key": "accuracy 0"}, frame)
    for place, arm in enumerate(("SEP", "MP")):
        artefacts.write_table(root / TABLES["drop"][place], {"key": f"drop {place}"}, frame.assign(arm=arm))
    artefacts.write_table(results / "tables" / "drop@arm=taken out.parquet", {"key": "old"}, frame.assign(arm="old"))
    keys = {name: {path: f"{name} {place}" for place, path in enumerate(paths)} for name, paths in TABLES.items()}
    provenance = {"key": "k", "base_seed": 7, "seeds": [100, 101], "settings": {"tables": keys}}
    artefacts.write_json(results / "claims.json", provenance, {"rows": list(page.rows)})
    pictures = root / "figures" / "quick" / "task-primitives"
    files = {"accuracy.png": page.figures[0].png, "accuracy.pdf": b"%PDF"}
    artefacts.write_files(pictures, results / "figures.json", provenance={}, files=files)
    return root


@pytest.fixture
def study(root):
    return open_study("task-primitives", "quick", root)


def test_claims_are_the_ledgers_rows(study, page):
    claims = study.claims()
    assert list(claims.index) == [row["id"] for row in page.rows]
    assert claims.loc["C1", "verdict"] == "reproduced"


def test_tables_whole_and_in_parts(study):
    assert study.table("accuracy")["value"].tolist() == [0.5, 0.25]
    # the axis' own order, and no part that the plan does not name
    assert study.table("drop")["arm"].tolist() == ["SEP", "SEP", "MP", "MP"]


def test_a_table_that_the_verdicts_do_not_rest_on_is_refused(study, root):
    path = root / TABLES["drop"][1]
    whole = path.read_bytes()
    artefacts.write_table(path, {"key": "of other code"}, artefacts.read_table(path))
    try:
        with pytest.raises(
            artefacts.ArtefactError, match=r"not what the plan expects.*snakemake --config scale=quick -- t"
        ):
            study.table("drop")
    finally:
        path.write_bytes(whole)


def test_figure_shows_the_picture(study):
    shown = study.figure("accuracy")
    assert 'src="data:image/png;base64,iVBOR' in shown._repr_html_()
    assert f'alt="{WORDS}"' in shown._repr_html_()
    assert repr(shown) == f"figure accuracy: {DECLARED['title']}"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda study: study.table("acuracy"), "no table 'acuracy' at scale quick; did you mean 'accuracy'?"),
        (lambda study: study.figure("acuracy"), "no figure 'acuracy' at scale quick; did you mean 'accuracy'?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(study, ask, message):
    with pytest.raises(KeyError) as caught:
        ask(study)
    assert message in str(caught.value)


def test_a_study_that_was_not_made_says_how_to_make_it(root):
    with pytest.raises(artefacts.ArtefactError, match="snakemake --config scale=paper seeds=dev -- task-primitives"):
        open_study("task-primitives", "paper-dev", root)


def test_a_notebook_below_the_results_finds_them(root):
    below = root / "workflow" / "notebooks"
    below.mkdir(parents=True)
    assert open_study("task-primitives", "quick", below).table("accuracy").shape == (2, 3)


def test_a_damaged_figure_is_refused(study, root):
    path = root / "figures" / "quick" / "task-primitives" / "accuracy.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    try:
        with pytest.raises(artefacts.ArtefactError, match="damaged"):
            study.figure("accuracy")
    finally:
        path.write_bytes(whole)


def test_in_a_notebook(root):
    source = (
        '# %% tags=["parameters"]\nstudy = ""\nscale = ""\nroot = "."\n\n# %%\n'
        "from dynatlas.site.reader import open_study\n\n"
        "results = open_study(study, scale, root)\nresults.claim_table()\n"
        '\n# %%\nresults.figure("accuracy")\n'
    )
    parameters = {"study": "task-primitives", "scale": "quick"}
    _, html = render_notebook(source, name="task-primitives", parameters=parameters, cwd=root)
    page = html.decode()
    assert page.count('class="forest"') == 11
    assert f'alt="{WORDS}"' in page
    assert "scale quick; base seed 7; 2 seeds (100 to 101): task-primitives" in page
    assert "&lt;of separate networks&gt;" in page
