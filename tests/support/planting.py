"""Tables in which each part of a claim holds, fails, or lies at the edge of what it says; made by a linear program.

What a claim, its controls and its gates read becomes cells: a table, a metric, and a value of every condition column
that the study declares. A column that a read leaves open has one value (in a table it is one where a metric does not
vary along it). Every cell has one unknown, its value after the claim's transform, within the metric's declared range;
what is planted of a part is an inequality, and the program makes all of them hold by as much as it can.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import exp, inf, log, log10, prod
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linprog

from dynatlas.claims.rules import ResolvedClaim, ResolvedGate, Rule, leaves
from dynatlas.claims.vocabulary import Term
from dynatlas.table_schema import TableSchema

SEEDS = range(100, 108)
NOISE = 1 / 20
"""Spread over seeds, as a share of the distance by which what is planted holds."""
KINDS: dict[str, list[Any]] = {
    "int": [1, 2, 3, 4, 5, 6],
    "float": [0.0, 0.25, 0.5, 1.0],
    "str": ["a", "b", "c"],
    "bool": [False, True],
}
"""Values of columns whose kind alone is declared."""

Cell = tuple[str, str, tuple[Any, ...]]
"""Table, metric, and a value for each of the table's columns."""
Sum = dict[Cell, float]
"""A weighted sum of cells."""


class Layout:
    """Which cells a claim reads. Raises AssertionError for a table, metric, column or value that is not declared."""

    def __init__(self, claim: ResolvedClaim, schemas: Mapping[str, TableSchema]):
        self.schemas = schemas
        controlled = [rule for control in claim.controls for rule in leaves(control.asked)]
        self.rules = [*claim.rules, *controlled, *(gate.rule for gate in claim.gates)]
        self.pinned: dict[tuple[str, str], Any] = {}
        for rule in self.rules:
            for term in rule.terms:
                for column, value in rule.selects(term).items():
                    values = value if isinstance(value, list) else [value]
                    self.pinned.setdefault((str(rule.table), column), values[0])

    def groups(self, rule: Rule, term: Term, metric: str | None = None) -> dict[tuple[Any, ...], list[Cell]]:
        """The cells of one side, by what is left of their conditions once columns are reduced."""
        table = str(rule.table)
        schema = self.schemas[table]
        selected = rule.selects(term)
        metric = metric or str(selected["metric"])
        assert metric in schema.metrics, f"table {table} declares no metric {metric!r}"
        reduced = rule.reduce if term.reduce is None else term.reduce
        axes = self._axes(rule, {**selected}, set(reduced))
        kept = [name for name in axes if name not in reduced]
        groups: dict[tuple[Any, ...], list[Cell]] = {}
        for values in product(*axes.values()):
            at = dict(zip(axes, values, strict=True))
            groups.setdefault(tuple(at[name] for name in kept), []).append((table, metric, values))
        return groups

    def along(self, rule: Rule, column: str, key: tuple[Any, ...]) -> Any:
        """The value of a column in what is left of conditions (a key of `groups`)."""
        kept = [name for name in self.schemas[str(rule.table)].columns if name not in rule.reduce]
        return key[kept.index(column)]

    def _axes(self, rule: Rule, selected: dict[str, Any], reduced: set[str]) -> dict[str, list[Any]]:
        """Every column of the table, with the values that are planted of it."""
        schema, table = self.schemas[str(rule.table)], str(rule.table)
        selected.pop("metric", None)
        wide = reduced | ({rule.statistic.pairing} & set(schema.columns) if rule.statistic else set())
        for column in [*selected, *reduced]:
            assert column in schema.columns, f"table {table} declares no column {column!r}"
        open_ = [name for name in schema.columns if name not in selected and name not in wide]
        if rule.statistic and (rule.statistic.icc or (rule.statistic.spearman and rule.statistic.spearman.with_)):
            closed = [name for name in open_ if not isinstance(schema.columns[name], str)]
            enough = prod(len(self._values(table, name)) for name in closed) >= 3 and not rule.statistic.icc
            wide |= set(closed if enough else open_)
        axes: dict[str, list[Any]] = {}
        for name in schema.columns:
            if name in selected:
                axes[name] = selected[name] if isinstance(selected[name], list) else [selected[name]]
                for value in axes[name]:
                    assert not (why := schema.unknown(name, value)), f"table {table}: {why}"
            elif name in wide:
                axes[name] = self._values(table, name)
            else:
                axes[name] = [self.pinned.get((table, name), self._values(table, name)[0])]
        return axes

    def _values(self, table: str, column: str) -> list[Any]:
        declared = self.schemas[table].columns[column]
        return KINDS[declared] if isinstance(declared, str) else list(declared)


