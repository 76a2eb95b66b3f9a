"""How well text stands out from what is under it (WCAG 2.2, relative luminance and contrast ratio)."""

from __future__ import annotations

import numpy as np

READABLE = 4.5
"""The least ratio of contrast for text, WCAG 2.2 criterion 1.4.3 (AA)."""


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB colours in [0, 1], shape (..., 3): 0 for black, 1 for white, shape (...)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def contrast(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Ratio of contrast of two sRGB colours (or arrays of them, shape (..., 3)): 1 for equal ones, 21 at most."""
    a, b = luminance(np.asarray(one)), luminance(np.asarray(other))
    return (np.maximum(a, b) + 0.05) / (np.minimum(a, b) + 0.05)


def ink_on(rgb: np.ndarray) -> str:
    """Black or white, whichever reads better on a colour, shape (3,); its contrast is never below 4.58."""
    black, white = (float(contrast(np.full(3, shade), rgb)) for shade in (0.0, 1.0))
    return "black" if black >= white else "white"
