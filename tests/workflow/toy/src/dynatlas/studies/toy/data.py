"""Noisy points on a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dynatlas.jobs import Job

if TYPE_CHECKING:
    from dynatlas.studies.toy.settings import Points


def draw_points(job: Job, *, count: Points) -> dict[str, np.ndarray]:
    """x and y, each (seed, point)."""
    draws = np.stack([job.rng("points", seed).normal(size=(2, count)) for seed in job.seeds])
    return {"x": draws[:, 0], "y": 2 * draws[:, 0] + 0.1 * draws[:, 1]}
