"""From tables to one number a seed: select, reduce, transform, statistic, weighted sum; in this order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import pandas as pd

from dynatlas.claims.rules import Rule
from dynatlas.claims.tables import ClaimError, Grid, Table, aligned, grid, reduce_grid, select
from dynatlas.claims.vocabulary import Term
from dynatlas.intervals import Floats
from dynatlas.names import nearest
from dynatlas.spread import levelled, no_spread, rounding
from dynatlas.statistics import STATISTICS

Permutation = Callable[[int, int], np.ndarray]
"""(seed, number of conditions) -> an order of the conditions: the wrong pairing of a control."""

_SCALES: dict[str, Callable[[Floats], Floats]] = {
    "linear": np.asarray,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
}


@dataclass(frozen=True)
class Sample:
    """One value a seed; NaN where there is none, and then it is said why."""

    values: Floats
    seeds: tuple[int, ...]
    unreached: tuple[int, ...] = ()
    """Seeds whose treatment never reached its criterion."""
    undecided: str = ""
    """Of a rule that a non-finite value leaves undecided: the first such value, by seed and condition."""
    error: float = 0.0
    """What rounding may have left in a value. Values that differ by no more over the seeds are made equal."""
    settled: bool = False
    """No spread over seeds, nor in what a statistic is taken of: ranks may agree in all seeds where values differ."""


@dataclass(frozen=True)
class Source:
    """Where a sample comes from: the prepared tables, the seeds that must be there."""

    tables: Mapping[str, Table]
    seeds: Sequence[int] | None = None

    def table(self, name: str | None) -> Table:
        """The table that a claim names (a bare table answers whatever name)."""
        if "" in self.tables or (name is None and len(self.tables) == 1):
            return next(iter(self.tables.values()))
        if name is None or name not in self.tables:
            known = ", ".join(self.tables)
            raise ClaimError(f"table {name!r} is not there{nearest(str(name), self.tables)} (known: {known})")
        return self.tables[name]


def draw_sample(rule: Rule, source: Source, permutation: Permutation | None = None) -> Sample:
    """The values of `rule`, one a seed, in the order of the seeds; for an identity its largest deviation.

    `permutation` shuffles what the rule's statistic pairs, within each seed. Raises ClaimError (see `tables`), also
    where several rows a seed are left, where a logarithm meets a value that is not positive, where a non-finite value
    has no declared meaning, and where an exact claim has values that differ between seeds.
    """
    try:
        return _drawn(rule, source, permutation)
    except _Undecided as error:
        seeds = tuple(source.seeds or source.table(rule.table).seeds)
        return Sample(np.full(len(seeds), np.nan), seeds, undecided=str(error))


class _Undecided(Exception):
    """A non-finite value of a rule that says: then it is undecided."""


def _drawn(rule: Rule, source: Source, permutation: Permutation | None) -> Sample:
    cells = [_term_grid(rule, term, source) for term in rule.terms]
    seeds = cells[0].seeds
    for other in cells[1:]:
        if other.seeds != seeds:
            raise ClaimError(f"unpaired: one side has seeds {list(seeds)}, the other {list(other.seeds)}")
    unreached = tuple(s for place, s in enumerate(seeds) if any(np.isnan(c.values[place]).any() for c in cells))
    if unreached:
        return Sample(np.full(len(seeds), np.nan), seeds, unreached)
    varies = (
        len(cells) == 1 and rule.statistic is not None and not no_spread(cells[0].values, cells[0].error, axis=0).all()
    )
    if rule.statistic is not None:
        cells = [_statistic(rule, term, c, source, permutation) for term, c in zip(rule.terms, cells, strict=True)]
    total, error = _weighted_sum(rule, cells)
    if rule.test == "identity":
        values = np.abs(total - (rule.target or 0.0)).max(axis=1)
        return Sample(values, seeds, settled=bool(no_spread(values)))
    values = levelled(total[:, 0], error[:, 0])
    if rule.exact and np.ptp(values) > 0:
        raise ClaimError(f"exact: the seeds differ ({values.min()} to {values.max()}); leave `exact` out")
    return Sample(values, seeds, error=float(error.max()), settled=bool(no_spread(values)) and not varies)


def _weighted_sum(rule: Rule, cells: Sequence[Grid]) -> tuple[Floats, Floats]:
    """The sum over the terms, and its rounding, both `(seed, condition)`."""
    if rule.test != "identity":
        for one in cells:
            if one.values.shape[1] > 1:
                free = ", ".join(one.free)
                raise ClaimError(f"several rows a seed: {free} is free; fix it in `where` or `compare`, or `reduce` it")
    weights = [term.weight for term in rule.terms]
    sides = [aligned(cells[0], one) if len(cells) > 1 else (one.values, one.error) for one in cells]
    total = np.sum([weight * values for weight, (values, _) in zip(weights, sides, strict=True)], axis=0)
    error = np.sum([abs(weight) * own for weight, (_, own) in zip(weights, sides, strict=True)], axis=0)
    if rule.test == "identity":
        return total, error
    # Equal arms in a weighted sum leave rounding noise, and an interval of rounding noise has a sign.
    return np.where(np.abs(total) <= error, 0.0, total), error


def _term_grid(rule: Rule, term: Term, source: Source) -> Grid:
    """One term's values `(seed, condition)`, reduced and transformed; NaN only where a treatment is unreached."""
    cells = _meaning(rule, term, _cells(rule, term, source), source)
    cells = reduce_grid(cells, rule.reduce if term.reduce is None else term.reduce)
    if rule.transform is None:
        return cells
    wrong = cells.values <= 0
    if wrong.any():
        seed, condition = np.argwhere(wrong)[0]
        value = cells.values[seed, condition]
        raise ClaimError(f"transform {rule.transform}: {value} is not positive: {cells.at(seed, condition)}")
    values = _SCALES[rule.transform](cells.values)
    return replace(cells, values=values, error=rounding(values) + cells.error / cells.values)


