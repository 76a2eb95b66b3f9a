"""One layer of a recurrent network: its step, and its Jacobians with respect to state and input.

A layer's weights are a dictionary `w_in` (..., n_in, gates n), `w_rec` (..., n, gates n) and, with biases, `b_in` and
`b_rec` (..., gates n); row = source unit, gates in torch's order. Its state is (..., parts n): h, or h and then c.
Weights broadcast against the leading axes of input and state. Jacobians come transposed, row = source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dynatlas.models.activations import activation_named
from dynatlas.models.gated_recurrence import GRURecurrence, LSTMRecurrence
from dynatlas.models.products import rows_times
from dynatlas.models.recurrence import Recurrence

Weights = Mapping[str, Tensor]
Local = tuple[Tensor, Tensor, Tensor]
"""The next state (..., parts n), and transposed d s' / d s (..., parts n, parts n), d s' / d x (..., n_in, parts n)."""


class Layer(Protocol):
    """What the stack asks of a layer."""

    @property
    def gates(self) -> int:
        """Blocks of columns in the weights."""
        ...

    @property
    def parts(self) -> int:
        """1 if the state is h, 2 if it is (h, c)."""
        ...

    def step(self, w: Weights, x: Tensor, s: Tensor) -> Tensor:
        """The next state."""
        ...

    def local(self, w: Weights, x: Tensor, s: Tensor) -> Local:
        """The next state and both Jacobians."""
        ...

    def rollout(self, w: Weights, x: Tensor, state0: Tensor) -> Tensor:
        """States (E, T, B, parts n) for x (E, T, B, n_in) from state0 (E, B, parts n)."""
        ...


@dataclass(frozen=True)
class ElmanLayer:
    """h' = phi(x W_in + h W_rec + b)."""

    activation: str | Callable[[Tensor], Tensor] = "tanh"
    gates: int = 1
    parts: int = 1

    def step(self, w: Weights, x: Tensor, s: Tensor) -> Tensor:
        """The next state."""
        given, own = _arguments(w, x, s)
        return self._phi(given + own)

    def local(self, w: Weights, x: Tensor, s: Tensor) -> Local:
        """J = diag(phi') W_rec^T, and the same with W_in."""
        given, own = _arguments(w, x, s)
        argument = given + own
        slope = self._slope(argument)[..., None, :]
        return self._phi(argument), slope * w["w_rec"], slope * w["w_in"]

    def rollout(self, w: Weights, x: Tensor, state0: Tensor) -> Tensor:
        """By the hand-written backward pass where the activation has a name, else through autograd."""
        b = w["b_in"] + w["b_rec"] if "b_in" in w else None
        if isinstance(self.activation, str):
            named = activation_named(self.activation)
            states: Tensor = Recurrence.apply(x, w["w_in"], w["w_rec"], b, state0, 1.0, named, None)
            return states
        return _stepwise(self, w, x, state0)

    def _phi(self, argument: Tensor) -> Tensor:
        phi = activation_named(self.activation).function if isinstance(self.activation, str) else self.activation
        return phi(argument)

    def _slope(self, argument: Tensor) -> Tensor:
        if isinstance(self.activation, str):
            return activation_named(self.activation).derivative(argument)
        with torch.enable_grad():
            leaf = argument.detach().requires_grad_()
            return torch.autograd.grad(self.activation(leaf).sum(), leaf)[0]


