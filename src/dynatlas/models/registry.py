"""Every model of the wing at a small size: for contract suites and command lines, never for studies.

What a model can do is said by the tables that it stands in; MODELS has all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.models.gated import GRU, LSTM, Elman
from dynatlas.models.mlp import PopulationMLP
from dynatlas.models.rnn import ElmanRNN


@dataclass(frozen=True)
class RegisteredModel:
    """A model and how it is run."""

    make: Callable[[], Any]
    n_in: int
    outputs: int
    """Entries of what `run` gives: of the state for recurrent networks, of the logits for others."""
    run: Callable[[Any, Mapping[str, Tensor], Tensor], Tensor]
    """(model, parameters, x (E, T, B, n_in)) -> (E, T, B, outputs)."""


def _rollout(model: Any, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
    states: Tensor = model.rollout(params, x)
    return states


def _each_step_alone(model: PopulationMLP, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return model.logits(params, x.flatten(1, 2)).unflatten(1, x.shape[1:3])


def _recurrent(make: Callable[[], Any], outputs: int = 6) -> RegisteredModel:
    return RegisteredModel(make, 3, outputs, _rollout)


def _feedforward(make: Callable[[], PopulationMLP]) -> RegisteredModel:
    return RegisteredModel(make, 3, 2, _each_step_alone)


RATE = {
    "elman": _recurrent(lambda: ElmanRNN(3, 6, 2)),
    "elman_tanh_without_bias": _recurrent(lambda: ElmanRNN(3, 6, 2, activation="tanh", bias=False, output_bias=False)),
    "elman_leaky": _recurrent(lambda: ElmanRNN(3, 6, 2, alpha=0.2, recurrent_init="gaussian")),
    "elman_leak_inside": _recurrent(lambda: ElmanRNN(3, 6, 2, alpha=0.2, leak="inside", input_init="uniform")),
    "elman_function": _recurrent(lambda: ElmanRNN(3, 6, 2, alpha=0.5, activation=lambda h: h.relu().log1p())),
    "gain_saturation": _recurrent(lambda: GainSaturationRNN(3, 6, 2, n=2.0, s=0.3)),
}
"""Besides `rollout`, `step` and `jacobian`: `rollout` takes noise, and there is `states_at`."""

STACKED = {
    "gru": _recurrent(lambda: GRU(3, 6, 2)),
    "gru_without_bias": _recurrent(lambda: GRU(3, 6, 2, bias=False, recurrent_init="orthogonal")),
    "gru_two_layers": _recurrent(lambda: GRU(3, 3, 2, 2)),
    "lstm": _recurrent(lambda: LSTM(3, 6, 2), 12),
    "lstm_three_layers_without_bias": _recurrent(lambda: LSTM(3, 2, 2, 3, bias=False), 12),
    "elman_two_layers": _recurrent(lambda: Elman(3, 3, 2, 2)),
    "elman_two_layers_function": _recurrent(lambda: Elman(3, 3, 2, 2, activation=lambda h: h.sin())),
}
"""Besides `rollout`, `step` and `jacobian`: `slopes` and `carry`, `top` and `readout`."""

RECURRENT = RATE | STACKED
"""Have `rollout`, `step` and `jacobian`."""

FEEDFORWARD = {
    "mlp": _feedforward(lambda: PopulationMLP((3, 6, 5, 2))),
    "mlp_tanh_without_bias": _feedforward(lambda: PopulationMLP((3, 6, 2), activation="tanh", bias=False)),
}
"""Have `activations` and `logits`."""

MODELS = RECURRENT | FEEDFORWARD
