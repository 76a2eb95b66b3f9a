"""Compounds on planted tables: wins and losses over nine families, their control, their parts."""

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
