"""Planted tables and claims about them, which the tests of the engine share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dynatlas.claims.decide import Row


@pytest.fixture
def arms() -> Callable[..., pd.DataFrame]:
    """`arms(new=values, old=0)`: one metric; each arm's values, one a seed."""

    def table(**values: Any) -> pd.DataFrame:
        rows = [
            {"seed": 100 + place, "metric": "score", "arm": arm, "value": float(value)}
            for arm, sample in values.items()
            for place, value in enumerate(np.broadcast_to(sample, 8))
        ]
        return pd.DataFrame(rows)

    return table


@pytest.fixture
def claim() -> Callable[..., dict[str, Any]]:
    """`claim(test="greater", margin=0)`: a claim about the arm `new`, with these changes."""
    base = {"id": "C1", "says": "so it is", "metric": "score", "compare": {"treatment": {"arm": "new"}}}
    return lambda **changes: base | changes


@pytest.fixture
def only() -> Callable[[list[Row]], Row]:
    """`only(rows)`: the one row that there is."""

    def the_one(rows: list[Row]) -> Row:
        assert len(rows) == 1
        return rows[0]

    return the_one
