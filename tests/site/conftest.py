"""A made-up atlas of two studies: every kind of test and every verdict, decided by the real engine."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dynatlas.claims.decide import decide_all
from dynatlas.claims.kept import dump_kept, read_kept
from dynatlas.claims.ledger import join_rows
from dynatlas.figures.save import figure_bytes
from dynatlas.figures.style import house_style, new_panels
from dynatlas.site.content import Ancestor, FigureEntry, StudyLink, StudyPage

SEEDS = list(range(100, 108))
MEANS = {"MP": 0.93, "SEP": 0.91, "RES": 0.36, "JOINT": 0.95, "MR": 0.35, "DP": 0.92}
UPDATES = {"MP": 4.3e4, "SEP": 1.1e7, "RES": 9e6, "JOINT": 8.5e6, "MR": 7e6, "DP": 5e4}


def _table():
    rng = np.random.default_rng(11)
    rows = []
    for seed in SEEDS:
        for arm, mean in MEANS.items():
            rows.append((seed, "accuracy", arm, mean + rng.normal(0, 0.02)))
            rows.append((seed, "updates", arm, UPDATES[arm] * np.exp(rng.normal(0, 0.2))))
            rows.append((seed, "deviation", arm, 0.0 if arm == "MP" else 0.2))
    return pd.DataFrame(rows, columns=["seed", "metric", "strategy", "value"])


def _arms(treatment, reference=None):
    compare = {"treatment": {"strategy": treatment}}
    return {"compare": compare if reference is None else {**compare, "reference": {"strategy": reference}}}


def _claim(number, says, **rest):
    common = {"table": "scores", "source": {"where": "abstract"}, "decided_by": "quick", "metric": "accuracy"}
    return {"id": f"C{number}", "says": says, **common, **rest}


def _swap(old, new):
    return {"controls": [{"replace": [{"from": {"strategy": old}, "to": {"strategy": new}}]}]}


CLAIMS = [
    _claim(
        1,
        "Modular networks with task primitives learn multiple tasks well",
        test="all_of",
        parts=[
            {"id": "level", "says": "accuracy of at least 0.85", "test": "at_least", "margin": 0.85, **_arms("MP")},
            {"id": "sep", "says": "no worse than SEP", "test": "greater", "margin": -0.05, **_arms("MP", "SEP")},
            {"id": "res", "says": "better than a reservoir", "test": "greater", "margin": 0.3, **_arms("MP", "RES")},
        ],
        **_swap("MP", "MR"),
    ),
    _claim(
        2,
        "Learning a new task takes a tenth of the updates <of separate networks>",
        metric="updates",
        transform="log10",
        test="less",
        margin=-1,
        paper={"value": "100 times fewer", "where": "figure 3"},
        **_arms("MP", "SEP"),
        **_swap("MP", "RES"),
    ),
    _claim(3, "Better than dense", test="greater", margin=0.1, **_arms("MP", "DP"), **_swap("MP", "MR")),
    _claim(4, "Better than interleaved", test="greater", margin=0, **_arms("MP", "JOINT"), **_swap("MP", "MR")),
    _claim(5, "As good as dense", test="equivalent", margin=0.05, **_arms("MP", "DP"), **_swap("MP", "RES")),
    _claim(
        6,
        "No forgetting, bit for bit",
        metric="deviation",
        test="identity",
        tolerance=0,
        exact=True,
        **_arms("MP"),
        **_swap("MP", "SEP"),
    ),
    _claim(7, "Much better than random", test="greater", margin=0.58, **_arms("MP", "RES"), **_swap("MP", "MR")),
    _claim(8, "Better than chance", test="at_least", margin=0.1, **_arms("MP"), **_swap("MP", "SEP")),
    _claim(
        9,
        "Accuracy at the paper's size",
        test="at_least",
        margin=0.9,
        scales=["paper"],
        **{**_arms("MP"), **_swap("MP", "MR"), "decided_by": "paper"},
    ),
    _claim(10, "Gap to interleaved training", exploratory=True, **_arms("MP", "JOINT")),
]
README = """\
# Task primitives

## Question

Do *modules* help?

$$ r_t = (1-a) r_{t-1} + a f(x_t) + \\sum_{i=1}^n \\frac{a_i}{b_i} + c_1 + c_2 + c_3 + c_4 + c_5 + c_6 + c_7 + c_8 $$

So $ x = a_1 + a_2 + a_3 + a_4 + a_5 + a_6 + a_7 + a_8 + a_9 + a_{10} + a_{11} + a_{12} + a_{13} $ is wide, too.

