"""One rule on one set of tables: effect, interval, p and the verdict that these alone allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dynatlas.claims.compounds import Outlook, all_of, any_of, combined_p, count_of, outlook
from dynatlas.claims.declaration import Claim, Gate, Part, at_scale
from dynatlas.claims.sample import Permutation, Sample, Source, draw_sample
from dynatlas.claims.tables import ClaimError
from dynatlas.claims.verdicts import (
    CONTRADICTED,
    DIRECTION,
    HYPOTHESES,
    INCONCLUSIVE,
    REPORTED,
    REPRODUCED,
    Hypothesis,
    outcomes,
    p_sign_flip,
    p_value,
)
from dynatlas.intervals import mean_interval
from dynatlas.spread import Floats, no_spread


@dataclass(frozen=True)
class Finding:
    """What one rule found: the mean over seeds with its interval, p against the margin, and its verdict."""

    effect: float
    low: float
    high: float
    level: float
    n: int
    verdict: str
    reason: str = ""
    p: float | None = None
    p_sign_flip: float | None = None
    hypothesis: Hypothesis | None = None
    settled: bool = False
    """As in the sample: no other draw of seeds would have said otherwise."""


@dataclass(frozen=True)
class Decision:
    """What a whole claim found: its parts' findings (one of its own if it is no compound) and the rule over them."""

    findings: list[Finding]
    verdict: str
    reason: str
    p: float | None
    p_sign_flip: float | None
    fixed: bool = False
    """No draw of seeds could have made another verdict of it, or a reproduced one."""


def evaluate(claim: Claim, rules: Sequence[Part], source: Source, permutation: Permutation | None = None) -> Decision:
    """Put `rules` (the claim's own, or its control's) to the tables and combine them as the claim says."""
    findings = [_named(claim, rule, source, permutation) for rule in rules]
    if not claim.compound:
        only = findings[0]
        return Decision(findings, only.verdict, only.reason, only.p, only.p_sign_flip, only.settled)
    verdict, reason = _combined(claim, rules, findings)
    p, flip = (_combined_p(claim, [getattr(one, name) for one in findings]) for name in ("p", "p_sign_flip"))
    return Decision(findings, verdict, reason, p, flip, _fixed(claim, findings))


def _fixed(claim: Claim, findings: Sequence[Finding]) -> bool:
    """Are all parts settled, or so many not reproduced that the rule cannot come out whatever the others do?"""
    needed = {"all_of": len(findings), "any_of": 1}.get(str(claim.test), claim.wins or 1)
    possible = sum(not one.settled or one.verdict == REPRODUCED for one in findings)
    return all(one.settled for one in findings) or possible < needed


def _named(claim: Claim, rule: Part, source: Source, permutation: Permutation | None) -> Finding:
    try:
        sample = draw_sample(rule, source, permutation)
        return find(rule, sample, level=claim.part_level, scale=source.scale, exploratory=claim.exploratory)
    except ClaimError as error:
        raise ClaimError(f"part {rule.id}: {error}" if claim.compound else str(error)) from None


def find(rule: Part, sample: Sample, *, level: float, scale: str, exploratory: bool = False) -> Finding:
    """Interval, p and verdict of one sample under one rule (`reported` if exploratory)."""
    x, n, same = sample.values, len(sample.values), bool(no_spread(sample.values))
    if sample.unreached:
        reason = f"the treatment never reached its criterion in seed {', '.join(map(str, sample.unreached))}"
        verdict = REPORTED if exploratory else CONTRADICTED
        return Finding(np.nan, np.nan, np.nan, level, n, verdict, reason, 1.0, 1.0, _hypothesis(rule, scale))
    if rule.test == "identity":
        x = x.max(keepdims=True)
    elif n < 2 and not rule.exact:
        raise ClaimError(
            "one seed only: an interval over seeds needs at least two (`exact: true` if nothing is random)"
        )
    hypothesis = _hypothesis(rule, scale)
    if same and hypothesis is not None and rule.test != "identity":
        x = _snapped(x, hypothesis, sample.error)
    effect, low, high = (float(end) for end in mean_interval(x, level))
    if hypothesis is None:
        return Finding(effect, low, high, level, n, REPORTED, settled=sample.settled)
    certain = rule.test == "identity" or rule.exact
    p = None if certain else float(p_value(hypothesis, x))
    flip = None if certain else p_sign_flip(hypothesis, x)
    verdict, reason = REPORTED, ""
    if not exploratory:
        few = same and not certain and 0.5**n >= (1 - level) / 2
        verdict, reason = _judged(rule, hypothesis, (low, high), few=few)
    return Finding(effect, low, high, level, n, verdict, reason, p, flip, hypothesis, sample.settled)


def _snapped(x: Floats, hypothesis: Hypothesis, error: float) -> Floats:
    """Equal values put on the bound that they are at but for rounding."""
    for bound in (hypothesis.null, hypothesis.lower, hypothesis.upper):
        if abs(x[0] - bound) <= error:
            return np.full_like(x, bound)
    return x


def _judged(rule: Part, hypothesis: Hypothesis, interval: tuple[float, float], *, few: bool) -> tuple[str, str]:
    """The verdict and its reason. Equal values in `few` seeds do not succeed: their p, 2^-n, is above the level's."""
    verdict = str(outcomes(hypothesis, *interval))
    if few and verdict in (REPRODUCED, DIRECTION):
        return INCONCLUSIVE, "no spread, and too few seeds for the p that the level asks (say `exact` of a closed form)"
    return verdict, _reason(verdict, rule)


