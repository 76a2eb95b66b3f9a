"""Pointwise nonlinearities with what a hand-written backward pass and an analytic Jacobian need of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.elementwise import sigmoid, sigmoid_slope, softplus, tanh_slope, write_sigmoid, write_softplus
from dynatlas.names import named


@dataclass(frozen=True)
class Activation:
    """A nonlinearity phi, its derivative, and the product of a gradient with the derivative read off the output."""

    name: str
    function: Callable[[Tensor], Tensor]
    write: Callable[[Tensor, Tensor], object]
    """`write(h, out)` leaves phi(h) in `out`."""
    derivative: Callable[[Tensor], Tensor]
    """phi'(h) from the argument h; at a kink the value that autograd takes."""
    backward: Callable[[Tensor, Tensor, Tensor], object]
    """`backward(gradient, output, out)` leaves gradient * phi'(h) in `out`, where output = phi(h)."""


def _softplus_backward(gradient: Tensor, output: Tensor, out: Tensor) -> Tensor:
    return torch.mul(gradient, -torch.expm1(-output), out=out)  # softplus' = sigmoid = 1 - exp(-softplus)


RELU = Activation(
    name="relu",
    function=torch.relu,
    write=lambda h, out: torch.clamp_min(h, 0, out=out),
    derivative=lambda h: (h > 0).to(h.dtype),
    backward=lambda gradient, output, out: torch.ops.aten.threshold_backward.grad_input(
        gradient, output, 0, grad_input=out
    ),
)
TANH = Activation(
    name="tanh",
    function=torch.tanh,
    write=lambda h, out: torch.tanh(h, out=out),
    derivative=tanh_slope,
    backward=lambda gradient, output, out: torch.ops.aten.tanh_backward.grad_input(gradient, output, grad_input=out),
)
SIGMOID = Activation(
    name="sigmoid",
    function=sigmoid,
    write=write_sigmoid,
    derivative=sigmoid_slope,
    backward=lambda gradient, output, out: torch.ops.aten.sigmoid_backward.grad_input(gradient, output, grad_input=out),
)
SOFTPLUS = Activation(
    name="softplus",
    function=softplus,
    write=write_softplus,
    derivative=sigmoid,
    backward=_softplus_backward,
)
IDENTITY = Activation(
    name="identity",
    function=lambda h: h,
    write=lambda h, out: out.copy_(h),
    derivative=torch.ones_like,
    backward=lambda gradient, output, out: out.copy_(gradient),
)
ACTIVATIONS = {a.name: a for a in (RELU, TANH, SIGMOID, SOFTPLUS, IDENTITY)}


def activation_named(name: str) -> Activation:
    """The activation of this name; a KeyError lists the known ones and the nearest."""
    return named(ACTIVATIONS, name, "activation")


def slope_of(function: Callable[[Tensor], Tensor], h: Tensor) -> Tensor:
    """phi'(h) of any pointwise function, by autograd; one that works in place does so on a copy."""
    with torch.enable_grad():  # not torch.func.jvp, whose levels several threads share
        leaf = h.detach().requires_grad_()
        return torch.autograd.grad(function(leaf.clone()).sum(), leaf)[0]
