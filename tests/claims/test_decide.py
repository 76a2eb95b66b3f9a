"""The engine on planted tables: every verdict, every form of comparison, controls, gates, censoring."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dynatlas.claims.decide import decide, decide_all
from dynatlas.claims.tables import ClaimError
from dynatlas.config import SCALES

SPREAD = np.array([-1.0, 1.0, -0.5, 0.5, -0.2, 0.2, -0.9, 0.9])
HALF_WIDTH = float(2.364624251592785 * SPREAD.std(ddof=1) / np.sqrt(8))


PAIR = {"treatment": {"arm": "new"}, "reference": {"arm": "old"}}
NOISE = 0.3 * SPREAD
H = 0.3 * HALF_WIDTH
VERDICTS = [
    ("greater", 0.2, 0.2 + 1.1 * H, "reproduced"),
    ("greater", 0.2, 0.2 + 0.9 * H, "direction"),
    ("greater", 0.2, 1.1 * H, "direction"),
    ("greater", 0.3, 0.9 * H, "inconclusive"),
    ("greater", 1.0, 0.9 * H, "contradicted"),
    ("greater", 1.0, -1.1 * H, "contradicted"),
    ("greater", 0.0, 1.1 * H, "reproduced"),
    ("greater", 0.0, 0.9 * H, "inconclusive"),
    ("greater", 0.0, -1.1 * H, "contradicted"),
    ("greater", -0.1, -0.1 + 1.1 * H, "reproduced"),
    ("greater", -0.1, -0.1 + 0.9 * H, "inconclusive"),
    ("greater", -0.1, -0.1 - 0.9 * H, "inconclusive"),
    ("greater", -0.1, -0.1 - 1.1 * H, "contradicted"),
    ("at_least", 0.7, 0.7 + 1.1 * H, "reproduced"),
    ("at_least", 0.7, 0.7 + 0.9 * H, "inconclusive"),
    ("at_least", 0.7, 0.7 - 1.1 * H, "contradicted"),
]
MIRROR = {"greater": "less", "at_least": "at_most"}


@pytest.mark.parametrize("pair", [True, False])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("test", "margin", "mean", "verdict"), VERDICTS)
def test_verdict(
    test: str, margin: float, mean: float, verdict: str, mirrored: bool, pair: bool, arms, claim, only
) -> None:
    sign = -1 if mirrored else 1
    asked = claim(test=MIRROR[test] if mirrored else test, margin=sign * margin)
    values = {"new": sign * (mean + NOISE)}
    if pair and test == "greater" and mirrored and margin < 0:
        asked["test"] = "at_most"
    if pair:
        asked, values = asked | {"compare": PAIR}, {"new": values["new"] + 5 * SPREAD, "old": 5 * SPREAD}
    row = only(decide(asked, arms(**values)))
    assert row.verdict == verdict
    assert (row.effect, row.low, row.high) == pytest.approx((sign * mean, sign * mean - H, sign * mean + H))
    assert row.n == 8
    assert (row.p < 0.025) == (verdict == "reproduced")


EQUIVALENT = [(0.0, "reproduced"), (0.4 - 1.1 * H, "reproduced"), (0.4 - 0.9 * H, "inconclusive"),
              (0.4 + 0.9 * H, "inconclusive"), (0.4 + 1.1 * H, "contradicted")]  # fmt: skip


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("target", [0.0, 3.0])
@pytest.mark.parametrize(("mean", "verdict"), EQUIVALENT)
def test_equivalent(mean: float, verdict: str, target: float, sign: int, arms, claim, only) -> None:
    asked = claim(test="equivalent", margin=0.4, target=target)
    assert only(decide(asked, arms(new=target + sign * mean + NOISE))).verdict == verdict


def test_swapped_arms_flip_or_lose_the_verdict(arms, claim, only) -> None:
    swapped = {"treatment": {"arm": "old"}, "reference": {"arm": "new"}}
    for margin, after in [(0.0, "contradicted"), (0.4, "contradicted"), (-0.1, "contradicted"), (-2.0, "reproduced")]:
        table = arms(new=1 + NOISE, old=2 * NOISE)
        asked = claim(test="greater", margin=margin)
        assert only(decide(asked | {"compare": PAIR}, table)).verdict == "reproduced"
        assert only(decide(asked | {"compare": swapped}, table)).verdict == after


@pytest.mark.parametrize(
    ("test", "margin", "value", "verdict"),
    [
        ("greater", 0.0, 0.1, "reproduced"),
        ("greater", 0.0, 0.0, "contradicted"),
        ("greater", 0.2, 0.1, "direction"),
        ("less", -0.2, -0.3, "reproduced"),
        ("less", 0.0, 0.1, "contradicted"),
        ("at_least", 0.7, 0.7, "reproduced"),
        ("at_most", 0.7, 0.7, "reproduced"),
        ("equivalent", 0.1, 0.1, "reproduced"),
        ("equivalent", 0.1, 0.2, "contradicted"),
    ],
)
def test_without_spread(test: str, margin: float, value: float, verdict: str, arms, claim, only) -> None:
    row = only(decide(claim(test=test, margin=margin), arms(new=value)))
    assert (row.verdict, row.low, row.high) == (verdict, value, value)
    assert row.p == row.p_sign_flip == (2.0**-8 if verdict == "reproduced" and value != margin else 1.0)


def test_a_sum_of_equal_arms_is_nothing(arms, claim, only) -> None:
    """Weights leave rounding noise of one sign here, which must not become an effect."""
    rng = np.random.default_rng(0)
    terms = [{"weight": weight, "select": {"arm": "new"}} for weight in (0.1, 0.2, -0.3)]
    for _ in range(20):
        asked = claim(test="greater", margin=0.0, compare={"contrast": terms})
        row = only(decide(asked, arms(new=rng.random(8))))
        assert (row.verdict, row.effect, row.low, row.high) == ("contradicted", 0.0, 0.0, 0.0)


def test_exact_claims_need_one_seed_and_have_no_p(arms, claim, only) -> None:
    table = arms(new=3).query("seed == 100")
    row = only(decide(claim(test="at_least", margin=2, exact=True), table))
    assert (row.verdict, row.effect, row.p, row.n) == ("reproduced", 3.0, None, 1)


def test_identity_is_about_every_seed_and_condition(arms, claim, only) -> None:
    table = pd.concat([arms(new=[1, 1, 1, 1, 1, 1, 1, 1 + 3e-9], old=1).assign(size=size) for size in (8, 16)])
    asked = claim(test="identity", compare=PAIR)
    loose, tight = (only(decide(asked | {"tolerance": tolerance}, table)) for tolerance in (1e-8, 1e-9))
    assert (loose.verdict, tight.verdict) == ("reproduced", "contradicted")
    assert loose.effect == loose.low == loose.high == pytest.approx(3e-9)
    assert (loose.p, loose.margin, loose.null) == (None, 1e-8, 0.0)
    value = claim(test="identity", tolerance=1e-8, target=1.0)
    assert only(decide(value, table)).verdict == "reproduced"
    assert only(decide(value | {"target": 2.0}, table)).verdict == "contradicted"


def test_passing_control_takes_a_verdict_away_but_hides_no_contradiction(arms, claim, only) -> None:
    asked = claim(test="greater", margin=0.2, compare=PAIR) | {
        "controls": [{"replace": [{"from": {"arm": "new"}, "to": {"arm": "other"}}]}]
    }
    for new, other, verdict in [(1, 0, "reproduced"), (1, 1, "inconclusive"), (-1, 1, "contradicted")]:
        row = only(decide(asked, arms(new=new + NOISE, other=other + 0.9 * NOISE, old=NOISE)))
        assert row.verdict == verdict
        assert row.control_verdict == {0: "contradicted", 1: "reproduced"}[other]
        assert (row.control_low + row.control_high) / 2 == pytest.approx(row.control_effect) == pytest.approx(other)
    direction = asked | {"margin": 1.2}
    row = only(decide(direction, arms(new=1 + NOISE, other=2, old=0)))
    assert row.verdict == "inconclusive"
    assert "control" in row.reason


def test_none_of_several_controls_may_pass(arms, claim, only) -> None:
    swaps = [{"says": name, "replace": [{"from": {"arm": "new"}, "to": {"arm": name}}]} for name in ("easy", "hard")]
    asked = claim(test="greater", margin=0.2, compare=PAIR, controls=swaps)
    for easy, hard, verdict, passed in [(0, 0, "reproduced", 0), (0, 1, "inconclusive", 1), (1, 0, "inconclusive", 1)]:
        row = only(decide(asked, arms(new=1 + NOISE, easy=easy + 0.9 * NOISE, hard=hard + 0.9 * NOISE, old=NOISE)))
        assert (row.verdict, row.controls, row.controls_passed, row.controls_by_chance) == (verdict, 2, passed, 2)
        assert row.control == ("hard" if hard else "easy"), "the one that came out is shown"
        assert row.control_effect == pytest.approx(max(easy, hard))
        assert all(f"{name}: " in row.control_reason for name in ("easy", "hard"))
    assert "1 of its 2 controls" in row.reason
    reported = only(decide(asked | {"exploratory": True}, arms(new=1 + NOISE, easy=NOISE, hard=NOISE, old=0.9 * NOISE)))
    assert (reported.controls, reported.controls_by_chance) == (2, 0), "what is only reported cannot pass"


def test_gate(arms, claim, only) -> None:
    table = pd.concat([arms(new=1 + NOISE), arms(new=0.5 + NOISE).assign(metric="trained")])
    gate = {"metric": "trained", "where": {"arm": "new"}, "at_least": 0.4}
    asked = claim(test="greater", margin=0.0)
    assert only(decide(asked | {"gate": [gate]}, table)).verdict == "reproduced"
    shut = only(decide(asked | {"gate": [gate | {"at_least": dict.fromkeys(SCALES, 0.6)}]}, table))
    assert (shut.verdict, shut.reason) == (
        "inconclusive",
        "gate: mean trained of arm: new is 0.5, not at least 0.6",
    )
    low = {"metric": "trained", "at_most": 0.4}
    assert only(decide(asked | {"gate": [gate, low]}, table)).verdict == "inconclusive"
    worse = arms(new=-1 + NOISE).assign(metric="score")
    contradicted = pd.concat([worse, table[table["metric"] == "trained"]])
    assert only(decide(asked | {"gate": [low]}, contradicted)).verdict == "inconclusive"


def test_not_run_and_reported(arms, claim, only) -> None:
    later = claim(test="greater", margin={"paper": 0.1}, scales=["paper"], decided_by="paper")
    row = only(decide(later, arms(new=1), scale="quick"))
    assert (row.verdict, row.reason, row.effect) == ("not run", "tested at paper, decided by paper", None)
    assert only(decide(later, arms(new=1), scale="paper")).verdict == "reproduced"
    for changes in ({}, {"test": "greater", "margin": 0.0}):
        row = only(decide(claim(exploratory=True, **changes), arms(new=1 + NOISE)))
        assert (row.verdict, row.effect) == ("reported", pytest.approx(1))
        assert row.low < 1 < row.high


def test_margin_of_the_scale(arms, claim, only) -> None:
    scales = {"smoke": 0.5, "quick": 0.85, "standard": 0.93, "paper": 0.93}
    found = [only(decide(claim(test="at_least", margin=scales), arms(new=0.9), scale=scale)) for scale in scales]
    assert [row.verdict for row in found] == ["reproduced", "reproduced", "contradicted", "contradicted"]
    assert [row.margin for row in found] == list(scales.values())


def test_censored(arms, claim, only) -> None:
    frame = pd.concat([arms(new=10 + NOISE, old=1000 + NOISE), arms(new=2000, old=3000).assign(metric="budget")])
    never = (frame["arm"] == "old") & (frame["seed"] > 104) & (frame["metric"] == "score")
    frame = frame.assign(value=frame["value"].mask(never, np.inf))
    asked = claim(test="less", margin=-1, transform="log10", compare=PAIR)
    for censored, counted in [({"value": 2500}, 2500), ({"metric": "budget"}, 3000)]:
        row = only(decide(asked | {"censored": censored}, frame))
        old = np.where(np.arange(8) > 4, counted, 1000 + NOISE)
        assert row.effect == pytest.approx(np.mean(np.log10((10 + NOISE) / old)))
        assert row.verdict == "reproduced"
    swapped = asked | {"compare": {"treatment": {"arm": "old"}, "reference": {"arm": "new"}}}
    row = only(decide(swapped | {"censored": {"metric": "budget"}}, frame))
    assert (row.verdict, row.p) == ("contradicted", 1.0)
    assert "seed 105, 106, 107" in row.reason
    assert row.to_dict()["effect"] is None
    finding = swapped | {"test": "at_least", "censored": {"value": 4000, "treatment": "value"}, "margin": 1}
    assert only(decide(finding, frame)).verdict == "reproduced"


def test_a_value_that_is_not_finite_leaves_undecided_only_what_says_so(arms, claim, only) -> None:
    """It names seed and condition, whichever side, control or gate it is on; the step of the study goes on."""
    frame = arms(new=1 + NOISE, old=0, other=0.1 * NOISE)
    pair = {"treatment": {"arm": "new"}, "reference": {"arm": "old"}}
    swap = {"replace": [{"from": {"arm": "new"}, "to": {"arm": "other"}}]}
    gate = {"metric": "score", "where": {"arm": "other"}, "at_least": -1}
    asked = claim(test="greater", margin=0, compare=pair, controls=[swap], gate=[gate])
    undecided = asked | {"censored": {"undecided": True}}
    assert only(decide(undecided, frame)).verdict == "reproduced"
    for arm, which in {"new": "undecided", "old": "undecided", "other": "gate"}.items():
        lost = frame.assign(value=frame["value"].mask((frame["arm"] == arm) & (frame["seed"] == 103), np.inf))
        row = only(decide(undecided, lost))
        assert (row.verdict, row.reason) == (
            "inconclusive",
            f"{which}: a non-finite value: seed 103 of {{arm: {arm}}}",
        )
        with pytest.raises(ClaimError, match="seed 103"):
            decide(asked, lost)
        reported = only(decide(undecided | {"exploratory": True}, lost)).to_dict()
        assert reported["verdict"] == "reported"
        assert (reported["effect"] is None) == (arm != "other")
    ungated = undecided | {"gate": []}
    lost = frame.assign(value=frame["value"].mask((frame["arm"] == "other") & (frame["seed"] == 103), -np.inf))
    row = only(decide(ungated, lost))
    assert (row.verdict, row.control_verdict) == ("inconclusive", "inconclusive")
    assert "a control is undecided (a non-finite value: seed 103" in row.reason


def test_an_undecided_part_is_open(arms, claim) -> None:
    frame = arms(new=1 + NOISE, lost=np.where(np.arange(8) == 2, np.inf, 1.0), low=-1 + NOISE)
    names = {"new": "reproduced", "lost": "inconclusive", "low": "contradicted"}

    def verdict(test: str, *arms_: str, **rest: object) -> str:
        parts = [{"id": one, "compare": {"treatment": {"arm": one}}} for one in arms_]
        base = claim(test=test, part_test="greater", margin=0, censored={"undecided": True}, parts=parts)
        top, *rows = decide(base | rest, frame)
        assert [row.verdict for row in rows] == [names[one] for one in arms_]
        return top.verdict

    assert verdict("all_of", "new", "lost") == "inconclusive"
    assert verdict("all_of", "low", "lost") == "contradicted"
    assert verdict("any_of", "new", "lost") == "reproduced"
    assert verdict("any_of", "low", "lost") == "inconclusive"
    assert verdict("count_of", "new", "lost", "low", wins=1) == "reproduced"
    assert verdict("count_of", "new", "lost", "low", wins=2) == "inconclusive"
    assert verdict("count_of", "new", "lost", "low", wins=3) == "contradicted"


def test_claims_of_several_tables(arms, claim) -> None:
    tables = {"first": arms(new=1 + NOISE), "second": arms(new=-1 + NOISE)}
    claims = [claim(id=name, table=name, test="greater", margin=0) for name in tables]
    before = {name: table.copy() for name, table in tables.items()}
    rows = decide_all(claims, tables, study="mine")
    assert [(row.study, row.id, row.verdict) for row in rows] == [
        ("mine", "first", "reproduced"), ("mine", "second", "contradicted")]  # fmt: skip
    assert all(table.equals(before[name]) for name, table in tables.items())


def test_where_a_row_was_made_is_no_condition(arms, claim, only) -> None:
    """A table made in several jobs names them in `experiment`; a mean over families may span them."""
    parts = [
        arms(new=place + NOISE).assign(family=f"f{place}", study="mine", experiment=f"e{place}") for place in (0, 2)
    ]
    asked = claim(test="greater", margin=0.0)
    assert only(decide(asked | {"reduce": {"family": "mean"}}, pd.concat(parts))).effect == pytest.approx(1)
    assert only(decide(asked | {"where": {"experiment": "e2"}}, pd.concat(parts))).effect == pytest.approx(2)
    with pytest.raises(ClaimError, match="more than one row for seed 100"):
        decide(asked, pd.concat([parts[0], parts[0].assign(experiment="again")]))


def test_categories_and_float_conditions(arms, claim, only) -> None:
    table = pd.concat([arms(new=place + NOISE).assign(noise=0.1 * place, on=place > 1) for place in (1, 2, 3)])
    table = table.assign(arm=table["arm"].astype("category"))
    third = claim(test="at_least", margin=2.5, where={"noise": 0.3})
    for kind in ("float64", "float32", "Float32", "category"):
        assert only(decide(third, table.astype({"noise": kind}))).verdict == "reproduced", kind
    with pytest.raises(ClaimError, match=r"noise: 0\.31 does not occur"):
        decide(third | {"where": {"noise": 0.31}}, table.astype({"noise": "float32"}))
    assert only(decide(third, table.assign(seed=table["seed"].astype(float)))).verdict == "reproduced"
    assert only(decide(third | {"where": {"on": False}}, table)).effect == pytest.approx(1)
