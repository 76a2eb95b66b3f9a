"""What a claim can ask of a table: selections, contrasts, reductions, transforms, statistics, controls, conditions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dynatlas.claims.checks import parse_claims
from dynatlas.claims.decide import decide
from dynatlas.claims.resolve import resolve


def grid_table() -> pd.DataFrame:
    """Accuracy over two arms, three sizes and two tasks; `cost` of size squared."""
    rng = np.random.default_rng(8)
    rows = []
    for seed in range(6):
        for arm in ("new", "old"):
            for size in (8, 16, 32):
                for task in ("a", "b"):
                    value = size * (2 if arm == "new" else 1) + (task == "b") + 0.01 * rng.normal()
                    rows.append(
                        {"seed": seed, "metric": "gain", "arm": arm, "size": size, "task": task, "value": value}
                    )
                cost = float(size**2) * np.exp(0.01 * rng.normal())
                rows.append({"seed": seed, "metric": "cost", "arm": arm, "size": size, "task": None, "value": cost})
    return pd.DataFrame(rows).sample(frac=1, random_state=np.random.default_rng(1))


GAIN = {"id": "C", "says": "s", "metric": "gain", "test": "at_least", "margin": 0}
COST = GAIN | {"metric": "cost"}
FORMS = {
    "one cell": (GAIN | {"where": {"arm": "new", "size": 8, "task": "a"}}, 16),
    "mean over tasks": (GAIN | {"where": {"arm": "new", "size": 8}, "reduce": {"task": "mean"}}, 16.5),
    "larger task, median size": (GAIN | {"where": {"arm": "old"}, "reduce": {"task": "max", "size": "median"}}, 17),
    "some sizes": (GAIN | {"where": {"arm": "old", "task": "a", "size": [8, 32]}, "reduce": {"size": "mean"}}, 20),
    "selection over where": (
        GAIN | {"where": {"arm": "old", "task": "a", "size": 8}, "compare": {"treatment": {"arm": "new"}}},
        16,
    ),
    "contrast": (
        GAIN
        | {
            "where": {"task": "a"},
            "compare": {
                "contrast": [
                    {"weight": 0.5, "select": {"arm": "new", "size": 8}},
                    {"weight": 0.5, "select": {"arm": "new", "size": 16}},
                    {"weight": -1, "select": {"arm": "old", "size": 32}},
                ]
            },
        },
        -8,
    ),
    "a term's own reduction": (
        GAIN
        | {
            "where": {"task": "a"},
            "compare": {
                "contrast": [
                    {"weight": 1, "select": {"arm": "new"}, "reduce": {"size": "max"}},
                    {"weight": -1, "select": {"arm": "old"}, "reduce": {"size": "min"}},
                ]
            },
        },
        56,
    ),
    "two metrics": (
        COST
        | {
            "where": {"size": 8, "arm": "new"},
            "compare": {"treatment": {}, "reference": {"metric": "gain", "task": "a"}},
        },
        48,
    ),
    "log ratio": (COST | {"transform": "log", "where": {"arm": "new"},
                  "compare": {"treatment": {"size": 32}, "reference": {"size": 8}}}, np.log(16)),
    "decades": (COST | {"transform": "log10", "where": {"arm": "new", "size": 32}}, np.log10(1024)),
    "monotone": (COST | {"where": {"arm": "old"}, "statistic": {"spearman": {"along": "size"}}}, 1),
    "correlated with a metric of fewer conditions": (
        GAIN | {"where": {"arm": "old", "task": "a"}, "statistic": {"spearman": {"with": "cost"}}},
        1,
    ),
    "correlated after reducing": (
        GAIN | {"where": {"arm": "old"}, "reduce": {"task": "mean"}, "statistic": {"spearman": {"with": "cost"}}},
        1,
    ),
    "slope": (GAIN | {"where": {"arm": "new", "task": "a"}, "statistic": {"slope": {"along": "size"}}}, 2),
    "log-log slope": (
        COST | {"transform": "log", "where": {"arm": "new"}, "statistic": {"slope": {"along": "size", "scale": "log"}}},
        2,
    ),
    "share of variance between tasks": (
        GAIN | {"where": {"arm": "old"}, "statistic": {"icc": {"between": "task"}}},
        -0.4925,
    ),
    "difference of slopes": (
        GAIN
        | {
            "where": {"task": "a"},
            "statistic": {"slope": {"along": "size"}},
            "compare": {"treatment": {"arm": "new"}, "reference": {"arm": "old"}},
        },
        1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_form(name: str, only) -> None:
    asked, effect = FORMS[name]
    row = only(decide(asked, grid_table()))
    assert row.effect == pytest.approx(effect, rel=0.01, abs=0.05)
    assert row.n == 6


def test_wrong_pairing_belongs_to_the_seed(only) -> None:
    """A permuted condition destroys the trend, and one more seed leaves the earlier seeds' permutations."""
    rising = COST | {"id": "C7", "where": {"arm": "old"}, "statistic": {"spearman": {"along": "size"}}, "margin": 0.5}
    asked = rising | {"controls": [{"permute": "size"}]}
    row = only(decide(asked, grid_table(), study="mine"))
    assert (row.verdict, row.effect) == ("reproduced", 1.0)
    assert row.control_effect < 0.8
    assert row == only(decide(asked, grid_table(), study="mine"))
    means = {(study, base): only(decide(asked, grid_table(), study=study, base_seed=base)).control_effect
             for study in ("mine", "other") for base in (0, 1)}  # fmt: skip
    assert len(set(means.values())) > 1
    few = only(decide(asked, grid_table().query("seed < 5"), study="mine"))
    last = (6 * row.control_effect - 5 * few.control_effect) * 2
    assert last == pytest.approx(round(last)), "the sixth seed's coefficient alone: a multiple of 1/2 for three sizes"


