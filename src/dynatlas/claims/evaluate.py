"""One rule on one set of tables: effect, interval, p and the verdict that these alone allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dynatlas.claims.compounds import Outlook, all_of, any_of, combined_p, conjunction, count_of, outlook
from dynatlas.claims.rules import Asked, Group, ResolvedClaim, ResolvedGate, Rule
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
    undecided: str = ""
    """As in the sample."""


@dataclass(frozen=True)
class Decision:
    """What a compound found, or the claim as a whole: its parts' findings, and the rule over them."""

    findings: list[Finding | Decision]
    verdict: str
    reason: str
    p: float | None
    p_sign_flip: float | None
    settled: bool = False
    """Are all parts settled?"""
    fixed: bool = False
    """No draw of seeds could have made another verdict of it, or a reproduced one."""
    undecided: str = ""
    """Of what is inconclusive: a non-finite value that left it, or one of its parts, undecided."""


Found = Finding | Decision


def evaluate(
    claim: ResolvedClaim, asked: Sequence[Asked], source: Source, permutation: Permutation | None = None
) -> Decision:
    """Put what is `asked` (by the claim, or of its control) to the tables, and combine it as the claim says."""
    findings = [_found(claim, one, source, permutation) for one in asked]
    if not claim.compound:
        (only,) = findings
        settled, undecided = only.settled, only.undecided
        return Decision(findings, only.verdict, only.reason, only.p, only.p_sign_flip, settled, settled, undecided)
    return _combined(str(claim.head.test), asked, findings, wins=claim.wins or 1, losses=claim.losses)


def _found(claim: ResolvedClaim, asked: Asked, source: Source, permutation: Permutation | None) -> Finding | Decision:
    """The finding of a rule; of an all_of among the parts, its decision."""
    name = f"part {asked.head.id if isinstance(asked, Group) else asked.id}: " if claim.compound else ""
    try:
        if isinstance(asked, Group):
            parts = [_found(claim, rule, source, permutation) for rule in asked.rules]
            return _combined("all_of", asked.rules, parts)
        sample = draw_sample(asked, source, permutation)
        return find(asked, sample, level=claim.part_level, exploratory=claim.exploratory)
    except ClaimError as error:
        raise ClaimError(f"{name}{error}") from None


def _combined(
    test: str,
    asked: Sequence[Asked],
    findings: Sequence[Found],
    *,
    wins: int = 1,
    losses: int | None = None,
) -> Decision:
    """The rule of a compound over the findings of its parts."""
    verdict, reason = _judge_parts(test, asked, findings, wins, losses)
    p, flip = (_combined_p(test, [getattr(one, name) for one in findings], wins) for name in ("p", "p_sign_flip"))
    needed = {"all_of": len(findings), "any_of": 1}.get(test, wins)
    possible = sum(not _certain(one) or one.verdict == REPRODUCED for one in findings)
    settled = all(one.settled for one in findings)
    undecided = next((one.undecided for one in findings if one.undecided), "") if verdict == INCONCLUSIVE else ""
    return Decision(list(findings), verdict, reason, p, flip, settled, settled or possible < needed, undecided)


def _certain(one: Finding | Decision) -> bool:
    """Could no draw of seeds have made another verdict of this part, or a reproduced one?"""
    return one.fixed if isinstance(one, Decision) else one.settled


def find(rule: Rule, sample: Sample, *, level: float, exploratory: bool = False) -> Finding:
    """Interval, p and verdict of one sample under one rule (`reported` if exploratory)."""
    if sample.unreached or sample.undecided:
        return _without_values(rule, sample, level=level, exploratory=exploratory)
    x, n, same = sample.values, len(sample.values), bool(no_spread(sample.values))
    if rule.test == "identity":
        x = x.max(keepdims=True)
    elif n < 2 and not rule.exact:
        raise ClaimError(
            "one seed only: an interval over seeds needs at least two (`exact: true` if nothing is random)"
        )
    hypothesis = _hypothesis(rule)
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


def _without_values(rule: Rule, sample: Sample, *, level: float, exploratory: bool) -> Finding:
    """What is said where a criterion was never reached (it contradicts), or nothing can be said."""
    verdict, reason = INCONCLUSIVE, f"undecided: {sample.undecided}"
    if sample.unreached:
        seeds = ", ".join(map(str, sample.unreached))
        verdict, reason = CONTRADICTED, f"the treatment never reached its criterion in seed {seeds}"
    return Finding(
        *(np.nan, np.nan, np.nan),
        level,
        len(sample.values),
        REPORTED if exploratory else verdict,
        reason,
        p=1.0,
        p_sign_flip=1.0,
        hypothesis=_hypothesis(rule),
        undecided=sample.undecided,
    )


def _snapped(x: Floats, hypothesis: Hypothesis, error: float) -> Floats:
    """Equal values put on the bound that they are at but for rounding."""
    for bound in (hypothesis.null, hypothesis.lower, hypothesis.upper):
        if abs(x[0] - bound) <= error:
            return np.full_like(x, bound)
    return x


def _judged(rule: Rule, hypothesis: Hypothesis, interval: tuple[float, float], *, few: bool) -> tuple[str, str]:
    """The verdict and its reason. Equal values in `few` seeds do not succeed: their p, 2^-n, is above the level's."""
    verdict = str(outcomes(hypothesis, *interval))
    if few and verdict in (REPRODUCED, DIRECTION):
        return INCONCLUSIVE, "no spread, and too few seeds for the p that the level asks (say `exact` of a closed form)"
    return verdict, _reason(verdict, rule)


