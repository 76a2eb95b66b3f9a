"""A member of a wing that the toy study measures with."""

import numpy as np


def squared_error(slope: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean squared error (seed,) of a line through the origin."""
    return ((slope[:, None] * x - y) ** 2).mean(axis=1)
