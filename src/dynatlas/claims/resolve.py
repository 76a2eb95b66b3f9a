"""From a claim as it is written to the claim at one scale: inheritance, numbers, controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynatlas.claims.control import control_rules
from dynatlas.claims.declaration import AllOfClaim, AllOfPart, AnyOfClaim, Claim, CountOfClaim, Part, Reading
from dynatlas.claims.rules import Asked, Group, ResolvedClaim, ResolvedControl, ResolvedGate, Rule
from dynatlas.claims.vocabulary import RULE_FIELDS, Censored, Gate, Number, Term
from dynatlas.config import ConfigError

Fields = Mapping[str, Any]
"""What a rule is made of, by key: those of `Reading`, and id, says, test, part_test, margin, target, tolerance, own."""


def resolve(claim: Claim, scale: str) -> ResolvedClaim:
    """`claim` as it is asked at `scale`; where it is not tested there, it may lack numbers.

    Raises ConfigError, which names the claim, for a number that is missing or on the wrong side, for a part without a
    test, and for a control that would leave the claim as it is.
    """
    at = _Scale(scale, tuple(claim.scales))
    try:
        head, asked = _asked(claim, at)
        controls = tuple(ResolvedControl(control, control_rules(asked, control)) for control in claim.controls)
        gates = tuple(_gate(gate, claim, at) for gate in claim.gate)
    except ConfigError as error:
        raise ConfigError(f"claim {claim.id}: {error}") from None
    return ResolvedClaim(
        scale=scale,
        head=head,
        asked=asked,
        controls=controls,
        gates=gates,
        source=claim.source,
        paper=claim.paper,
        scales=tuple(claim.scales),
        decided_by=claim.decided_by,
        exploratory=claim.exploratory,
        level=claim.level,
        wins=claim.wins if isinstance(claim, CountOfClaim) else None,
        losses=claim.losses if isinstance(claim, CountOfClaim) else None,
    )


@dataclass(frozen=True)
class _Scale:
    """The scale at which a claim is asked, and those at which it is tested."""

    name: str
    tested: tuple[str, ...]

    def number(self, key: str, number: Number | None) -> float | None:
        """A number of the claim at this scale; ConfigError naming `key` if a scale that tests it has none."""
        if not isinstance(number, dict):
            return number
        by_scale = {str(scale): value for scale, value in number.items()}
        lacking = ", ".join(sorted(set(self.tested) - set(by_scale)))
        if lacking:
            raise ConfigError(f"{key}: none for scale {lacking} (say so under `scales` if it is not tested there)")
        return by_scale.get(self.name)


def _asked(claim: Claim, at: _Scale) -> tuple[Rule, tuple[Asked, ...]]:
    """What a claim says of itself, and what is tested: the claim, or its parts with all that they inherit."""
    fields = {
        **{name: getattr(claim, name) for name in Reading.model_fields},
        **{name: getattr(claim, name, None) for name in ("test", "part_test", "margin", "target", "tolerance")},
        "id": claim.id,
        "says": claim.says,
        "own": frozenset(),
    }
    if not isinstance(claim, AllOfClaim | AnyOfClaim | CountOfClaim):
        rule = _rule(fields, at, exploratory=claim.exploratory)
        return rule, (rule,)
    parts = tuple(_part(fields, part, place, at, claim.exploratory) for place, part in enumerate(claim.parts, 1))
    _check_ids([one.head.id if isinstance(one, Group) else one.id for one in parts])
    return _head(fields), parts


def _part(above: Fields, part: Part, place: int, at: _Scale, exploratory: bool) -> Asked:
    """A part with what it does not say itself taken from its compound; the conditions of `where` are joined."""
    own = {name: getattr(part, name) for name in part.model_fields_set}
    fields = {
        **above,
        "test": above["part_test"],
        **own,
        "where": {**above["where"], **part.where},
        "id": part.id or str(place),
        "says": part.says,
        "own": above["own"] | set(own),
    }
    if not isinstance(part, AllOfPart):
        where = f"part {fields['id']}: "
        _check_numbers(fields["test"], own, where)
        return _rule(fields, at, exploratory=exploratory, where=where)
    rules = []
    for inner, one in enumerate(part.parts, 1):
        rule = _part(fields, one, inner, at, exploratory)
        assert isinstance(rule, Rule)
        rules.append(rule)
    _check_ids([rule.id for rule in rules])
    return Group(_head(fields), tuple(rules))


def _rule(fields: Fields, at: _Scale, *, exploratory: bool, where: str = "") -> Rule:
    """A rule of its own test, with the numbers that this test reads; `where` begins what is said of a mistake."""
    test = fields["test"]
    if test is None and not exploratory:
        raise ConfigError(f"{where}test: this key is missing (the compound's part_test is inherited)")
    reads = RULE_FIELDS.get(test, set())
    for key in sorted(reads - {"target"}):
        if fields[key] is None:
            raise ConfigError(f"{where}{key}: this key is missing; {test!r} needs it, fixed before looking")
    numbers = {key: fields[key] for key in reads if key != "margin" and fields[key] is not None}
    if "margin" in reads:
        _check_margin(test, fields["margin"], len(fields["compare"].terms), where)
        numbers["margin"] = at.number(f"{where}margin", fields["margin"])
    return Rule(
        **{name: fields[name] for name in ("id", "says", "test", "own", *_READ)},
        terms=fields["compare"].terms,
        censored=_censored(fields["censored"], at, where),
        **numbers,
    )


_READ = ("table", "metric", "where", "statistic", "reduce", "transform", "exact", "rests_on")


def _head(fields: Fields) -> Rule:
    """What the row of a compound says; only its parts are put to a test."""
    return Rule(**{name: fields[name] for name in ("id", "says", "test", *_READ)}, terms=(), censored=None)


def _censored(censored: Censored | None, at: _Scale, where: str) -> Censored | None:
    if censored is None or censored.value is None:
        return censored
    return censored.model_copy(update={"value": at.number(f"{where}censored.value", censored.value)})


def _gate(gate: Gate, claim: Claim, at: _Scale) -> ResolvedGate:
    """A gate of a claim that a non-finite value leaves undecided is left so, too."""
    undecided = claim.censored is not None and claim.censored.undecided
    rule = Rule(
        id="gate",
        says="",
        table=gate.table or claim.table,
        metric=gate.metric,
        where=gate.where,
        terms=(Term(weight=1.0, select={}),),
        reduce=gate.reduce,
        censored=claim.censored if undecided else None,
    )
    return ResolvedGate(rule, at.number("gate", gate.at_least), at.number("gate", gate.at_most))


def _check_ids(ids: list[str]) -> None:
    repeated = sorted({one for one in ids if ids.count(one) > 1})
    if repeated:
        raise ConfigError(f"parts: id {repeated[0]!r} is there twice")


def _check_numbers(test: str | None, own: Fields, where: str) -> None:
    """What a part says itself must be read by its test, also where that is its compound's."""
    reads = RULE_FIELDS.get(str(test), set())
    for key in ("margin", "target", "tolerance"):
        if test is not None and key in own and key not in reads:
            raise ConfigError(f"{where}{key}: the test {test!r} reads {', '.join(sorted(reads))}")


def _check_margin(test: str, margin: Number, terms: int, where: str) -> None:
    """Of all scales, so that a claim need be resolved at one to know that it can be at the others."""
    margins = [*margin.values()] if isinstance(margin, dict) else [margin]
    if test == "less" and terms > 1 and max(margins) > 0:
        raise ConfigError(
            f"{where}margin: {margin}: a difference below a positive margin may be one in the wrong direction; "
            "write a negative one (less by so much), or test at_most (not above it)"
        )
    if test == "equivalent" and min(margins) <= 0:
        raise ConfigError(f"{where}margin: {margin}: equivalence needs a margin above 0 on both sides of its target")
