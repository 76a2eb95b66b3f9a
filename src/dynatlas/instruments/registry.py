"""Every instrument under its name, on data of one kind, for the contract suites; no study imports this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dynatlas.instruments import curvature, dimension, embedding, geometry, gradients, information, probes
from dynatlas.instruments import lyapunov_summaries as summaries
from dynatlas.instruments.dimension_profile import ESTIMATORS, measure_dimension
from dynatlas.instruments.lyapunov import lyapunov_from_jacobians
from dynatlas.instruments.neighbours import knn_distances
from dynatlas.instruments.perturb import FAMILIES, perturb

DIMENSION = ESTIMATORS


@dataclass(frozen=True)
class RegisteredInstrument:
    """An instrument at a small size, as a function of the data of several cases (seeds, networks, times)."""

    shape: tuple[int, ...]
    """Of one case's data."""
    measure: Callable[[Tensor], Tensor]
    """(case, *shape) -> (case, ...). Labels and random streams are part of the function, a stream for each case."""
    positive: bool = False
    """Whether data must be >= 0."""

    def draw(self, generator: Generator) -> Tensor:
        """The data of one case, `shape`, float64."""
        data = torch.randn(self.shape, generator=generator, dtype=torch.float64, device=generator.device)
        return data.abs() if self.positive else data


CLOUD, STATES, PRODUCT, SPECTRUM = (120, 4), (40, 5), (30, 4, 4), (12,)
Y = torch.arange(20) % 3
_DRIFT = torch.linspace(-1, 1, 40, dtype=torch.float64)


def _on_cloud(name: str) -> RegisteredInstrument:
    return RegisteredInstrument(CLOUD, lambda points: measure_dimension(points, [name])[name])


def _on_halves(of: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> RegisteredInstrument:
    """A probe that is fitted on the first half of the states, and asked about the second."""
    return RegisteredInstrument(STATES, lambda x: of(x[:, :20], Y, x[:, 20:], Y))


def _on_states(of: Callable[[Tensor, Tensor], Tensor]) -> RegisteredInstrument:
    return RegisteredInstrument(STATES, lambda x: of(x, Y.repeat(2)))


def _on_product(of: Callable[[Tensor], Tensor]) -> RegisteredInstrument:
    """Of Jacobians, whose first axis is time."""
    return RegisteredInstrument(PRODUCT, lambda jacobians: of(jacobians.transpose(0, 1)))


def _spectrum_of(jacobians: Tensor) -> Tensor:
    return lyapunov_from_jacobians(jacobians[:, :, None], burn_in=5, qr_every="auto").exponents[:, 0]


def _perturbed(family: str) -> RegisteredInstrument:
    def measure(weights: Tensor) -> Tensor:
        streams = _streams(len(weights))
        return perturb({"w_rec": weights}, family, magnitude=0.3, generators=streams)[0]["w_rec"]

    return RegisteredInstrument((6, 6), measure)


def _traced(points: Tensor) -> Tensor:
    """Of a quartic."""
    streams = _streams(len(points))

    def quartic(params: dict[str, Tensor]) -> Tensor:
        return params["w"].square().square().sum(1)

    return curvature.hessian_trace(quartic, {"w": points}, probes=3, generators=streams).mean


def _gauss_newton(points: Tensor) -> Tensor:
    streams = _streams(len(points))

    def outputs(params: dict[str, Tensor]) -> Tensor:
        return (params["w"][:, None, :, None] * Y[None, :6, None, None]).tanh()[..., 0]

    return curvature.gauss_newton_trace(outputs, {"w": points}, probes=3, generators=streams).mean


def _streams(count: int) -> list[Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


INSTRUMENTS: dict[str, RegisteredInstrument] = {
    **{name: _on_cloud(name) for name in ESTIMATORS},
    "knn_distances": RegisteredInstrument(CLOUD, lambda points: knn_distances(points, 7)),
    "scale_curve": RegisteredInstrument(
        CLOUD, lambda points: dimension.scale_curve(knn_distances(points, 16), 8).dimension
    ),
    "effective_rank": RegisteredInstrument(SPECTRUM, dimension.effective_rank, positive=True),
    "principal_components": RegisteredInstrument(
        CLOUD, lambda points: embedding.principal_components(points).coordinates
    ),
    "linear_probe": _on_halves(probes.linear_probe),
    "knn_accuracy": _on_halves(lambda *parts: probes.knn_accuracy(*parts, k=3)),
    "decodability": _on_halves(
        lambda x, _, x_test, __: probes.decodability(x, _DRIFT[:20, None], x_test, _DRIFT[20:, None])
    ),
    "class_means": _on_states(geometry.class_means),
    "scatter_ratio": _on_states(geometry.scatter_ratio),
    "class_mean_subspace": _on_states(lambda x, y: _projector(geometry.class_mean_subspace(x, y))),
    "within_class_participation_ratio": _on_states(geometry.within_class_participation_ratio),
    "readout_alignment": _on_states(lambda x, y: geometry.readout_alignment(x, y, torch.eye(5, 2).to(x))),
    "principal_angles": RegisteredInstrument(
        (6, 4), lambda columns: geometry.principal_angles(columns[..., :2], columns[..., 2:])
    ),
    "trajectory_participation_ratio": RegisteredInstrument((15, 3, 4), geometry.trajectory_participation_ratio),
    "step_speed": RegisteredInstrument((15, 3, 4), geometry.step_speed),
    "mixed_ksg": RegisteredInstrument(STATES, lambda x: information.mixed_ksg(x[..., :2], x[..., 2:], k=3)),
    "lyapunov_from_jacobians": _on_product(_spectrum_of),
    "mean_exponent": _on_product(summaries.mean_exponent),
    "kaplan_yorke": RegisteredInstrument(SPECTRUM, summaries.kaplan_yorke),
    "leading_half_mean": RegisteredInstrument(SPECTRUM, summaries.leading_half_mean),
    "log_gradient_norms": _on_product(lambda jacobians: gradients.log_gradient_norms(jacobians).T),
    "gradient_growth_rate": _on_product(lambda jacobians: gradients.gradient_growth_rate(jacobians, skip=5)),
    "jacobian_norms": RegisteredInstrument(PRODUCT, gradients.jacobian_norms),
    "propagation_exponent": RegisteredInstrument(
        SPECTRUM, lambda norms: gradients.propagation_exponent(norms.T), positive=True
    ),
    "hessian_trace": RegisteredInstrument(SPECTRUM, _traced),
    "gauss_newton_trace": RegisteredInstrument(SPECTRUM, _gauss_newton),
    **{name: _perturbed(name) for name, family in FAMILIES.items() if family.kind == "weights"},
}


def _projector(basis: Tensor) -> Tensor:
    """A subspace as a matrix, whatever its basis."""
    return basis @ basis.mT
