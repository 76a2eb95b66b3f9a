"""GRUs, LSTMs and Elman networks of one or more layers, batched over ensemble members.

Parameters are a dictionary with leading axis member: for layer l `w_in_l{l}`, `w_rec_l{l}` and, with biases,
`b_in_l{l}`, `b_rec_l{l}` (two, as torch has them), row = source unit, gates in torch's order; and `w_out`, `b_out`.
The state is (..., d): h of every layer, then (LSTM) c of every layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Generator, Tensor

from dynatlas.models.gates import ElmanLayer, GRULayer, Layer, LSTMLayer, combined
from dynatlas.models.initial import draw
from dynatlas.models.model import Model, Params, inputs_of_members, states_of_members
from dynatlas.models.rnn import Nonlinearity, readout


@dataclass(frozen=True)
class Stacked(Model, ABC):
    """What GRU, LSTM and Elman networks share: sizes, initial weights, and what goes through the layers. Abstract.

    Weights are drawn as `*_init` (see `models.initial`), one matrix for each gate; biases start at 0.
    """

    n_in: int
    units: int
    n_out: int
    layers: int = 1
    bias: bool = True
    output_bias: bool = True
    recurrent_init: str = "uniform"
    recurrent_gain: float = 1.0
    input_init: str = "uniform"
    input_gain: float = 1.0
    output_init: str = "uniform"
    output_gain: float = 1.0

    @property
    @abstractmethod
    def layer(self) -> Layer:
        """The equations of one layer."""

    @property
    def hidden_size(self) -> int:
        """How many leading entries of the state are hidden units, layers x units."""
        return self.layers * self.units

    @property
    def state_size(self) -> int:
        """d."""
        return self.layer.parts * self.hidden_size

    @final
    def draw(self, generator: Generator) -> Params:
        """Initial tensors of one network, float64; see `Model.initialise`."""
        gates, tree = self.layer.gates, {}
        for at in range(self.layers):
            n_in = self.n_in if at == 0 else self.units
            for name, rows, kind, gain in (
                (f"w_in_l{at}", n_in, self.input_init, self.input_gain),
                (f"w_rec_l{at}", self.units, self.recurrent_init, self.recurrent_gain),
            ):
                drawn = [draw(kind, rows, self.units, gain=gain, generator=generator) for _ in range(gates)]
                tree[name] = torch.cat(drawn, dim=-1)
            if self.bias:
                nothing = tree[f"w_in_l{at}"].new_zeros(gates * self.units)
                tree |= {f"b_in_l{at}": nothing, f"b_rec_l{at}": nothing}
        tree["w_out"] = draw(self.output_init, self.units, self.n_out, gain=self.output_gain, generator=generator)
        if self.output_bias:
            tree["b_out"] = tree["w_out"].new_zeros(self.n_out)
        return tree

    def step(self, params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> Tensor:
        """The next state (..., d) from input x (..., n_in) and state s (..., d).

        Parameters carry the same leading axes as x and s, or none, or broadcast against them.
        """
        after = []
        for at, state in enumerate(self._by_layer(s)):
            after.append(self.layer.step(_weights(params, at), x, state))
            x = after[-1][..., : self.units]
        return self._joined(after)

    def jacobian(self, params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """The next state (..., d) and J = d s' / d s, (..., d, d) with row = output, in closed form; shapes as `step`.

        A layer's state depends on those below through its input: d s'_l / d s_m = (d s'_l / d x_l) d h'_{l-1} / d s_m.
        """
        after, columns = [], []
        below: Tensor | None = None
        for at, state in enumerate(self._by_layer(s)):
            weights = _weights(params, at)
            new, slopes = self.layer.slopes(weights, x, state)
            of_state, of_input = self.layer.matrices(weights, slopes)
            reached = of_state if below is None else torch.cat([below @ of_input, of_state], dim=-2)
            missing = self.state_size - reached.shape[-2]
            columns.append(torch.nn.functional.pad(reached, (0, 0, 0, missing)) if missing else reached)
            after.append(new)
            x, below = new[..., : self.units], reached[..., : self.units]
        transposed = columns[0] if self.layers == 1 else torch.cat(columns, dim=-1)
        if self.layer.parts > 1 and self.layers > 1:
            order = self._order(s.device)
            transposed = transposed[..., order, :][..., order]
        return self._joined(after), transposed.mT

    def slopes(self, params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> list[Tensor]:
        """What `carry` must know of a step, (..., n) each, layer by layer; shapes as in `step`."""
        found: list[Tensor] = []
        for at, state in enumerate(self._by_layer(s)):
            after, slopes = self.layer.slopes(_weights(params, at), x, state)
            found += slopes
            x = after[..., : self.units]
        return found

    def carry(self, params: Mapping[str, Tensor], slopes: Sequence[Tensor], v: Tensor) -> Tensor:
        """J v for vectors v (E, B, k, d) and slopes (E, B, n) of one step, without its Jacobian."""
        carried: list[Tensor] = []
        each = len(slopes) // self.layers
        for at, vectors in enumerate(self._by_layer(v)):
            own = _shared_product(vectors[..., : self.units], params[f"w_rec_l{at}"])
            given = _shared_product(carried[-1][..., : self.units], params[f"w_in_l{at}"]) if at else None
            carried.append(self.layer.carry(slopes[at * each : (at + 1) * each], vectors, own, given))
        return self._joined(carried)

    def rollout(self, params: Mapping[str, Tensor], x: Tensor, *, state0: Tensor | None = None) -> Tensor:
        """States of every member at every step on every trial, (E, T, B, d), with a hand-written backward pass.

        x (T, B, n_in), the same for all members, or (E, T, B, n_in); `state0` (E, B, d) defaults to 0. Differentiable
        once. ValueError for shapes that do not fit.
        """
        members = params["w_rec_l0"].shape[0]
        x = inputs_of_members(x, members, self.n_in)
        state0 = states_of_members(state0, (members, x.shape[2], self.state_size), like=params["w_rec_l0"])
        states = []
        for at, start in enumerate(self._by_layer(state0)):
            states.append(self.layer.rollout(_weights(params, at), x, start))
            x = states[-1][..., : self.units]
        return self._joined(states)

    def top(self, states: Tensor) -> Tensor:
        """The hidden units of the last layer, (..., d) -> (..., n): what torch calls the output."""
        return states[..., self.hidden_size - self.units : self.hidden_size]

    def readout(self, params: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """Linear outputs of the last layer, (E, ..., d) -> (E, ..., n_out)."""
        return readout(params, self.top(states))

    def _by_layer(self, s: Tensor) -> list[Tensor]:
        """The state of each layer, (..., parts n)."""
        if self.layers == 1:
            return [s]
        parts = s.unflatten(-1, (self.layer.parts, self.layers, self.units))
        return [parts[..., at, :].flatten(-2) for at in range(self.layers)]

    def _joined(self, states: list[Tensor]) -> Tensor:
        """The inverse of `_by_layer`."""
        if self.layers == 1:
            return states[0]
        parts = [state.unflatten(-1, (self.layer.parts, self.units)) for state in states]
        return torch.stack(parts, dim=-2).flatten(-3)

    def _order(self, device: torch.device) -> Tensor:
        """Where each entry of the state stands when layers follow one another."""
        places = torch.arange(self.state_size, device=device)
        return places.view(self.layers, self.layer.parts, self.units).transpose(0, 1).flatten()


@final
@dataclass(frozen=True)
class Elman(Stacked):
    """Stacked Elman networks h' = phi(x W_in + h W_rec + b_in + b_rec); `activation` a name or a function."""

    activation: Nonlinearity = "tanh"

    @property
    def layer(self) -> Layer:
        """The equations of one layer."""
        return ElmanLayer(self.activation)


@final
@dataclass(frozen=True)
class GRU(Stacked):
    """Gated recurrent units."""

    @property
    def layer(self) -> Layer:
        """The equations of one layer."""
        return GRULayer()


@final
@dataclass(frozen=True)
class LSTM(Stacked):
    """Long short-term memory; the state is h of every layer, then c of every layer."""

    @property
    def layer(self) -> Layer:
        """The equations of one layer."""
        return LSTMLayer()

    def factors(self, params: Mapping[str, Tensor], x: Tensor, s: Tensor) -> list[Tensor]:
        """Matrices (..., d, d), the first to be applied first, whose product is `jacobian`; shapes as `step`.

        d h' = diag(o' tanh c') W_o d h + diag(k) d c' may be a sum of numbers of very different size. Taken apart,
        layer by layer: memory cells are forgotten, the gates read hidden units (h becomes W_o h, c becomes c + A h),
        h is multiplied by the output gates' slopes, and what the memory shows is added to it.
        """
        slopes, found = self.slopes(params, x, s), []
        identity = torch.eye(self.state_size, dtype=s.dtype, device=s.device)
        for at in range(self.layers):
            *into_memory, into_output, shown, forget = slopes[6 * at : 6 * at + 6]
            hidden = slice(at * self.units, (at + 1) * self.units)
            memory = slice(self.hidden_size + hidden.start, self.hidden_size + hidden.stop)
            forgotten, read, opened, added = (identity.expand(*forget.shape[:-1], -1, -1).clone() for _ in range(4))
            forgotten[..., memory, memory] = torch.diag_embed(forget)
            read[..., hidden, hidden] = 0
            below = slice(hidden.start - self.units, hidden.start)
            for source, w in ((hidden, f"w_rec_l{at}"), *(((below, f"w_in_l{at}"),) if at else ())):
                into_gates, output = params[w].split([3 * self.units, self.units], dim=-1)
                read[..., hidden, source] = output.mT
                read[..., memory, source] = combined(into_gates, into_memory).mT
            opened[..., hidden, hidden] = torch.diag_embed(into_output)
            added[..., hidden, memory] = torch.diag_embed(shown)
            found += [forgotten, read, opened, added]
        return found


def _shared_product(vectors: Tensor, w: Tensor) -> Tensor:
    """(E, B, k, n) and (E, n, m) -> (E, B, k, m), as one product for each member."""
    members, rows, k, n = vectors.shape
    return torch.bmm(vectors.reshape(members, rows * k, n), w).view(members, rows, k, -1)


def _weights(params: Mapping[str, Tensor], at: int) -> Params:
    names = ("w_in", "w_rec", "b_in", "b_rec")
    return {name: params[f"{name}_l{at}"] for name in names if f"{name}_l{at}" in params}
