"""The engine on planted tables: every verdict, every form of comparison, controls, gates, censoring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dynatlas.claims.checks import parse_claims
from dynatlas.claims.control import control_rules
from dynatlas.claims.decide import Row, decide, decide_all
from dynatlas.claims.tables import ClaimError
from dynatlas.config import SCALES

SPREAD = np.array([-1.0, 1.0, -0.5, 0.5, -0.2, 0.2, -0.9, 0.9])
HALF_WIDTH = float(2.364624251592785 * SPREAD.std(ddof=1) / np.sqrt(8))


def arms(**values: Any) -> pd.DataFrame:
    """One metric; each arm's values, one a seed."""
    rows = [
        {"seed": 100 + place, "metric": "score", "arm": arm, "value": float(value)}
        for arm, sample in values.items()
        for place, value in enumerate(np.broadcast_to(sample, 8))
    ]
    return pd.DataFrame(rows)


def claim(**changes: Any) -> dict[str, Any]:
    base = {"id": "C1", "says": "so it is", "metric": "score", "compare": {"treatment": {"arm": "new"}}}
    return base | changes


def only(rows: list[Row]) -> Row:
    assert len(rows) == 1
    return rows[0]


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
def test_verdict(test: str, margin: float, mean: float, verdict: str, mirrored: bool, pair: bool) -> None:
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
def test_equivalent(mean: float, verdict: str, target: float, sign: int) -> None:
    asked = claim(test="equivalent", margin=0.4, target=target)
    assert only(decide(asked, arms(new=target + sign * mean + NOISE))).verdict == verdict


def test_swapped_arms_flip_or_lose_the_verdict() -> None:
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
def test_without_spread(test: str, margin: float, value: float, verdict: str) -> None:
    row = only(decide(claim(test=test, margin=margin), arms(new=value)))
    assert (row.verdict, row.low, row.high) == (verdict, value, value)
    assert row.p == row.p_sign_flip == (2.0**-8 if verdict == "reproduced" and value != margin else 1.0)


def test_a_sum_of_equal_arms_is_nothing() -> None:
    """Weights leave rounding noise of one sign here, which must not become an effect."""
    rng = np.random.default_rng(0)
    terms = [{"weight": weight, "select": {"arm": "new"}} for weight in (0.1, 0.2, -0.3)]
    for _ in range(20):
        asked = claim(test="greater", margin=0.0, compare={"contrast": terms})
        row = only(decide(asked, arms(new=rng.random(8))))
        assert (row.verdict, row.effect, row.low, row.high) == ("contradicted", 0.0, 0.0, 0.0)


def test_exact_claims_need_one_seed_and_have_no_p() -> None:
    table = arms(new=3).query("seed == 100")
    row = only(decide(claim(test="at_least", margin=2, exact=True), table))
    assert (row.verdict, row.effect, row.p, row.n) == ("reproduced", 3.0, None, 1)


def test_identity_is_about_every_seed_and_condition() -> None:
    table = pd.concat([arms(new=[1, 1, 1, 1, 1, 1, 1, 1 + 3e-9], old=1).assign(size=size) for size in (8, 16)])
    asked = claim(test="identity", compare=PAIR)
    loose, tight = (only(decide(asked | {"tolerance": tolerance}, table)) for tolerance in (1e-8, 1e-9))
    assert (loose.verdict, tight.verdict) == ("reproduced", "contradicted")
    assert loose.effect == loose.low == loose.high == pytest.approx(3e-9)
    assert (loose.p, loose.margin, loose.null) == (None, 1e-8, 0.0)
    value = claim(test="identity", tolerance=1e-8, target=1.0)
    assert only(decide(value, table)).verdict == "reproduced"
    assert only(decide(value | {"target": 2.0}, table)).verdict == "contradicted"


