"""No spread beyond rounding: equal seeds, constant metrics, what a verdict rests on, and controls that cannot pass."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dynatlas.claims.checks import check_claims, parse_claims
from dynatlas.claims.decide import decide
from dynatlas.claims.ledger import join_rows, render, summarise
from dynatlas.config import ConfigError
from dynatlas.spread import levelled, no_spread, rounding
from dynatlas.statistics import icc, slope, spearman

PAIR = {"treatment": {"arm": "new"}, "reference": {"arm": "old"}}
NOISE = np.array([-1.0, 1.0, -0.5, 0.5, -0.2, 0.2, -0.9, 0.9])


def of_seeds(**arms: list[float]) -> pd.DataFrame:
    rows = [
        {"seed": seed, "metric": "score", "arm": arm, "value": value}
        for arm, values in arms.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_rounding_is_no_spread_and_more_is() -> None:
    same = np.array([0.3 - 0.1, 0.4 - 0.2, 0.5 - 0.3])
    assert np.ptp(same) > 0
    assert no_spread(same)
    assert not no_spread([0.2, 0.2, 0.2 + 1e-12])
    assert not no_spread([0.2, 0.2, np.inf])
    assert no_spread([1e9 + 0.1 - 1e9, 0.1], error=rounding([1e9, 1e9]))
    assert np.array_equal(no_spread([[1.0, 2.0], [3.0, 3.0]]), [False, True])
    assert np.unique(levelled(same)).size == 1
    assert np.array_equal(levelled([1.0, 2.0]), [1.0, 2.0])


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_equal_differences_have_the_p_of_equal_differences(kind, claim, only) -> None:
    """[.3, .4, .5] - [.1, .2, .3] is .2 in every seed but for rounding, in whatever type the table holds them."""
    table = of_seeds(new=[0.3, 0.4, 0.5], old=[0.1, 0.2, 0.3]).astype({"value": kind})
    row = only(decide(claim(test="greater", margin=0.0, compare=PAIR), table))
    assert (row.low, row.high) == (row.effect, row.effect)
    assert (row.p, row.p_sign_flip) == (2.0**-3, 2.0**-3)
    at_margin = only(decide(claim(test="at_least", margin=0.2, compare=PAIR, exact=True), table))
    assert (at_margin.verdict, at_margin.effect) == ("reproduced", 0.2)


def test_equal_seeds_succeed_by_their_own_p_or_as_exact(arms, claim, only) -> None:
    for seeds, verdict in [(3, "inconclusive"), (5, "inconclusive"), (6, "reproduced")]:
        table = arms(new=0.2).query(f"seed < {100 + seeds}")
        row = only(decide(claim(test="greater", margin=0.1), table))
        assert (row.verdict, row.p) == (verdict, 2.0**-seeds)
        assert ("few seeds" in row.reason) == (verdict == "inconclusive")
        assert only(decide(claim(test="greater", margin=0.1, exact=True), table)).verdict == "reproduced"
        assert only(decide(claim(test="greater", margin=0.3), table)).verdict != "direction" or seeds == 6
        assert only(decide(claim(test="less", margin=0), table)).verdict == "contradicted"


def test_a_part_without_spread_in_few_seeds_is_open(arms, claim) -> None:
    parts = [{"id": name, "where": {"arm": name}} for name in ("new", "old")]
    asked = claim(test="count_of", wins=2, part_test="greater", margin=0, parts=parts, compare={"treatment": {}})
    for seeds, verdict in [(4, "inconclusive"), (8, "reproduced")]:
        table = arms(new=0.2, old=0.1).query(f"seed < {100 + seeds}")
        assert decide(asked, table)[0].verdict == verdict


def test_slope_of_a_constant_is_nothing(arms, claim, only) -> None:
    constant = [arms(new=0.1 + NOISE).assign(width=width) for width in (1, 2, 4, 8, 16)]
    asked = claim(statistic={"slope": {"along": "width", "scale": "log2"}}, test="less", margin=0)
    row = only(decide(asked, pd.concat(constant)))
    assert (row.verdict, row.effect, row.low, row.high) == ("contradicted", 0.0, 0.0, 0.0)
    jitter = [frame.assign(value=frame["value"] + place * 1e-17) for place, frame in enumerate(constant)]
    assert only(decide(asked, pd.concat(jitter))).effect == 0.0


def test_statistics_of_what_is_constant_but_for_rounding() -> None:
    x = np.array([1.0, 2.0, 3.0])
    same = np.array([0.1 + 0.2, 0.3, 0.3])
    assert slope(x, same) == 0.0
    assert np.isnan(slope(same, x))
    assert np.isnan(spearman(x, same))
    assert np.isnan(icc(np.array([0.0, 0.0, 1.0]), same))
    assert slope(x, 1e6 + 3 * x) == pytest.approx(3, rel=1e-9), "centred: a large mean takes no digits"


def test_without_spread_it_is_no_experiment(arms, claim, only) -> None:
    asked = claim(test="greater", margin=0.1)
    assert only(decide(asked, arms(new=0.2 + 0.01 * NOISE))).rests_on == "experiment"
    assert only(decide(asked, arms(new=0.2))).rests_on == "construction"
    assert only(decide(asked | {"rests_on": "arithmetic"}, arms(new=0.2 + 0.01 * NOISE))).rests_on == "arithmetic"


def test_a_rank_correlation_of_one_in_all_seeds_is_an_experiment(arms, claim, only) -> None:
    widths = [arms(new=width + 0.1 * NOISE).assign(width=width) for width in (1, 2, 4, 8)]
    fixed = [arms(new=width).assign(width=width) for width in (1, 2, 4, 8)]
    asked = claim(statistic={"spearman": {"along": "width"}}, test="at_least", margin=0.5)
    for tables, rests_on in ((widths, "experiment"), (fixed, "construction")):
        row = only(decide(asked, pd.concat(tables)))
        assert (row.effect, row.low, row.high, row.rests_on) == (1.0, 1.0, 1.0, rests_on)


def test_parts_rest_on_what_they_say_and_a_claim_on_more_than_one_of_them(arms, claim) -> None:
    parts = [
        {"id": "counted", "where": {"arm": "old"}, "rests_on": "arithmetic"},
        {"id": "measured", "where": {"arm": "new"}},
    ]
    asked = claim(test="all_of", part_test="greater", margin=0, parts=parts, compare={"treatment": {}})
    rows = decide(asked | {"rests_on": "experiment"}, arms(new=1 + 0.1 * NOISE, old=1))
    assert [row.rests_on for row in rows] == ["experiment", "arithmetic", "experiment"]


def test_every_claim_of_a_study_says_what_it_rests_on() -> None:
    claim = {"id": "C1", "says": "so", "table": "t", "metric": "m", "test": "greater", "margin": 0}
    with pytest.raises(ConfigError, match=r"rests_on: this key is missing .allowed: arithmetic, construction, exp"):
        check_claims(parse_claims([claim]), {"t": ["m"]})
    with pytest.raises(ConfigError, match="rests_on"):
        parse_claims([claim | {"rests_on": "luck"}])


def test_a_control_that_cannot_pass_is_fixed_and_no_chance(arms, claim) -> None:
    table = arms(new=1 + 0.1 * NOISE, zero=0.0, one=1.0, noise=0.1 * NOISE, old=1 + 0.1 * NOISE)

    def controlled(name: str) -> dict[str, object]:
        swap = {"replace": [{"from": {"arm": "new"}, "to": {"arm": name}}]}
        return claim(id=name, test="greater", margin=0.5, controls=[swap])

    rows = join_rows(decide(controlled(name), table)[0].to_dict() for name in ("zero", "one", "noise"))
    assert [row["control_fixed"] for row in rows] == [True, True, False]
    assert [row["verdict"] for row in rows] == ["reproduced", "inconclusive", "reproduced"]
    counts = summarise(rows)
    assert (counts["controls"], counts["controls_fixed"], counts["controls_by_chance"]) == (3, 2, 1 / 40)
    assert "contradicted (fixed) 0" in render(rows)


@pytest.mark.parametrize(
    ("test", "wins", "fixed"), [("all_of", None, True), ("any_of", None, False), ("count_of", 1, False)]
)
def test_a_compound_control_is_fixed_where_no_draw_could_let_it_pass(test, wins, fixed, arms, claim) -> None:
    parts = [{"id": name, "where": {"arm": name}} for name in ("new", "old")]
    swaps = [{"from": {"arm": "new"}, "to": {"arm": "zero"}}, {"from": {"arm": "old"}, "to": {"arm": "noise"}}]
    asked = claim(
        test=test,
        part_test="greater",
        margin=0.5,
        parts=parts,
        compare={"treatment": {}},
        controls=[{"replace": swaps}],
    )
    table = arms(new=1 + 0.1 * NOISE, old=1 + 0.1 * NOISE, zero=0.0, noise=0.1 * NOISE)
    row, first, second = decide(asked | ({"wins": wins} if wins else {}), table)
    assert (row.control_fixed, row.controls_by_chance) == (fixed, 0 if fixed else 1)
    assert (first.control_fixed, second.control_fixed) == (True, False)


def as_objects(values: pd.Series) -> pd.Series:
    return pd.Series([np.float32(one) for one in values], dtype=object)


@pytest.mark.parametrize("kept", ["float32", "Float32", "float32[pyarrow]", as_objects])
def test_rounding_is_that_of_the_type_however_pandas_wraps_it(kept: object) -> None:
    frame = of_seeds(new=[0.3, 0.4, 0.5], old=[0.1, 0.2, 0.3])
    values = frame["value"].astype("float32")
    frame["value"] = kept(values) if callable(kept) else values.astype(str(kept))
    rules = {"id": "C", "says": "s", "metric": "score", "compare": PAIR, "test": "greater", "margin": 0.0}
    found = decide(rules, frame)[0]
    assert (found.verdict, found.p) == ("inconclusive", 0.125)


@pytest.mark.parametrize(
    "wrong", [[1j, 2j, 1 + 0j, 0j], ["1", "2", "0", "1"], pd.array(["1", "2", "0", "1"], "string")]
)
def test_values_that_are_no_real_numbers_are_refused(wrong: object) -> None:
    frame = of_seeds(new=[1.0, 2.0], old=[0.0, 1.0]).assign(value=wrong)
    rules = {"id": "C", "says": "s", "metric": "score", "compare": PAIR, "test": "greater", "margin": 0.0}
    with pytest.raises(ValueError, match=r"value: .* holds what is no real number"):
        decide(rules, frame)


def test_no_seeds_are_not_all_seeds() -> None:
    rules = {"id": "C", "says": "s", "metric": "score", "compare": PAIR, "test": "greater", "margin": 0.0}
    with pytest.raises(ValueError, match="seeds: none is given"):
        decide(rules, of_seeds(new=[1.0, 2.0], old=[0.0, 1.0]), seeds=[])
