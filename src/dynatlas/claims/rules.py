"""A claim at one scale: what is decided and hashed, with all that was inherited and every number of that scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dynatlas.claims.vocabulary import (
    COMPOUNDS,
    Censored,
    Control,
    PaperFigure,
    Reduction,
    Reference,
    RestsOn,
    Selector,
    Statistic,
    Term,
)


@dataclass(frozen=True)
class Rule:
    """One number a seed, and the test that it is put to (of a compound: what its row in the ledger says of it)."""

    id: str
    says: str
    table: str | None
    metric: str | None
    where: Selector
    terms: tuple[Term, ...]
    reduce: Mapping[str, Reduction]
    censored: Censored | None
    statistic: Statistic | None = None
    transform: str | None = None
    exact: bool = False
    rests_on: RestsOn | None = None
    test: str | None = None
    margin: float | None = None
    target: float = 0.0
    tolerance: float | None = None
    own: frozenset[str] = frozenset()
    """Keys that a part says itself, and does not take from its compound."""

    def selects(self, term: Term) -> Selector:
        """All conditions of one term: the rule's metric and `where`, and over them what the term itself selects."""
        metric: Selector = {} if self.metric is None else {"metric": self.metric}
        return {**metric, **self.where, **term.select}


@dataclass(frozen=True)
class Group:
    """A part that is an all_of: what it says, and its own parts."""

    head: Rule
    rules: tuple[Rule, ...]


Asked = Rule | Group
"""What a claim is made of: one rule that is the claim itself, or the parts of a compound."""


def leaves(asked: Sequence[Asked]) -> Iterator[Rule]:
    """Every rule that is put to a test, in the order of the file."""
    for one in asked:
        yield from one.rules if isinstance(one, Group) else (one,)


@dataclass(frozen=True)
class ResolvedGate:
    """A condition on the mean over seeds of what `rule` reads."""

    rule: Rule
    at_least: float | None
    at_most: float | None


@dataclass(frozen=True)
class ResolvedControl:
    """What a control declares, and the claim's rules on its data."""

    declared: Control
    asked: tuple[Asked, ...]


@dataclass(frozen=True)
class ResolvedClaim:
    """One statement of a paper at one scale."""

    scale: str
    head: Rule
    asked: tuple[Asked, ...]
    controls: tuple[ResolvedControl, ...]
    gates: tuple[ResolvedGate, ...]
    source: Reference | None
    paper: PaperFigure | None
    scales: tuple[str, ...]
    decided_by: str | None
    exploratory: bool
    level: float
    wins: int | None = None
    losses: int | None = None

    @property
    def id(self) -> str:
        """The claim's name within its study."""
        return self.head.id

    @property
    def compound(self) -> bool:
        """Is it decided by its parts?"""
        return self.head.test in COMPOUNDS

    @property
    def tested(self) -> bool:
        """Is it tested at this scale?"""
        return self.scale in self.scales

    @property
    def rules(self) -> list[Rule]:
        """Every rule that is put to a test."""
        return list(leaves(self.asked))

    @property
    def part_level(self) -> float:
        """The level of each part's interval: any_of of m parts 1 − α/m, count_of k of m parts 1 − αk/m.

        An all_of among the parts counts as one: it is wrong no more often than any single part of it.
        """
        shares = {"any_of": 1.0, "count_of": float(self.wins or 1)}
        share = shares[self.head.test] / len(self.asked) if self.head.test in shares else 1.0
        return 1.0 - (1.0 - self.level) * share
