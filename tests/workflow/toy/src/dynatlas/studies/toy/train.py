"""Gradient descent on the slope of a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from dynatlas.instruments.slope import descend

from dynatlas.jobs import Job, Run

if TYPE_CHECKING:
    from dynatlas.studies.toy.settings import Rate, Steps


def train_lines(job: Job, *, points: Run, rate: Rate, steps: Steps) -> dict[str, np.ndarray]:
    """Slope (seed,) after `steps` steps."""
    x, y = points["x"].numpy(), points["y"].numpy()
    return {"slope": descend(x, y, rate=rate, steps=steps)}


def train_biases(job: Job, *, points: Run) -> dict[str, np.ndarray]:
    """Mean target (seed,)."""
    return {"bias": points["y"].numpy().mean(axis=1)}
