"""A claim as data: what is compared over seeds, which test decides, what the margin is, which control must not pass.

Reading yaml is `dynatlas.config`'s business; here plain mappings become checked models. Nothing here imports numpy or
pandas, so that a plan can check the claims of every study before any job starts.
"""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field, PositiveInt, field_validator, model_validator

from dynatlas.config import ConfigError, Scale, Strict
from dynatlas.names import nearest

Value = bool | int | float | str
Reduction = Literal["mean", "min", "max", "median"]


def _number(value: Any) -> Any:
    """One message for a number that is none, where pydantic would give one for each kind that it might have been."""
    numbers = value.values() if isinstance(value, dict) else [value]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and isfinite(one) for one in numbers):
        raise ValueError("allowed is a finite number, or a mapping of every scale to one")
    for scale in value if isinstance(value, dict) else ():
        if scale not in get_args(Scale):
            raise ValueError(f"{scale!r}: no such scale{nearest(str(scale), get_args(Scale))}")
    return value


def _selector(value: Any) -> Any:
    for name, wanted in value.items() if isinstance(value, dict) else ():
        values = wanted if isinstance(wanted, list) and wanted else [wanted]
        if not all(isinstance(one, Value) for one in values):
            raise ValueError(f"{name}: {wanted!r}: allowed is a word, a number, true, false, or a list of these")
    return value


Number = Annotated[float | dict[Scale, float], BeforeValidator(_number)]
Selector = Annotated[dict[str, Value | list[Value]], BeforeValidator(_selector)]
RestsOn = Literal["arithmetic", "construction", "experiment"]
Test = Literal["greater", "less", "at_least", "at_most", "equivalent", "identity", "all_of", "any_of", "count_of"]
COMPOUNDS = ("all_of", "any_of", "count_of")

RULE_FIELDS: dict[str, set[str]] = {
    "greater": {"margin"},
    "less": {"margin"},
    "at_least": {"margin"},
    "at_most": {"margin"},
    "equivalent": {"margin", "target"},
    "identity": {"tolerance", "target"},
}
"""Which numbers each kind of test reads; any other is a mistake."""

_NOT_TESTS = {
    "monotone": "statistic: {spearman: {along: <column>}}",
    "correlated": "statistic: {spearman: {with: <metric>}}",
    "slope": "statistic: {slope: {along: <column>}}",
    "ratio": "transform: log",
}


class Reference(Strict):
    """Where in the paper the statement stands."""

    where: str


class PaperFigure(Strict):
    """The paper's own number, where it stands, and the scale that it belongs to."""

    value: str
    where: str
    scale: Scale = "paper"


class Term(Strict):
    """One weighted selection of rows; `reduce` replaces the claim's where this side collapses its columns otherwise."""

    weight: float
    select: Selector
    reduce: dict[str, Reduction] | None = None


class Compare(Strict):
    """What is subtracted from what, within each seed: one arm, two paired arms, or a weighted sum of arms."""

    treatment: Selector | None = None
    reference: Selector | None = None
    contrast: list[Term] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_form(self) -> Compare:
        if (self.treatment is None) == (self.contrast is None) or (
            self.reference is not None and self.contrast is not None
        ):
            raise ValueError("allowed is {treatment}, {treatment, reference} or {contrast}")
        return self

    @property
    def terms(self) -> list[Term]:
        """The weighted selections, treatment first."""
        if self.contrast is not None:
            return self.contrast
        arms = [Term(weight=1.0, select=self.treatment or {})]
        return arms if self.reference is None else [*arms, Term(weight=-1.0, select=self.reference)]


