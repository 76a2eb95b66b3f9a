"""Pointwise functions whose bits do not depend on where an element stands in a tensor, forward and backward.

torch computes `sigmoid`, `softplus`, `pow`, `cosh`, `gelu`, `silu`, `elu`, `logaddexp`, `atan2`, complex products and
more in vectors, and the elements that are left over by another routine: one more member of an ensemble moves an
element from the rest into a vector, and its last bits change. `exp`, `expm1`, `log`, `log1p`, `tanh`, `sin`, `cos`,
`atan`, `erf`, `erfc`, `sqrt`, squares, cubes and the four operations on real numbers are the same wherever an element
stands, so everything here is made of them, and everything in this package of what is here: `tests/ground` refuses the
others by name, `tests/contracts/test_elementwise.py` measures both.

All functions take tensors of any shape and keep float32 and float64; unless said otherwise they are differentiable any
number of times, also under torch.func, right to a few units in the last place, and neither overflow nor underflow
before their own value does. Derivatives are taken from the argument, not from 1 - y^2 or y (1 - y), which are 0 as
soon as y rounds to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Pointwise = Callable[[Tensor], Tensor]
_FAR = 800.0
"""exp(-_FAR) is 0 in either type: a factor that meets a vanishing one stops here, lest the product be NaN."""


class _WithSlope(torch.autograd.Function):
    """A pointwise function with a stated derivative, which may be differentiated in turn."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, value: Pointwise, slope: Pointwise) -> Tensor:
        """The value."""
        return value(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Pointwise, Pointwise], output: Tensor) -> None:
        """Keep the argument."""
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])
        ctx.slope = inputs[2]

    @staticmethod
    def backward(ctx: Any, from_above: Tensor) -> tuple[Tensor, None, None]:
        """The gradient times the slope."""
        return from_above * ctx.slope(ctx.saved_tensors[0]), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        """The tangent times the slope."""
        return tangent * ctx.slope(ctx.saved_tensors[0])


def _with_slope(x: Tensor, value: Pointwise, slope: Pointwise) -> Tensor:
    found: Tensor = _WithSlope.apply(x, value, slope)
    return found


# ---------------------------------------------------------------- the logistic function and its relatives


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _with_slope(x, _logistic, sigmoid_slope)


def write_sigmoid(x: Tensor, out: Tensor) -> Tensor:
    """`sigmoid(x)` left in `out`, which may be x itself; not differentiable."""
    return torch.neg(x, out=out).exp_().add_(1).reciprocal_()


def sigmoid_slope(x: Tensor) -> Tensor:
    """d sigmoid / d x = 1 / (4 cosh^2(x / 2)), which is e / (1 + e)^2 with e = exp(-|x|)."""
    return _with_slope(x, _bell, lambda z: -sigmoid_slope(z) * torch.tanh(z / 2))


def tanh_slope(x: Tensor) -> Tensor:
    """d tanh / d x = 1 / cosh^2(x)."""
    return 4 * sigmoid_slope(2 * x)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), the integral of `sigmoid`."""
    return _with_slope(x, lambda z: z.abs().neg_().exp_().log1p_().add_(z.clamp_min(0)), sigmoid)


def write_softplus(x: Tensor, out: Tensor) -> Tensor:
    """`softplus(x)` left in `out`, which is not x; not differentiable."""
    return torch.abs(x, out=out).neg_().exp_().log1p_().add_(x.clamp_min(0))


def log_sigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x))."""
    return -softplus(-x)


def log_sigmoid_slope(x: Tensor) -> Tensor:
    """log of `sigmoid_slope(x)`, which is a number where the slope itself is 0."""
    return log_sigmoid(x) + log_sigmoid(-x)


