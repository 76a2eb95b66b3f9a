"""The engine: a pure function of a claim and a table.

    rows = decide(claim, table, scale="quick")

gives the row of the claim and, below it, those of its parts. `claim` is a plain mapping, or one of a file that was
resolved at its scale; `table` a tidy frame with columns `seed`, `metric`, `value` and any condition columns, or a
mapping of names to such frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from dynatlas.claims.checks import parse_claims
from dynatlas.claims.evaluate import Decision, Finding, closed_gate, evaluate, final_verdict
from dynatlas.claims.lock import claim_hash as hash_of
from dynatlas.claims.resolve import resolve
from dynatlas.claims.rules import Asked, ResolvedClaim, ResolvedControl, Rule
from dynatlas.claims.sample import Source
from dynatlas.claims.tables import ClaimError, Table, prepare, whole_seeds
from dynatlas.claims.verdicts import NOT_RUN, REPORTED, REPRODUCED
from dynatlas.claims.vocabulary import Control, Selector
from dynatlas.jobs import Job

Tables = pd.DataFrame | Mapping[str, pd.DataFrame | Table]


@dataclass(frozen=True)
class Row:
    """One line of the ledger. A compound has no effect of its own: its parts, below it, have.

    `effect`, `low`, `high`, `margin` and `null` are in the units of the metric after `transform` and `statistic`;
    `margin` is the half width of an equivalence around `target` (which its `null` repeats), and the tolerance of an
    identity, whose `effect` is its largest deviation. `p` is one-sided against the margin. `p_holm` is filled in by
    the ledger. `rests_on` is what the claim declares, but never `experiment` where the seeds all agree.
    Of several controls the row shows the one that is nearest to coming out; its reason has the verdicts of all.
    `control_fixed`: no draw of seeds could have let it come out, or it could not but come out. `controls` counts those
    that were tested, `controls_by_chance` those that could have passed by chance, as one in forty does. `locked` (`yes`
    or `changed`) is left open for a table of one's own.
    """

    study: str
    id: str
    part_of: str | None
    says: str
    source: str | None
    paper: str | None
    paper_where: str | None
    paper_scale: str | None
    table: str | None
    metric: str | None
    compared: str
    statistic: str | None
    transform: str | None
    test: str | None
    null: float | None
    margin: float | None
    target: float | None
    effect: float | None
    low: float | None
    high: float | None
    level: float
    n: int | None
    p: float | None
    p_sign_flip: float | None
    p_holm: float | None
    verdict: str
    reason: str
    control: str | None
    control_verdict: str | None
    control_effect: float | None
    control_low: float | None
    control_high: float | None
    control_reason: str | None
    control_fixed: bool | None
    controls: int
    controls_passed: int
    controls_fixed: int
    controls_by_chance: int
    rests_on: str
    scale: str
    decided_by: str | None
    claim_hash: str
    locked: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with None for whatever is not a finite number."""
        return {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in asdict(self).items()}


def decide(
    claim: ResolvedClaim | Mapping[str, Any],
    tables: Tables,
    *,
    scale: str = "quick",
    study: str = "",
    seeds: Sequence[int] | None = None,
    base_seed: int = 0,
    claim_hash: str | None = None,
    locked: str | None = None,
) -> list[Row]:
    """The rows of one claim: its own and, if it is a compound, one for each part.

    `scale` is that of a plain mapping; a resolved claim has its own. `seeds` are those that must be there (default: all
    seeds of the table it reads); `locked` goes into the rows. Raises ConfigError for a claim that is no claim,
    ClaimError (a ValueError) for a table that cannot answer it: NaN, missing seed, unpaired rows, several rows a seed,
    unknown metric, column or value.
    """
    if not isinstance(claim, ResolvedClaim):
        claim = resolve(parse_claims([claim], where="the claim")[0], scale)
    rows = _Rows(claim, study=study, hash=claim_hash, locked=locked)
    if not claim.tested:
        return rows.not_run()
    try:
        wanted = None if seeds is None else whole_seeds(seeds, "seeds")
        if wanted == []:
            raise ClaimError("seeds: none is given; leave `seeds` out for all those of the table")
        source = Source(prepare(tables), wanted)
        own = evaluate(claim, claim.asked, source)
        controls = _controls(claim, source, study, base_seed)
        verdict, reason = final_verdict(claim, own, gate=closed_gate(claim, source), controls=controls)
    except ClaimError as error:
        raise ClaimError(f"{study + ': ' if study else ''}claim {claim.id}: {error}") from None
    return rows.decided(own, controls, verdict, reason)


def decide_all(
    claims: Sequence[ResolvedClaim | Mapping[str, Any]],
    tables: Tables,
    *,
    scale: str = "quick",
    study: str = "",
    seeds: Sequence[int] | None = None,
    base_seed: int = 0,
) -> list[Row]:
    """The rows of several claims, in their order; see `decide`."""
    ready = prepare(tables)
    rest: dict[str, Any] = {"scale": scale, "study": study, "seeds": seeds, "base_seed": base_seed}
    return [row for one in claims for row in decide(one, ready, **rest)]


