"""GRU and LSTM layers along time with hand-written backward passes.

What depends on the forward pass alone (the slopes of all gates) is computed for all steps at once; going back, a step
takes one product with the weights and two or three pointwise ones. Each weight gradient is one product at the end.
Slopes are read off the outputs, y (1 - y) and 1 - y^2: right to rounding beside 1, which is what a sum over units,
steps and trials can use. Jacobians, whose logarithms count, take them from the arguments (`models.gates`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dynatlas.elementwise import write_sigmoid
from dynatlas.models.recurrence import outer, with_bias

Gradients = tuple[Tensor | None, ...]


class GRURecurrence(torch.autograd.Function):
    """States (E, T, B, n) of a GRU layer; differentiable once in x, w_in, w_rec, both biases and state0."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w_in: Tensor, w_rec: Tensor, b_in: Tensor | None, b_rec: Tensor | None, state0: Tensor
    ) -> Tensor:
        """x (E, T, B, i), w_in (E, i, 3n), w_rec (E, n, 3n), b_in and b_rec (E, 3n), state0 (E, B, n)."""
        members, steps, trials, _ = x.shape
        n = w_rec.shape[1]
        x, w_in = with_bias(x, w_in, b_in)
        gates = torch.bmm(x.flatten(1, 2), w_in).view(members, steps, trials, 3 * n)
        states, back = gates.new_empty(members, steps, trials, n), gates.new_empty(members, steps, trials, n)
        recurrent = gates.new_empty(members, trials, 3 * n)
        offset = recurrent.new_zeros(()).expand_as(recurrent) if b_rec is None else b_rec[:, None].expand_as(recurrent)
        h = state0
        for t in range(steps):
            gate = gates[:, t]
            torch.baddbmm(offset, h, w_rec, out=recurrent)
            back[:, t] = recurrent[..., 2 * n :]
            opened = gate[..., : 2 * n].add_(recurrent[..., : 2 * n])
            write_sigmoid(opened, out=opened)
            new = gate[..., 2 * n :].addcmul_(opened[..., :n], back[:, t]).tanh_()
            h = torch.lerp(new, h, opened[..., n:], out=states[:, t])
        ctx.save_for_backward(x, w_in, w_rec, state0, gates, back, states)
        ctx.biased = b_in is not None, b_rec is not None
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, from_above: Tensor) -> Gradients:
        """Gradients in the order of `forward`'s arguments."""
        x, w_in, w_rec, state0, gates, back, states = ctx.saved_tensors
        n = w_rec.shape[1]
        before = torch.cat([state0[:, None], states[:, :-1]], dim=1)
        r, z, new = gates.split(n, dim=-1)
        into_new = (1 - z) * (1 - new * new)
        slopes = torch.stack([into_new * back * r * (1 - r), (before - new) * z * (1 - z), into_new * r], dim=-2)
        arguments, totals = torch.empty_like(slopes), torch.empty_like(states)
        transposed = w_rec.transpose(1, 2)
        total = from_above[:, -1].clone(memory_format=torch.contiguous_format)
        for t in range(states.shape[1] - 1, -1, -1):
            totals[:, t] = total
            torch.mul(slopes[:, t], total[:, :, None], out=arguments[:, t])
            total.mul_(z[:, t]).baddbmm_(arguments[:, t].flatten(-2), transposed)
            if t > 0:
                total += from_above[:, t - 1]
        to_state = arguments.flatten(-2)
        to_input = torch.cat([to_state[..., : 2 * n], totals.mul_(into_new)], dim=-1)
        has_in, has_rec = ctx.biased
        given, w, b = _input_gradients(x, w_in, to_input, has_in, ctx.needs_input_grad[0])
        b_rec = to_state.sum(dim=(1, 2)) if has_rec else None
        return given, w, outer(before, to_state), b, b_rec, total


class LSTMRecurrence(torch.autograd.Function):
    """States (h, c), (E, T, B, 2n), of an LSTM layer; differentiable once in x, w_in, w_rec, b and state0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_in: Tensor, w_rec: Tensor, b: Tensor | None, state0: Tensor) -> Tensor:
        """x (E, T, B, i), w_in (E, i, 4n), w_rec (E, n, 4n), b (E, 4n), state0 (E, B, 2n)."""
        members, steps, trials, _ = x.shape
        n = w_rec.shape[1]
        x, w_in = with_bias(x, w_in, b)
        gates = torch.bmm(x.flatten(1, 2), w_in).view(members, steps, trials, 4 * n)
        states, squashed = gates.new_empty(members, steps, trials, 2 * n), gates.new_empty(members, steps, trials, n)
        argument = gates.new_empty(members, trials, 4 * n)
        h, c = state0[..., :n], state0[..., n:]
        for t in range(steps):
            torch.baddbmm(gates[:, t], h, w_rec, out=argument)
            gate = gates[:, t]
            write_sigmoid(argument, out=gate)
            torch.tanh(argument[..., 2 * n : 3 * n], out=gate[..., 2 * n : 3 * n])
            i, f, g, o = gate.split(n, dim=-1)
            c = torch.mul(f, c, out=states[:, t, :, n:]).addcmul_(i, g)
            h = torch.mul(torch.tanh(c, out=squashed[:, t]), o, out=states[:, t, :, :n])
        ctx.save_for_backward(x, w_in, w_rec, state0, gates, squashed, states)
        ctx.biased = b is not None
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, from_above: Tensor) -> Gradients:
        """Gradients in the order of `forward`'s arguments."""
        x, w_in, w_rec, state0, gates, squashed, states = ctx.saved_tensors
        n = w_rec.shape[1]
        before = torch.cat([state0[:, None], states[:, :-1]], dim=1)
        i, f, g, o = gates.split(n, dim=-1)
        into_memory = torch.stack([g * i * (1 - i), before[..., n:] * f * (1 - f), i * (1 - g * g)], dim=-2)
        into_output, through = squashed * o * (1 - o), o * (1 - squashed * squashed)
        arguments = torch.empty_like(gates)
        transposed = w_rec.transpose(1, 2)
        total, memory = (part.clone(memory_format=torch.contiguous_format) for part in from_above[:, -1].split(n, -1))
        for t in range(states.shape[1] - 1, -1, -1):
            memory.addcmul_(total, through[:, t])
            argument = arguments[:, t]
            torch.mul(into_memory[:, t], memory[:, :, None], out=argument[..., : 3 * n].unflatten(-1, (3, n)))
            torch.mul(into_output[:, t], total, out=argument[..., 3 * n :])
            memory.mul_(f[:, t])
            torch.bmm(argument, transposed, out=total)
            if t > 0:
                total += from_above[:, t - 1, :, :n]
                memory += from_above[:, t - 1, :, n:]
        given, w, b = _input_gradients(x, w_in, arguments, ctx.biased, ctx.needs_input_grad[0])
        return given, w, outer(before[..., :n], arguments), b, torch.cat([total, memory], dim=-1)


def _input_gradients(x: Tensor, w_in: Tensor, arguments: Tensor, biased: bool, needs_x: bool) -> Gradients:
    """Of x, w_in and its bias, the last input being the 1 that carries the bias."""
    n_in = x.shape[-1] - int(biased)
    weights = outer(x, arguments)
    given = None
    if needs_x:
        given = torch.bmm(arguments.flatten(1, 2), w_in[:, :n_in].transpose(1, 2)).view(*x.shape[:-1], n_in)
    return given, weights[:, :n_in], weights[:, n_in] if biased else None
