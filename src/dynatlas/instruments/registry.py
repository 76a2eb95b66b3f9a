"""Every instrument under its name, on data of one kind, for the contract suites; no study imports this.

An entry says what the instrument owes at the edges: in which type it answers, what becomes of it when data are measured
in other units, and what it says of data that are all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from dynatlas.instruments import curvature, dimension, embedding, geometry, gradients, heldout, information, probes
from dynatlas.instruments import lyapunov_summaries as summaries
from dynatlas.instruments.dimension_profile import ESTIMATORS, dimension_interval, measure_dimension
from dynatlas.instruments.input_statistics import transform_inputs
from dynatlas.instruments.lyapunov import lyapunov_from_jacobians
from dynatlas.instruments.neighbours import knn_distances
from dynatlas.instruments.perturb import FAMILIES, perturb

DIMENSION = ESTIMATORS

Scaling = Callable[[Tensor, float], Tensor]
"""What is found, and a factor c > 0 -> what is to be found in data times c."""


def unchanged(found: Tensor, c: float) -> Tensor:
    """The instrument knows no units."""
    return found


def proportional(found: Tensor, c: float) -> Tensor:
    """It answers in the units of the data."""
    return found * c


def shifted(found: Tensor, c: float) -> Tensor:
    """It answers in logarithms, one factor a step."""
    return found + math.log(c)


def refused(value: float) -> float | None:
    """Of equal data nothing can be said: ValueError."""
    return None


def unspecified(value: float) -> float | None:
    """Whatever is found must be finite."""
    return math.nan


@dataclass(frozen=True)
class RegisteredInstrument:
    """An instrument at a small size, as a function of the data of several cases (seeds, networks, times)."""

    shape: tuple[int, ...]
    """Of one case's data."""
    measure: Callable[[Tensor], Tensor]
    """(case, *shape) -> (case, ...). Labels and random streams are part of the function, a stream for each case."""
    scaling: Scaling | None = unchanged
    """None where a setting has units: a penalty, a noise, a function of the caller's."""
    constant: Callable[[float], float | None] = unspecified
    """What is found in data that all equal a value; None where that is a ValueError, NaN where it is any number."""
    positive: bool = False
    """Whether data must be >= 0."""
    own_type: bool = False
    """Whether answers have the type of the data (whole numbers: float64) and are computed in it (half: float32)."""
    by_caller: bool = False
    """Whether a function of the caller's is computed, in the type of the data (half: float32)."""
    dies: bool = False
    """Whether -inf is an answer."""

    def draw(self, generator: Generator) -> Tensor:
        """The data of one case, `shape`, float64."""
        data = torch.randn(self.shape, generator=generator, dtype=torch.float64, device=generator.device)
        return data.abs() if self.positive else data


CLOUD, STATES, PRODUCT, SPECTRUM = (80, 4), (40, 5), (30, 4, 4), (12,)
_DRIFT = torch.linspace(-1, 1, 40, dtype=torch.float64)


def _labels(x: Tensor) -> Tensor:
    """Of 20 states, on the device of x."""
    return torch.arange(20, device=x.device) % 3


def _on_cloud(name: str) -> RegisteredInstrument:
    return RegisteredInstrument(CLOUD, lambda points: measure_dimension(points, [name])[name], constant=refused)


def _on_halves(of: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], **owed: Any) -> RegisteredInstrument:
    """A probe that is fitted on the first half of the states, and asked about the second."""
    return RegisteredInstrument(STATES, lambda x: of(x[:, :20], _labels(x), x[:, 20:], _labels(x)), **owed)


def _on_states(of: Callable[[Tensor, Tensor], Tensor], **owed: Any) -> RegisteredInstrument:
    entry: dict[str, Any] = {"constant": refused} | owed
    return RegisteredInstrument(STATES, lambda x: of(x, _labels(x).repeat(2)), **entry)


def _on_product(of: Callable[[Tensor], Tensor], **owed: Any) -> RegisteredInstrument:
    """Of Jacobians, whose first axis is time."""
    entry: dict[str, Any] = {"scaling": shifted, "dies": True} | owed
    return RegisteredInstrument(PRODUCT, lambda jacobians: of(jacobians.transpose(0, 1)), **entry)


def _on_spectrum(of: Callable[[Tensor], Tensor], **owed: Any) -> RegisteredInstrument:
    return RegisteredInstrument(SPECTRUM, of, **owed)


def _spectrum_of(jacobians: Tensor) -> Tensor:
    return lyapunov_from_jacobians(jacobians[:, :, None], burn_in=5, qr_every="auto").exponents[:, 0]


def _perturbed(family: str) -> RegisteredInstrument:
    def measure(weights: Tensor) -> Tensor:
        streams = _streams(len(weights))
        return perturb({"w_rec": weights}, family, magnitude=0.3, generators=streams)[0]["w_rec"]

    scaling = None if family == "absolute-weight-noise" else proportional
    return RegisteredInstrument((6, 6), measure, scaling, own_type=True)