def test_passing_control_takes_a_verdict_away_but_hides_no_contradiction() -> None:
    asked = claim(test="greater", margin=0.2, compare=PAIR) | {
        "control": {"replace": [{"from": {"arm": "new"}, "to": {"arm": "other"}}]}
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


def test_gate() -> None:
    table = pd.concat([arms(new=1 + NOISE), arms(new=0.5 + NOISE).assign(metric="trained")])
    gate = {"metric": "trained", "where": {"arm": "new"}, "at_least": 0.4}
    asked = claim(test="greater", margin=0.0)
    assert only(decide(asked | {"gate": [gate]}, table)).verdict == "reproduced"
    shut = only(decide(asked | {"gate": [gate | {"at_least": dict.fromkeys(SCALES, 0.6)}]}, table))
    assert (shut.verdict, shut.reason) == (
        "inconclusive",
        "gate: mean trained of {'arm': 'new'} is 0.5, not at least 0.6",
    )
    low = {"metric": "trained", "at_most": 0.4}
    assert only(decide(asked | {"gate": [gate, low]}, table)).verdict == "inconclusive"
    worse = arms(new=-1 + NOISE).assign(metric="score")
    contradicted = pd.concat([worse, table[table["metric"] == "trained"]])
    assert only(decide(asked | {"gate": [low]}, contradicted)).verdict == "inconclusive"


def test_not_run_and_reported() -> None:
    later = claim(test="greater", margin={"paper": 0.1}, scales=["paper"], decided_by="paper")
    row = only(decide(later, arms(new=1), scale="quick"))
    assert (row.verdict, row.reason, row.effect) == ("not run", "tested at paper, decided by paper", None)
    assert only(decide(later, arms(new=1), scale="paper")).verdict == "reproduced"
    for changes in ({}, {"test": "greater", "margin": 0.0}):
        row = only(decide(claim(exploratory=True, **changes), arms(new=1 + NOISE)))
        assert (row.verdict, row.effect) == ("reported", pytest.approx(1))
        assert row.low < 1 < row.high


def test_parts_of_an_exploratory_claim_have_no_verdict() -> None:
    rows = decide(counting(exploratory=True), families(dict.fromkeys(NINE, 1.0)))
    assert {row.verdict for row in rows} == {"reported"}
    assert rows[1].effect == pytest.approx(1)


def test_margin_of_the_scale() -> None:
    scales = {"smoke": 0.5, "quick": 0.85, "standard": 0.93, "paper": 0.93}
    found = [only(decide(claim(test="at_least", margin=scales), arms(new=0.9), scale=scale)) for scale in scales]
    assert [row.verdict for row in found] == ["reproduced", "reproduced", "contradicted", "contradicted"]
    assert [row.margin for row in found] == list(scales.values())


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
def test_form(name: str) -> None:
    asked, effect = FORMS[name]
    row = only(decide(asked, grid_table()))
    assert row.effect == pytest.approx(effect, rel=0.01, abs=0.05)
    assert row.n == 6


def test_wrong_pairing_belongs_to_the_seed() -> None:
    """A permuted condition destroys the trend, and one more seed leaves the earlier seeds' permutations."""
    rising = COST | {"id": "C7", "where": {"arm": "old"}, "statistic": {"spearman": {"along": "size"}}, "margin": 0.5}
    asked = rising | {"control": {"permute": "size"}}
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


def test_censored() -> None:
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


NINE = [f"f{place}" for place in range(9)]


def families(shifts: dict[str, float]) -> pd.DataFrame:
    return pd.concat(
        [arms(new=shift + NOISE, old=0, other=0.1 * NOISE).assign(family=name) for name, shift in shifts.items()]
    )


def counting(**changes: Any) -> dict[str, Any]:
    parts = [{"id": name, "where": {"family": name}} for name in NINE]
    rule = {"test": "count_of", "wins": 5, "losses": 2, "part_test": "greater", "margin": 0, "compare": PAIR}
    return claim(**rule, parts=parts) | changes


@pytest.mark.parametrize(
    ("won", "lost", "verdict"),
    [(7, 0, "reproduced"), (7, 2, "reproduced"), (5, 2, "inconclusive"), (6, 3, "contradicted")],
)
def test_count_over_nine_families(won: int, lost: int, verdict: str) -> None:
    shifts = dict(zip(NINE, [1.0] * won + [-1.0] * lost + [0.0] * (9 - won - lost), strict=True))
    top, *parts = decide(counting(), families(shifts))
    assert (top.verdict, top.effect, top.part_of, top.n) == (verdict, None, None, 8)
    assert top.reason.startswith(f"{won} won")
    assert [row.id for row in parts] == [f"C1.{name}" for name in NINE]
    assert {row.part_of for row in parts} == {"C1"}
    assert [row.level for row in parts] == pytest.approx([1 - 0.05 * 5 / 9] * 9)


def test_control_of_a_compound_is_the_whole_rule() -> None:
    control = {"replace": [{"from": {"arm": "new"}, "to": {"arm": "other"}}]}
    top, *parts = decide(counting(control=control), families(dict.fromkeys(NINE, 1.0)))
    assert (top.verdict, top.control_verdict) == ("reproduced", "inconclusive")
    assert all(row.control_verdict is None and row.control_effect == pytest.approx(0, abs=0.05) for row in parts)
    back = {"replace": [{"from": {"arm": "new"}, "to": {"arm": "old"}}, {"from": {"arm": "old"}, "to": {"arm": "new"}}]}
    top, *_ = decide(counting(control=back), families(dict.fromkeys(NINE, 1.0)))
    assert top.control_verdict == "contradicted", "two arms change places at once"


def test_parts_inherit_and_join_conditions() -> None:
    parts = [
        {"id": "a", "where": {"task": "b"}},
        {"id": "b", "where": {"task": "a"}, "margin": 3, "compare": {"treatment": {"arm": "old"}}},
        {"id": "c", "test": "identity", "metric": "cost", "compare": {"treatment": {"arm": "new"}}, "tolerance": 9999},
    ]
    (asked,) = parse_claims([GAIN | {"test": "all_of", "part_test": "greater", "where": {"size": 8},
                                     "compare": {"treatment": {"arm": "new"}}, "parts": parts}])  # fmt: skip
    a, b, c = asked.rules
    assert (a.where, a.margin, a.metric, a.test) == ({"size": 8, "task": "b"}, 0, "gain", "greater")
    assert (b.margin, b.compare.treatment) == (3, {"arm": "old"})
    assert (c.metric, c.margin, c.where) == ("cost", None, {"size": 8})
    top, *below = decide(asked, grid_table())
    assert [round(row.effect) for row in below[:2]] == [17, 8]
    assert top.verdict == "reproduced"
    assert top.p == max(row.p for row in below[:2])


def test_control_forms_change_what_is_read() -> None:
    def terms(**control: Any) -> list[dict[str, Any]]:
        (asked,) = parse_claims([GAIN | {"where": {"task": "a"}, "compare": PAIR, "control": control}])
        return [term.select for term in control_rules(asked)[0].compare.terms]

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


def test_claims_of_several_tables() -> None:
    tables = {"first": arms(new=1 + NOISE), "second": arms(new=-1 + NOISE)}
    claims = parse_claims([claim(id=name, table=name, test="greater", margin=0) for name in tables])
    before = {name: table.copy() for name, table in tables.items()}
    rows = decide_all(claims, tables, study="mine", hashes={"first": "abc"})
    assert [(row.study, row.id, row.verdict) for row in rows] == [
        ("mine", "first", "reproduced"), ("mine", "second", "contradicted")]  # fmt: skip
    assert rows[0].claim_hash == "abc"
    assert all(table.equals(before[name]) for name, table in tables.items())


def test_order_of_rows_does_not_matter() -> None:
    asked = GAIN | {"where": {"arm": "new"}, "reduce": {"task": "mean", "size": "max"}}
    table = grid_table()
    first, second = (only(decide(asked, rows)) for rows in (table, table.iloc[::-1]))
    assert first.effect == pytest.approx(second.effect, rel=1e-14)


def test_where_a_row_was_made_is_no_condition() -> None:
    """A table made in several jobs names them in `experiment`; a mean over families may span them."""
    parts = [
        arms(new=place + NOISE).assign(family=f"f{place}", study="mine", experiment=f"e{place}") for place in (0, 2)
    ]
    asked = claim(test="greater", margin=0.0)
    assert only(decide(asked | {"reduce": {"family": "mean"}}, pd.concat(parts))).effect == pytest.approx(1)
    assert only(decide(asked | {"where": {"experiment": "e2"}}, pd.concat(parts))).effect == pytest.approx(2)
    with pytest.raises(ClaimError, match="more than one row for seed 100"):
        decide(asked, pd.concat([parts[0], parts[0].assign(experiment="again")]))


def test_categories_and_float_conditions() -> None:
    table = pd.concat([arms(new=place + NOISE).assign(noise=0.1 * place, on=place > 1) for place in (1, 2, 3)])
    table = table.assign(arm=table["arm"].astype("category"))
    third = claim(test="at_least", margin=2.5, where={"noise": 0.3})
    assert only(decide(third, table)).verdict == "reproduced"
    assert only(decide(third | {"where": {"on": False}}, table)).effect == pytest.approx(1)
