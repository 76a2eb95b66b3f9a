"""Every instrument under its name, for the contract suites; no study imports this."""

from __future__ import annotations

from dynatlas.instruments.dimension_profile import ESTIMATORS

DIMENSION = ESTIMATORS
