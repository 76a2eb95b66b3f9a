"""Every claim of every study can come out either way: decided by the engine on tables in which it holds, or does not.

Tables are planted with the columns, values and ranges that the study declares (tests/support/planting.py); what must
come out is said in words of its own, and not by the engine's (tests/support/planted_claims.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from planted_claims import Schemas, State, plant, states_of, verdict_of, verdict_of_all

from dynatlas.atlas import Atlas
from dynatlas.claims import decide as engine
from dynatlas.claims import evaluate, verdicts
from dynatlas.claims.checks import parse_claims
from dynatlas.claims.decide import Row, decide
from dynatlas.claims.resolve import resolve
from dynatlas.claims.rules import ResolvedClaim, Rule
from dynatlas.columns import schemas_of
from dynatlas.config import read_yaml
from dynatlas.places import claims_path
from dynatlas.table_schema import TableSchema

ADD_NOTHING = {
    "dimensionality C3": "an untrained network minus itself is 0, whatever it learns",
    "dimensionality C4b": "what is balanced and compressed without noise is not unbalanced and wide without noise",
    "rnn-geometry C2": "a gap at T needs a readout that has not learned, and then the gate is shut",
    "rnn-geometry C3": "the probe would have to fall by as much as it must stay the same",
}
"""Claims whose first control contradicts them: whenever they hold it fails, so that it adds nothing to them."""


def cases() -> Iterator[tuple[str, ResolvedClaim, Schemas]]:
    atlas = Atlas()
    for study, spec in atlas.studies.items():
        for claim in parse_claims(read_yaml(claims_path(atlas.root, spec))):
            usual = "quick" if "quick" in claim.scales else claim.scales[0]
            scale = claim.decided_by or usual
            yield study, resolve(claim, scale), schemas_of(spec, scale)


CASES = {f"{study} {claim.id}": (study, claim, schemas) for study, claim, schemas in cases()}
TESTED = [name for name, (_, claim, _) in CASES.items() if not claim.exploratory]
GATED = [name for name in TESTED if CASES[name][1].gates]
CONTROLLED = [(name, place) for name in TESTED for place in range(len(CASES[name][1].controls))]


def all_hold(claim: ResolvedClaim) -> list[State]:
    return ["holds"] * len(claim.rules)


def decided(study: str, claim: ResolvedClaim, tables: dict[str, Any]) -> tuple[Row, list[Row]]:
    """The row of the claim, and those of its rules."""
    top, *below = decide(claim, tables, study=study)
    return top, [row for row in below if row.test != "all_of"] or [top]


def check_that_it_holds(study: str, claim: ResolvedClaim, schemas: Schemas) -> None:
    tables = plant(claim, schemas, all_hold(claim))
    assert tables is not None, "no tables of these columns, values and ranges have what it claims"
    top, rules = decided(study, claim, tables)
    assert top.verdict == "reproduced", top.reason
    assert {row.verdict for row in rules} == {"reproduced"}
    assert (top.controls, top.controls_passed) == (len(claim.controls), 0), top.control_reason


def check_in_states(study: str, claim: ResolvedClaim, schemas: Schemas, states: Sequence[State]) -> bool:
    """Is the verdict what it must be? False where the states contradict each other."""
    bare = replace(claim, controls=(), gates=())
    tables = plant(bare, schemas, states)
    if tables is None:
        return False
    top, rules = decided(study, bare, tables)
    wanted = [verdict_of(rule, state) for rule, state in zip(claim.rules, states, strict=True)]
    assert [row.verdict for row in rules] == wanted, states
    assert top.verdict == verdict_of_all(claim, states), (states, top.reason)
    return True


def check_all_states(study: str, claim: ResolvedClaim, schemas: Schemas) -> dict[tuple[State, ...], bool]:
    return {states: check_in_states(study, claim, schemas, states) for states in combinations(claim)}


def check_shut_gate(study: str, claim: ResolvedClaim, schemas: Schemas, place: int) -> None:
    bare = replace(claim, controls=())
    tables = plant(bare, schemas, all_hold(claim), shut=place)
    assert tables is not None
    top, _ = decided(study, bare, tables)
    assert top.verdict == "inconclusive"
    assert top.reason.startswith(f"gate: mean {claim.gates[place].rule.metric}")


def check_passing_control(study: str, claim: ResolvedClaim, schemas: Schemas, place: int) -> bool:
    """Does a control that comes out take the claim away? False where both cannot be."""
    tables = plant(claim, schemas, all_hold(claim), passes=place)
    if tables is None:
        return False
    top, rules = decided(study, claim, tables)
    assert {row.verdict for row in rules if row is not top} <= {"reproduced"}
    assert (top.verdict, top.control_verdict, top.controls_passed) == ("inconclusive", "reproduced", 1)
    return True


@pytest.mark.parametrize("name", TESTED)
def test_it_comes_out_where_it_holds_and_its_controls_do_not(name: str) -> None:
    check_that_it_holds(*CASES[name])


def combinations(claim: ResolvedClaim) -> Iterator[tuple[State, ...]]:
    """States of a claim's rules: all of one or two; of more all alike, each one failing, and of a count its limits."""
    options = [states_of(rule) for rule in claim.rules]
    count, hold = len(options), all_hold(claim)
    if count <= 2:
        yield from product(*([state for state in states if count < 2 or state != "little"] for states in options))
        return
    for state in ("opposite", "edge", "little"):
        yield tuple(state if state in states else "holds" for states in options)
    if claim.head.test != "count_of":
        yield from ((*hold[:place], "opposite", *hold[place + 1 :]) for place in range(count))
        return
    wins, losses = claim.wins or 1, count if claim.losses is None else claim.losses
    for won in dict.fromkeys((wins, wins - 1, count - losses, count - losses - 1)):
        if 0 <= won <= count:
            yield ("holds",) * won + ("opposite",) * (count - won)
            yield ("holds",) * won + ("edge",) * (count - won)


