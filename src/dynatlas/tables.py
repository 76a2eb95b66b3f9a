"""From arrays with named axes to the rows of a tidy table: the one way in which a measure writes rows.

    tidy({"accuracy": accuracy}, {"seed": job.seeds, "task": TASKS}, strategy="MP")     # accuracy: (seed, task)

A measure that makes its table in parts yields them, under `@gathered`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from dynatlas.members import Members

if TYPE_CHECKING:
    import pandas as pd

Given = ParamSpec("Given")
RESERVED = ("metric", "value", "study", "experiment")
"""Columns that no axis and no condition can be."""


def tidy(
    values: Mapping[str, Any], dims: Members | Mapping[str, Iterable[Any]], *, lost: Any = None, **conditions: Any
) -> pd.DataFrame:
    """A row for each number of `values`: metric -> an array whose axes are `dims`: tensor, numpy array or list.

    `dims` name the axes in their order, each with its labels (see `dynatlas.members.Members`); labels that are records
    give a column for each field. `conditions` hold for all rows. `seed` is an axis or a condition. A single number is
    that of all rows. Numbers of any type, truth values too, become float64.

    A network that was lost (it diverged, say) keeps its rows: where `lost`, booleans (the first axes), is true the
    value is infinite, which a claim has to account for (`censored`). Raises ValueError naming metric and cell for a NaN
    elsewhere, naming the axes for an array of another shape, and for conditions that are no single value.
    """
    import pandas as pd

    members = dims if isinstance(dims, Members) else Members(**dims)
    _check_names(members, conditions)
    columns: dict[str, Any] = {field: members.of(field) for field in members.fields}
    parts = []
    for metric, given in values.items():
        numbers = _numbers(metric, given, members)
        if lost is not None:
            numbers = np.where(_lost(lost, members), np.inf, numbers)
        holes = np.flatnonzero(np.isnan(numbers))
        if len(holes):
            cell = members.records[holes[0]] | conditions
            raise ValueError(
                f"metric {metric!r} is NaN at {cell}; what has no value because a network was lost, is `lost`"
            )
        parts.append(pd.DataFrame({**columns, **conditions, "metric": metric, "value": numbers.ravel()}))
    return pd.concat(parts, ignore_index=True)


def gathered(measure: Callable[Given, Iterable[pd.DataFrame]]) -> Callable[Given, pd.DataFrame]:
    """A measure that yields parts of its table, as one that returns the table."""

    @functools.wraps(measure)
    def whole(*given: Given.args, **more: Given.kwargs) -> pd.DataFrame:
        import pandas as pd

        return pd.concat(list(measure(*given, **more)), ignore_index=True)

    return whole


def _check_names(members: Members, conditions: Mapping[str, Any]) -> None:
    for name in (*members.fields, *conditions):
        if name in RESERVED:
            raise ValueError(f"{name!r} is a column of every table: neither an axis nor a condition can bear this name")
    if "seed" not in (*members.fields, *conditions):
        raise ValueError("rows have no seed: it is an axis, or a condition")
    for name, value in conditions.items():
        if name in members.fields:
            raise ValueError(f"{name!r} is both an axis and a condition")
        if not isinstance(value, str | int | float | bool | np.generic):
            raise ValueError(
                f"condition {name!r} is {type(value).__name__}, wanted is one word or number; what varies is an axis"
            )


def _numbers(metric: str, given: Any, members: Members) -> np.ndarray:
    """The values of a metric, float64, with the members' axes."""
    if hasattr(given, "detach"):  # a tensor; numpy has no bfloat16
        given = given.detach().cpu()
        given = given.numpy() if given.is_complex() else given.double().numpy()
    plain = np.asarray(given)
    if plain.dtype.kind not in "biuf":
        raise ValueError(f"metric {metric!r} holds {plain.dtype}; wanted are real numbers")
    if plain.ndim == 0:
        plain = np.broadcast_to(plain, members.shape)
    return _shaped(f"metric {metric!r}", plain.astype(np.float64), members.shape, members)


def _lost(given: Any, members: Members) -> np.ndarray:
    """Booleans over the first axes, with axes of length 1 for the others."""
    plain = np.asarray(given.cpu() if hasattr(given, "cpu") else given)
    if plain.dtype != bool:
        raise ValueError(f"lost holds {plain.dtype}; wanted are booleans")
    _shaped("lost", plain, members.shape[: plain.ndim], members)
    return plain.reshape(*plain.shape, *(1 for _ in members.shape[plain.ndim :]))


def _shaped(what: str, array: np.ndarray, shape: tuple[int, ...], members: Members) -> np.ndarray:
    if array.shape != shape:
        raise ValueError(f"{what} is {array.shape}; its axes should be {members.in_words()}")
    return array