@dataclass(frozen=True)
class GRULayer:
    """Gates r, z, n: n = tanh(x U_n + b_in + r c), c = h W_n + b_rec; h' = (1 - z) n + z h (Cho et al. 2014)."""

    gates: int = 3
    parts: int = 1

    def step(self, w: Weights, x: Tensor, s: Tensor) -> Tensor:
        """The next state."""
        _, z, n, _ = self._gates(w, x, s)
        return n + z * (s - n)

    def local(self, w: Weights, x: Tensor, s: Tensor) -> Local:
        """J = diag((h - n) z (1 - z)) W_z + diag((1 - z)(1 - n^2)) [diag(r) W_n + diag(c r (1 - r)) W_r] + diag(z)."""
        r, z, n, c = self._gates(w, x, s)
        new = (1 - z) * (1 - n * n)
        reset, update = new * c * r * (1 - r), (s - n) * z * (1 - z)
        of_state = _combined(w["w_rec"], (reset, update, new * r))
        of_state.diagonal(dim1=-2, dim2=-1).add_(z)
        return n + z * (s - n), of_state, _combined(w["w_in"], (reset, update, new))

    def rollout(self, w: Weights, x: Tensor, state0: Tensor) -> Tensor:
        """By the hand-written backward pass."""
        states: Tensor = GRURecurrence.apply(x, w["w_in"], w["w_rec"], w.get("b_in"), w.get("b_rec"), state0)
        return states

    @staticmethod
    def _gates(w: Weights, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """r, z, n and c."""
        given, own = _arguments(w, x, s)
        (r_in, z_in, n_in), (r_rec, z_rec, c) = given.chunk(3, dim=-1), own.chunk(3, dim=-1)
        r, z = torch.sigmoid(r_in + r_rec), torch.sigmoid(z_in + z_rec)
        return r, z, torch.tanh(n_in + r * c), c


@dataclass(frozen=True)
class LSTMLayer:
    """Gates i, f, g, o: c' = f c + i g, h' = o tanh c' (Hochreiter and Schmidhuber 1997, with forget gate)."""

    gates: int = 4
    parts: int = 2

    def step(self, w: Weights, x: Tensor, s: Tensor) -> Tensor:
        """The next state (h, c)."""
        i, f, g, o, c = self._gates(w, x, s)
        memory = f * c + i * g
        return torch.cat([o * memory.tanh(), memory], dim=-1)

    def local(self, w: Weights, x: Tensor, s: Tensor) -> Local:
        """d c' / d h = diag(i (1 - i) g) W_i + diag(f (1 - f) c) W_f + diag(i (1 - g^2)) W_g, d c' / d c = diag(f).

        With k = o (1 - tanh^2 c'): d h' = diag(o (1 - o) tanh c') W_o + diag(k) d c'.
        """
        i, f, g, o, c = self._gates(w, x, s)
        memory = f * c + i * g
        squashed = memory.tanh()
        k = o * (1 - squashed * squashed)
        into_memory = (i * (1 - i) * g, f * (1 - f) * c, i * (1 - g * g))
        into_output = o * (1 - o) * squashed
        n = c.shape[-1]

        def assembled(weights: Tensor, rows: int) -> Tensor:
            whole = weights.new_zeros(*c.shape[:-1], rows, 2 * n)
            sources = weights.shape[-2]
            hidden, cell = whole[..., :sources, :n], whole[..., :sources, n:]
            _combined(weights[..., : 3 * n], into_memory, out=cell)
            hidden.addcmul_(cell, k[..., None, :])
            hidden.addcmul_(weights[..., 3 * n :], into_output[..., None, :])
            return whole

        of_state = assembled(w["w_rec"], 2 * n)
        of_state[..., n:, :n].diagonal(dim1=-2, dim2=-1).copy_(k * f)
        of_state[..., n:, n:].diagonal(dim1=-2, dim2=-1).copy_(f)
        return torch.cat([o * squashed, memory], dim=-1), of_state, assembled(w["w_in"], w["w_in"].shape[-2])

    def rollout(self, w: Weights, x: Tensor, state0: Tensor) -> Tensor:
        """By the hand-written backward pass."""
        b = w["b_in"] + w["b_rec"] if "b_in" in w else None
        states: Tensor = LSTMRecurrence.apply(x, w["w_in"], w["w_rec"], b, state0)
        return states

    @staticmethod
    def _gates(w: Weights, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """i, f, g, o, and the c that was."""
        h, c = s.chunk(2, dim=-1)
        given, own = _arguments(w, x, h)
        i, f, g, o = (given + own).chunk(4, dim=-1)
        return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o), c


def _arguments(w: Weights, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """What comes in to the gates, and what comes back, (..., gates n) each."""
    given, own = rows_times(x, w["w_in"]), rows_times(h, w["w_rec"])
    if "b_in" in w:
        given, own = given + w["b_in"], own + w["b_rec"]
    return given, own


def _combined(weights: Tensor, slopes: tuple[Tensor, ...], out: Tensor | None = None) -> Tensor:
    """sum over gates of W_g diag(slope_g), (..., m, gates n) and (..., n) each -> (..., m, n); added to `out`."""
    for gate, slope in zip(weights.chunk(len(slopes), dim=-1), slopes, strict=True):
        factor = slope[..., None, :]
        out = gate * factor if out is None else out.addcmul_(gate, factor)
    assert out is not None
    return out


def _stepwise(layer: Layer, w: Weights, x: Tensor, state: Tensor) -> Tensor:
    """The rollout step by step, through autograd."""
    broadcast = {name: tensor[:, None] for name, tensor in w.items()}
    states = []
    for given in x.unbind(dim=1):
        state = layer.step(broadcast, given, state)
        states.append(state)
    return torch.stack(states, dim=1)