def _changed(kind: str, *, scaling: Scaling | None = proportional, **settings: Any) -> RegisteredInstrument:
    return RegisteredInstrument((15, 2), lambda x: transform_inputs(x, kind, **settings), scaling, own_type=True)


def _noisy(x: Tensor) -> Tensor:
    return transform_inputs(x, "noise", sd=0.2, generators=_streams(len(x)))


def _traced(points: Tensor) -> Tensor:
    """Of a quartic."""
    streams = _streams(len(points))

    def quartic(params: dict[str, Tensor]) -> Tensor:
        return params["w"].square().square().sum(1)

    return curvature.hessian_trace(quartic, {"w": points}, probes=3, generators=streams).mean


def _gauss_newton(points: Tensor) -> Tensor:
    streams = _streams(len(points))

    def outputs(params: dict[str, Tensor]) -> Tensor:
        return (params["w"][:, None, :, None] * _labels(points)[None, :6, None, None]).tanh()[..., 0]

    return curvature.gauss_newton_trace(outputs, {"w": points}, probes=3, generators=streams).mean


def _increase(points: Tensor) -> Tensor:
    streams = _streams(len(points))

    def bumpy(params: dict[str, Tensor]) -> Tensor:
        return (params["w"].square() * (2 + params["w"].cos())).sum(1)

    return curvature.increase_under_noise(bumpy, {"w": points}, 0.3, generators=streams, pairs=3).mean


def _interval(points: Tensor) -> Tensor:
    stream = torch.Generator().manual_seed(0)
    return dimension_interval(points, "participation_ratio", generator=stream, draws=3).standard_error