| arm | acc |
|---|---|
| MP | .93 |

```sh
snakemake task-primitives
```
"""


def _rows(study, chosen):
    claims = [CLAIMS[i] for i in chosen]
    rows = [row.to_dict() for row in decide_all(claims, {"scores": _table()}, study=study, scale="quick")]
    return [{**row, "locked": "changed" if row["id"].startswith("C3") else "yes"} for row in rows]


@pytest.fixture(scope="session")
def ledger():
    rows = join_rows([*_rows("task-primitives", range(10)), *_rows("lyapunov", [2, 3, 6])])
    return {
        "provenance": {
            "scale": "quick",
            "key": "ab" * 32,
            "base_seed": 7,
            "settings": {"missing": ["ptd"], "seeds": {"task-primitives": SEEDS, "lyapunov": SEEDS[:5]}},
        },
        "sha256": "cd" * 32,
        "rows": rows,
    }


@pytest.fixture(scope="session")
def kept(ledger, tmp_path_factory):
    """Task primitives at standard: C2 is contradicted there, C3 asked something else, and C10 is new since."""
    path = tmp_path_factory.mktemp("kept") / "task-primitives.json"
    over = {"C2": {"verdict": "contradicted", "reason": "the interval excludes it"}, "C3": {"metric": "other"}}
    rows = [row for row in ledger["rows"] if row["study"] == "task-primitives" and row["id"] != "C10"]
    named = dict.fromkeys(("device", "key", "fingerprint"), "x") | {"study": "task-primitives", "scale": "standard"}
    made = {**named, "base_seed": 0, "seeds": SEEDS, "settings": {"digest": "d"}}
    claims = {"provenance": made, "rows": [{**row, **over.get(row["id"], {})} for row in rows]}
    path.write_bytes(dump_kept(claims, commit="c0ffee" * 7, made="2026-11-27"))
    return read_kept(path, since="code, settings or seeds changed since")


@pytest.fixture(scope="session")
def links(picture, kept):
    cover = FigureEntry("accuracy", "Accuracy <of all>", "Mean over **8 seeds**; chance is $.1$.", picture)
    title = "Efficient and robust multi-task learning in the brain with modular task primitives"
    return [
        StudyLink("task-primitives", title, "task-primitives.html", cover, [kept]),
        StudyLink("lyapunov", "On Lyapunov exponents for RNNs", "lyapunov.html"),
        StudyLink("ptd", "A study that was not run", "ptd.html"),
    ]


@pytest.fixture(scope="session")
def picture():
    with house_style():
        figure, panels = new_panels(1, 2, width=2)
        for axes in panels.flat:
            axes.plot([0, 1, 2], [3.0, 1.0, 2.0], marker="o")
            axes.set(xlabel="time (ms)", ylabel="rate (1/s)")
    return figure_bytes(figure, "png", title="demo", provenance={})


@pytest.fixture(scope="session")
def page(ledger, picture, kept):
    ancestry = (
        Ancestor("primitives", "train", (), "train_primitives, seeds 100-107"),
        Ancestor("readouts", "train", ("primitives",)),
        Ancestor("joint", "train", ()),
        Ancestor("accuracy", "measure", ("readouts", "joint")),
        Ancestor("multitask", "figures", ("accuracy",)),
    )
    figure = FigureEntry(
        name="multitask",
        title="Accuracy of every strategy on every task",
        caption="Mean over **8 seeds** with 95 % intervals; chance is $0.1$. Long captions wrap, and may use $r_t$.",
        png=picture,
        ancestry=ancestry,
        command="snakemake --force figures/quick/task-primitives/multitask.png",
    )
    return StudyPage(
        study="task-primitives",
        scale="quick",
        paper={
            "title": "Modular task primitives",
            "authors": "C. D. Marton, G. Lajoie, K. Rajan",
            "year": 2021,
            "arxiv": "2105.14108",
        },
        rows=[row for row in ledger["rows"] if row["study"] == "task-primitives"],
        figures=[figure, figure.__class__(**{**figure.__dict__, "name": "second", "title": "Another one"})],
        readme=README,
        notebook_href="task-primitives-notebook.html",
        command="snakemake --force task-primitives",
        provenance={"key": "ef" * 32, "seeds": [100, 101], "settings": {"papers": "x"}},
        draw={"scale": "quick", "base_seed": 7, "seeds": {"task-primitives": SEEDS}},
        kept=[kept],
        numbers=[{"name": "world.dt", "meaning": "time < step", "unit": "ms", "values": {"smoke": "", "quick": "100"}}],
    )
