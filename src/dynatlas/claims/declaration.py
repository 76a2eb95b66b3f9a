"""A claim as it is written: what is compared over seeds, which test decides, which margin, which control must fail.

Which keys a claim or a part of one may have depends on its `test`, so there is a model for each kind of test, and a
union of them for claims and for parts. Reading yaml is `dynatlas.config`'s business; here plain mappings become checked
models, and `dynatlas.claims.resolve` makes of them what is decided at a scale. No numpy or pandas, as in `vocabulary`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, final, get_args

from pydantic import BeforeValidator, Discriminator, Field, PositiveInt, Tag, model_validator

from dynatlas.claims.vocabulary import (
    COMPOUNDS,
    RULE_FIELDS,
    Censored,
    Compare,
    Control,
    Finite,
    Gate,
    Gates,
    NamedGate,
    Number,
    PaperFigure,
    Reduction,
    Reference,
    RestsOn,
    Selector,
    SimpleTest,
    Statistic,
)
from dynatlas.config import Scale, Strict
from dynatlas.names import nearest

_NOT_TESTS = {
    "monotone": "statistic: {spearman: {along: <column>}}",
    "correlated": "statistic: {spearman: {with: <metric>}}",
    "slope": "statistic: {slope: {along: <column>}}",
    "ratio": "transform: log",
}


# ---------------------------------------------------------------- what claims and their parts share


class Reading(Strict):
    """Abstract: what becomes one number a seed. A part takes what it does not say itself from its compound."""

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


class Part(Reading):
    """Abstract: one of several things that a compound says."""

    id: str = ""
    says: str = ""


class Claim(Reading):
    """Abstract: one statement of a paper."""

    id: str = Field(min_length=1)
    says: str = Field(min_length=1)
    source: Reference | None = None
    paper: PaperFigure | None = None
    controls: list[Control] = Field(default=[], description="none of them may come out")
    gate: Gates = Field(default=[], description="without any of them the claim says nothing; a name is one of `gates`")
    scales: list[Scale] = Field(default=list(get_args(Scale)), min_length=1, description="where it is tested")
    decided_by: Scale | None = Field(default=None, description="the scale that can decide it")
    exploratory: bool = Field(default=False, description="effect and interval, no verdict")
    level: float = Field(default=0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _decided_where_it_is_tested(self) -> Claim:
        if self.decided_by is not None and self.decided_by not in self.scales:
            raise ValueError(f"decided_by: {self.decided_by!r} is not among its scales {self.scales}")
        return self


class Bound(Strict):
    """Abstract: is it above, or below, a margin?"""

    test: Literal["greater", "less", "at_least", "at_most"]
    margin: Number | None = None


class Equivalence(Strict):
    """Abstract: is it within a margin of a target?"""

    test: Literal["equivalent"]
    margin: Number | None = None
    target: Finite | None = None


class Identity(Strict):
    """Abstract: is no seed and no condition further from a target than a tolerance?"""

    test: Literal["identity"]
    tolerance: Finite | None = Field(default=None, ge=0)
    target: Finite | None = None


class Compound(Strict):
    """Abstract: something said of several parts, and what these take from it."""

    part_test: SimpleTest | None = Field(default=None, description="test of the parts that name none")
    margin: Number | None = Field(default=None, description="of the parts that name none and read one")
    target: Finite | None = Field(default=None, description="of the parts that name none and read one")
    tolerance: Finite | None = Field(default=None, ge=0, description="of the parts that name none and read one")


BOUNDS = ("greater", "less", "at_least", "at_most")


# ---------------------------------------------------------------- parts


@final
class BoundPart(Bound, Part):
    """A part put to greater, less, at_least or at_most."""


@final
class EquivalencePart(Equivalence, Part):
    """A part put to equivalent."""


@final
class IdentityPart(Identity, Part):
    """A part put to identity."""


@final
class PlainPart(Part):
    """A part put to the `part_test` of its compound."""

    margin: Number | None = None
    target: Finite | None = None
    tolerance: Finite | None = Field(default=None, ge=0)


Models = Mapping[str | None, type[Strict]]
"""The model of each test; None is the test of what names none."""


def _name_by_test(models: Models) -> Callable[[Any], str]:
    """Which of `models` a value is to become, by name."""

    def name(value: Any) -> str:
        test = value.get("test") if isinstance(value, Mapping) else getattr(value, "test", None)
        return models[test].__name__

    return name


def _keys_by_test(models: Models) -> Callable[[Any], Any]:
    """A mapping as it is, unless no one of `models` can read it."""

    def check(value: Any) -> Any:
        if isinstance(value, Mapping):
            _check_keys(value, models)
        return value

    return check


def _check_keys(value: Mapping[str, Any], models: Models) -> None:
    """Raise ValueError for a test that there is not, and for keys that another test reads."""
    test = value.get("test")
    if test in _NOT_TESTS:
        raise ValueError(
            f"test: this is no test but `{_NOT_TESTS[test]}`, put to greater, less, at_least, equivalent ..."
        )
    if test is None and models[None] is ReportedClaim and not value.get("exploratory"):
        raise ValueError("test: this key is missing (only an exploratory claim has none)")
    if not isinstance(test, str | None) or test not in models:
        if test in COMPOUNDS:
            raise ValueError(f"test: {test}: compounds nest one deep: a part of any_of or count_of may be an all_of")
        known = [str(one) for one in models if one is not None]
        raise ValueError(f"test: {test!r}: allowed is {', '.join(known)}{nearest(str(test), known)}")
    fields = models[test].model_fields
    for key in value:
        if key in fields:
            continue
        if key in ("margin", "target", "tolerance"):
            raise ValueError(f"{key}: the test {test!r} reads {', '.join(sorted(RULE_FIELDS.get(str(test), set())))}")
        if key in ("parts", "part_test"):
            raise ValueError(f"{key}: belongs to {', '.join(COMPOUNDS)}, not to {test}")
        if key in ("wins", "losses"):
            raise ValueError(f"{key}: count_of, and only count_of, says how many parts must be won")


_SIMPLE_PARTS: Models = {
    **dict.fromkeys(BOUNDS, BoundPart),
    "equivalent": EquivalencePart,
    "identity": IdentityPart,
    None: PlainPart,
}
SimplePart = Annotated[
    Annotated[BoundPart, Tag("BoundPart")]
    | Annotated[EquivalencePart, Tag("EquivalencePart")]
    | Annotated[IdentityPart, Tag("IdentityPart")]
    | Annotated[PlainPart, Tag("PlainPart")],
    Discriminator(_name_by_test(_SIMPLE_PARTS)),
    BeforeValidator(_keys_by_test(_SIMPLE_PARTS)),
]


@final
class AllOfPart(Compound, Part):
    """Several things as one part of any_of or count_of: won if all of them are, lost if any is."""

    test: Literal["all_of"]
    parts: list[SimplePart] = Field(min_length=2)


_PARTS: Models = {**_SIMPLE_PARTS, "all_of": AllOfPart}
AnyPart = Annotated[
    Annotated[BoundPart, Tag("BoundPart")]
    | Annotated[EquivalencePart, Tag("EquivalencePart")]
    | Annotated[IdentityPart, Tag("IdentityPart")]
    | Annotated[PlainPart, Tag("PlainPart")]
    | Annotated[AllOfPart, Tag("AllOfPart")],
    Discriminator(_name_by_test(_PARTS)),
    BeforeValidator(_keys_by_test(_PARTS)),
]


# ---------------------------------------------------------------- claims


@final
class BoundClaim(Bound, Claim):
    """A claim put to greater, less, at_least or at_most."""


@final
class EquivalenceClaim(Equivalence, Claim):
    """A claim put to equivalent."""


@final
class IdentityClaim(Identity, Claim):
    """A claim put to identity."""


@final
class AllOfClaim(Compound, Claim):
    """Reproduced if all parts are, contradicted if any is."""

    test: Literal["all_of"]
    parts: list[SimplePart] = Field(min_length=2)


@final
class AnyOfClaim(Compound, Claim):
    """Reproduced if any part is, contradicted if all are."""

    test: Literal["any_of"]
    parts: list[AnyPart] = Field(min_length=2)


@final
class CountOfClaim(Compound, Claim):
    """At least so many parts won, at most so many lost."""

    test: Literal["count_of"]
    parts: list[AnyPart] = Field(min_length=2)
    wins: PositiveInt = Field(description="at least so many parts")
    losses: int | None = Field(default=None, ge=0, description="at most so many on the other side")

    @model_validator(mode="after")
    def _as_many_parts(self) -> CountOfClaim:
        if self.wins > len(self.parts):
            raise ValueError(f"wins: {self.wins} of {len(self.parts)} parts")
        return self


@final
class ReportedClaim(Claim):
    """Something that is only measured and reported."""

    exploratory: Literal[True]


_CLAIMS: Models = {
    **dict.fromkeys(BOUNDS, BoundClaim),
    "equivalent": EquivalenceClaim,
    "identity": IdentityClaim,
    "all_of": AllOfClaim,
    "any_of": AnyOfClaim,
    "count_of": CountOfClaim,
    None: ReportedClaim,
}
AnyClaim = Annotated[
    Annotated[BoundClaim, Tag("BoundClaim")]
    | Annotated[EquivalenceClaim, Tag("EquivalenceClaim")]
    | Annotated[IdentityClaim, Tag("IdentityClaim")]
    | Annotated[AllOfClaim, Tag("AllOfClaim")]
    | Annotated[AnyOfClaim, Tag("AnyOfClaim")]
    | Annotated[CountOfClaim, Tag("CountOfClaim")]
    | Annotated[ReportedClaim, Tag("ReportedClaim")],
    Discriminator(_name_by_test(_CLAIMS)),
    BeforeValidator(_keys_by_test(_CLAIMS)),
]


# ---------------------------------------------------------------- the file


class Defaults(Strict):
    """What claims of a file take that do not say it themselves; `decided_by` only those that are not exploratory."""

    source: Reference | None = None
    rests_on: RestsOn | None = None
    decided_by: Scale | None = None
    scales: list[Scale] | None = None
    level: float | None = None
    table: str | None = None
    metric: str | None = None
    reduce: dict[str, Reduction] | None = None
    transform: Literal["log", "log10"] | None = None
    censored: Censored | None = None
    gate: list[str | NamedGate | Gate] | None = None


class ClaimsFile(Strict):
    """src/dynatlas/studies/<study>/claims.yaml: the statements of one paper, as data."""

    defaults: Defaults = Defaults()
    gates: dict[str, Gate] = Field(default={}, description="conditions that claims name in `gate`")
    claims: list[AnyClaim] = Field(min_length=1)