def _controls(claim: ResolvedClaim, source: Source, study: str, base_seed: int) -> list[Decision]:
    return [_control(claim, control, place, source, study, base_seed) for place, control in enumerate(claim.controls)]


def _control(
    claim: ResolvedClaim, control: ResolvedControl, place: int, source: Source, study: str, base_seed: int
) -> Decision:
    stream = f"control/{claim.id}" + (f"/{place + 1}" if place else "")
    job = Job(study, seeds=(), base_seed=base_seed)

    def permutation(seed: int, n: int) -> np.ndarray:
        return job.rng(stream, seed).permutation(n)

    try:
        return evaluate(claim, control.asked, source, permutation if control.declared.permute else None)
    except ClaimError as error:
        raise ClaimError(f"controls: {describe_control(control.declared)}: {error}") from None


def _nearest(controls: Sequence[Decision]) -> int | None:
    """Which of several controls the row shows: one that came out, else the one with most parts that did."""
    came = [(one.verdict == REPRODUCED, sum(part.verdict == REPRODUCED for part in one.findings)) for one in controls]
    return came.index(max(came)) if came else None


Below = tuple[Asked, str, Finding | Decision | None, Finding | Decision | None]
"""A part, the id of what it is a part of, what it found, and what the control that is shown found of it."""


class _Rows:
    """Writes the rows of one claim."""

    def __init__(self, claim: ResolvedClaim, *, study: str, hash: str | None, locked: str | None):
        self.claim, self.study = claim, study
        self.hash, self.locked = hash or hash_of(claim), locked

    def not_run(self) -> list[Row]:
        reason = f"tested at {', '.join(self.claim.scales)}, decided by {self.claim.decided_by or 'none of them'}"
        return self._rows(None, [], NOT_RUN, reason)

    def decided(self, own: Decision, controls: Sequence[Decision], verdict: str, reason: str) -> list[Row]:
        return self._rows(own, controls, verdict, reason)

    def _rows(self, own: Decision | None, tested: Sequence[Decision], verdict: str, reason: str) -> list[Row]:
        claim, shown = self.claim, _nearest(tested)
        control = None if shown is None else tested[shown]
        top = {
            "verdict": verdict,
            "reason": reason,
            "p": own.p if own else None,
            "p_sign_flip": own.p_sign_flip if own else None,
            "rests_on": _rests_on(claim.head, own),
            **_of_controls(claim, tested, shown),
        }
        if not claim.compound:
            return [self._row(claim.head, None, _only(own), _only(control), top)]
        n = min((one.n for one in _leaves(own)), default=None)
        rows = [self._row(claim.head, None, None, None, {**top, "n": n, "level": claim.level})]
        missing = {} if own else {"verdict": verdict, "reason": reason}
        for below in _below(claim.asked, claim.id, own, control):
            rows += self._part_rows(below, missing)
        return rows

    def _part_rows(self, below: Below, missing: dict[str, Any]) -> list[Row]:
        """The row of a part and, if it is an all_of, those of its own parts."""
        asked, above, found, other = below
        if isinstance(asked, Rule):
            return [self._row(asked, above, _leaf(found), _leaf(other), {} if found else missing)]
        own = dict(missing)
        if isinstance(found, Decision):
            own = {name: getattr(found, name) for name in ("verdict", "reason", "p", "p_sign_flip")}
            own["n"] = min(one.n for one in _leaves(found))
        if isinstance(other, Decision):
            own["control_fixed"] = other.fixed
        rows = [self._row(asked.head, above, None, None, {**own, "rests_on": _rests_on(asked.head, found)})]
        for inner in _below(asked.rules, f"{above}.{asked.head.id}", found, other):
            rows += self._part_rows(inner, missing)
        return rows

    def _row(
        self, rule: Rule, part_of: str | None, found: Finding | None, other: Finding | None, over: dict[str, Any]
    ) -> Row:
        claim = self.claim
        hypothesis = found.hypothesis if found else None
        margin = rule.tolerance if rule.test == "identity" else rule.margin
        values: dict[str, Any] = {
            "study": self.study,
            "id": f"{part_of}.{rule.id}" if part_of else rule.id,
            "part_of": part_of,
            "says": rule.says,
            "source": claim.source.where if claim.source else None,
            "paper": claim.paper.value if claim.paper and not part_of else None,
            "paper_where": claim.paper.where if claim.paper and not part_of else None,
            "paper_scale": claim.paper.scale if claim.paper and not part_of else None,
            "table": rule.table,
            "metric": rule.metric,
            "compared": describe_terms(rule) if rule.terms else "",
            "statistic": _describe_statistic(rule),
            "transform": rule.transform,
            "test": rule.test,
            "null": hypothesis.null if hypothesis else None,
            "margin": margin if found else None,
            "target": rule.target if rule.test in ("equivalent", "identity") else None,
            "effect": found.effect if found else None,
            "low": found.low if found else None,
            "high": found.high if found else None,
            "level": found.level if found else claim.part_level,
            "n": found.n if found else None,
            "p": found.p if found else None,
            "p_sign_flip": found.p_sign_flip if found else None,
            "p_holm": None,
            "verdict": found.verdict if found else None,
            "reason": found.reason if found else "",
            "control": None,
            "control_verdict": None,
            "control_effect": other.effect if other else None,
            "control_low": other.low if other else None,
            "control_high": other.high if other else None,
            "control_reason": None,
            "control_fixed": other.settled if other else None,
            **dict.fromkeys(("controls", "controls_passed", "controls_fixed", "controls_by_chance"), 0),
            "rests_on": _rests_on(rule, found),
            "scale": claim.scale,
            "decided_by": claim.decided_by,
            "claim_hash": self.hash,
            "locked": self.locked,
        }
        return Row(**{**values, **over})