class Spearman(Strict):
    """Rank correlation within a seed, along a numeric condition or with another metric over all free conditions."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    along: str | None = None
    with_: str | None = Field(default=None, alias="with")

    @model_validator(mode="after")
    def _one_form(self) -> Spearman:
        if (self.along is None) == (self.with_ is None):
            raise ValueError("allowed is {along: column} or {with: metric}")
        return self


class Slope(Strict):
    """Least-squares slope within a seed along a numeric condition, whose values are first put on `scale`.

    The metric is put on its own scale by the claim's `transform`: a log-log slope has both.
    """

    along: str
    scale: Literal["linear", "log", "log2", "log10"] = "linear"


class Icc(Strict):
    """Intraclass correlation within a seed: the share of variance that lies between the values of a condition.

    Rows that agree in it are repetitions, whatever else they differ in.
    """

    between: str


class Statistic(Strict):
    """What becomes of the rows of a selection within a seed; without it they must be one row, whose value is taken."""

    spearman: Spearman | None = None
    slope: Slope | None = None
    icc: Icc | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Statistic:
        if sum(one is not None for one in (self.spearman, self.slope, self.icc)) != 1:
            raise ValueError("allowed is one of {spearman: ...}, {slope: ...} and {icc: ...}")
        return self

    @property
    def kind(self) -> Literal["spearman", "slope", "icc"]:
        """Which one it is."""
        return "spearman" if self.spearman else "slope" if self.slope else "icc"

    @property
    def pairing(self) -> str | None:
        """The column or metric that is paired with the metric."""
        if self.spearman:
            return self.spearman.along or self.spearman.with_
        return self.slope.along if self.slope else self.icc.between if self.icc else None


class Censored(Strict):
    """What a non-finite value stands for: a criterion never reached, or a run that diverged.

    In a reference it counts as `value`, or as `metric` of the same row (its budget). In a treatment it contradicts the
    claim, or counts in the same way where the non-finite result is itself the finding (`treatment: value`).
    """

    value: Number | None = None
    metric: str | None = None
    treatment: Literal["contradicts", "value"] = "contradicts"

    @model_validator(mode="after")
    def _one_form(self) -> Censored:
        if (self.value is None) == (self.metric is None):
            raise ValueError("allowed is one of `value` and `metric`")
        return self


class Gate(Strict):
    """A condition on the mean over seeds without which a claim says nothing: the networks have learned their task."""

    metric: str
    table: str | None = None
    where: Selector = Field(default={})
    reduce: dict[str, Reduction] = Field(default={})
    at_least: Number | None = None
    at_most: Number | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Gate:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("allowed is one of `at_least` and `at_most`")
        return self


class Replacement(Strict):
    """Every selection that contains `from` has `to` in its place."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    from_: Selector = Field(alias="from", min_length=1)
    to: Selector = Field(min_length=1)


class Control(Strict):
    """Data on which the same rule must not come out: other arms, conditions, metric or table, or a wrong pairing."""

    says: str = ""
    replace: list[Replacement] = Field(default=[])
    permute: str | None = None
    where: Selector = Field(default={})
    compare: Compare | None = None
    metric: str | None = None
    table: str | None = None

    @model_validator(mode="after")
    def _something(self) -> Control:
        if not self.model_fields_set - {"says"}:
            raise ValueError("a control must change something: replace, permute, where, compare, metric or table")
        return self


class Part(Strict):
    """One number a seed, and the test that it is put to."""

    id: str = ""
    says: str = ""
    table: str | None = None
    metric: str | None = None
    where: Selector = Field(default={})
    compare: Compare = Field(default=Compare(treatment={}))
    statistic: Statistic | None = None
    reduce: dict[str, Reduction] = Field(default={})
    transform: Literal["log", "log10"] | None = None
    censored: Censored | None = None
    exact: bool = Field(default=False, description="no randomness: all seeds must agree, and one is enough")
    rests_on: RestsOn | None = Field(default=None, description="what could have made it come out otherwise")
    test: Test | None = None
    margin: Number | None = None
    target: float | None = None
    tolerance: float | None = Field(default=None, ge=0)

    @field_validator("test", mode="before")
    @classmethod
    def _statistics_are_no_tests(cls, value: Any) -> Any:
        if value in _NOT_TESTS:
            raise ValueError(
                f"this is no test but `{_NOT_TESTS[value]}`, put to greater, less, at_least, equivalent ..."
            )
        return value


class Claim(Part):
    """One statement of a paper."""

    id: str = Field(min_length=1)
    says: str = Field(min_length=1)
    source: Reference | None = None
    paper: PaperFigure | None = None
    controls: list[Control] = Field(default=[], description="none of them may come out")
    gate: list[Gate] = Field(default=[])
    scales: list[Scale] = Field(default=list(get_args(Scale)), min_length=1, description="where it is tested")
    decided_by: Scale | None = Field(default=None, description="the scale that can decide it")
    exploratory: bool = Field(default=False, description="effect and interval, no verdict")
    level: float = Field(default=0.95, gt=0.5, lt=1)
    parts: list[Part] = Field(default=[])
    part_test: Test | None = Field(default=None, description="test of the parts that name none")
    wins: PositiveInt | None = Field(default=None, description="count_of: at least so many parts")
    losses: int | None = Field(default=None, ge=0, description="count_of: at most so many on the other side")

    @property
    def compound(self) -> bool:
        """Is it decided by its parts?"""
        return self.test in COMPOUNDS

    @property
    def rules(self) -> list[Part]:
        """What is tested: the claim itself, or its parts with all that they inherit."""
        return [_inherit(self, part, place) for place, part in enumerate(self.parts, 1)] if self.parts else [self]

    @property
    def part_level(self) -> float:
        """The level of each part's interval: any_of of m parts 1 − α/m, count_of k of m parts 1 − αk/m."""
        shares = {"any_of": 1.0, "count_of": float(self.wins or 1)}
        share = shares[self.test] / len(self.parts) if self.test in shares else 1.0
        return 1.0 - (1.0 - self.level) * share

    @model_validator(mode="after")
    def _sound(self) -> Claim:
        _check_shape(self)
        for rule in self.rules:
            _check_rule(rule, self)
        for gate in self.gate:
            _check_scales("gate", gate.at_most if gate.at_least is None else gate.at_least, self)
        if self.decided_by is not None and self.decided_by not in self.scales:
            raise ValueError(f"decided_by: {self.decided_by!r} is not among its scales {self.scales}")
        return self