def _hypothesis(rule: Part, scale: str) -> Hypothesis | None:
    if rule.test is None:
        return None
    margin = rule.tolerance if rule.test == "identity" else at_scale(rule.margin, scale)
    assert margin is not None
    return HYPOTHESES[rule.test](margin, rule.target or 0.0)


def _reason(verdict: str, rule: Part) -> str:
    if rule.test == "identity":
        return "the largest deviation exceeds the tolerance" if verdict == CONTRADICTED else ""
    return {
        DIRECTION: "on the stated side, but the interval holds effects smaller than the margin",
        CONTRADICTED: "the interval excludes what is claimed",
        INCONCLUSIVE: "the interval holds effects that are claimed and effects that are not",
    }.get(verdict, "")


def _combined(claim: Claim, rules: Sequence[Part], findings: Sequence[Finding]) -> tuple[str, str]:
    verdicts = np.array([one.verdict for one in findings])
    if REPORTED in verdicts:
        return REPORTED, ""
    if claim.test != "count_of":
        verdict = str((all_of if claim.test == "all_of" else any_of)(verdicts))
        shown = [f"{one}: {', '.join(_ids(rules, verdicts == one))}" for one in dict.fromkeys(verdicts.tolist())]
        return verdict, "; ".join(shown)
    parts = [_outlook(one) for one in findings]
    won, lost = np.array([part.won for part in parts]), np.array([part.lost for part in parts])
    may_win, may_lose = np.array([part.may_win for part in parts]), np.array([part.may_lose for part in parts])
    verdict = str(count_of(Outlook(won, lost, may_win, may_lose), claim.wins or 1, claim.losses))
    open_ = ~won & ~lost
    counted = [f"{int(m.sum())} {w}{_listed(rules, m)}" for w, m in (("won", won), ("lost", lost), ("open", open_))]
    needed = f"at least {claim.wins} won" + (f", at most {claim.losses} lost" if claim.losses is not None else "")
    return verdict, f"{'; '.join(counted)}; needs {needed} of {len(rules)}"


def _ids(rules: Sequence[Part], mask: np.ndarray) -> list[str]:
    return [rule.id for rule, here in zip(rules, mask, strict=True) if here]


def _listed(rules: Sequence[Part], mask: np.ndarray) -> str:
    return f" ({', '.join(_ids(rules, mask))})" if mask.any() else ""


def _outlook(finding: Finding) -> Outlook:
    """A part whose treatment never reached its criterion is lost for good."""
    assert finding.hypothesis is not None
    no, yes = np.array(False), np.array(True)
    if np.isnan(finding.effect):
        return Outlook(no, yes, no, yes)
    found = outlook(finding.hypothesis, np.array(finding.low), np.array(finding.high))
    if found.won and finding.verdict == INCONCLUSIVE:  # equal values in too few seeds
        return Outlook(no, no, yes, yes)
    return found


def _combined_p(claim: Claim, p: Sequence[float | None]) -> float | None:
    """The rule's p; parts without one (identities) are left out of all_of, and leave the other rules without."""
    known = np.array([one for one in p if one is not None])
    if len(known) == 0 or (claim.test != "all_of" and len(known) < len(p)):
        return None
    return float(combined_p(str(claim.test), known, claim.wins or 1))


def closed_gate(claim: Claim, source: Source) -> str:
    """Why the claim cannot be believed whatever its data say: the first gate that is not met, or ""."""
    for gate in claim.gate:
        rule = Part(metric=gate.metric, table=gate.table or claim.table, where=gate.where, reduce=gate.reduce)
        try:
            mean = float(draw_sample(rule, source).values.mean())
        except ClaimError as error:
            raise ClaimError(f"gate: {error}") from None
        if reason := _unmet(gate, mean, source.scale):
            return reason
    return ""


def _unmet(gate: Gate, mean: float, scale: str) -> str:
    least, most = at_scale(gate.at_least, scale), at_scale(gate.at_most, scale)
    chosen = ", ".join(f"{name}: {value}" for name, value in gate.where.items())
    where = f" of {chosen}" if chosen else ""
    if least is not None and mean < least:
        return f"gate: mean {gate.metric}{where} is {mean:.4g}, not at least {least:g}"
    if most is not None and mean > most:
        return f"gate: mean {gate.metric}{where} is {mean:.4g}, not at most {most:g}"
    return ""


def final_verdict(claim: Claim, own: Decision, *, gate: str, controls: Sequence[Decision]) -> tuple[str, str]:
    """The verdict of a tested claim with its reason; first match wins, as in `docs/claims.md`."""
    if claim.exploratory:
        return REPORTED, ""
    if gate:
        return INCONCLUSIVE, gate
    if own.verdict == CONTRADICTED:
        return CONTRADICTED, own.reason
    passed = sum(control.verdict == REPRODUCED for control in controls)
    if passed:
        which = "its control" if len(controls) == 1 else f"{passed} of its {len(controls)} controls"
        return INCONCLUSIVE, f"{which} came out reproduced, so nothing here can be believed"
    return own.verdict, own.reason
