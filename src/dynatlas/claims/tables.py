"""Rows of a tidy table as a full grid of seeds and conditions; whatever is missing, double or unknown is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from dynatlas.claims.vocabulary import Reduction, Selector, Value
from dynatlas.intervals import Floats
from dynatlas.names import nearest
from dynatlas.spread import rounding

FIXED = ("seed", "metric", "value")
PROVENANCE = ("study", "experiment")
"""Columns that say where a row was made: a claim may select by them, but they are no conditions."""
_REDUCERS: dict[str, Callable[..., Floats]] = {"mean": np.mean, "min": np.min, "max": np.max, "median": np.median}


class ClaimError(ValueError):
    """A table cannot answer a claim; the message names the row, column or value, and what there is."""


@dataclass(frozen=True)
class Table:
    """A tidy table, its rows parted by metric."""

    name: str
    metrics: dict[str, pd.DataFrame]
    seeds: tuple[int, ...]
    complete: set[str] = field(default_factory=set)
    """Metrics of which it is known that every row has every condition that any of them has."""

    def rows(self, metric: str) -> pd.DataFrame:
        """The rows of one metric.

        Raises ClaimError with the nearest name if there is none, and for a condition that only some of them have: what
        selects by it or groups by it would leave the others out in silence.
        """
        if metric not in self.metrics:
            known = ", ".join(self.metrics)
            raise ClaimError(f"metric {metric!r} is not in {self.name}{nearest(metric, self.metrics)} (known: {known})")
        rows = self.metrics[metric]
        if metric in self.complete:
            return rows
        lacking = rows.drop(columns=list(FIXED)).isna().sum()
        for column in lacking[(lacking > 0) & (lacking < len(rows))].index:
            raise ClaimError(f"{self.name}, metric {metric}: {column} is NaN in {lacking[column]} of {len(rows)} rows")
        self.complete.add(metric)
        return rows


def prepare(tables: pd.DataFrame | Mapping[str, pd.DataFrame | Table]) -> dict[str, Table]:
    """Tables by name, ready for claims; a bare table is called "" and answers claims whatever table they name."""
    if isinstance(tables, pd.DataFrame):
        tables = {"": tables}
    return {name: table if isinstance(table, Table) else _prepare(name, table) for name, table in tables.items()}


def _prepare(name: str, table: pd.DataFrame) -> Table:
    shown = f"table {name}" if name else "the table"
    for column in FIXED:
        if column not in table.columns:
            raise ClaimError(f"{shown} has no column {column!r} (columns: {', '.join(map(str, table.columns))})")
    for column in table.columns[(table.dtypes == np.float16) & (table.columns != "value")]:
        raise ClaimError(f"{shown}: column {column} is of float16, by which pandas cannot group; make it float32")
    if table["metric"].isna().any():
        raise ClaimError(f"{shown}: {int(table['metric'].isna().sum())} rows name no metric (NaN)")
    seeds = tuple(sorted(set(whole_seeds(table["seed"], shown))))
    table = table.assign(seed=table["seed"].astype(int), value=_numbers(table["value"], shown))
    parts = {str(metric): rows for metric, rows in table.groupby("metric", sort=False, observed=True)}
    return Table(shown, parts, seeds)


def whole_seeds(seeds: Iterable[Any], where: str) -> list[int]:
    """Seeds as whole numbers (2.0 is one). Raises ClaimError naming the first that is text, a fraction or NaN."""
    seeds = list(seeds)
    for seed in seeds:
        number = isinstance(seed, int | float | np.integer | np.floating) and not isinstance(seed, bool)
        if not number or not float(seed).is_integer():
            raise ClaimError(f"{where}: seed {seed!r}: allowed are whole numbers")
    return [int(seed) for seed in seeds]


def _numbers(values: pd.Series, where: str) -> pd.Series:
    """Values in a floating type: their own if they have one, so that its rounding is known."""
    kind: Any = values.dtype
    if isinstance(kind, np.dtype) and np.issubdtype(kind, np.floating):
        return values
    # what pandas wraps (nullable, of pyarrow, objects) was computed in a type of numpy's all the same
    own = getattr(kind, "numpy_dtype", kind)
    try:
        if not isinstance(own, np.dtype) or own == np.object_:
            own = np.asarray(values.tolist()).dtype
        if own.kind in "cSU":
            raise TypeError
        return values.astype(own if own.kind == "f" else np.float64)
    except (TypeError, ValueError):
        raise ClaimError(f"{where}: value: {kind} holds what is no real number") from None


@dataclass(frozen=True)
class Grid:
    """Values `(seed, condition)` and what each condition is, one row each."""

    values: Floats
    seeds: tuple[int, ...]
    conditions: pd.DataFrame
    error: Floats
    """What rounding may have left in each value, to first order."""

    @property
    def free(self) -> list[str]:
        """The columns in which the conditions differ."""
        return [str(name) for name, column in self.conditions.items() if column.nunique(dropna=False) > 1]

    def keys(self, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Each condition as a tuple of what it is in `columns` (None where the table leaves it open)."""
        if not columns:
            return [()] * len(self.conditions)
        lacking = pd.DataFrame(index=self.conditions.index, columns=[c for c in columns if c not in self.conditions])
        rows = pd.concat([self.conditions, lacking], axis=1)[list(columns)]
        return [tuple(None if pd.isna(x) else x for x in row) for row in rows.itertuples(index=False)]

    def at(self, seed: int, condition: int) -> str:
        """In words, the cell of the seed and the condition with these places."""
        fixed = ", ".join(f"{k}: {v}" for k, v in self.conditions.iloc[condition].items())
        return f"seed {self.seeds[seed]} of {{{fixed}}}"