def log_tanh_slope(x: Tensor) -> Tensor:
    """log of `tanh_slope(x)`, which is a number where the slope itself is 0."""
    return math.log(4) + log_sigmoid_slope(2 * x)


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-t log(sigmoid(z)) - (1 - t) log(1 - sigmoid(z)) of each logit z, in nats, for targets t in [0, 1]."""
    return target * softplus(-logits) + (1 - target) * softplus(logits)


def _logistic(x: Tensor) -> Tensor:
    return torch.neg(x).exp_().add_(1).reciprocal_()


def _bell(x: Tensor) -> Tensor:
    e = x.abs().neg_().exp_()
    return e / (1 + e).square()


# ---------------------------------------------------------------- units


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x) (swish; Elfwing et al. 2018)."""
    return _with_slope(x, lambda z: z.clamp_min(-_FAR) * _logistic(z), _silu_slope)


def _silu_slope(x: Tensor) -> Tensor:
    return sigmoid(x) * (1 + x.clamp(-_FAR, _FAR) * sigmoid(-x))


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b) with a and b the halves of x along `dim` (Dauphin et al. 2017); ValueError for an odd size."""
    if x.shape[dim] % 2:
        raise ValueError(f"axis {dim} has {x.shape[dim]} entries: a gated linear unit takes halves of it")
    a, b = x.chunk(2, dim)
    return a * sigmoid(b)


def gelu(x: Tensor) -> Tensor:
    """x Phi(x) with Phi the normal distribution function (Hendrycks and Gimpel 2016), by erfc."""
    return _with_slope(x, lambda z: z.clamp_min(-_FAR) * _normal_below(z), _gelu_slope)


def _gelu_slope(x: Tensor) -> Tensor:
    near = x.clamp(-_FAR, _FAR)
    return _normal_below(x) + near * torch.exp(-0.5 * near * near) / math.sqrt(2 * math.pi)


def _normal_below(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(x * -(0.5**0.5))


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha (exp(x) - 1) below (Clevert et al. 2016); at 0 the derivative is alpha."""

    def value(z: Tensor) -> Tensor:
        return torch.where(z > 0, z, alpha * torch.expm1(z.clamp_max(0)))

    def slope(z: Tensor) -> Tensor:
        return torch.where(z > 0, 1.0, alpha * torch.exp(z.clamp_max(0)))

    return _with_slope(x, value, slope)


# ---------------------------------------------------------------- powers, logarithms of sums, angles


def power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for x >= 0 (NaN below), as exp(exponent log x): right to |exponent log x| units in the last place.

    Whole exponents take any x, and `exponent` products.
    """
    if exponent == int(exponent) and abs(exponent) <= 64:
        whole = _repeated_product(x, abs(int(exponent)))
        return whole if exponent >= 0 else 1 / whole
    return _with_slope(x, lambda z: torch.exp(exponent * torch.log(z)), lambda z: exponent * power(z, exponent - 1))


def _repeated_product(x: Tensor, times: int) -> Tensor:
    """x ** times by squaring."""
    product = torch.ones_like(x)
    while times:
        product = product * x if times % 2 else product
        x, times = x * x, times // 2
    return product


def logaddexp(a: Tensor, b: Tensor) -> Tensor:
    """log(exp(a) + exp(b))."""
    larger, smaller = torch.maximum(a, b), torch.minimum(a, b)
    both_infinite = larger.isinf() & (larger == smaller)  # whose difference would be NaN
    return larger + softplus(torch.where(both_infinite, 0.0, smaller - larger))


def angle_of(y: Tensor, x: Tensor) -> Tensor:
    """The angle in (-pi, pi] of the vector (x, y), 0 of (0, 0): what is known as atan2(y, x)."""
    longer, shorter = torch.maximum(x.abs(), y.abs()), torch.minimum(x.abs(), y.abs())
    ratio = torch.where(longer == shorter, (longer != 0).to(longer.dtype), shorter / longer)
    acute = torch.atan(ratio)
    acute = torch.where(y.abs() > x.abs(), math.pi / 2 - acute, acute)
    return torch.copysign(torch.where(torch.signbit(x), math.pi - acute, acute), y)


def modulus(z: Tensor) -> Tensor:
    """|z| of complex numbers, real."""
    longer, shorter = torch.maximum(z.real.abs(), z.imag.abs()), torch.minimum(z.real.abs(), z.imag.abs())
    return longer * torch.sqrt(1 + (shorter / torch.where(longer == 0, 1.0, longer)).square())
