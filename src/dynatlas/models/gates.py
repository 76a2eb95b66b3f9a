"""One layer of a recurrent network: its step, and its Jacobians with respect to state and input.

A layer's weights are a dictionary `w_in` (..., n_in, gates n), `w_rec` (..., n, gates n) and, with biases, `b_in` and
`b_rec` (..., gates n); row = source unit, gates in torch's order. Its state is (..., parts n): h, or h and then c.
Weights broadcast against the leading axes of input and state. A layer's Jacobians are made of slopes, one number for
each unit; they come as matrices, transposed (row = source), or are applied to vectors without ever being made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dynatlas.elementwise import sigmoid, sigmoid_slope, tanh_slope
from dynatlas.models.activations import activation_named, slope_of
from dynatlas.models.gated_recurrence import GRURecurrence, LSTMRecurrence
from dynatlas.models.products import rows_times
from dynatlas.models.recurrence import Recurrence

Weights = Mapping[str, Tensor]
Slopes = Sequence[Tensor]


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

    def slopes(self, w: Weights, x: Tensor, s: Tensor) -> tuple[Tensor, Slopes]:
        """The next state, and the slopes (..., n) that its Jacobians are made of."""
        ...

    def matrices(self, w: Weights, slopes: Slopes) -> tuple[Tensor, Tensor]:
        """Transposed d s' / d s (..., parts n, parts n) and d s' / d x (..., n_in, parts n), row = source."""
        ...

    def carry(self, slopes: Slopes, v: Tensor, own: Tensor, given: Tensor | None) -> Tensor:
        """J v of vectors v (..., k, parts n), from `own` = v_h W_rec and, of the input's, `given` (..., k, gates n).

        `own` may be written over.
        """
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

    def slopes(self, w: Weights, x: Tensor, s: Tensor) -> tuple[Tensor, Slopes]:
        """phi'."""
        given, own = _arguments(w, x, s)
        argument = given + own
        return self._phi(argument), (self._slope(argument),)

    def matrices(self, w: Weights, slopes: Slopes) -> tuple[Tensor, Tensor]:
        """J = diag(phi') W_rec^T, and the same with W_in."""
        return w["w_rec"] * slopes[0][..., None, :], w["w_in"] * slopes[0][..., None, :]

    def carry(self, slopes: Slopes, v: Tensor, own: Tensor, given: Tensor | None) -> Tensor:
        """diag(phi') of the sum."""
        return (own if given is None else own.add_(given)).mul_(slopes[0][..., None, :])

    def rollout(self, w: Weights, x: Tensor, state0: Tensor) -> Tensor:
        """By the hand-written backward pass where the activation has a name, else through autograd."""
        b = w["b_in"] + w["b_rec"] if "b_in" in w else None
        if isinstance(self.activation, str):
            named = activation_named(self.activation)
            states: Tensor = Recurrence.apply(x, w["w_in"], w["w_rec"], b, state0, 1.0, named, None)
            return states
        return _stepwise(self, w, x, state0)

    def _phi(self, argument: Tensor) -> Tensor:
        if isinstance(self.activation, str):
            return activation_named(self.activation).function(argument)
        return self.activation(argument.clone())  # which may work in place

    def _slope(self, argument: Tensor) -> Tensor:
        if isinstance(self.activation, str):
            return activation_named(self.activation).derivative(argument)
        return slope_of(self.activation, argument)


