"""Holm, counts, the ledger as text, and the lock."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from dynatlas.claims.checks import parse_claims
from dynatlas.claims.decide import decide_all
from dynatlas.claims.ledger import holm, interval_text, join_rows, render, summarise, verdict_table
from dynatlas.claims.lock import LockError, changes, claim_hash, lock_problems, lock_state, update_lock
from dynatlas.claims.resolve import resolve


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_holm_is_statsmodels(size: int) -> None:
    rng = np.random.default_rng(size)
    p = rng.choice([0.001, 0.01, 0.02, 0.4, 1.0], size) * rng.random(size)
    p[: size // 3] = p[0]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    table = pd.DataFrame(
        [
            {"seed": seed, "metric": "score", "arm": arm, "value": mean + 0.1 * rng.normal()}
            for seed in range(8)
            for arm, mean in {"good": 1.0, "poor": 0.0, "other": 0.02}.items()
        ]
    )
    pair = {"treatment": {"arm": "good"}, "reference": {"arm": "poor"}}
    base = {"says": "good | better", "metric": "score", "compare": pair, "decided_by": "quick"}
    swap = {"replace": [{"from": {"arm": "good"}, "to": {"arm": "other"}}]}
    useless = {"replace": [{"from": {"arm": "poor"}, "to": {"arm": "other"}}]}
    claims = [
        base | {"id": "A", "test": "greater", "margin": 0.5, "controls": [swap]},
        base | {"id": "B", "test": "all_of", "part_test": "greater", "parts": [{"margin": 0}, {"margin": 0.5}]},
        base | {"id": "C", "test": "identity", "tolerance": 0.0, "controls": [swap]},
        base | {"id": "D", "test": "greater", "margin": 0.0, "controls": [useless]},
        base | {"id": "E", "test": "greater", "margin": 0, "scales": ["paper"], "decided_by": "paper"},
        base | {"id": "F", "exploratory": True, "test": "greater", "margin": 0},
    ]
    return join_rows(row.to_dict() for row in decide_all(claims, table, study="first"))


def test_join_corrects_claims_and_not_their_parts() -> None:
    ledger = rows()
    corrected = {row["id"]: row["p_holm"] for row in ledger}
    top = [row for row in ledger if row["id"] in "ABD"]
    assert [corrected[row["id"]] for row in top] == pytest.approx(holm(np.array([row["p"] for row in top])))
    assert {name for name, p in corrected.items() if p is None} == {"B.1", "B.2", "C", "E", "F"}


def test_summary_counts_claims_and_controls() -> None:
    counts = summarise(rows(), ["first", "second"])
    assert counts["claims"] == 6
    assert {name: count for name, count in counts["verdicts"].items() if count} == {
        "reproduced": 2, "inconclusive": 1, "contradicted": 1, "not run": 1, "reported": 1}  # fmt: skip
    assert (counts["controls"], counts["controls_passed"], counts["controls_by_chance"]) == (3, 1, 2 / 40)
    assert counts["controls_fixed"] == 0
    assert counts["not_locked"] == []
    assert (counts["partial"], counts["missing_studies"]) == (True, ["second"])
    assert summarise(rows(), ["first"])["partial"] is False


def test_renderings_hold_every_row() -> None:
    ledger = rows()
    table, markdown = render(ledger, studies=["first", "second"]), render(ledger, "markdown")
    for row in ledger:
        assert sum(line.split()[1:2] == [row["id"]] for line in table.splitlines()) == 1
        (line,) = [line for line in markdown.splitlines() if line.startswith(f"| first | {row['id']} |")]
        assert row["verdict"] in line
        assert line.replace("\\|", "").count("|") == 13
    assert "6 claims: 2 reproduced, 1 inconclusive, 1 contradicted, 1 reported, 1 not run" in table
    assert "controls: 1 of 3 passed" in table
    assert "partial: nothing here of second" in table
    read = json.loads(render(ledger, "json"))
    assert read["rows"] == ledger
    with pytest.raises(ValueError, match="format 'html': allowed are"):
        render(ledger, "html")


def test_a_study_shows_its_tested_claims_with_the_effects_of_their_parts() -> None:
    header, _, *lines = verdict_table(rows()).splitlines()
    assert header == "| claim | verdict | effect [interval] | control |"
    assert [line.split()[1] for line in lines] == ["A:", "B:", "C:", "D:"], "E is not run, F is not tested"
    good = next(row for row in rows() if row["id"] == "B.1")
    assert f"| 1 {interval_text(good, '')}; 2 " in lines[1]
    assert lines[0].count("reproduced") == 1


def test_what_was_drawn_stands_above_the_table() -> None:
    draw = {"scale": "quick", "base_seed": 7, "seeds": {"first": list(range(100, 108)), "second": [100]}}
    above, *_ = render(rows(), draw=draw).splitlines()
    assert above == "scale quick; base seed 7; 8 seeds (100 to 107): first; seed 100: second"
    assert json.loads(render(rows(), "json", draw=draw))["draw"] == draw


def test_empty_ledger() -> None:
    assert "0 claims: none" in render(join_rows([]))


CLAIM = {"id": "C3", "says": "few", "metric": "m", "table": "t", "test": "greater", "margin": 1,
         "controls": [{"metric": "other"}], "source": {"where": "p. 3"},
         "compare": {"treatment": {"a": 1}}}  # fmt: skip


def hashed(settings: dict[str, Any] | None = None, scale: str = "quick", **changed: Any) -> str:
    return claim_hash(resolve(parse_claims([CLAIM | changed])[0], scale), settings)


def test_hash_covers_what_can_change_a_verdict() -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"says": "fewer"},
        {"metric": "n"},
        {"test": "less"},
        {"margin": 2},
        {"controls": [{"metric": "third"}]},
        {"compare": {"treatment": {"a": 2}}},
        {"scales": ["quick"]},
        {"level": 0.9},
        {"settings": {"seeds": 8}},
        {"settings": {"seeds": 9}},
    ]
    assert len({hashed(**variant) for variant in variants}) == len(variants)
    assert hashed(source={"where": "p. 4"}) == hashed(paper={"value": "3", "where": "p. 1"}) == hashed()
    assert hashed(settings={"a": 1, "b": 2}) == hashed(settings={"b": 2, "a": 1})


README = """# Study
- 2026-01-02 C3: the margin was in the wrong units
- 2026-01-05 C3: the control was the claim itself
- 2026-01-05 C4:
- someday C5: no date
"""


def test_dated_lines() -> None:
    assert changes(README) == {"C3": ["2026-01-02", "2026-01-05"]}
    assert changes("- 2026-01-02 C1, C4a: both") == {"C1": ["2026-01-02"], "C4a": ["2026-01-02"]}
    assert changes("- 2026-02-30 C1: a day that is none\n- 2026-99-99 C1: nor this") == {}


def test_a_row_says_whether_it_is_as_locked() -> None:
    entries = {"C3": {"hash": "quick:aa standard:bb", "date": "2026-01-01", "changes": 0}}
    assert lock_state(entries, "C3", "quick", "aa") == lock_state(entries, "C3", "standard", "bb") == "yes"
    for claim, scale, now in [("C3", "quick", "bb"), ("C3", "smoke", "aa"), ("C4", "quick", "aa")]:
        assert lock_state(entries, claim, scale, now) == "changed"
    ledger = [row | {"locked": "changed" if row["id"] in ("A", "B.1") else "yes"} for row in rows()]
    assert (summarise(ledger)["not_locked"], summarise(ledger)["locked"]) == (["first A"], 5)
    assert "lock:" not in render(rows()), "a table of one's own has no lock"
    assert "lock: 1 claims are not as config/claims.lock has them: first A" in render(ledger)


def test_lock() -> None:
    first = update_lock({}, {"s": {"C3": "aa", "C4": "bb"}}, {"s": ""}, today="2026-01-01")
    assert first["s"]["C3"] == {"hash": "aa", "date": "2026-01-01", "changes": 0}
    assert lock_problems(first, {"s": {"C3": "aa", "C4": "bb"}}, {"s": ""}) == []

    changed = {"s": {"C3": "cc", "C4": "bb"}}
    assert any(
        "C3: changed since 2026-01-01 without a reason" in one for one in lock_problems(first, changed, {"s": ""})
    )
    with pytest.raises(LockError, match=r"add the line `- YYYY-MM-DD C3: why`"):
        update_lock(first, changed, {"s": "- 2026-01-02 C4: another claim"}, today="2026-01-02")
    reason = {"s": "- 2026-01-02 C3: why"}
    assert lock_problems(first, changed, reason) == ["s: claim C3: not as locked on 2026-01-01 (aa, now cc)"], (
        "explained, but the lock is not yet written anew"
    )
    second = update_lock(first, changed, reason, today="2026-01-02")
    assert second["s"] == {
        "C3": {"hash": "cc", "date": "2026-01-02", "changes": 1},
        "C4": {"hash": "bb", "date": "2026-01-01", "changes": 0},
    }
    assert lock_problems(second, changed, reason) == []
    assert any("a line that explained" in one for one in lock_problems(second, changed, {"s": ""}))
    with pytest.raises(LockError, match="C3"):
        update_lock(second, {"s": {"C3": "dd", "C4": "bb"}}, reason, today="2026-01-03")


def test_lock_notices_what_came_and_went() -> None:
    lock = update_lock({}, {"s": {"C3": "aa"}}, {"s": ""}, today="2026-01-01")
    assert lock_problems(lock, {"s": {"C3": "aa", "C4": "bb"}}, {"s": ""}) == ["s: claim C4: not in the lock yet"]
    assert any("it is gone" in one for one in lock_problems(lock, {"s": {}}, {"s": ""}))
    with pytest.raises(LockError, match="C3: changed since"):
        update_lock(lock, {"s": {}}, {"s": ""}, today="2026-01-02")
    assert update_lock(lock, {"s": {}}, {"s": "- 2026-01-02 C3: merged into C2"}, today="2026-01-02") == {}