@pytest.mark.parametrize("name", TESTED)
def test_its_verdict_is_that_of_its_parts_whatever_these_are(name: str) -> None:
    found = check_all_states(*CASES[name])
    for place, rule in enumerate(CASES[name][1].rules):
        assert any(made and states[place] == "opposite" for states, made in found.items()), f"{rule.id} cannot fail"


def exchanged(rule: Rule, tables: dict[str, Any]) -> dict[str, Any]:
    """The tables with the values of a rule's two arms in each other's place."""
    frame = tables[str(rule.table)].copy()
    sides = []
    for term in rule.terms:
        here = np.ones(len(frame), dtype=bool)
        for column, value in rule.selects(term).items():
            here &= frame[column].isin(value if isinstance(value, list) else [value])
        sides.append(frame.index[here])
    assert len(sides[0]) == len(sides[1])
    values = frame["value"].to_numpy(copy=True)
    values[sides[0]], values[sides[1]] = values[sides[1]].copy(), values[sides[0]].copy()
    return tables | {str(rule.table): frame.assign(value=values)}


PAIRED = [(name, at) for name in TESTED for at, rule in enumerate(CASES[name][1].rules) if len(rule.terms) == 2]


@pytest.mark.parametrize(("name", "at"), PAIRED)
def test_exchanged_arms_say_the_opposite(name: str, at: int) -> None:
    study, claim, schemas = CASES[name]
    rule = claim.rules[at]
    alone = replace(claim, head=rule, asked=(rule,), controls=(), gates=())
    tables = plant(alone, schemas, ["holds"])
    assert tables is not None
    (row,) = decide(alone, exchanged(rule, tables), study=study)
    equal = rule.test in ("equivalent", "identity")
    assert row.verdict == ("reproduced" if equal else "contradicted")


@pytest.mark.parametrize("name", GATED)
def test_where_a_gate_is_shut_nothing_is_decided(name: str) -> None:
    study, claim, schemas = CASES[name]
    for place in range(len(claim.gates)):
        check_shut_gate(study, claim, schemas, place)


