"""The last loss that was noted."""

import pandas as pd

from dynatlas.jobs import Job, Run


def measure_loss(job: Job, *, fits: list[Run]) -> pd.DataFrame:
    """Last training loss of each rate and seed."""
    rows = [
        {"rate": run.settings["rate"], "seed": seed, "metric": "loss", "value": value}
        for run in fits
        for seed, value in zip(run.seeds, run["losses"][-1].tolist(), strict=True)
    ]
    return pd.DataFrame(rows)