def select(rows: pd.DataFrame, selector: Selector) -> pd.DataFrame:
    """The rows that meet every condition; a list allows each of its values.

    Raises ClaimError for an unknown column, for a value that the column never takes, and for an empty selection.
    """
    mask = np.ones(len(rows), dtype=bool)
    for column, wanted in selector.items():
        if column not in rows.columns:
            known = [str(name) for name in rows.columns if name not in FIXED]
            raise ClaimError(f"no condition column {column!r}{nearest(column, known)} (known: {', '.join(known)})")
        mask &= _matches(rows[column], wanted if isinstance(wanted, list) else [wanted])
    if not mask.any():
        raise ClaimError(f"the selection {selector} is empty: each value occurs, but never together")
    return rows[mask]


def _matches(column: pd.Series, wanted: Iterable[Value]) -> np.ndarray:
    found = np.zeros(len(column), dtype=bool)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    for value in wanted:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            hit = _equal(column, float(value))
        else:
            hit = (column == value).to_numpy(dtype=bool, na_value=False)
        if not hit.any():
            known = sorted({str(one) for one in column.dropna().unique()})
            shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            raise ClaimError(f"{column.name}: {value!r} does not occur{nearest(str(value), known)} (known: {shown})")
        found |= hit
    return found


def _equal(column: pd.Series, value: float) -> np.ndarray:
    """Which numbers are `value`, in the precision that the column is kept in."""
    kind: Any = getattr(column.dtype, "numpy_dtype", column.dtype)
    coarse = float(np.finfo(kind).eps) if np.issubdtype(kind, np.floating) else 0.0
    there = column.to_numpy(dtype=float, na_value=np.nan)
    return np.isclose(there, value, rtol=max(1e-9, 4 * coarse), atol=0.0)


def grid(rows: pd.DataFrame, seeds: Sequence[int] | None) -> Grid:
    """Selected rows as a full grid over `seeds` (or, for None, over the seeds that are there).

    Raises ClaimError for a NaN, a missing seed, a condition that only some seeds have, and a repeated row.
    """
    names = [str(c) for c in rows.columns if c not in (*FIXED, *PROVENANCE) and not rows[c].isna().all()]
    numbers = rows.groupby(names, dropna=False, sort=False, observed=True).ngroup() if names else rows["seed"] * 0
    which, first = np.unique(numbers.to_numpy(), return_index=True)
    conditions = rows[names].iloc[first].reset_index(drop=True)
    present = tuple(sorted(int(seed) for seed in rows["seed"].unique()))
    _check_seeds(present, seeds)
    place = np.searchsorted(present, rows["seed"].to_numpy())
    count = np.zeros((len(present), len(which)), dtype=int)
    np.add.at(count, (place, numbers.to_numpy()), 1)
    values = np.full(count.shape, np.nan)
    values[place, numbers.to_numpy()] = rows["value"].to_numpy(dtype=float)
    result = Grid(values, present, conditions, rounding(values, rows["value"].dtype))
    for wrong, problem in (
        (count > 1, "more than one row for"),
        (count == 0, "no row for"),
        (np.isnan(values), "NaN:"),
    ):
        if wrong.any():
            raise ClaimError(f"{problem} {result.at(*np.argwhere(wrong)[0])}")
    return result


def _check_seeds(present: Sequence[int], wanted: Sequence[int] | None) -> None:
    missing = sorted(set(wanted or present) - set(present))
    surplus = sorted(set(present) - set(wanted or present))
    if missing:
        raise ClaimError(f"no row for seed {', '.join(map(str, missing))} (there are: {', '.join(map(str, present))})")
    if surplus:
        raise ClaimError(f"rows for seed {', '.join(map(str, surplus))}, which is not among the seeds of this study")


def reduce_grid(cells: Grid, reduce: Mapping[str, Reduction]) -> Grid:
    """Collapse condition columns within each seed, one after the other, in the order in which they are named."""
    for column, how in reduce.items():
        if column not in cells.conditions:
            known = ", ".join(map(str, cells.conditions.columns)) or "none"
            hint = nearest(column, cells.conditions.columns)
            raise ClaimError(f"reduce: no condition column {column!r} in this selection{hint} (known: {known})")
        others = [c for c in cells.conditions.columns if c != column]
        if others:
            groups = cells.conditions.groupby(others, dropna=False, sort=False, observed=True).ngroup().to_numpy()
        else:
            groups = np.zeros(len(cells.conditions), dtype=int)
        which, first = np.unique(groups, return_index=True)
        values = np.stack([_REDUCERS[how](cells.values[:, groups == one], axis=1) for one in which], axis=1)
        error = np.stack([cells.error[:, groups == one].max(axis=1) for one in which], axis=1)
        cells = Grid(values, cells.seeds, cells.conditions[others].iloc[first].reset_index(drop=True), error)
    return cells


def aligned(cells: Grid, other: Grid) -> tuple[Floats, Floats]:
    """The values of `other`, and their rounding, in the order of the conditions of `cells`.

    Raises ClaimError if any has no partner.
    """
    columns = sorted({*cells.free, *other.free})
    ours, theirs = cells.keys(columns), other.keys(columns)
    unpaired = [key for key in {**dict.fromkeys(ours), **dict.fromkeys(theirs)} if (key in ours) != (key in theirs)]
    if unpaired:
        raise ClaimError(f"unpaired rows: {dict(zip(columns, unpaired[0], strict=True))} is on one side only")
    places = [theirs.index(key) for key in ours]
    return other.values[:, places], other.error[:, places]