def test_parts_inherit_and_join_conditions() -> None:
    parts = [
        {"id": "a", "where": {"task": "b"}},
        {"id": "b", "where": {"task": "a"}, "margin": 3, "compare": {"treatment": {"arm": "old"}}},
        {"id": "c", "test": "identity", "metric": "cost", "compare": {"treatment": {"arm": "new"}}, "tolerance": 9999},
    ]
    (declared,) = parse_claims([GAIN | {"test": "all_of", "part_test": "greater", "where": {"size": 8},
                                     "compare": {"treatment": {"arm": "new"}}, "parts": parts}])  # fmt: skip
    asked = resolve(declared, "quick")
    a, b, c = asked.rules
    assert (a.where, a.margin, a.metric, a.test) == ({"size": 8, "task": "b"}, 0, "gain", "greater")
    assert (b.margin, b.terms[0].select) == (3, {"arm": "old"})
    assert (c.metric, c.margin, c.where) == ("cost", None, {"size": 8})
    top, *below = decide(asked, grid_table())
    assert [round(row.effect) for row in below[:2]] == [17, 8]
    assert top.verdict == "reproduced"
    assert top.p == max(row.p for row in below[:2])


def test_control_forms_change_what_is_read() -> None:
    pair = {"treatment": {"arm": "new"}, "reference": {"arm": "old"}}

    def terms(**control: Any) -> list[dict[str, Any]]:
        (declared,) = parse_claims([GAIN | {"where": {"task": "a"}, "compare": pair, "controls": [control]}])
        (changed,) = resolve(declared, "quick").controls[0].asked
        return [term.select for term in changed.terms]

    new, old = ({"metric": "gain", "task": "a", "arm": arm} for arm in ("new", "old"))
    assert terms(where={"task": "b"}) == [new | {"task": "b"}, old | {"task": "b"}]
    assert terms(metric="cost") == [new | {"metric": "cost"}, old | {"metric": "cost"}]
    assert terms(compare={"treatment": {"arm": "x"}}) == [new | {"arm": "x"}]
    swap = [{"from": {"arm": "new"}, "to": {"arm": "new", "metric": "charged"}}]
    assert terms(replace=swap) == [new | {"metric": "charged"}, old]
    assert terms(replace=[{"from": {"arm": "new", "task": "a"}, "to": {"arm": "x"}}]) == [
        {"metric": "gain", "arm": "x"},
        old,
    ]


def test_order_of_rows_does_not_matter(only) -> None:
    asked = GAIN | {"where": {"arm": "new"}, "reduce": {"task": "mean", "size": "max"}}
    table = grid_table()
    first, second = (only(decide(asked, rows)) for rows in (table, table.iloc[::-1]))
    assert first.effect == pytest.approx(second.effect, rel=1e-14)
