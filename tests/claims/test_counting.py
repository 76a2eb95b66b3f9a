"""Compounds on planted tables: wins and losses over nine families, parts that are all_of, controls, rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dynatlas.claims.decide import decide

NINE = [f"f{place}" for place in range(9)]
NOISE = 0.3 * np.array([-1.0, 1.0, -0.5, 0.5, -0.2, 0.2, -0.9, 0.9])
PARTS = [{"id": name, "where": {"family": name}} for name in NINE]
COUNTING = {
    "id": "C1",
    "says": "so it is",
    "metric": "score",
    "test": "count_of",
    "wins": 5,
    "losses": 2,
    "part_test": "greater",
    "margin": 0,
    "parts": PARTS,
    "compare": {"treatment": {"arm": "new"}, "reference": {"arm": "old"}},
}


@pytest.fixture
def families(arms):
    """`families(shifts)`: the arm `new` above `old` by so much in each family, and an arm `other` that is not."""

    def table(shifts: dict[str, float]) -> pd.DataFrame:
        return pd.concat(
            [arms(new=shift + NOISE, old=0, other=0.1 * NOISE).assign(family=name) for name, shift in shifts.items()]
        )

    return table


@pytest.mark.parametrize(
    ("won", "lost", "verdict"),
    [(7, 0, "reproduced"), (7, 2, "reproduced"), (5, 2, "inconclusive"), (6, 3, "contradicted")],
)
def test_count_over_nine_families(won: int, lost: int, verdict: str, families) -> None:
    shifts = dict(zip(NINE, [1.0] * won + [-1.0] * lost + [0.0] * (9 - won - lost), strict=True))
    top, *parts = decide(COUNTING, families(shifts))
    assert (top.verdict, top.effect, top.part_of, top.n) == (verdict, None, None, 8)
    assert top.reason.startswith(f"{won} won")
    assert [row.id for row in parts] == [f"C1.{name}" for name in NINE]
    assert {row.part_of for row in parts} == {"C1"}
    assert [row.level for row in parts] == pytest.approx([1 - 0.05 * 5 / 9] * 9)


def test_control_of_a_compound_is_the_whole_rule(families) -> None:
    control = {"replace": [{"from": {"arm": "new"}, "to": {"arm": "other"}}]}
    top, *parts = decide(COUNTING | {"controls": [control]}, families(dict.fromkeys(NINE, 1.0)))
    assert (top.verdict, top.control_verdict) == ("reproduced", "inconclusive")
    assert all(row.control_verdict is None and row.control_effect == pytest.approx(0, abs=0.05) for row in parts)
    back = {"replace": [{"from": {"arm": "new"}, "to": {"arm": "old"}}, {"from": {"arm": "old"}, "to": {"arm": "new"}}]}
    top, *_ = decide(COUNTING | {"controls": [back]}, families(dict.fromkeys(NINE, 1.0)))
    assert top.control_verdict == "contradicted", "two arms change places at once"


def test_parts_of_an_exploratory_claim_have_no_verdict(families) -> None:
    rows = decide(COUNTING | {"exploratory": True}, families(dict.fromkeys(NINE, 1.0)))
    assert {row.verdict for row in rows} == {"reported"}
    assert rows[1].effect == pytest.approx(1)


SIDES = [{"id": "up", "margin": 0}, {"id": "far", "margin": 0.2}]
NESTED = COUNTING | {
    "test": "any_of",
    "wins": None,
    "losses": None,
    "parts": [{"id": name, "test": "all_of", "where": {"family": name}, "parts": SIDES} for name in NINE[:2]],
}
NESTED = {key: value for key, value in NESTED.items() if value is not None}
SHIFTS = {"won": 1.0, "lost": -1.0, "between": 0.1, "open": 0.0}


TOGETHER = {"won": "reproduced", "lost": "contradicted", "between": "inconclusive", "open": "contradicted"}
"""What `up` and `far` make together: between 0 and .2 `far` is `direction`, and at 0 it is excluded."""


@pytest.mark.parametrize("first", SHIFTS)
@pytest.mark.parametrize("second", SHIFTS)
def test_any_of_two_all_ofs(first: str, second: str, families) -> None:
    quiet = families({"f0": SHIFTS[first], "f1": SHIFTS[second]})
    quiet = quiet.assign(value=quiet["value"].where(quiet["arm"] != "new", quiet["value"] - 0.9 * _noise(quiet)))
    top, *rows = decide(NESTED, quiet)
    parts = [TOGETHER[first], TOGETHER[second]]
    assert top.verdict == min(parts, key=["reproduced", "inconclusive", "contradicted"].index)
    assert [row.id for row in rows] == ["C1.f0", "C1.f0.up", "C1.f0.far", "C1.f1", "C1.f1.up", "C1.f1.far"]
    assert [row.part_of for row in rows] == ["C1", "C1.f0", "C1.f0", "C1", "C1.f1", "C1.f1"]
    assert [rows[0].verdict, rows[3].verdict] == parts
    assert {row.level for row in rows} == {1 - 0.05 / 2}, "an all_of counts as one part of any_of"
    assert [rows[0].p, rows[3].p] == [max(rows[at + 1].p, rows[at + 2].p) for at in (0, 3)]
    assert top.p == min(1.0, 2 * min(rows[0].p, rows[3].p))
    assert [row.test for row in rows[:3]] == ["all_of", "greater", "greater"]


def _noise(table: pd.DataFrame) -> np.ndarray:
    return NOISE[table["seed"] - 100]


def test_a_count_over_all_ofs_wins_only_where_all_parts_of_one_do(families) -> None:
    two = NESTED | {"test": "count_of", "wins": 2}
    won = decide(two, families({"f0": 2.0, "f1": 2.0}))
    assert (won[0].verdict, won[0].reason[:6]) == ("reproduced", "2 won ")
    for shift, verdict in ((-1.0, "contradicted"), (0.3, "inconclusive")):
        assert decide(two, families({"f0": 2.0, "f1": shift}))[0].verdict == verdict


def test_control_of_nested_compounds_is_the_whole_rule(families) -> None:
    control = {"replace": [{"from": {"arm": "new"}, "to": {"arm": "other"}}]}
    tables = families({"f0": 1.0, "f1": -1.0})
    top, *rows = decide(NESTED | {"controls": [control]}, tables)
    assert (top.verdict, top.control_verdict) == ("reproduced", "contradicted")
    assert all(row.control_effect is not None for row in rows if row.test == "greater")
    same = {"replace": [{"from": {"family": "f1"}, "to": {"family": "f0"}}]}
    assert decide(NESTED | {"controls": [same]}, tables)[0].verdict == "inconclusive", "f0 still comes out"