def _streams(count: int) -> list[Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def _foreseen(cases: Tensor) -> Tensor:
    """Of (case, seed, configuration, two features and the target): a case is a whole experiment of several seeds."""
    found = [heldout.heldout_readout(case[..., :2], case[..., 2], k=3).predicted for case in _arrays(cases)]
    return torch.from_numpy(np.stack(found))


def _chosen(cases: Tensor) -> Tensor:
    return torch.from_numpy(np.stack([heldout.cross_fitted_best(case)[1] for case in _arrays(cases)]))


def _arrays(cases: Tensor) -> np.ndarray:
    """For an instrument on numpy arrays, which know no bfloat16."""
    return (cases.float() if cases.dtype == torch.bfloat16 else cases).numpy()


def _drift(like: Tensor, start: int) -> Tensor:
    """States of one unit, the same in all cases, (case, 20, 1)."""
    return _DRIFT[start : start + 20, None].to(like.device).expand(len(like), 20, 1)


def _projector(basis: Tensor) -> Tensor:
    """A subspace as a matrix, whatever its basis."""
    return basis @ basis.mT


ON_CLOUDS = {
    **{name: _on_cloud(name) for name in ESTIMATORS},
    "dimension_interval": RegisteredInstrument(CLOUD, _interval, constant=refused),
    "knn_distances": RegisteredInstrument(CLOUD, lambda points: knn_distances(points, 7), proportional, refused),
    "scale_curve": RegisteredInstrument(
        CLOUD, lambda points: dimension.scale_curve(knn_distances(points, 8), 4).dimension, constant=refused
    ),
    "principal_components": RegisteredInstrument(
        CLOUD, lambda points: embedding.principal_components(points).coordinates, proportional, refused
    ),
    "explained_variance": RegisteredInstrument(
        CLOUD, lambda points: embedding.principal_components(points).explained, constant=refused
    ),
}
ON_STATES = {
    "linear_probe": _on_halves(probes.linear_probe, scaling=None, constant=lambda value: 0.35),
    "knn_accuracy": _on_halves(lambda *parts: probes.knn_accuracy(*parts, k=3), constant=lambda value: 0.35),
    "decodability": _on_halves(
        lambda x, _, x_test, __: probes.decodability(x, _drift(x, 0)[0], x_test, _drift(x, 20)[0]), scaling=None
    ),
    "decodability_of_states": _on_halves(
        lambda z, _, z_test, __: probes.decodability(_drift(z, 0), z, _drift(z, 20), z_test),
        constant=refused,
    ),
    "class_means": _on_states(geometry.class_means, scaling=proportional, constant=lambda value: value),
    "scatter_ratio": _on_states(geometry.scatter_ratio),
    "class_mean_subspace": _on_states(lambda x, y: _projector(geometry.class_mean_subspace(x, y))),
    "within_class_participation_ratio": _on_states(geometry.within_class_participation_ratio),
    "readout_alignment": _on_states(lambda x, y: geometry.readout_alignment(x, y, torch.eye(5, 2).to(x))),
    "principal_angles": RegisteredInstrument(
        (6, 4), lambda columns: geometry.principal_angles(columns[..., :2], columns[..., 2:]), constant=refused
    ),
    "trajectory_participation_ratio": RegisteredInstrument(
        (15, 3, 4), geometry.trajectory_participation_ratio, constant=refused
    ),
    "step_speed": RegisteredInstrument((15, 3, 4), geometry.step_speed, proportional, lambda value: 0.0),
    "mixed_ksg": RegisteredInstrument(
        STATES,
        lambda x: information.mixed_ksg(x[..., :2], x[..., 2:], k=3),
        constant=lambda value: math.log(40) - float(torch.digamma(torch.tensor(40.0, dtype=torch.float64))),
    ),
    "heldout_readout": RegisteredInstrument((4, 6, 3), _foreseen, proportional, lambda value: value),
    "cross_fitted_best": RegisteredInstrument((4, 6), _chosen, proportional, lambda value: value),
}
ON_JACOBIANS = {
    "lyapunov_from_jacobians": _on_product(_spectrum_of),
    "mean_exponent": _on_product(summaries.mean_exponent, constant=lambda value: -math.inf),
    "log_gradient_norms": _on_product(
        lambda jacobians: gradients.log_gradient_norms(jacobians).T,
        scaling=lambda found, c: found + math.log(c) * torch.arange(found.shape[-1]).to(found),
    ),
    "gradient_growth_rate": _on_product(
        lambda jacobians: gradients.gradient_growth_rate(jacobians, skip=5),
        constant=lambda value: math.log(4 * abs(value)) if value else -math.inf,
    ),
    "jacobian_norms": RegisteredInstrument(
        PRODUCT, gradients.jacobian_norms, proportional, lambda value: 4 * abs(value)
    ),
    "jacobian_row_sums": RegisteredInstrument(
        PRODUCT, lambda x: gradients.jacobian_norms(x, order=math.inf), proportional, lambda value: 4 * abs(value)
    ),
}
ON_SPECTRA = {
    "effective_rank": _on_spectrum(
        dimension.effective_rank, positive=True, constant=lambda value: 12.0 if value else None
    ),
    "effective_rank_by_participation": _on_spectrum(
        lambda x: dimension.effective_rank(x, "participation"),
        positive=True,
        constant=lambda value: 12.0 if value else None,
    ),
    "kaplan_yorke": _on_spectrum(summaries.kaplan_yorke, constant=lambda value: 12.0 if value >= 0 else 0.0),
    "leading_half_mean": _on_spectrum(summaries.leading_half_mean, scaling=proportional, constant=lambda value: value),
    "spectrum_slope": _on_spectrum(
        lambda x: summaries.spectrum_slope(x, 2, 9), scaling=proportional, constant=lambda value: 0.0
    ),
    "fraction_above": _on_spectrum(
        summaries.fraction_above, scaling=None, constant=lambda value: 1.0 if value > -0.3 else 0.0
    ),
    "propagation_exponent": _on_spectrum(
        lambda norms: gradients.propagation_exponent(norms.T),
        positive=True,
        constant=lambda value: 0.0 if value else None,
    ),
    "gradient_norms": RegisteredInstrument(
        (5, 4), lambda x: gradients.gradient_norms(lambda s: (s.square() * 3).sum(-1), x), proportional, by_caller=True
    ),
    "hessian_trace": _on_spectrum(_traced, scaling=None, by_caller=True),
    "increase_under_noise": _on_spectrum(_increase, scaling=None, by_caller=True),
    "gauss_newton_trace": _on_spectrum(_gauss_newton, scaling=None, by_caller=True),
}
CHANGES = {
    **{name: _perturbed(name) for name, family in FAMILIES.items() if family.kind == "weights"},
    "ramp": _changed("ramp", period=4),
    "half-sine": _changed("half-sine"),
    "offset": _changed("offset", scaling=None, size=0.3),
    "gain": _changed("gain", factor=0.7),
    "noise": RegisteredInstrument((15, 2), _noisy, None, own_type=True),
    "slow-drift": _changed("slow-drift", phase=0.4),
    "step": _changed("step", amplitude=0.1, position=2, length=4),
}
INSTRUMENTS: dict[str, RegisteredInstrument] = ON_CLOUDS | ON_STATES | ON_JACOBIANS | ON_SPECTRA | CHANGES


ON_LABELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "adjusted_rand": geometry.adjusted_rand,
    "best_permutation_accuracy": geometry.best_permutation_accuracy,
    "confusion": lambda a, b: geometry.confusion(a, b).to(torch.float64),
    "class_means": lambda a, b: geometry.class_means(_points_of(a), b),
    "scatter_ratio": lambda a, b: geometry.scatter_ratio(_points_of(a), b),
    "within_class_participation_ratio": lambda a, b: geometry.within_class_participation_ratio(_points_of(a), b),
    "linear_probe": lambda a, b: probes.linear_probe(_points_of(a), b, _points_of(a), b),
    "knn_accuracy": lambda a, b: probes.knn_accuracy(_points_of(a), b, _points_of(a), b, k=3),
    "mixed_ksg": lambda a, b: information.mixed_ksg(a[:, None], b[:, None]),
}
"""Of two labels for each of some examples, (example,) both, whole numbers from 0."""


def _points_of(labels: Tensor) -> Tensor:
    """Points in the plane whose place the labels decide, (example, 2)."""
    angle = labels.to(torch.float64) + torch.linspace(0, 0.5, len(labels), dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin()], dim=-1)
