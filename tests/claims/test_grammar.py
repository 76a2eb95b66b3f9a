"""How a file of claims may be written: defaults, gates by name, a model for each test; and no hash of the spelling."""

from __future__ import annotations

from typing import Any

import pytest

from dynatlas.claims.checks import parse_claims
from dynatlas.claims.declaration import ClaimsFile
from dynatlas.claims.lock import claim_hash
from dynatlas.claims.resolve import resolve
from dynatlas.claims.rules import ResolvedClaim
from dynatlas.claims.vocabulary import RULE_FIELDS
from dynatlas.config import SCALES, ConfigError

GATE = {"metric": "loss", "table": "scores", "where": {"arm": "new"}, "at_most": 1}
PAIR = {"treatment": {"arm": "new"}, "reference": {"arm": "old"}}
CLAIM = {"id": "C1", "says": "so it is", "test": "greater", "margin": 0, "compare": PAIR}
DEFAULTS = {
    "source": {"where": "abstract"},
    "rests_on": "experiment",
    "decided_by": "quick",
    "table": "scores",
    "metric": "accuracy",
    "gate": ["learned"],
}


def asked(content: Any, scale: str = "quick") -> ResolvedClaim:
    return resolve(parse_claims(content)[0], scale)


def hashed(content: Any, scale: str = "quick") -> str:
    return claim_hash(asked(content, scale))


def file(*claims: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"defaults": DEFAULTS, "gates": {"learned": GATE}, "claims": list(claims)} | rest


def test_defaults_and_named_gates_are_those_written_out() -> None:
    full = CLAIM | DEFAULTS | {"gate": [GATE]}
    assert asked(file(CLAIM)) == asked([full])
    own = CLAIM | {
        "metric": "loss",
        "source": {"where": "figure 2"},
        "gate": [{"gate": "learned", "where": {"task": 1}}],
    }
    gate = GATE | {"where": {"arm": "new", "task": 1}}
    assert asked(file(own)) == asked([full | own | {"gate": [gate]}])
    (none,) = parse_claims(file(CLAIM | {"gate": []}, CLAIM | {"id": "C2"}))[:1]
    assert none.gate == []


