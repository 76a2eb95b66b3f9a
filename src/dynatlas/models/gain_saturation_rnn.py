"""The Elman RNN of Geadah et al. 2020 (arXiv 2006.12253): every unit has a gain and a saturation, which may learn.

    r_t = gamma(x_t W_in + r_{t-1} W_rec + b; n, s),    y_t = r_t W_out + b_out

The dictionary of parameters is `ElmanRNN`'s, with `gain` and `saturation` (E, n), or (E, 1) for one pair a network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Unpack, final

from torch import Generator, Tensor

from dynatlas.models import rnn
from dynatlas.models.gain_saturation import gain_saturation, gain_saturation_derivatives
from dynatlas.models.gain_saturation_recurrence import GainSaturationRecurrence
from dynatlas.models.model import Model, Params, inputs_of_members, states_of_members
from dynatlas.models.products import rows_times
from dynatlas.models.rnn import Conditions, ElmanRNN


@final
@dataclass(frozen=True)
class GainSaturationRNN(Model):
    """Sizes, start and initial weights of an ensemble; the defaults are those of the paper's code for images.

    Weights are drawn as `*_init` (see `models.initial`); biases start at 0, all units at gain `n` and saturation `s`.
    """

    n_in: int
    units: int
    n_out: int
    n: float = 5.0
    s: float = 0.0
    recurrent_init: str = "rotation"
    input_init: str = "gaussian"
    input_gain: float = math.sqrt(2)
    output_init: str = "uniform"

    def draw(self, generator: Generator) -> Params:
        """Initial tensors of one network, float64; see `Model.initialise`."""
        weights = ElmanRNN(
            n_in=self.n_in,
            units=self.units,
            n_out=self.n_out,
            recurrent_init=self.recurrent_init,
            recurrent_gain=1.0,
            input_init=self.input_init,
            input_gain=self.input_gain,
            output_init=self.output_init,
        ).draw(generator)
        gain, saturation = (weights["b"].new_full((self.units,), value) for value in (self.n, self.s))
        return weights | {"gain": gain, "saturation": saturation}

    def rollout(self, params: Mapping[str, Tensor], x: Tensor, **conditions: Unpack[Conditions]) -> Tensor:
        """States r_1 ... r_T of every member on every trial, (E, T, B, n); arguments as `models.rnn.rollout`.

        With `state0` alone, or nothing, the hand-written backward pass is taken (differentiable once), else autograd's.
        """
        if not {name for name, given in conditions.items() if given is not None} <= {"state0"}:
            return rnn.rollout(params, x, activation=_shaped(params), **conditions)
        members, n_in, units = params["w_in"].shape
        x = inputs_of_members(x, members, n_in)
        state0 = states_of_members(conditions.get("state0"), (members, x.shape[2], units), like=params["w_rec"])
        weights = (params["w_in"], params["w_rec"], params.get("b"), params["gain"], params["saturation"])
        states: Tensor = GainSaturationRecurrence.apply(x, *weights, state0)
        return states

    def states_at(
        self, params: Mapping[str, Tensor], x: Tensor, *, steps: Tensor, **conditions: Unpack[Conditions]
    ) -> Tensor:
        """The states at one step of each trial, (E, B, n), without gradients; as `models.rnn.states_at`."""
        return rnn.states_at(params, x, steps=steps, activation=_shaped(params), **conditions)

    def step(self, params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> Tensor:
        """The next state (..., n) from input x (..., n_in) and state s (..., n); as `models.rnn.step`."""
        return gain_saturation(_argument(params, x, s), params["gain"], params["saturation"])

    def jacobian(self, params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """The next state (..., n) and J = diag(gamma'(h)) W_rec^T, (..., n, n) with row = output unit."""
        h = _argument(params, x, s)
        slope = gain_saturation_derivatives(h, params["gain"], params["saturation"])[0]
        after = gain_saturation(h, params["gain"], params["saturation"])
        return after, slope[..., None] * params["w_rec"].transpose(-1, -2)


def _argument(params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> Tensor:
    """x W_in + s W_rec + b for any leading axes."""
    h = rows_times(x, params["w_in"]) + rows_times(s, params["w_rec"])
    return h + params["b"] if "b" in params else h


def _shaped(params: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """gamma of arguments (E, B, n)."""
    n, s = params["gain"][:, None], params["saturation"][:, None]
    return lambda h: gain_saturation(h, n, s)
