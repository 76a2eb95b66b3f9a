"""The matrix products of a rate RNN with hand-written backward passes.

The recurrence takes one product a step, and one for each weight gradient:

    h_t = d_t + r_{t-1} W + xi_t,    r_t = (1 - a) r_{t-1} + a phi(h_t)

with the drive d = x W_in + b. Backwards, with G_t the gradient of the loss with respect to r_t by every way,

    dh_t = a G_t phi'(h_t),    G_{t-1} = g_{t-1} + (1 - a) G_t + dh_t W^T,    dW = sum_t r_{t-1}^T dh_t,

where g are the gradients that come from above. phi' is read off phi(h), so that h is never kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dynatlas.models.activations import Activation

StepSource = Callable[[int, Tensor], Tensor]
"""`source(t, like)` gives what is added at step t, for states shaped (member, trial, unit)."""


def outer(inputs: Tensor, gradients: Tensor) -> Tensor:
    """sum over steps and trials of inputs^T gradients, (E, T, B, i), (E, T, B, n) -> (E, i, n), as one product."""
    return torch.bmm(inputs.flatten(1, 2).transpose(1, 2), gradients.flatten(1, 2))


def with_bias(x: Tensor, w_in: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor]:
    """The bias as the weight of one more input that is always 1: cheaper than adding it to every state."""
    if b is None:
        return x, w_in
    return torch.cat([x, x.new_ones(1).expand_as(x[..., :1])], dim=-1), torch.cat([w_in, b[:, None]], dim=1)


class Recurrence(torch.autograd.Function):
    """States (E, T, B, n) of the recurrence; differentiable once in x, w_in, w_rec, b and state0."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        w_in: Tensor,
        w_rec: Tensor,
        b: Tensor | None,
        state0: Tensor,
        alpha: float,
        activation: Activation,
        noise: StepSource | None,
    ) -> Tensor:
        """x (E, T, B, i), w_in (E, i, n), w_rec (E, n, n), b (E, n), state0 (E, B, n)."""
        members, steps, trials, _ = x.shape
        x, w_in = with_bias(x, w_in, b)
        drive = torch.bmm(x.flatten(1, 2), w_in)
        states = drive.view(members, steps, trials, -1)  # each step's drive gives way to that step's state
        rates = states if alpha == 1 else torch.empty_like(states)
        argument = torch.empty_like(state0)
        before = state0
        for t in range(steps):
            if noise is None:
                argument.copy_(states[:, t])
            else:
                torch.add(states[:, t], noise(t, argument), out=argument)
            argument.baddbmm_(before, w_rec)
            activation.write(argument, rates[:, t])
            if alpha != 1:
                torch.lerp(before, rates[:, t], alpha, out=states[:, t])
            before = states[:, t]
        ctx.save_for_backward(x, w_in, w_rec, state0, states, rates if alpha != 1 else None)
        ctx.alpha, ctx.activation, ctx.has_bias = alpha, activation, b is not None
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, from_above: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients in the order of `forward`'s arguments."""
        x, w_in, w_rec, state0, states, rates = ctx.saved_tensors
        rates = states if rates is None else rates
        arguments, first = _through_time(from_above, w_rec, rates, ctx.alpha, ctx.activation)
        needs_x, needs_in, needs_rec, needs_b, needs_state0 = ctx.needs_input_grad[:5]
        n_in = x.shape[-1] - int(ctx.has_bias)
        grad_x = grad_rec = grad_in = None
        if needs_x:
            grad_x = torch.bmm(arguments.flatten(1, 2), w_in[:, :n_in].transpose(1, 2)).view(*x.shape[:-1], n_in)
        if needs_in or needs_b:
            grad_in = outer(x, arguments)
        if needs_rec:
            grad_rec = outer(states[:, :-1], arguments[:, 1:])
            grad_rec.baddbmm_(state0.transpose(1, 2), arguments[:, 0])
        return (
            grad_x,
            grad_in[:, :n_in] if grad_in is not None and needs_in else None,
            grad_rec,
            grad_in[:, n_in] if grad_in is not None and needs_b else None,
            first if needs_state0 else None,
            None,
            None,
            None,
        )


def _through_time(
    from_above: Tensor, w_rec: Tensor, rates: Tensor, alpha: float, activation: Activation
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to every h_t, (E, T, B, n), and to the state before the first step, (E, B, n)."""
    back = w_rec.transpose(1, 2)
    arguments = torch.empty_like(rates)
    total = from_above[:, -1].clone(memory_format=torch.contiguous_format)
    for t in range(rates.shape[1] - 1, -1, -1):
        activation.backward(total, rates[:, t], arguments[:, t])
        above = from_above[:, t - 1] if t > 0 else torch.zeros_like(total)
        if alpha == 1:
            total.copy_(above)
        else:
            arguments[:, t].mul_(alpha)
            total.mul_(1 - alpha).add_(above)
        total.baddbmm_(arguments[:, t], back)
    return arguments, total


class Readout(torch.autograd.Function):
    """S W for many rows of S (E, m, n) and few columns of W (E, n, o), as the transposed product: some 5 times faster.

    Differentiable any number of times, and under torch.func.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(states: Tensor, w_out: Tensor) -> Tensor:
        """(E, m, n), (E, n, o) -> (E, m, o)."""
        return torch.bmm(w_out.transpose(1, 2).contiguous(), states.transpose(1, 2)).transpose(1, 2).contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Keep the inputs."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, from_above: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Gradients with respect to states and w_out."""
        states, w_out = ctx.saved_tensors
        needs_states, needs_out = ctx.needs_input_grad
        return (
            torch.bmm(from_above, w_out.transpose(1, 2)) if needs_states else None,
            torch.bmm(from_above.transpose(1, 2), states).transpose(1, 2) if needs_out else None,
        )
