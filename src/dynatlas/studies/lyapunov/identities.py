"""What must hold exactly: exponents that are known in closed form, and Jacobians that autograd gives as well.

Each identity is measured as stated, and with a wrong index that must miss it: transposed or shifted Jacobians.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from dynatlas.elementwise import modulus
from dynatlas.instruments.lyapunov import jacobians_along, lyapunov_from_jacobians, lyapunov_spectrum
from dynatlas.instruments.lyapunov_systems import henon, lorenz63, map_lyapunov, ode_lyapunov
from dynatlas.jobs import Job
from dynatlas.models.gated import Elman, Stacked
from dynatlas.models.initial import orthogonal
from dynatlas.reductions import mean_over_first
from dynatlas.studies.lyapunov.networks import CELLS, network
from dynatlas.tables import gathered, tidy

if TYPE_CHECKING:
    from dynatlas.studies.lyapunov.settings import Identities, Jacobians

HENON, LORENZ = (0.41922, -1.62319), (0.9056, 0.0, -14.5723)
"""Exponents at the usual parameters (Sprott, Chaos and Time-Series Analysis, 2003)."""
HENON_SUM, LORENZ_SUM = math.log(0.3), -(10 + 1 + 8 / 3)
MAP_BURN_IN, FLOW_BURN_IN = 100, 1000
SCALE = 0.5
"""c in J -> c J."""


class Found(NamedTuple):
    """Exponents (seed, k) of an identity, and what they should be, (seed, k) or (k,)."""

    exponents: Tensor
    expected: Tensor


Arms = dict[str, Found]
"""What an identity gives as stated (`right`) and with a wrong index (`wrong`)."""


@gathered
def measure_identities(job: Job, *, sizes: Identities) -> Iterator[pd.DataFrame]:
    """`deviation`: the largest one of each identity (column `part`) from its closed form, right and wrong (`arm`).

    `exponent` and `expected` are the numbers themselves (column `order`, from 1; the deviation stands at 0).
    """
    parts: dict[str, Arms] = {}
    for identity in (linear, sum_rule, henon_map, lorenz_flow, scaled):
        parts |= identity(job, sizes)
    for part, arms in parts.items():
        for arm, found in arms.items():
            exponents, expected = found.exponents.double(), found.expected.double().expand_as(found.exponents)
            deviation = (exponents - expected).abs().amax(dim=1)
            axes = {"seed": job.seeds, "order": range(1, exponents.shape[1] + 1)}
            yield tidy({"deviation": deviation}, {"seed": job.seeds}, order=0, part=part, arm=arm)
            yield tidy({"exponent": exponents, "expected": expected}, axes, part=part, arm=arm)


def drawn(job: Job, purpose: str, *shape: int, draw: Callable[..., Tensor] = torch.rand) -> Tensor:
    """U(0, 1), or numbers of another `draw`, float64 (seed, *shape): each seed from its own stream."""
    generators = job.generators(purpose)
    return torch.stack([draw(*shape, generator=own, dtype=torch.float64, device=own.device) for own in generators])


def linear(job: Job, sizes: Identities) -> dict[str, Arms]:
    """h' = W h + U x has log|eigenvalues of W|, whatever comes in. Wrong: every other Jacobian transposed."""
    n, steps = sizes.units, sizes.linear_steps + sizes.linear_burn_in
    w = 0.5 * drawn(job, "linear", n, n, draw=torch.randn) / n**0.5
    w_in, inputs = drawn(job, "linear input weights", 4, n), drawn(job, "linear inputs", steps, 1, 4)
    net = Elman(4, n, 1, activation="identity", bias=False)
    found = lyapunov_spectrum(net, {"w_in_l0": w_in, "w_rec_l0": w}, inputs, burn_in=sizes.linear_burn_in)
    turned = torch.stack([w, w.mT])[torch.arange(steps, device=w.device) % 2][:, :, None]
    wrong = lyapunov_from_jacobians(turned, burn_in=sizes.linear_burn_in)
    expected = modulus(torch.linalg.eigvals(w)).log().sort(dim=1, descending=True).values
    return {"linear": {"right": Found(found.mean, expected), "wrong": Found(wrong.mean, expected)}}