def _below(asked: Sequence[Asked], above: str, *decided: Finding | Decision | None) -> Iterator[Below]:
    """Parts, each beside what it and its control found."""
    found, other = ([*one.findings] if isinstance(one, Decision) else [None] * len(asked) for one in decided)
    yield from zip(asked, [above] * len(asked), found, other, strict=True)


def _leaf(found: Finding | Decision | None) -> Finding | None:
    assert not isinstance(found, Decision)
    return found


def _only(decided: Decision | None) -> Finding | None:
    """What a claim found that is no compound."""
    return _leaf(decided.findings[0]) if decided else None


def _leaves(found: Decision | None) -> Iterator[Finding]:
    for one in found.findings if found else ():
        yield from _leaves(one) if isinstance(one, Decision) else (one,)


def _of_controls(claim: ResolvedClaim, tested: Sequence[Decision], shown: int | None) -> dict[str, Any]:
    """What a claim's row says of its controls."""
    control = None if shown is None else tested[shown]
    return {
        "control": describe_control(claim.controls[shown or 0].declared) if claim.controls else None,
        "control_verdict": control.verdict if control else None,
        "control_reason": _control_reason(claim, tested, shown),
        "control_fixed": control.fixed if control else None,
        "controls": len(tested),
        "controls_passed": sum(one.verdict == REPRODUCED for one in tested),
        "controls_fixed": sum(one.fixed for one in tested),
        "controls_by_chance": sum(_may_pass(one) for one in tested),
    }


def _may_pass(control: Decision) -> bool:
    """Could the control have come out by the chance of its seeds?"""
    return not control.fixed and control.p is not None and control.verdict != REPORTED


def _control_reason(claim: ResolvedClaim, tested: Sequence[Decision], shown: int | None) -> str | None:
    """Why the control that is shown has its verdict; of several, the verdicts of all before it."""
    if shown is None:
        return None
    if len(tested) == 1:
        return tested[0].reason
    pairs = zip(claim.controls, tested, strict=True)
    verdicts = "; ".join(f"{describe_control(control.declared)}: {one.verdict}" for control, one in pairs)
    return f"{verdicts}; of the one shown: {tested[shown].reason}"


def _rests_on(rule: Rule, found: Finding | Decision | None) -> str:
    """What the rule declares; without spread over seeds it is no experiment, whatever it declares."""
    declared = rule.rests_on or "experiment"
    return "construction" if found is not None and found.settled and declared == "experiment" else declared


def describe_terms(rule: Rule) -> str:
    """What is compared, in words: `strategy: MP − strategy: SEP`."""
    shown = []
    for place, term in enumerate(rule.terms):
        sign = ("−" if term.weight < 0 else "+") if place or term.weight < 0 else ""
        weight = "" if abs(term.weight) == 1 else f"{abs(term.weight):g} × "
        shown.append(f"{sign} {weight}{_describe(term.select)}".strip())
    where = f" (where {_describe(rule.where)})" if rule.where else ""
    return " ".join(shown) + where


def _describe(selector: Selector) -> str:
    return ", ".join(f"{name}: {value}" for name, value in selector.items()) or "all rows"


def _describe_statistic(rule: Rule) -> str | None:
    if rule.statistic is None:
        return None
    scale = rule.statistic.slope.scale if rule.statistic.slope else "linear"
    how = "between" if rule.statistic.icc else "along"
    return f"{rule.statistic.kind} {how} {rule.statistic.pairing}" + ("" if scale == "linear" else f" ({scale})")


def describe_control(control: Control) -> str:
    """What the control puts in whose place, in words (its own `says`, if it has one)."""
    if control.says:
        return control.says
    shown = [f"{_describe(swap.to)} in place of {_describe(swap.from_)}" for swap in control.replace]
    shown += [f"{control.permute} permuted within each seed"] if control.permute else []
    shown += [f"where {_describe(control.where)}"] if control.where else []
    shown += ["other arms compared"] if control.compare else []
    shown += [f"{name} {value}" for name in ("metric", "table") if (value := getattr(control, name))]
    return "; ".join(shown)