@dataclass(frozen=True)
class GRULayer:
    """Gates r, z, n: n = tanh(x U_n + b_in + r c), c = h W_n + b_rec; h' = (1 - z) n + z h (Cho et al. 2014)."""

    gates: int = 3
    parts: int = 1

    def step(self, w: Weights, x: Tensor, s: Tensor) -> Tensor:
        """The next state."""
        r, z, n_in, c = self._gates(w, x, s)
        n = torch.tanh(n_in + sigmoid(r) * c)
        return n + sigmoid(z) * (s - n)

    def slopes(self, w: Weights, x: Tensor, s: Tensor) -> tuple[Tensor, Slopes]:
        """Of r, of z, of n where it comes back and where it comes in; and z."""
        of_r, of_z, n_in, c = self._gates(w, x, s)
        r, z = sigmoid(of_r), sigmoid(of_z)
        of_n = n_in + r * c
        n, new = torch.tanh(of_n), sigmoid(-of_z) * tanh_slope(of_n)
        return n + z * (s - n), (new * c * sigmoid_slope(of_r), (s - n) * sigmoid_slope(of_z), new * r, new, z)

    def matrices(self, w: Weights, slopes: Slopes) -> tuple[Tensor, Tensor]:
        """J = diag((h - n) z (1 - z)) W_z + diag((1 - z)(1 - n^2)) [diag(r) W_n + diag(c r (1 - r)) W_r] + diag(z)."""
        reset, update, new_back, new_in, z = slopes
        of_state = combined(w["w_rec"], (reset, update, new_back))
        of_state.diagonal(dim1=-2, dim2=-1).add_(z)
        return of_state, combined(w["w_in"], (reset, update, new_in))

    def carry(self, slopes: Slopes, v: Tensor, own: Tensor, given: Tensor | None) -> Tensor:
        """The same sums on vectors."""
        reset, update, new_back, new_in, z = slopes
        carried = combined(own, (reset, update, new_back)).addcmul_(v, z[..., None, :])
        return carried if given is None else combined(given, (reset, update, new_in), out=carried)

    def rollout(self, w: Weights, x: Tensor, state0: Tensor) -> Tensor:
        """By the hand-written backward pass."""
        states: Tensor = GRURecurrence.apply(x, w["w_in"], w["w_rec"], w.get("b_in"), w.get("b_rec"), state0)
        return states

    @staticmethod
    def _gates(w: Weights, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The arguments of r and z, of n what comes in, and c."""
        given, own = _arguments(w, x, s)
        (r_in, z_in, n_in), (r_rec, z_rec, c) = given.chunk(3, dim=-1), own.chunk(3, dim=-1)
        return r_in + r_rec, z_in + z_rec, n_in, c


@dataclass(frozen=True)
class LSTMLayer:
    """Gates i, f, g, o: c' = f c + i g, h' = o tanh c' (Hochreiter and Schmidhuber 1997, with forget gate)."""

    gates: int = 4
    parts: int = 2

    def step(self, w: Weights, x: Tensor, s: Tensor) -> Tensor:
        """The next state (h, c)."""
        arguments, c = self._gates(w, x, s)
        return torch.cat(self._after(*_opened(arguments), c), dim=-1)

    def slopes(self, w: Weights, x: Tensor, s: Tensor) -> tuple[Tensor, Slopes]:
        """Of i, f and g into c', of o into h', of c' into h'; and f."""
        arguments, c = self._gates(w, x, s)
        i, f, g, o = _opened(arguments)
        hidden, memory = self._after(i, f, g, o, c)
        of_i, of_f, _, of_o = sigmoid_slope(arguments).chunk(4, dim=-1)
        into_memory = (of_i * g, of_f * c, i * tanh_slope(arguments.chunk(4, dim=-1)[2]))
        slopes = (*into_memory, of_o * torch.tanh(memory), o * tanh_slope(memory), f)
        return torch.cat([hidden, memory], dim=-1), slopes

    def matrices(self, w: Weights, slopes: Slopes) -> tuple[Tensor, Tensor]:
        """d c' / d h = diag(i (1 - i) g) W_i + diag(f (1 - f) c) W_f + diag(i (1 - g^2)) W_g, d c' / d c = diag(f).

        With k = o (1 - tanh^2 c'): d h' = diag(o (1 - o) tanh c') W_o + diag(k) d c'.
        """
        *_, k, f = slopes
        n = f.shape[-1]
        whole = f.new_zeros(*f.shape[:-1], 2 * n, 2 * n)
        self._write(w["w_rec"], slopes, whole[..., :n, :])
        whole[..., n:, :n].diagonal(dim1=-2, dim2=-1).copy_(k * f)
        whole[..., n:, n:].diagonal(dim1=-2, dim2=-1).copy_(f)
        of_input = f.new_zeros(*f.shape[:-1], w["w_in"].shape[-2], 2 * n)
        self._write(w["w_in"], slopes, of_input)
        return whole, of_input

    def carry(self, slopes: Slopes, v: Tensor, own: Tensor, given: Tensor | None) -> Tensor:
        """The same sums on vectors."""
        f = slopes[-1]
        carried = torch.zeros_like(v)
        carried[..., f.shape[-1] :] = v[..., f.shape[-1] :] * f[..., None, :]
        self._write(own if given is None else own + given, slopes, carried)
        return carried

    @staticmethod
    def _write(gates: Tensor, slopes: Slopes, out: Tensor) -> None:
        """Add what gates (..., m, 4n) make of c' to the second half of `out` (..., m, 2n), then of h' to the first."""
        *into_memory, into_output, k, _ = slopes
        hidden, cell = out.chunk(2, dim=-1)
        into_gates, output = gates.split([3 * k.shape[-1], k.shape[-1]], dim=-1)
        combined(into_gates, into_memory, out=cell)
        hidden.addcmul_(cell, k[..., None, :]).addcmul_(output, into_output[..., None, :])

    def rollout(self, w: Weights, x: Tensor, state0: Tensor) -> Tensor:
        """By the hand-written backward pass."""
        b = w["b_in"] + w["b_rec"] if "b_in" in w else None
        states: Tensor = LSTMRecurrence.apply(x, w["w_in"], w["w_rec"], b, state0)
        return states

    @staticmethod
    def _gates(w: Weights, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """The arguments of i, f, g and o, (..., 4n), and the c that was."""
        h, c = s.chunk(2, dim=-1)
        given, own = _arguments(w, x, h)
        return given + own, c

    @staticmethod
    def _after(i: Tensor, f: Tensor, g: Tensor, o: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """h' and c'."""
        memory = f * c + i * g
        return o * torch.tanh(memory), memory


def _arguments(w: Weights, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """What comes in to the gates, and what comes back, (..., gates n) each."""
    given, own = rows_times(x, w["w_in"]), rows_times(h, w["w_rec"])
    if "b_in" in w:
        given, own = given + w["b_in"], own + w["b_rec"]
    return given, own


def _opened(arguments: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """i, f, g and o from their arguments (..., 4n)."""
    i, f, g, o = arguments.chunk(4, dim=-1)
    return sigmoid(i), sigmoid(f), torch.tanh(g), sigmoid(o)


def combined(weights: Tensor, slopes: Slopes, out: Tensor | None = None) -> Tensor:
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