def driven(job: Job, sizes: Identities) -> tuple[Tensor, Tensor, Tensor]:
    """Tanh networks on random inputs: J_1 ... J_T (T, seed, 1, d, d), h_0 ... h_T (T + 1, seed, d), log|det W|."""
    net = network("rnn", units=sizes.units, symbols=4)
    params = net.initialise(job.generators("driven"), dtype=torch.float64)
    inputs = drawn(job, "driven inputs", max(sizes.prefixes) + 1, 1, 4)
    states = net.rollout(params, inputs)
    jacobians = jacobians_along(net, params, inputs[:, 1:], state0=states[:, 0])
    return jacobians, states[:, :, 0].transpose(0, 1), torch.linalg.slogdet(params["w_rec_l0"]).logabsdet


def sum_rule(job: Job, sizes: Identities) -> dict[str, Arms]:
    """The exponents of a tanh network sum to mean_t (log|det W| + sum_i log(1 - h_i(t)^2)) at every T.

    Given are the sums at several T. Wrong: the states of the step before.
    """
    jacobians, states, volume = driven(job, sizes)
    logs = volume + torch.log1p(-states.square()).sum(dim=-1)
    sums = [lyapunov_from_jacobians(jacobians[:t]).exponents.sum(dim=-1)[:, 0] for t in sizes.prefixes]
    arms = {}
    for arm, shift in (("right", 1), ("wrong", 0)):
        expected = [mean_over_first(logs[shift : shift + t]) for t in sizes.prefixes]
        arms[arm] = Found(torch.stack(sums, dim=1), torch.stack(expected, dim=1))
    return {"sum rule": arms}


