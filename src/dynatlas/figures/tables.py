"""From a tidy table to what is drawn: its rows, and means with their intervals over seeds.

Every interval in a figure comes from the table, by Student's t; nothing here draws a random number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dynatlas.intervals import Interval, mean_interval

if TYPE_CHECKING:
    from pandas import DataFrame


def rows_where(table: DataFrame, **wanted: object) -> DataFrame:
    """The rows in which every named column has the wanted value.

    Raises:
        ValueError: a named column has gaps, so that rows would be left out unnoticed.
    """
    refuse_gaps(table, list(wanted))
    keep = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def refuse_gaps(table: DataFrame, columns: Sequence[str]) -> None:
    """Raise ValueError if one of the columns that tell conditions apart has missing entries: grouping drops those."""
    gaps = table[list(columns)].isna().sum()
    missing = [f"{column!r} in {count} of {len(table)} rows" for column, count in gaps[gaps > 0].items()]
    if missing:
        raise ValueError(
            f"no value of {', '.join(missing)}: such rows belong to no condition and would be left out; "
            "name their condition in the table (`none` for what a row has not)"
        )


def without_lost(table: DataFrame, *, along: Sequence[str] = ("layer", "step")) -> DataFrame:
    """Without the conditions in which a network was lost: the mean of the others would flatter.

    Such a condition has an infinite value, or 1 under the metric `lost`. It is told by all columns but seed, metric,
    value and those that a network is measured `along`. Raises ValueError where nothing is left.
    """
    lost = ((table["metric"] == "lost") & (table["value"] > 0.5)) | np.isinf(table["value"])
    within = [table[name] for name in table if name not in ("seed", "metric", "value", *along)]
    left = table[~lost.groupby(within or np.zeros(len(table)), dropna=False).transform("any")]
    if left.empty:
        raise ValueError("nothing to draw: in every condition a network diverged or died; lower the learning rate")
    return left


def arm_values(table: DataFrame, by: str, arms: Iterable[str] | None = None) -> dict[str, list[float]]:
    """Values of each arm, one a seed in the order of seeds: means over all conditions but the column `by`.

    Arms are those that the table holds: of `arms` in its order, all in the order of the table by default.

    Raises:
        ValueError: a row belongs to no arm.
    """
    refuse_gaps(table, [by])
    means = table.groupby([by, "seed"])["value"].mean()
    held = dict.fromkeys(table[by])
    return {arm: means[arm].tolist() for arm in (held if arms is None else arms) if arm in held}


def seed_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Mean and t interval of one value a seed, shape (n,), as claims have them; the point for one seed.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    sample = np.asarray(values, dtype=float).ravel()
    if sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"an interval needs finite values, got {sample.tolist()}")
    return Interval(*map(float, mean_interval(sample, level)))


def summarise(table: DataFrame, by: Sequence[str], *, value: str = "value", level: float = 0.95) -> DataFrame:
    """Mean and t interval over seeds of each group, in the order in which groups first appear.

    Returns:
        A frame with the columns of `by`, then `mean`, `low`, `high`, `n`.

    Raises:
        ValueError: a row belongs to no group (a missing entry in a column of `by`), or a value is not finite.
    """
    import pandas as pd

    refuse_gaps(table, by)
    rows = []
    for key, group in table.groupby(list(by), sort=False):
        rows.append([*key, *seed_interval(group[value].to_numpy(), level), len(group)])
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "n"])


def log_summary(table: DataFrame, by: Sequence[str], *, value: str = "value", level: float = 0.95) -> DataFrame:
    """As `summarise`, with geometric means, and intervals taken on logarithms.

    Raises:
        ValueError: as `summarise`; a value is not positive.
    """
    if not (table[value] > 0).all():
        worst = table.loc[~(table[value] > 0)].iloc[0]
        raise ValueError(f"no logarithm of {worst[value]} (at {worst[list(by)].to_dict()}): values must be positive")
    line = summarise(table.assign(**{value: np.log(table[value])}), by, value=value, level=level)
    return line.assign(**{name: np.exp(line[name]) for name in ("mean", "low", "high")})
