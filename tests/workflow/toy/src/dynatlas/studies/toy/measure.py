"""Errors of the trained lines."""

import pandas as pd
from dynatlas.instruments.fit_error import squared_error

from dynatlas.jobs import Job, Run


def measure_error(job: Job, *, points: Run, lines: list[Run]) -> pd.DataFrame:
    """Squared error of each rate and seed."""
    x, y = points["x"].numpy(), points["y"].numpy()
    rows = [
        {"rate": run.settings["rate"], "seed": seed, "metric": "error", "value": value}
        for run in lines
        for seed, value in zip(run.seeds, squared_error(run["slope"].numpy(), x, y), strict=True)
    ]
    return pd.DataFrame(rows)


def measure_bias(job: Job, *, biases: Run) -> pd.DataFrame:
    """Mean target of each seed."""
    return pd.DataFrame({"seed": biases.seeds, "metric": "bias", "value": biases["bias"].numpy()})