def _hypothesis(rule: Rule) -> Hypothesis | None:
    if rule.test is None:
        return None
    margin = rule.tolerance if rule.test == "identity" else rule.margin
    assert margin is not None
    return HYPOTHESES[rule.test](margin, rule.target)


def _reason(verdict: str, rule: Rule) -> str:
    if rule.test == "identity":
        return "the largest deviation exceeds the tolerance" if verdict == CONTRADICTED else ""
    return {
        DIRECTION: "on the stated side, but the interval holds effects smaller than the margin",
        CONTRADICTED: "the interval excludes what is claimed",
        INCONCLUSIVE: "the interval holds effects that are claimed and effects that are not",
    }.get(verdict, "")


def _judge_parts(
    test: str, asked: Sequence[Asked], findings: Sequence[Found], wins: int, losses: int | None
) -> tuple[str, str]:
    verdicts = np.array([one.verdict for one in findings])
    if REPORTED in verdicts:
        return REPORTED, ""
    if test != "count_of":
        verdict = str((all_of if test == "all_of" else any_of)(verdicts))
        shown = [f"{one}: {', '.join(_ids(asked, verdicts == one))}" for one in dict.fromkeys(verdicts.tolist())]
        return verdict, "; ".join(shown)
    parts = _stacked([_outlook(one) for one in findings])
    verdict = str(count_of(parts, wins, losses))
    open_ = ~parts.won & ~parts.lost
    outcomes_ = (("won", parts.won), ("lost", parts.lost), ("open", open_))
    counted = [f"{int(mask.sum())} {word}{_listed(asked, mask)}" for word, mask in outcomes_]
    needed = f"at least {wins} won" + (f", at most {losses} lost" if losses is not None else "")
    return verdict, f"{'; '.join(counted)}; needs {needed} of {len(asked)}"


def _ids(asked: Sequence[Asked], mask: np.ndarray) -> list[str]:
    ids = [one.head.id if isinstance(one, Group) else one.id for one in asked]
    return [name for name, here in zip(ids, mask, strict=True) if here]


def _listed(asked: Sequence[Asked], mask: np.ndarray) -> str:
    return f" ({', '.join(_ids(asked, mask))})" if mask.any() else ""


def _stacked(parts: Sequence[Outlook]) -> Outlook:
    return Outlook(
        *(np.array([getattr(one, name) for one in parts]) for name in ("won", "lost", "may_win", "may_lose"))
    )


def _outlook(finding: Finding | Decision) -> Outlook:
    """What a part is and may become. One whose treatment never reached its criterion is lost for good."""
    if isinstance(finding, Decision):
        return conjunction(_stacked([_outlook(one) for one in finding.findings]))
    assert finding.hypothesis is not None
    no, yes = np.array(False), np.array(True)
    if finding.undecided:
        return Outlook(no, no, yes, yes)
    if np.isnan(finding.effect):
        return Outlook(no, yes, no, yes)
    found = outlook(finding.hypothesis, np.array(finding.low), np.array(finding.high))
    if found.won and finding.verdict == INCONCLUSIVE:  # equal values in too few seeds
        return Outlook(no, no, yes, yes)
    return found


def _combined_p(test: str, p: Sequence[float | None], wins: int) -> float | None:
    """The rule's p; parts without one (identities) are left out of all_of, and leave the other rules without."""
    known = np.array([one for one in p if one is not None])
    if len(known) == 0 or (test != "all_of" and len(known) < len(p)):
        return None
    return float(combined_p(test, known, wins))


def closed_gate(claim: ResolvedClaim, source: Source) -> str:
    """Why the claim cannot be believed whatever its data say: the first gate that is not met, or ""."""
    for gate in claim.gates:
        try:
            sample = draw_sample(gate.rule, source)
        except ClaimError as error:
            raise ClaimError(f"gate: {error}") from None
        reason = f"gate: {sample.undecided}" if sample.undecided else _unmet(gate, float(sample.values.mean()))
        if reason:
            return reason
    return ""


def _unmet(gate: ResolvedGate, mean: float) -> str:
    chosen = ", ".join(f"{name}: {value}" for name, value in gate.rule.where.items())
    where = f" of {chosen}" if chosen else ""
    if gate.at_least is not None and mean < gate.at_least:
        return f"gate: mean {gate.rule.metric}{where} is {mean:.4g}, not at least {gate.at_least:g}"
    if gate.at_most is not None and mean > gate.at_most:
        return f"gate: mean {gate.rule.metric}{where} is {mean:.4g}, not at most {gate.at_most:g}"
    return ""


def final_verdict(claim: ResolvedClaim, own: Decision, *, gate: str, controls: Sequence[Decision]) -> tuple[str, str]:
    """The verdict of a tested claim with its reason; first match wins, as in `docs/claims.md`."""
    if claim.exploratory:
        return REPORTED, own.reason if own.undecided else ""
    if gate:
        return INCONCLUSIVE, gate
    if own.verdict == CONTRADICTED:
        return CONTRADICTED, own.reason
    passed = sum(control.verdict == REPRODUCED for control in controls)
    if passed:
        which = "its control" if len(controls) == 1 else f"{passed} of its {len(controls)} controls"
        return INCONCLUSIVE, f"{which} came out reproduced, so nothing here can be believed"
    unknown = [control.undecided for control in controls if control.undecided]
    if unknown and own.verdict != INCONCLUSIVE:
        return INCONCLUSIVE, f"a control is undecided ({unknown[0]}), so nothing here can be believed"
    return own.verdict, own.reason
