"""A rate RNN whose units have a gain and a saturation, along time, with a hand-written backward pass.

    h_t = x_t W_in + b + r_{t-1} W,    r_t = gamma(h_t; n, s) = g_t + s d_t,

with g = softplus(n h) / n and d = sigmoid(n h) - g. Backwards, with G_t the gradient of the loss with respect to r_t by
every way and dh_t = G_t gamma'(h_t),

    ds = sum G_t d_t,    dn = (sum h_t dh_t - (1 - s) sum G_t g_t) / n,    G_{t-1} = g_{t-1} + dh_t W^T,

so that no exponential is taken again: d gamma / dn = (h gamma' - (1 - s) g) / n.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dynatlas.elementwise import write_sigmoid
from dynatlas.models.recurrence import outer, with_bias


def softplus(z: Tensor, logistic: Tensor, *, out: Tensor) -> Tensor:
    """log(1 + exp(z)) = max(z, 0) - log(sigmoid(|z|)), right to rounding beside 1, where sigmoid(z) is known already.

    A logarithm and four cheap passes: two thirds of the time of torch's own softplus, which dominates a step. `z` is
    overwritten.
    """
    torch.maximum(logistic, torch.sub(1, logistic, out=out), out=out).log_()
    return torch.sub(z.clamp_min_(0), out, out=out)


class GainSaturationRecurrence(torch.autograd.Function):
    """States (E, T, B, n); differentiable once in x, w_in, w_rec, b, gain, saturation and state0."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        w_in: Tensor,
        w_rec: Tensor,
        b: Tensor | None,
        gain: Tensor,
        saturation: Tensor,
        state0: Tensor,
    ) -> Tensor:
        """x (E, T, B, i), w_in (E, i, n), w_rec (E, n, n), b (E, n), gain, saturation (E, n or 1), state0 (E, B, n)."""
        x, w_in = with_bias(x, w_in, b)
        n, s = gain[:, None], saturation[:, None]
        arguments = torch.bmm(x.flatten(1, 2), w_in).view(*x.shape[:-1], -1)
        states, slopes, differences = (torch.empty_like(arguments) for _ in range(3))
        scaled, logistic, soft = (torch.empty_like(state0) for _ in range(3))
        steepness, offset, inverse = n * s, n * s + (1 - s), 1 / n
        before = state0
        for t in range(arguments.shape[1]):
            torch.mul(arguments[:, t].baddbmm_(before, w_rec), n, out=scaled)
            write_sigmoid(scaled, out=logistic)
            softplus(scaled, logistic, out=soft).mul_(inverse)
            difference = torch.sub(logistic, soft, out=differences[:, t])
            before = torch.addcmul(soft, difference, s, out=states[:, t])
            torch.addcmul(offset, logistic, steepness, value=-1, out=scaled)  # gamma' / sigmoid
            torch.mul(logistic, scaled, out=slopes[:, t])
        ctx.save_for_backward(x, w_in, w_rec, gain, saturation, state0, arguments, states, slopes, differences)
        ctx.has_bias = b is not None
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, from_above: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients in the order of `forward`'s arguments."""
        x, w_in, w_rec, gain, saturation, state0, arguments, states, slopes, differences = ctx.saved_tensors
        along = torch.empty_like(slopes)
        by_difference, by_state, by_argument = (torch.zeros_like(state0) for _ in range(3))
        total, back = from_above[:, -1].clone(memory_format=torch.contiguous_format), w_rec.transpose(1, 2)
        for t in range(slopes.shape[1] - 1, -1, -1):
            by_difference.addcmul_(total, differences[:, t])
            by_state.addcmul_(total, states[:, t])
            by_argument.addcmul_(torch.mul(total, slopes[:, t], out=along[:, t]), arguments[:, t])
            if t > 0:
                torch.baddbmm(from_above[:, t - 1], along[:, t], back, out=total)
        of_saturation = by_difference.sum(dim=1)
        of_soft = by_state.sum(dim=1) - saturation * of_saturation
        of_gain = (by_argument.sum(dim=1) - (1 - saturation) * of_soft) / gain
        n_in = x.shape[-1] - int(ctx.has_bias)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = torch.bmm(along.flatten(1, 2), w_in[:, :n_in].transpose(1, 2)).view(*x.shape[:-1], n_in)
        of_in, of_rec = outer(x, along), outer(states[:, :-1], along[:, 1:])
        of_rec.baddbmm_(state0.transpose(1, 2), along[:, 0])
        return (
            of_x,
            of_in[:, :n_in],
            of_rec,
            of_in[:, n_in] if ctx.has_bias else None,
            of_gain.sum_to_size(gain.shape),
            of_saturation.sum_to_size(saturation.shape),
            torch.bmm(along[:, 0], back),
        )