def henon_map(job: Job, sizes: Identities) -> dict[str, Arms]:
    """The Henon map. Wrong: every other Jacobian shifted by a step (transposing them changes none of its exponents)."""
    system, steps = henon(), sizes.henon_steps + MAP_BURN_IN
    start = 0.1 * drawn(job, "henon", sizes.orbits, 2, draw=torch.randn).flatten(0, 1)
    right = map_lyapunov(system, start, steps=steps, burn_in=MAP_BURN_IN)
    states = [start]
    for _ in range(steps - 1):
        states.append(system.function(states[-1]))
    jacobians = system.derivative(torch.stack(states))
    shifted = jacobians[torch.arange(steps) // 2 * 2]
    wrong = lyapunov_from_jacobians(shifted, burn_in=MAP_BURN_IN)
    return _with_sum("henon", right.exponents, wrong.exponents, HENON, HENON_SUM, seeds=len(job.seeds))


def lorenz_flow(job: Job, sizes: Identities) -> dict[str, Arms]:
    """The Lorenz equations of 1963. Wrong: transposed Jacobians, in the order of time, for a fifth of the steps."""
    start = drawn(job, "lorenz", sizes.orbits, 3, draw=torch.randn).flatten(0, 1)
    start = start + start.new_tensor([0.0, 0.0, 25.0])
    found = [
        ode_lyapunov(
            lorenz63(), start, dt=sizes.dt, steps=steps + FLOW_BURN_IN, burn_in=FLOW_BURN_IN, order=order, qr_every=4
        ).exponents
        for order, steps in (("forward", sizes.lorenz_steps), ("reversed", sizes.lorenz_steps // 5))
    ]
    return _with_sum("lorenz", found[0], found[1], LORENZ, LORENZ_SUM, seeds=len(job.seeds))


def _with_sum(
    name: str, right: Tensor, wrong: Tensor, expected: tuple[float, ...], total: float, *, seeds: int
) -> dict[str, Arms]:
    """Mean exponents over the orbits of each seed, from (1, seed x orbit, k), and their sum, which is known exactly."""
    means = {arm: one[0].unflatten(0, (seeds, -1)).mean(dim=1) for arm, one in (("right", right), ("wrong", wrong))}
    whole = {arm: Found(mean, mean.new_tensor(expected)) for arm, mean in means.items()}
    sums = {arm: Found(mean.sum(dim=1, keepdim=True), mean.new_tensor([total])) for arm, mean in means.items()}
    return {name: whole, f"{name} sum": sums}


def scaled(job: Job, sizes: Identities) -> dict[str, Arms]:
    """J -> c J adds log c to every exponent; a linear network with orthogonal W has none but 0.

    Wrong: Jacobians shifted by a step; W not orthogonal (a Gaussian one).
    """
    jacobians, _, _ = driven(job, sizes)
    before = lyapunov_from_jacobians(jacobians[:-1]).exponents[:, 0] + math.log(SCALE)
    shifted = {"right": jacobians[:-1], "wrong": jacobians[1:]}
    by_scale = {
        arm: Found(lyapunov_from_jacobians(SCALE * one).exponents[:, 0], before) for arm, one in shifted.items()
    }
    n = sizes.units
    orthonormal = [orthogonal(n, n, gain=1.0, generator=own) for own in job.generators("orthogonal")]
    weights = {"right": torch.stack(orthonormal), "wrong": drawn(job, "gaussian", n, n, draw=torch.randn) / n**0.5}
    steps = max(sizes.prefixes)
    turned = {arm: lyapunov_from_jacobians(w[None, :, None].expand(steps, -1, 1, -1, -1)) for arm, w in weights.items()}
    by_turn = {arm: Found(one.exponents[:, 0], one.exponents.new_zeros(n)) for arm, one in turned.items()}
    return {"scaled": by_scale, "orthogonal": by_turn}


@gathered
def measure_jacobians(job: Job, *, sizes: Jacobians) -> Iterator[pd.DataFrame]:
    """Largest difference between exponents from closed-form Jacobians and from those of torch.func (nats per step).

    Columns: cell, layers, bias, and `jacobian`: "analytic", or for a GRU of one layer "without reset": its closed form
    without what passes through the reset gate. `sizes`: `units`, `steps` and the numbers of `layers`.
    """
    for cell, depth, bias in product(CELLS, sizes.layers, (True, False)):
        net = CELLS[cell](4, sizes.units, 4, layers=depth, bias=bias, recurrent_gain=2.0)
        found = _differences(job, net, steps=sizes.steps, wrong=cell == "gru" and depth == 1)
        axes, values = {"jacobian": list(found), "seed": job.seeds}, torch.stack(list(found.values()))
        yield tidy({"deviation": values}, axes, cell=cell, layers=depth, bias=bias)


def _differences(job: Job, net: Stacked, *, steps: int, wrong: bool) -> dict[str, Tensor]:
    """Largest difference from torch.func's exponents, (seed,), of each kind of closed form."""
    params = net.initialise(job.generators("jacobians"), dtype=torch.float64)
    for name in [name for name in params if name.startswith("b_")]:
        params[name] = 0.1 * drawn(job, name, params[name].shape[1], draw=torch.randn)
    inputs = drawn(job, "jacobian inputs", steps, 1, 4)
    start = params["w_out"].new_zeros(len(job.seeds), 1, net.state_size)
    reference = lyapunov_spectrum(net.step, params, inputs, state0=start, burn_in=0).exponents
    cells: Mapping[str, Any] = {"analytic": net} | ({"without reset": WithoutReset(net)} if wrong else {})
    found = {name: lyapunov_spectrum(cell, params, inputs, state0=start, burn_in=0) for name, cell in cells.items()}
    return {name: (one.exponents - reference).abs().amax(dim=(1, 2)) for name, one in found.items()}


@dataclass(frozen=True)
class WithoutReset:
    """A GRU of one layer whose Jacobian leaves out the term of the reset gate, diag(c r (1 - r)) W_r."""

    net: Stacked

    def step(self, params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> Tensor:
        """The GRU's own step."""
        return self.net.step(params, x, s)

    def jacobian(self, params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """The next state, and the wrong Jacobian."""
        weights = {name.removesuffix("_l0"): tensor for name, tensor in params.items()}
        after, (reset, *others) = self.net.layer.slopes(weights, x, s)
        of_state, _ = self.net.layer.matrices(weights, (torch.zeros_like(reset), *others))
        return after, of_state.mT
