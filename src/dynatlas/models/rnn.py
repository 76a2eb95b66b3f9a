"""The rate (Elman) RNN of many members at once.

    r_t = (1 - a) r_{t-1} + a phi(x_t W_in + r_{t-1} W_rec + b + xi_t),    y_t = r_t W_out + b_out

Parameters are a dictionary of tensors with the ensemble's members as leading axis: `w_in` (E, n_in, n), `w_rec`
(E, n, n), `b` (E, n), `w_out` (E, n, n_out), `b_out` (E, n_out). Row = source unit. A network without biases has no
`b` (no `b_out`) in its dictionary. Everything below is a pure function of such a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack, final

import torch
from torch import Generator, Tensor

from dynatlas.models.activations import activation_named, slope_of
from dynatlas.models.initial import draw
from dynatlas.models.model import Model, Params, inputs_of_members, states_of_members
from dynatlas.models.noise import StepNoise
from dynatlas.models.products import rows_times
from dynatlas.models.recurrence import Readout, Recurrence, with_bias

Leak = Literal["outside", "inside"]
Nonlinearity = str | Callable[[Tensor], Tensor]
Noise = Tensor | StepNoise | None


class Conditions(TypedDict, total=False):
    """Under which conditions a network is run; see `rollout`."""

    noise: Noise
    activity_noise: Noise
    unit_mask: Tensor | None
    state0: Tensor | None


@final
@dataclass(frozen=True)
class ElmanRNN(Model):
    """Sizes, nonlinearity and initial weights of an ensemble of rate RNNs.

    `alpha` is dt / tau. `leak` "outside" is the equation above (Marton et al. 2021); "inside" is
    r_t = phi((1 - a) r_{t-1} + a (x_t W_in + r_{t-1} W_rec + b + xi_t)). The two agree at a = 1.
    `activation` is a name (relu, tanh, sigmoid, softplus, identity) or a function of h (E, B, n).
    Weights are drawn as `*_init` (gaussian: N(0, gain^2 / fan-in); uniform: U(+-gain / sqrt(fan-in)); orthogonal:
    gain x Haar); biases start at 0.
    """

    n_in: int
    units: int
    n_out: int
    alpha: float = 1.0
    activation: Nonlinearity = "relu"
    leak: Leak = "outside"
    bias: bool = True
    output_bias: bool = True
    recurrent_init: str = "orthogonal"
    recurrent_gain: float = 0.9
    input_init: str = "gaussian"
    input_gain: float = 1.0
    output_init: str = "gaussian"
    output_gain: float = 1.0

    def draw(self, generator: Generator) -> Params:
        """Initial tensors of one network, float64; see `Model.initialise`."""

        def matrix(kind: str, rows: int, columns: int, gain: float) -> Tensor:
            return draw(kind, rows, columns, gain=gain, generator=generator)

        tree = {
            "w_in": matrix(self.input_init, self.n_in, self.units, self.input_gain),
            "w_rec": matrix(self.recurrent_init, self.units, self.units, self.recurrent_gain),
            "w_out": matrix(self.output_init, self.units, self.n_out, self.output_gain),
        }
        if self.bias:
            tree["b"] = tree["w_rec"].new_zeros(self.units)
        if self.output_bias:
            tree["b_out"] = tree["w_rec"].new_zeros(self.n_out)
        return tree

    def rollout(self, params: Mapping[str, Tensor], x: Tensor, **conditions: Unpack[Conditions]) -> Tensor:
        """`rollout` with this network's alpha, activation and leak: states (E, T, B, n)."""
        return rollout(params, x, alpha=self.alpha, activation=self.activation, leak=self.leak, **conditions)

    def states_at(
        self, params: Mapping[str, Tensor], x: Tensor, *, steps: Tensor, **conditions: Unpack[Conditions]
    ) -> Tensor:
        """`states_at` with this network's alpha, activation and leak: states (E, B, n)."""
        alpha, activation, leak = self.alpha, self.activation, self.leak
        return states_at(params, x, steps=steps, alpha=alpha, activation=activation, leak=leak, **conditions)

    def step(self, params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> Tensor:
        """The next state (..., n) from input x (..., n_in) and state s (..., n); see `step`."""
        return step(params, x, s, alpha=self.alpha, activation=self.activation, leak=self.leak)

    def jacobian(self, params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """The next state (..., n) and its Jacobian (..., n, n), row = output unit; see `jacobian`."""
        return jacobian(params, x, s, alpha=self.alpha, activation=self.activation, leak=self.leak)


def rollout(
    params: Mapping[str, Tensor],
    x: Tensor,
    *,
    alpha: float = 1.0,
    activation: Nonlinearity = "relu",
    leak: Leak = "outside",
    noise: Noise = None,
    activity_noise: Noise = None,
    unit_mask: Tensor | None = None,
    state0: Tensor | None = None,
    fused: bool = True,
) -> Tensor:
    """States r_1 ... r_T of every member on every trial, (E, T, B, n).

    x (T, B, n_in), the same for all members, or (E, T, B, n_in). `noise` is xi, added inside the nonlinearity (its
    standard deviation as given: the caller includes sqrt(2 / alpha)); `activity_noise` is added to r_t after it. Both
    are a tensor that broadcasts to (E, T, B, n), or a `StepNoise`, which draws each step and holds nothing.
    `unit_mask`, (n,), (E, n) or (E, B, n), multiplies r at every step (0 clamps a unit). `state0` (E, B, n) defaults to
    0. The hand-written backward pass is taken where it applies (a named activation, neither mask nor activity noise;
    differentiable once); `fused=False` always goes through autograd, for higher derivatives and torch.func.
    """
    x, weights, alpha, noise_gain = _prepare(params, x, alpha, leak)
    state0 = states_of_members(state0, _state_shape(x, weights), like=weights["w_rec"])
    if fused and unit_mask is None and activity_noise is None and isinstance(activation, str):
        named = activation_named(activation)
        source = _source(noise, noise_gain)
        return Recurrence.apply(x, weights["w_in"], weights["w_rec"], weights.get("b"), state0, alpha, named, source)
    unrolled = _unroll(weights, x, state0, alpha, activation, (noise, noise_gain), activity_noise, unit_mask)
    return torch.stack(list(unrolled), dim=1)


def states_at(
    params: Mapping[str, Tensor],
    x: Tensor,
    *,
    steps: Tensor,
    alpha: float = 1.0,
    activation: Nonlinearity = "relu",
    leak: Leak = "outside",
    noise: Noise = None,
    activity_noise: Noise = None,
    unit_mask: Tensor | None = None,
    state0: Tensor | None = None,
) -> Tensor:
    """Only the states at one step of each trial, (E, B, n): `rollout(...)` at `steps`, without keeping the rest.

    `steps` are 0-based, integer, (B,) or (E, B), such as each trial's last step. Nothing is differentiated. Other
    arguments as in `rollout`. Raises ValueError where a step lies outside 0 ... T-1.
    """
    x, weights, alpha, noise_gain = _prepare(params, x, alpha, leak)
    if bool((steps < 0).any()) or bool((steps >= x.shape[1]).any()):
        raise ValueError(f"steps must lie in 0..{x.shape[1] - 1}, got {int(steps.min())}..{int(steps.max())}")
    with torch.no_grad():
        state0 = states_of_members(state0, _state_shape(x, weights), like=weights["w_rec"])
        kept = torch.empty_like(state0)
        wanted, ends = steps.expand(state0.shape[:2])[..., None], set(steps.unique().tolist())
        unrolled = _unroll(weights, x, state0, alpha, activation, (noise, noise_gain), activity_noise, unit_mask)
        for t, state in enumerate(unrolled):
            if t in ends:
                torch.where(wanted == t, state, kept, out=kept)
    return kept


def readout(params: Mapping[str, Tensor], states: Tensor) -> Tensor:
    """Linear outputs r W_out + b_out, (E, ..., n) -> (E, ..., n_out)."""
    flat = states.reshape(states.shape[0], -1, states.shape[-1])
    out: Tensor = Readout.apply(flat, params["w_out"])
    out = out + params["b_out"][:, None] if "b_out" in params else out
    return out.view(*states.shape[:-1], out.shape[-1])


def step(
    params: Mapping[str, Tensor],
    x: Tensor,
    s: Tensor,
    *,
    alpha: float = 1.0,
    activation: Nonlinearity = "relu",
    leak: Leak = "outside",
) -> Tensor:
    """One noise-free step: the state (..., n) after s (..., n) with input x (..., n_in).

    Parameters carry the same leading axes as x and s, or none, or broadcast against them.
    """
    phi = activation_named(activation).function if isinstance(activation, str) else activation
    h = _argument(params, x, s)
    return (1 - alpha) * s + alpha * phi(h) if leak == "outside" else phi((1 - alpha) * s + alpha * h)


def jacobian(
    params: Mapping[str, Tensor],
    x: Tensor,
    s: Tensor,
    *,
    alpha: float = 1.0,
    activation: Nonlinearity = "relu",
    leak: Leak = "outside",
) -> tuple[Tensor, Tensor]:
    """The next state (..., n) and J = d s' / d s, (..., n, n) with row = output unit, in closed form.

    J = (1 - a) I + a diag(phi'(h)) W_rec^T with the leak outside; diag(phi'((1 - a) s + a h)) ((1 - a) I + a W_rec^T)
    with the leak inside. Shapes as in `step`.
    """
    h = _argument(params, x, s)
    back = params["w_rec"].transpose(-1, -2)
    after = step(params, x, s, alpha=alpha, activation=activation, leak=leak)
    if alpha == 1:
        return after, _derivative(activation, h)[..., None] * back
    identity = torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
    if leak == "outside":
        return after, (1 - alpha) * identity + alpha * _derivative(activation, h)[..., None] * back
    slope = _derivative(activation, (1 - alpha) * s + alpha * h)
    return after, slope[..., None] * ((1 - alpha) * identity + alpha * back)


def _derivative(activation: Nonlinearity, h: Tensor) -> Tensor:
    if isinstance(activation, str):
        return activation_named(activation).derivative(h)
    return slope_of(activation, h)


def _argument(params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> Tensor:
    """x W_in + s W_rec + b for any leading axes."""
    h = rows_times(x, params["w_in"]) + rows_times(s, params["w_rec"])
    return h + params["b"] if "b" in params else h


def _prepare(params: Mapping[str, Tensor], x: Tensor, alpha: float, leak: Leak) -> tuple[Tensor, Params, float, float]:
    """x as (E, T, B, n_in); the recurrent weights; and, the inside leak folded into them, alpha and xi's factor."""
    members, n_in, _ = params["w_in"].shape
    x = inputs_of_members(x, members, n_in)
    if leak not in ("outside", "inside"):
        raise ValueError(f"leak must be 'outside' or 'inside', not {leak!r}")
    weights = {name: params[name] for name in ("w_in", "w_rec", "b") if name in params}
    if leak == "outside" or alpha == 1:
        return x, weights, alpha, 1.0
    identity = torch.eye(params["w_rec"].shape[-1], dtype=x.dtype, device=x.device)
    folded = {name: alpha * weight for name, weight in weights.items()}
    folded["w_rec"] = folded["w_rec"] + (1 - alpha) * identity
    return x, folded, 1.0, alpha


def _state_shape(x: Tensor, weights: Params) -> tuple[int, int, int]:
    """(member, trial, unit)."""
    return x.shape[0], x.shape[2], weights["w_rec"].shape[-1]


def _source(noise: Noise, gain: float) -> Callable[[int, Tensor], Tensor] | None:
    """Noise as a function of the step, multiplied by `gain`."""
    if noise is None:
        return None
    if isinstance(noise, StepNoise):
        return (lambda t, like: noise.draw(like)) if gain == 1 else (lambda t, like: gain * noise.draw(like))
    return lambda t, like: gain * _at_step(noise, t)


def _at_step(noise: Tensor, t: int) -> Tensor:
    """Step t of a tensor that broadcasts to (E, T, B, n)."""
    noise = noise if noise.dim() == 4 else noise.reshape(*(1,) * (4 - noise.dim()), *noise.shape)
    return noise[:, min(t, noise.shape[1] - 1)]


def _unroll(
    weights: Params,
    x: Tensor,
    state0: Tensor,
    alpha: float,
    activation: Nonlinearity,
    noise: tuple[Noise, float],
    activity_noise: Noise,
    unit_mask: Tensor | None,
) -> Iterator[Tensor]:
    """The states step by step, (E, B, n) each, through autograd; the oracle of the hand-written pass."""
    phi = activation_named(activation).function if isinstance(activation, str) else activation
    transition, after = _source(*noise), _source(activity_noise, 1.0)
    mask = unit_mask if unit_mask is None or unit_mask.dim() != 2 else unit_mask[:, None]
    x, w_in = with_bias(x, weights["w_in"], weights.get("b"))
    state = state0
    for t in range(x.shape[1]):
        h = torch.bmm(x[:, t], w_in)
        h = h if transition is None else h + transition(t, h)
        rate = phi(torch.baddbmm(h, state, weights["w_rec"]))
        state = rate if alpha == 1 else torch.lerp(state, rate, alpha)
        state = state if after is None else state + after(t, state)
        state = state if mask is None else state * mask
        yield state
