"""What the table of a measure holds: its metrics and their ranges, its conditions and their values.

First how a study declares them, then what that is at one scale (`TableSchema`; `dynatlas.columns` resolves it).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from dynatlas.names import nearest

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["str", "int", "float", "bool"]
KINDS: Mapping[str, str] = {"str": "words", "int": "whole numbers", "float": "numbers", "bool": "truth values"}
DTYPES: Mapping[str, str] = {"str": "OUT", "int": "iu", "float": "iuf", "bool": "b"}
"""The kinds of numpy's types that a column of each kind may have."""
ROUNDING = 1e-6
"""A value may lie outside of its range by so much of the bound: a correlation of 1 is seldom exactly 1."""
FIXED = ("seed", "metric", "value", "study", "experiment")
"""Columns that are no conditions."""
Reference = Annotated[str, Field(pattern="^=.")]
RANGES: dict[str, tuple[float, float]] = {"real": (-inf, inf), "nonnegative": (0.0, inf)}
"""Ranges of metrics that have a name."""


def _range(value: Any) -> Any:
    """Lower and upper bound of a metric, from a name or a pair."""
    if isinstance(value, str) and value in RANGES:
        return RANGES[value]
    pair = isinstance(value, list | tuple) and len(value) == 2
    if not (pair and all(isinstance(end, int | float) and not isinstance(end, bool) for end in value)):
        raise ValueError(f"allowed is [low, high], or {' or '.join(RANGES)}{nearest(str(value), RANGES)}")
    if not value[0] < value[1]:
        raise ValueError(f"[{value[0]}, {value[1]}]: the lower bound comes first")
    return float(value[0]), float(value[1])


Range = Annotated[
    tuple[float, float], BeforeValidator(_range, json_schema_input_type=Literal["real", "nonnegative"] | list[float])
]


class ColumnRange(BaseModel):
    """The whole numbers of a condition column, both ends among them."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    from_: Annotated[int, Field(strict=True)] = Field(alias="from")
    to: Annotated[int, Field(strict=True)] | Reference


class ColumnValues(BaseModel):
    """The values of a condition column, but for some."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: list[Any] | Reference
    without: list[Any] = Field(min_length=1)


def _conditions(columns: dict[str, Any]) -> dict[str, Any]:
    for name in columns:
        if name in FIXED:
            raise ValueError(f"{name}: a column of every table; columns declares the conditions")
    return columns


Metrics = Annotated[
    dict[str, Range],
    Field(
        min_length=1,
        description="every value that the column `metric` takes, with the range that its values lie in: [low, high] "
        "with both ends, `real` or `nonnegative`",
    ),
]
Columns = Annotated[
    dict[str, Kind | list[Any] | Reference | ColumnRange | ColumnValues],
    AfterValidator(_conditions),
    Field(
        description="every condition column: its values (`=name`: the items of a list or the keys of a mapping among "
        "the scale's numbers), or their kind where they are not known before"
    ),
]


@dataclass(frozen=True)
class TableSchema:
    """Metrics with the range that their values lie in, and condition columns with their values or their kind."""

    metrics: Mapping[str, tuple[float, float]]
    columns: Mapping[str, Sequence[Any] | Kind]
    axes: Mapping[str, Any] = field(default_factory=dict)
    """This part's values on the `jobs:` axes: a part of a table need not have every value of a column."""

    def problems(self, frame: pd.DataFrame) -> Iterator[str]:
        """What a tidy table has that is not declared, or lacks that is; each in words."""
        made = dict.fromkeys(frame["metric"])
        if set(made) != set(self.metrics):
            yield f"the measure declares the metrics {_listed(self.metrics)} but made {_listed(made)}"
        conditions = [str(column) for column in frame.columns if column not in FIXED]
        if set(conditions) != set(self.columns):
            yield f"the measure declares the columns {_listed(self.columns)} but made {_listed(conditions)}"
        for column in conditions:
            if column in self.columns:
                yield from self._problems_of(column, frame[column])
        for metric, (low, high) in self.metrics.items():
            values = frame.loc[frame["metric"] == metric, "value"]
            outside = values[(values < _below(low)) | (values > -_below(-high))]
            if len(outside):
                yield (
                    f"metric {metric}: declared within [{low:g}, {high:g}], but {len(outside)} of {len(values)} values "
                    f"are not, first {outside.iloc[0]:g}"
                )

    def _problems_of(self, column: str, values: pd.Series) -> Iterator[str]:
        declared = self.columns[column]
        if isinstance(declared, str):
            if values.dtype.kind not in DTYPES[declared]:
                yield f"column {column}: declared are {KINDS[declared]}, made are {values.dtype}"
            return
        found = dict.fromkeys(values.tolist())
        known = dict.fromkeys(_in_type_of(declared, values))
        for value in found:
            if value not in known:
                yield f"column {column}: made {value!r}, declared is no such value (declared: {_listed(known)})"
        lacking = [value for value in known if value not in found]
        if lacking and not self.axes:
            yield f"column {column}: declared, but not made: {_listed(lacking)}"

    def unknown(self, column: str, value: Any) -> str:
        """Why a selection of this value of a column finds nothing; empty where it may find something."""
        if column in FIXED:
            return ""
        if column not in self.columns:
            return f"no column {column!r}{nearest(column, self.columns)} (columns: {_listed(self.columns) or 'none'})"
        declared = self.columns[column]
        if isinstance(declared, str):
            return "" if _is(declared, value) else f"{column}: {value!r}: this column holds {KINDS[declared]}"
        if any(isinstance(value, bool) == isinstance(known, bool) and value == known for known in declared):
            return ""
        hint = nearest(str(value), map(str, declared))
        return f"{column}: {value!r}: no such value{hint} (known: {_listed(declared)})"


def _is(kind: str, value: Any) -> bool:
    wanted: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "bool": bool}
    return isinstance(value, wanted[kind]) and isinstance(value, bool) == (kind == "bool")


def _below(bound: float) -> float:
    """A lower bound, lowered by what rounding may do."""
    return bound if bound in (inf, -inf) else bound - ROUNDING * max(1.0, abs(bound))


def _in_type_of(declared: Sequence[Any], values: pd.Series) -> list[Any]:
    """Declared values as the column's own type holds them: .1 is another number in float32."""
    if values.dtype.kind != "f":
        return list(declared)
    return [values.dtype.type(one).item() if isinstance(one, int | float) else one for one in declared]


def _listed(names: Any, most: int = 40) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")