def _cells(rule: Rule, term: Term, source: Source, metric: str | None = None) -> Grid:
    table = source.table(rule.table)
    chosen = rule.selects(term)
    name = metric or chosen.pop("metric", None)
    chosen.pop("metric", None)
    if not isinstance(name, str):
        raise ClaimError(f"metric: {name!r}: a selection reads one metric (known: {', '.join(table.metrics)})")
    seeds = None if rule.exact else (source.seeds or table.seeds)
    try:
        return grid(select(table.rows(name), chosen), seeds)
    except ClaimError as error:
        raise ClaimError(f"{table.name}, metric {name}, {chosen or 'all rows'}: {error}") from None


def _meaning(rule: Rule, term: Term, cells: Grid, source: Source) -> Grid:
    """Non-finite values replaced by what the claim declares them to stand for."""
    infinite = ~np.isfinite(cells.values)
    if not infinite.any():
        return cells
    if rule.censored is None or rule.censored.undecided:
        _refuse_infinite(rule, infinite, cells, "a non-finite value")
    if term.weight > 0 and rule.censored.treatment == "contradicts":
        return replace(cells, values=np.where(infinite, np.nan, cells.values))
    if rule.censored.metric is not None:
        budget, _ = aligned(cells, _cells(rule, term, source, rule.censored.metric))
    else:
        budget = np.full(cells.values.shape, rule.censored.value)
    return replace(
        cells,
        values=np.where(infinite, budget, cells.values),
        error=np.where(infinite, rounding(budget), cells.error),
    )


def _refuse_infinite(rule: Rule, infinite: np.ndarray, cells: Grid, what: str) -> NoReturn:
    """Say which value is not finite: an error, unless the rule says that it is then undecided."""
    at = cells.at(*np.argwhere(infinite)[0])
    reason = f"{what}: {at}"  # part of the row: what exceptions are raised with, fingerprints leave out
    if rule.censored is not None and rule.censored.undecided:
        raise _Undecided(reason)
    raise ClaimError(f"{what} (declare `censored` if it is a result): {at}")


