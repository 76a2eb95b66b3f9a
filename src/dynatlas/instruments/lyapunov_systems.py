"""Lyapunov spectra of maps and differential equations, with some whose exponents are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dynatlas.instruments.lyapunov import LyapunovResult, lyapunov_spectrum

Field = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class System:
    """A map s -> f(s), or the right-hand side of ds/dt = f(s), with its Jacobian; leading axes are orbits."""

    function: Field
    """(..., d) -> (..., d)."""
    derivative: Field
    """(..., d) -> (..., d, d), row = output."""


def map_lyapunov(system: System, state0: Tensor, *, steps: int, burn_in: int = 50, **settings: Any) -> LyapunovResult:
    """Exponents of a map in nats per iteration, from orbits that start at `state0` (orbit, d).

    `settings` as in `lyapunov_spectrum`. The result's axes are (1, orbit, exponent).
    """
    return lyapunov_spectrum(_Map(system), None, state0=state0, steps=steps, burn_in=burn_in, **settings)


def ode_lyapunov(
    system: System, state0: Tensor, *, dt: float, steps: int, burn_in: int = 50, **settings: Any
) -> LyapunovResult:
    """Exponents of a differential equation in nats per unit of time, from orbits that start at `state0` (orbit, d).

    State and tangent vectors are integrated together by the classical Runge-Kutta method of order 4 with steps of `dt`,
    so that the tangent map is the exact derivative of the discrete flow. `settings` as in `lyapunov_spectrum`;
    `steps`, `burn_in` and the result's `steps` count integration steps. Axes are (1, orbit, exponent).
    """
    found = lyapunov_spectrum(_Flow(system, dt), None, state0=state0, steps=steps, burn_in=burn_in, **settings)
    rates = {name: getattr(found, name) / dt for name in ("exponents", "running", "by_block")}
    return replace(found, **rates)


def henon(a: float = 1.4, b: float = 0.3) -> System:
    """(x, y) -> (1 - a x^2 + y, b x) (Henon 1976); the exponents sum to log b, at the defaults 0.419 and -1.623."""

    def function(s: Tensor) -> Tensor:
        x, y = s.unbind(-1)
        return torch.stack([1 - a * x**2 + y, b * x], dim=-1)

    def derivative(s: Tensor) -> Tensor:
        x, one = s[..., 0], torch.ones_like(s[..., 0])
        return torch.stack([torch.stack([-2 * a * x, one], -1), torch.stack([b * one, 0 * one], -1)], dim=-2)

    return System(function, derivative)


def logistic(r: float = 4.0) -> System:
    """x -> r x (1 - x); the exponent at r = 4 is log 2."""
    return System(lambda s: r * s * (1 - s), lambda s: (r * (1 - 2 * s))[..., None])


def lorenz63(sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3) -> System:
    """Lorenz 1963; the exponents sum to -(sigma + 1 + beta), at the defaults 0.906, 0 and -14.572."""

    def function(s: Tensor) -> Tensor:
        x, y, z = s.unbind(-1)
        return torch.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z], dim=-1)

    def derivative(s: Tensor) -> Tensor:
        x, y, z = s.unbind(-1)
        one, nil = torch.ones_like(x), torch.zeros_like(x)
        rows = [[-sigma * one, sigma * one, nil], [rho - z, -one, -x], [y, x, -beta * one]]
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

    return System(function, derivative)


@dataclass(frozen=True)
class _Map:
    """A map as an autonomous cell."""

    system: System

    def step(self, params: Any, x: Any, s: Tensor) -> Tensor:
        return self.system.function(s)

    def jacobian(self, params: Any, x: Any, s: Tensor) -> tuple[Tensor, Tensor]:
        return self.system.function(s), self.system.derivative(s)


@dataclass(frozen=True)
class _Flow:
    """One Runge-Kutta step of a differential equation as an autonomous cell."""

    system: System
    dt: float

    def step(self, params: Any, x: Any, s: Tensor) -> Tensor:
        slopes = [self.system.function(s)]
        for fraction in (0.5, 0.5, 1.0):
            slopes.append(self.system.function(s + fraction * self.dt * slopes[-1]))
        return s + self.dt * _weighted(slopes)

    def jacobian(self, params: Any, x: Any, s: Tensor) -> tuple[Tensor, Tensor]:
        identity = torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
        slopes = [self.system.function(s)]
        tangents = [self.system.derivative(s)]
        for fraction in (0.5, 0.5, 1.0):
            at = s + fraction * self.dt * slopes[-1]
            tangents.append(self.system.derivative(at) @ (identity + fraction * self.dt * tangents[-1]))
            slopes.append(self.system.function(at))
        return s + self.dt * _weighted(slopes), identity + self.dt * _weighted(tangents)


def _weighted(slopes: list[Tensor]) -> Tensor:
    first, second, third, last = slopes
    return (first + 2 * second + 2 * third + last) / 6