@dataclass(frozen=True)
class Claimed:
    """The effects that a test claims, in the words of docs/claims.md: from `low` to `high`."""

    low: float
    high: float
    null: float | None = None
    """Of a test of superiority, whose opposite begins here."""

    @classmethod
    def by(cls, rule: Rule) -> Claimed:
        """What the test of a rule claims."""
        margin = rule.margin or 0.0
        if rule.test == "greater":
            return cls(margin, inf, None if margin < 0 else 0.0)
        if rule.test == "less":
            return cls(-inf, margin, None if margin > 0 else 0.0)
        if rule.test == "at_least":
            return cls(margin, inf)
        if rule.test == "at_most":
            return cls(-inf, margin)
        width = rule.tolerance if rule.test == "identity" else margin
        return cls(rule.target - float(width or 0), rule.target + float(width or 0))


class Program:
    """What is planted, as a linear program in the cells' values and the distance by which all of it holds.

    Where two metrics are ranked against each other, the second rises along the conditions in their order; `turned`, it
    falls.
    """

    def __init__(self, layout: Layout, *, turned: bool = False):
        self.layout, self.turned = layout, turned
        self.root: dict[Cell, Cell] = {}
        self.transforms: dict[tuple[str, str], str | None] = {}
        self.quiet: set[Cell] = set()
        self.above: list[tuple[Sum, float, float]] = []
        self.same: list[tuple[Sum, float]] = []
        self.size = 10.0

    def find(self, cell: Cell) -> Cell:
        """The cell whose value this one shares."""
        self.root.setdefault(cell, cell)
        while self.root[cell] != cell:
            cell = self.root[cell]
        return cell

    def join(self, cells: Sequence[Cell]) -> Cell:
        """Give several cells one value: then it does not matter how they are reduced."""
        for cell in cells:
            self.root[self.find(cell)] = self.find(cells[0])
        return cells[0]

    def at_least(self, total: Sum, bound: float, share: float = 1.0) -> None:
        """`total` is above `bound` by a share of the distance."""
        self.above.append((total, bound, share))
        self.size = max(self.size, 4 * abs(bound))

    def at_most(self, total: Sum, bound: float, share: float = 1.0) -> None:
        """`total` is below `bound` by a share of the distance."""
        self.at_least({cell: -weight for cell, weight in total.items()}, -bound, share)

    def equal(self, total: Sum, value: float) -> None:
        """`total` is `value`."""
        self.same.append((total, value))
        self.size = max(self.size, 4 * abs(value))

    def transform(self, table: str, metric: str, how: str | None) -> None:
        """On which scale a metric's cells are solved for: the one that the claim reads it on."""
        known = self.transforms.setdefault((table, metric), how)
        assert known == how, f"{table}, {metric}: read as it is and on a logarithmic scale, which no program can plant"

    def solve(self) -> Solution | None:
        """Values of all cells, or None where what is planted contradicts itself."""
        roots = list(dict.fromkeys(self.find(cell) for cell in list(self.root)))
        place = {cell: number for number, cell in enumerate(roots)}
        upper, bounds, equal, values = [], [], [], []
        for total, bound, share in [*self.above, *self._ranges(roots)]:
            upper.append(np.append(-self._row(total, place), share))
            bounds.append(-bound)
        for total, value in self.same:
            equal.append(np.append(self._row(total, place), 0.0))
            values.append(value)
        cost = np.append(np.zeros(len(roots)), -1.0)
        box = [*[(-self.size, self.size)] * len(roots), (0.0, 1.0)]
        system: dict[str, Any] = {"A_eq": np.array(equal), "b_eq": values} if equal else {}
        system |= {"A_ub": np.array(upper), "b_ub": bounds} if upper else {}
        found = linprog(cost, bounds=box, **system)
        if found.status != 0 or found.x[-1] < 1e-6:
            return None
        by_root = dict(zip(roots, found.x[:-1], strict=True))
        quiet = {self.find(cell) for cell in self.quiet}
        values_of = {cell: (self.find(cell), by_root[self.find(cell)]) for cell in self.root}
        return Solution(self.layout, values_of, quiet, dict(self.transforms), float(found.x[-1]))

    def _row(self, total: Sum, place: Mapping[Cell, int]) -> np.ndarray:
        row = np.zeros(len(place))
        for cell, weight in total.items():
            row[place[self.find(cell)]] += weight
        return row

    def _ranges(self, roots: Sequence[Cell]) -> Iterator[tuple[Sum, float, float]]:
        """Metrics within what is declared of them, with room for the noise."""
        quiet = {self.find(one) for one in self.quiet}
        for cell in roots:
            low, high = self.layout.schemas[cell[0]].metrics[cell[1]]
            how = self.transforms.get(cell[:2])
            if how is not None:
                to = log if how == "log" else log10
                low, high = to(low) if low > 0 else -self.size, to(high) if high < inf else inf
            room = 0.0 if cell in quiet else 2 * NOISE
            if low > -inf:
                yield {cell: 1.0}, low, room
            if high < inf:
                yield {cell: -1.0}, -high, room