def _statistic(rule: Rule, term: Term, cells: Grid, source: Source, permutation: Permutation | None) -> Grid:
    """The statistic of each seed, as a grid of one condition."""
    assert rule.statistic is not None
    x = _paired(rule, term, cells, source)
    if permutation is not None:
        x = np.stack([row[permutation(seed, len(row))] for row, seed in zip(x, cells.seeds, strict=True)])
    values = STATISTICS[rule.statistic.kind](x, levelled(cells.values, cells.error))
    if np.isnan(values).any():
        seed = cells.seeds[int(np.argmax(np.isnan(values)))]
        raise ClaimError(
            f"seed {seed}: {rule.statistic.pairing} or the metric is constant, so they have no relation"
            + (" (or no group has two rows)" if rule.statistic.icc else "")
        )
    return Grid(values[:, None], cells.seeds, cells.conditions.iloc[:1, :0], rounding(values[:, None]))


def _paired(rule: Rule, term: Term, cells: Grid, source: Source) -> Floats:
    """What the metric is paired with, `(seed, condition)`: a condition's numbers or another metric."""
    assert rule.statistic is not None
    if cells.values.shape[1] < 3:
        raise ClaimError(f"{rule.statistic.pairing}: {cells.values.shape[1]} conditions; a relation needs at least 3")
    if rule.statistic.spearman and rule.statistic.spearman.with_:
        return levelled(*aligned(cells, _other_metric(rule, term, source, rule.statistic.spearman.with_)))
    if rule.statistic.icc:
        return _groups(cells, rule.statistic.icc.between)
    return _along(cells, str(rule.statistic.pairing), rule.statistic.slope.scale if rule.statistic.slope else "linear")


def _other_metric(rule: Rule, term: Term, source: Source, metric: str) -> Grid:
    """The metric of a correlation on the same selection; conditions that its rows do not have are left out."""
    rows = source.table(rule.table).rows(metric)
    has = [str(column) for column in rows if not rows[column].isna().all()]
    chosen = {name: value for name, value in rule.selects(term).items() if name in has and name != "metric"}
    bare = replace(rule, metric=metric, where={})
    cells = _cells(bare, term.model_copy(update={"select": chosen}), source)
    reduce = rule.reduce if term.reduce is None else term.reduce
    if not np.isfinite(cells.values).all():
        _refuse_infinite(rule, ~np.isfinite(cells.values), cells, f"with {metric}: a non-finite value")
    return reduce_grid(cells, {name: how for name, how in reduce.items() if name in has})


def _condition(cells: Grid, column: str, key: str) -> pd.Series:
    if column not in cells.conditions:
        known = [str(name) for name in cells.conditions]
        raise ClaimError(f"{key}: no condition column {column!r}{nearest(column, known)} (known: {', '.join(known)})")
    return cells.conditions[column]


def _groups(cells: Grid, column: str) -> Floats:
    """Which value of a condition each row has, `(seed, condition)`, as a number."""
    codes, _ = pd.factorize(_condition(cells, column, "between"))
    return np.broadcast_to(codes.astype(float), cells.values.shape)


def _along(cells: Grid, column: str, scale: str) -> Floats:
    free = [name for name in cells.free if name != column]
    values = _condition(cells, column, "along")
    if free:
        raise ClaimError(f"several rows a seed and {column}: {', '.join(free)} is free; fix it or `reduce` it")
    try:
        x = values.to_numpy(dtype=float)
    except (TypeError, ValueError):
        raise ClaimError(f"along: {column} is not numeric") from None
    if scale != "linear" and (x <= 0).any():
        raise ClaimError(f"along: {column}: {x.min()} has no logarithm")
    return np.broadcast_to(_SCALES[scale](x), cells.values.shape)
