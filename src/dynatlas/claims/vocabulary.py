"""The words that claims are made of: selections, comparisons, statistics, gates and controls.

Nothing here imports numpy or pandas, so that a plan can check the claims of every study before any job starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from dynatlas.config import Scale, Strict
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


Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Number = Annotated[float | dict[Scale, float], BeforeValidator(_number)]
Selector = Annotated[dict[str, Value | list[Value]], BeforeValidator(_selector)]
RestsOn = Literal["arithmetic", "construction", "experiment"]
SimpleTest = Literal["greater", "less", "at_least", "at_most", "equivalent", "identity"]
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

    weight: Finite
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
    def terms(self) -> tuple[Term, ...]:
        """The weighted selections, treatment first."""
        if self.contrast is not None:
            return tuple(self.contrast)
        arms = (Term(weight=1.0, select=self.treatment or {}),)
        return arms if self.reference is None else (*arms, Term(weight=-1.0, select=self.reference))


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
    claim, or counts in the same way where the non-finite result is itself the finding (`treatment: value`). Where it
    says nothing of the claim, `undecided: true` leaves the claim inconclusive.
    """

    value: Number | None = None
    metric: str | None = None
    treatment: Literal["contradicts", "value"] = "contradicts"
    undecided: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Censored:
        if sum(one is not None for one in (self.value, self.metric, self.undecided)) != 1:
            raise ValueError("allowed is one of `value`, `metric` and `undecided`")
        if self.undecided and "treatment" in self.model_fields_set:
            raise ValueError("treatment: belongs to `value` and `metric`; `undecided` holds on both sides")
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


class NamedGate(Strict):
    """One of the file's `gates:`, on the rows that `where` selects besides."""

    gate: str
    where: Selector = Field(default={})


def _written_out(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, Mapping) and "gate" in value):
        raise ValueError("a gate by its name stands for one under `gates:` of the file; here it must be written out")
    return value


Gates = list[Annotated[Gate, BeforeValidator(_written_out, json_schema_input_type=str | NamedGate | Gate)]]


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