_INHERITED = ("table", "metric", "compare", "statistic", "reduce", "transform", "censored", "exact", "rests_on")


def _inherit(claim: Claim, part: Part, place: int) -> Part:
    """`part` with what it does not say itself taken from its compound; the conditions of `where` are joined."""
    test = part.test or claim.part_test
    names = (*_INHERITED, *sorted(RULE_FIELDS.get(test or "", set())))
    update = {name: getattr(claim, name) for name in names if name not in part.model_fields_set}
    where = {**claim.where, **part.where}
    return part.model_copy(update=update | {"test": test, "where": where, "id": part.id or str(place)})


def _check_shape(claim: Claim) -> None:
    if claim.test is None and not (claim.exploratory and not claim.parts):
        raise ValueError("test: this key is missing (only an exploratory claim has none)")
    if claim.compound and len(claim.parts) < 2:
        raise ValueError(f"parts: {claim.test} needs at least two")
    for key in ("parts", "part_test"):
        if not claim.compound and getattr(claim, key):
            raise ValueError(f"{key}: belongs to {', '.join(COMPOUNDS)}, not to {claim.test}")
    if (claim.test == "count_of") != (claim.wins is not None) or (claim.losses is not None and claim.wins is None):
        raise ValueError("wins: count_of, and only count_of, says how many parts must be won")
    if claim.wins is not None and claim.wins > len(claim.parts):
        raise ValueError(f"wins: {claim.wins} of {len(claim.parts)} parts")
    ids = [part.id for part in claim.rules]
    repeated = sorted({one for one in ids if ids.count(one) > 1})
    if repeated:
        raise ValueError(f"parts: id {repeated[0]!r} is there twice")


def _check_rule(rule: Part, claim: Claim) -> None:
    part = "" if rule is claim else f"part {rule.id}: "
    if rule.test in COMPOUNDS:
        raise ValueError(f"{part}test: {rule.test}: compounds do not nest")
    if rule.test is None:
        if not claim.exploratory:
            raise ValueError(f"{part}test: this key is missing (the compound's part_test is inherited)")
        return
    allowed = RULE_FIELDS[rule.test]
    for key in ("margin", "target", "tolerance"):
        if key not in allowed and getattr(rule, key) is not None:
            raise ValueError(f"{part}{key}: the test {rule.test!r} reads {', '.join(sorted(allowed))}")
        if key in allowed - {"target"} and getattr(rule, key) is None:
            raise ValueError(f"{part}{key}: this key is missing; {rule.test!r} needs it, fixed before looking")
    _check_scales(f"{part}margin", rule.margin, claim)
    _check_scales(f"{part}censored.value", rule.censored.value if rule.censored else None, claim)
    margins = [*rule.margin.values()] if isinstance(rule.margin, dict) else [rule.margin]
    if (
        rule.test == "less"
        and len(rule.compare.terms) > 1
        and any(margin is not None and margin > 0 for margin in margins)
    ):
        raise ValueError(
            f"{part}margin: {rule.margin}: a difference below a positive margin may be one in the wrong direction; "
            "write a negative one (less by so much), or test at_most (not above it)"
        )
    if rule.test == "equivalent" and any(margin is None or margin <= 0 for margin in margins):
        raise ValueError(f"{part}margin: {rule.margin}: equivalence needs a margin above 0 on both sides of its target")


def _check_scales(name: str, number: Number | None, claim: Claim) -> None:
    lacking = ", ".join(sorted(set(claim.scales) - set(number))) if isinstance(number, dict) else ""
    if lacking:
        raise ValueError(f"{name}: none for scale {lacking} (say so under `scales` if it is not tested there)")


def at_scale(number: Number | None, scale: str) -> float | None:
    """A number of a claim at `scale`; ConfigError if it is given for other scales only."""
    if not isinstance(number, dict):
        return number
    if scale not in number:
        raise ConfigError(f"scale {scale!r}: this number is given for {', '.join(number)} only")
    return number[scale]


def effective(rule: Part, term: Term) -> Selector:
    """All conditions of one term: the rule's metric and `where`, and over them what the term itself selects."""
    metric: Selector = {} if rule.metric is None else {"metric": rule.metric}
    return {**metric, **rule.where, **term.select}
