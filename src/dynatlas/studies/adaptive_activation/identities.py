"""The family of activations itself: identities that hold to rounding, curves, and the largest slope."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd
import torch

from dynatlas.jobs import Job
from dynatlas.models.gain_saturation import gain_saturation, gain_saturation_derivatives, largest_slope
from dynatlas.models.gain_saturation_identities import IDENTITIES
from dynatlas.tables import gathered, tidy

if TYPE_CHECKING:
    from dynatlas.studies.adaptive_activation.settings import CellCount, CurvePoints, Curves, GainSpan, Limit


@gathered
def measure_identities(job: Job) -> Iterator[pd.DataFrame]:
    """How far each identity is from holding, with the gain that it names and with one more (column `gain`)."""
    for name, deviation in IDENTITIES.items():
        for gain, shift in (("n", 0.0), ("n + 1", 1.0)):
            yield tidy({"deviation": deviation(shift)}, {"seed": job.seeds}, identity=name, gain=gain)


@gathered
def measure_family(
    job: Job, *, curves: Curves, limit: Limit, points: CurvePoints, gains: GainSpan, cells: CellCount
) -> Iterator[pd.DataFrame]:
    """What is drawn of the family: gamma and its slope at `curves` of (n, s), |x| <= limit, and the largest slopes.

    These on `cells` x `cells` gains (evenly on a logarithmic scale between the two of `gains`) and saturations in
    [0, 1]. Nothing is random: there is one seed.
    """
    x, seed = torch.linspace(-limit, limit, points, dtype=torch.float64), job.seeds[0]
    for n, s in curves:
        cell = [torch.tensor(value, dtype=torch.float64) for value in (n, s)]
        values = {"activation": gain_saturation(x, *cell), "slope": gain_saturation_derivatives(x, *cell)[0]}
        yield tidy(values, {"x": x}, seed=seed, n=float(n), s=float(s))
    steep = torch.logspace(math.log10(gains[0]), math.log10(gains[1]), cells, dtype=torch.float64)
    saturations = torch.linspace(0, 1, cells).double()
    largest = largest_slope(*torch.meshgrid(steep, saturations, indexing="ij"))[0]
    yield tidy({"largest_slope": largest}, {"n": steep, "s": saturations}, seed=seed, x=0.0)
