"""Every model of the wing at a small size: for contract suites and command lines, never for studies.

What a model can do is said by the tables that it stands in; MODELS has all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap

from dynatlas.models.convnet import ConvNet, ResNet, initialised
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.models.gated import GRU, LSTM, Elman
from dynatlas.models.mlp import PopulationMLP
from dynatlas.models.model import Model, Params
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


def _each_step_alone(model: Any, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
    logits: Tensor = model.logits(params, x.flatten(1, 2))
    return logits.unflatten(1, x.shape[1:3])


def _recurrent(make: Callable[[], Any], outputs: int = 6) -> RegisteredModel:
    return RegisteredModel(make, 3, outputs, _rollout)


def _feedforward(make: Callable[[], Any], n_in: int = 3) -> RegisteredModel:
    return RegisteredModel(make, n_in, 2, _each_step_alone)


@final
@dataclass(frozen=True)
class Modules(Model):
    """Ordinary modules for images of 4 x 4 pixels, as an ensemble of them is run."""

    build: Callable[[], nn.Module]

    def draw(self, generator: Generator) -> Params:
        """Initial parameters of one module."""
        return {name: tensor.detach() for name, tensor in initialised(self.build, generator).named_parameters()}

    def logits(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """(E, image, 16) -> (E, image, class)."""
        template, images = self.build(), x.unflatten(-1, (1, 4, 4))
        found: Tensor = vmap(lambda own, given: functional_call(template, own, (given,)), chunk_size=1)(
            dict(params), images
        )
        return found


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
    "convnet": _feedforward(lambda: Modules(lambda: ConvNet(1, (3, 4), 2)), 16),
    "resnet": _feedforward(lambda: Modules(lambda: ResNet(1, 2, widths=(3, 4), blocks=1, norm="none")), 16),
}
"""Have `logits`. Without batch norm, by which the examples of a batch meet."""

MODELS = RECURRENT | FEEDFORWARD