def test_what_is_only_reported_is_decided_by_no_scale() -> None:
    reported = {"id": "C2", "says": "so much it is", "exploratory": True}
    assert [claim.decided_by for claim in parse_claims(file(CLAIM, reported))] == ["quick", None]
    assert parse_claims(file(CLAIM, reported | {"decided_by": "paper"}))[1].decided_by == "paper"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (file(CLAIM, defaults=DEFAULTS | {"margin": 0}), "defaults: margin: unknown key"),
        (
            file(CLAIM, defaults=DEFAULTS | {"decided_by": "quik"}),
            r"defaults: decided_by: 'quik'.*did you mean 'quick'",
        ),
        (file(CLAIM, gates={"learned": GATE | {"at_least": 1}}), "gates.learned: .*one of `at_least` and `at_most`"),
        (file(CLAIM, gates={"lerned": GATE}), "gates.lerned: no claim names it"),
        (file(CLAIM | {"gate": ["lerned"]}, CLAIM | {"id": "C2"}), "C1: gate: 'lerned'.*did you mean 'learned'"),
        (
            file(CLAIM | {"gate": [{"gate": "learned", "at_most": 2}]}),
            "gate: learned: at_most: only `where` may be added",
        ),
        (file(CLAIM, gate={}), "gate: unknown key; did you mean 'gates'"),
    ],
)
def test_a_mistake_in_what_claims_share_is_named(content: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_claims(content)


COMPOUND = {"id": "C", "says": "s", "metric": "m", "test": "all_of", "part_test": "at_least", "margin": 1}
SPELT = [
    ([CLAIM | {"metric": "m"}], [CLAIM | {"metric": "m", "level": 0.95, "controls": [], "exact": False}]),
    ([CLAIM | {"metric": "m"}], [CLAIM | {"metric": "m", "margin": dict.fromkeys(SCALES, 0.0)}]),
    ([CLAIM | {"where": {"metric": "m"}}], [CLAIM | {"metric": "m"}]),
    (
        [CLAIM | {"metric": "m", "where": {"arm": "new"}, "compare": {"treatment": {}}}],
        [CLAIM | {"metric": "m", "compare": {"treatment": {"arm": "new"}}}],
    ),
    (
        [COMPOUND | {"parts": [{"where": {"a": 1}}, {"where": {"a": 2}, "margin": 3}]}],
        [{"id": "C", "says": "s", "test": "all_of", "parts": [
            {"id": "1", "metric": "m", "where": {"a": 1}, "test": "at_least", "margin": 1},
            {"id": "2", "metric": "m", "where": {"a": 2}, "test": "at_least", "margin": 3}]}],
    ),
    (
        [CLAIM | {"metric": "m", "controls": [{"where": {"arm": "x"}}]}],
        [CLAIM | {"metric": "m", "controls": [{"compare": {"treatment": {"arm": "x"}, "reference": {"arm": "x"}}}]}],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SPELT)
def test_the_hash_is_that_of_what_is_asked(one: Any, other: Any) -> None:
    assert hashed(one) == hashed(other)


def test_each_scale_has_its_own_hash_and_order_of_reductions_counts() -> None:
    margins = dict.fromkeys(SCALES, 0.0)
    before = [CLAIM | {"metric": "m", "margin": margins}]
    after = [CLAIM | {"metric": "m", "margin": margins | {"paper": 1.0}}]
    assert [hashed(before, scale) == hashed(after, scale) for scale in SCALES] == [True, True, True, False]
    reduce = {"task": "mean", "size": "max"}
    turned = dict(reversed(reduce.items()))
    assert hashed([CLAIM | {"metric": "m", "reduce": reduce}]) != hashed([CLAIM | {"metric": "m", "reduce": turned}])


def test_a_claim_that_is_not_tested_at_a_scale_lacks_its_numbers_there() -> None:
    later = [CLAIM | {"metric": "m", "margin": {"paper": 1}, "scales": ["paper"]}]
    assert (asked(later).tested, asked(later).head.margin) == (False, None)
    assert (asked(later, "paper").tested, asked(later, "paper").head.margin) == (True, 1)


def offered(models: list[dict[str, str]], schema: dict[str, Any]) -> dict[str | None, set[str]]:
    """Keys that an editor offers for each test."""
    found: dict[str | None, set[str]] = {}
    for model in models:
        properties = schema["$defs"][model["$ref"].rpartition("/")[2]]["properties"]
        test = properties.get("test", {"const": None})
        for name in test.get("enum", [test.get("const")]):
            assert name not in found, "each test has one model"
            found[name] = set(properties)
    return found


def test_an_editor_offers_what_a_test_reads_and_nothing_else() -> None:
    schema = ClaimsFile.model_json_schema(by_alias=True)
    claims = offered(schema["properties"]["claims"]["items"]["oneOf"], schema)
    parts = offered(schema["$defs"]["AnyOfClaim"]["properties"]["parts"]["items"]["oneOf"], schema)
    numbers = {"margin", "target", "tolerance"}
    for test, read in RULE_FIELDS.items():
        assert claims[test] & (numbers | {"parts", "wins", "part_test"}) == read
        assert parts[test] & (numbers | {"parts", "wins", "part_test"}) == read
    assert set(claims) - set(RULE_FIELDS) == {"all_of", "any_of", "count_of", None}
    assert set(parts) - set(RULE_FIELDS) == {"all_of", None}
    assert {test for test, keys in claims.items() if "wins" in keys} == {"count_of"}
    gate = schema["$defs"]["BoundClaim"]["properties"]["gate"]["items"]["anyOf"]
    assert [one.get("type", one.get("$ref")) for one in gate] == ["string", "#/$defs/NamedGate", "#/$defs/Gate"]