@pytest.mark.parametrize(("name", "place"), CONTROLLED)
def test_a_control_that_comes_out_takes_it_away(name: str, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    study, claim, schemas = CASES[name]
    if claim.controls[place].declared.permute:
        monkeypatch.setattr(engine.Job, "rng", lambda *named: Unmoved())
    possible = check_passing_control(study, claim, schemas, place)
    assert possible != (place == 0 and name in ADD_NOTHING), "see ADD_NOTHING"


class Unmoved:
    """A stream whose permutation leaves everything in its place: what it pairs is then paired rightly."""

    def permutation(self, n: int) -> np.ndarray:
        return np.arange(n)


CENSORED = [(name, at) for name in TESTED for at, rule in enumerate(CASES[name][1].rules) if rule.censored]


@pytest.mark.parametrize(("name", "at"), CENSORED)
def test_a_criterion_never_reached_contradicts_a_treatment_and_is_a_budget_of_a_reference(name: str, at: int) -> None:
    study, claim, schemas = CASES[name]
    rule = claim.rules[at]
    assert rule.censored is not None
    alone = replace(claim, head=rule, asked=(rule,), controls=(), gates=())
    tables = plant(alone, schemas, ["holds"])
    assert tables is not None
    frame = tables[str(rule.table)]
    budget = frame.assign(metric=rule.censored.metric)
    for term, wanted in zip(rule.terms, ("contradicted", "reproduced"), strict=False):
        here = frame["seed"] == 103
        for column, value in rule.selects(term).items():
            here &= frame[column] == value
        never = frame.assign(value=frame["value"].mask(here, np.inf))
        (row,) = decide(alone, tables | {str(rule.table): pd.concat([never, budget])}, study=study)
        assert row.verdict == wanted


@pytest.mark.parametrize("name", [name for name in CASES if name not in TESTED])
def test_what_is_only_reported_has_no_verdict(name: str) -> None:
    study, claim, schemas = CASES[name]
    tables = plant(claim, schemas, all_hold(claim))
    assert tables is not None
    assert {row.verdict for row in decide(claim, tables, study=study)} == {"reported"}


# ---------------------------------------------------------------- can the suite fail?

GREATER, WINS, LOSSES = "rnn-geometry C5", "adaptive-activation C6", "task-primitives C4a"


def test_a_margin_of_the_wrong_sign_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    greater = verdicts.HYPOTHESES["greater"]
    monkeypatch.setitem(verdicts.HYPOTHESES, "greater", lambda margin, target: greater(-margin, target))
    with pytest.raises(AssertionError):
        check_all_states(*CASES[GREATER])


def test_a_gate_that_is_ignored_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "closed_gate", lambda claim, source: "")
    with pytest.raises(AssertionError):
        check_shut_gate(*CASES[GREATER], 0)


def test_a_control_that_is_ignored_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    final = evaluate.final_verdict
    ignored = lambda claim, own, gate, controls: final(claim, own, gate=gate, controls=[])  # noqa: E731
    monkeypatch.setattr(engine, "final_verdict", ignored)
    with pytest.raises(AssertionError):
        check_passing_control(*CASES[GREATER], 0)


@pytest.mark.parametrize(("name", "wins", "losses"), [(WINS, 1, 0), (WINS, -1, 0), (LOSSES, 0, 1), (LOSSES, 0, -1)])
def test_another_count_would_be_noticed(name: str, wins: int, losses: int, monkeypatch: pytest.MonkeyPatch) -> None:
    count = evaluate.count_of

    def miscounted(parts: Any, least: int, most: int | None) -> Any:
        return count(parts, least + wins, None if most is None else most + losses)

    monkeypatch.setattr(evaluate, "count_of", miscounted)
    with pytest.raises(AssertionError):
        check_all_states(*CASES[name])


def test_a_column_metric_or_value_that_the_table_lacks_is_noticed() -> None:
    study, claim, schemas = CASES[GREATER]
    table = str(claim.head.table)
    columns, metrics = dict(schemas[table].columns), dict(schemas[table].metrics)
    lacking = {
        "column": replace(schemas[table], columns={k: v for k, v in columns.items() if k != "reader"}),
        "value": replace(schemas[table], columns=columns | {"time": [0, 1]}),
        "metric": replace(schemas[table], metrics={k: v for k, v in metrics.items() if k != "accuracy"}),
    }
    for what, schema in lacking.items():
        assert isinstance(schema, TableSchema)
        with pytest.raises(AssertionError, match=what if what != "value" else "time: 36"):
            check_that_it_holds(study, claim, {**schemas, table: schema})
    narrow = replace(schemas[table], metrics=metrics | {"accuracy": (0.0, 0.05)})
    with pytest.raises(AssertionError, match="ranges"):
        check_that_it_holds(study, claim, {**schemas, table: narrow})