@dataclass(frozen=True)
class Solution:
    """A value of every cell, and by how much what was planted holds."""

    layout: Layout
    values: dict[Cell, tuple[Cell, float]]
    quiet: set[Cell]
    transforms: dict[tuple[str, str], str | None]
    distance: float

    def rows(self, seeds: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Rows of all tables for some seeds; cells of one value share their noise, whose mean over seeds is 0."""
        undo = {None: float, "log": exp, "log10": lambda value: 10.0**value}
        for cell, (root, value) in self.values.items():
            table, metric, conditions = cell
            noise = np.random.default_rng(zlib.crc32(repr(root).encode())).normal(size=len(SEEDS))
            noise = (noise - noise.mean()) / np.abs(noise - noise.mean()).max() * (root not in self.quiet)
            named = dict(zip(self.layout.schemas[table].columns, conditions, strict=True))
            for seed in seeds:
                there = value + NOISE * self.distance * noise[seed - SEEDS[0]]
                yield table, {"seed": seed, **named, "metric": metric, "value": undo[self.transforms[cell[:2]]](there)}


def frames(parts: Sequence[tuple[Solution, Sequence[int]]], schemas: Mapping[str, TableSchema]) -> dict[str, Any]:
    """Tables of solutions, each for some of the seeds; they are as declared, but for values that nothing reads."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for solution, seeds in parts:
        for table, row in solution.rows(seeds):
            rows.setdefault(table, []).append(row)
    found = {table: pd.DataFrame(own) for table, own in rows.items()}
    for table, frame in found.items():
        schema = TableSchema(schemas[table].metrics, schemas[table].columns, {"part": "planted"})
        assert [why for why in schema.problems(frame) if not why.startswith("the measure declares the metrics")] == []
    return found


def plant_gate(program: Program, gate: ResolvedGate, *, shut: bool) -> None:
    """A gate that is met, or is not."""
    rule, (term,) = gate.rule, gate.rule.terms
    (cells,) = program.layout.groups(rule, term).values()
    program.transform(*cells[0][:2], None)
    total = {program.join(cells): 1.0}
    if (gate.at_least is not None) != shut:
        program.at_least(total, float(gate.at_most if gate.at_least is None else gate.at_least))
    else:
        program.at_most(total, float(gate.at_most if gate.at_least is None else gate.at_least))
