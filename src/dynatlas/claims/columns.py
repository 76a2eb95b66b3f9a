"""Conditions that a claim reads, held against the columns and values that its tables declare at a scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dynatlas.claims.rules import ResolvedClaim, Rule, leaves
from dynatlas.table_schema import TableSchema


def column_problems(claim: ResolvedClaim, tables: Mapping[str, TableSchema]) -> Iterator[str]:
    """What claim, parts, controls and gates select, reduce or pair that the tables of the scale do not have."""
    controlled = [rule for control in claim.controls for rule in leaves(control.asked)]
    for rule in [*claim.rules, *controlled, *(gate.rule for gate in claim.gates)]:
        if rule.table is None:
            continue
        if rule.table not in tables:
            yield f"table: {rule.table!r}: not made at scale {claim.scale} (say so under `scales`)"
            continue
        for problem in _problems(rule, tables[rule.table]):
            yield f"{problem} in table {rule.table} at scale {claim.scale}"


def _problems(rule: Rule, schema: TableSchema) -> Iterator[str]:
    for term in rule.terms:
        for column, wanted in rule.selects(term).items():
            for value in wanted if isinstance(wanted, list) else [wanted]:
                yield from filter(None, [schema.unknown(column, value)])
        for column in rule.reduce if term.reduce is None else term.reduce:
            yield from (f"reduce: {problem}" for problem in _absent(column, schema))
    statistic = rule.statistic
    if statistic and not (statistic.spearman and statistic.spearman.with_):
        yield from (f"statistic: {problem}" for problem in _absent(str(statistic.pairing), schema))


def _absent(column: str, schema: TableSchema) -> list[str]:
    """That a table has no such condition, in words, or nothing."""
    return [] if column in schema.columns else [schema.unknown(column, None) or f"{column!r} is no condition"]
