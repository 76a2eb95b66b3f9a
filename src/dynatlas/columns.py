"""What a study declares of its tables, resolved at a scale: `columns:` and `metrics:` of its measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dynatlas.config import ConfigError
from dynatlas.declarations import MeasureSpec, StudySpec
from dynatlas.names import nearest
from dynatlas.table_schema import ColumnRange, ColumnValues, TableSchema


def schemas_of(spec: StudySpec, scale: str) -> dict[str, TableSchema]:
    """The schema of each table that a study makes at a scale, by the name of its measure.

    Raises ConfigError for a number that the scale has not, and for a column without values.
    """
    return {
        name: schema_of(measure, spec.numbers_at(scale), f"config/studies/{spec.study}.yaml: measures.{name}")
        for name, measure in spec.measures.items()
        if scale in measure.scales
    }


def schema_of(
    measure: MeasureSpec, numbers: Mapping[str, Any], where: str, axes: Mapping[str, Any] | None = None
) -> TableSchema:
    """The schema of a measure's table, or of the part of it at a job's values of its axes, given a scale's numbers."""
    columns = {
        name: declared if isinstance(declared, str) and not declared.startswith("=") else _closed(declared, numbers, at)
        for name, declared in measure.columns.items()
        for at in [f"{where}.columns.{name}"]
    }
    return TableSchema(dict(measure.metrics), columns, dict(axes or {}))


def _closed(declared: Any, numbers: Mapping[str, Any], where: str) -> list[Any]:
    """All values of a column, each once."""
    if isinstance(declared, ColumnRange):
        last = _values(declared.to, numbers, where)
        if len(last) != 1 or not isinstance(last[0], int) or last[0] < declared.from_:
            raise ConfigError(f"{where}.to: {declared.to!r}: allowed is a whole number of at least {declared.from_}")
        return list(range(declared.from_, last[0] + 1))
    without: Sequence[Any] = ()
    if isinstance(declared, ColumnValues):
        declared, without = declared.values, declared.without
    found = list(_flat(declared, numbers, where))
    for value in without:
        if value not in found:
            raise ConfigError(f"{where}.without: {value!r}: no such value{nearest(str(value), map(str, found))}")
    values = [value for value in dict.fromkeys(found) if value not in without]
    if not values:
        raise ConfigError(f"{where}: no values are left; a column has at least one")
    return values


def _flat(declared: Any, numbers: Mapping[str, Any], where: str) -> Iterator[Any]:
    """The values of a list, with those of numbers in the place of references to them."""
    for value in declared if isinstance(declared, list) else [declared]:
        yield from _values(value, numbers, where)


def _values(value: Any, numbers: Mapping[str, Any], where: str) -> list[Any]:
    """A value, or what `=name` stands for: the items of a list, the keys of a mapping, or one number.

    `=name.key` looks into a mapping, `=name.*` into all of its entries.
    """
    if not (isinstance(value, str) and value.startswith("=")):
        return [value]
    found: list[Any] = [numbers]
    for key in value[1:].split("."):
        found = [one for inside in found for one in _entries(inside, key, f"{where}: {value!r}")]
    return [one for number in found for one in (number if isinstance(number, list | dict) else [number])]


def _entries(inside: Any, key: str, where: str) -> list[Any]:
    if isinstance(inside, dict | Mapping):
        if key == "*":
            return list(inside.values())
        if key in inside:
            return [inside[key]]
    known = list(map(str, inside)) if isinstance(inside, dict | Mapping) else []
    raise ConfigError(f"{where}: there is no {key!r}{nearest(key, known)}")
