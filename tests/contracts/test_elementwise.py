"""What every pointwise function must keep: its value at the edges, its derivatives, and its bits wherever it stands.

Bits are measured in processes of their own, one for each set of vector instructions that torch has been built for: as
a script this file prints what it finds to depend on the neighbours.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from functools import partial

import mpmath
import pytest
import torch
from torch.nn.functional import cross_entropy, elu, gelu, silu, softplus

from dynatlas import elementwise as ew
from dynatlas.reductions import batched_product, mean_over_first, sum_over_first

TYPES = (torch.float64, torch.float32)
MEMBERS = range(1, 18)
CAPABILITIES = ("default", "avx2", "avx512")


def mp_sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


def mp_softplus(x):
    return mpmath.log1p(mpmath.exp(x))


def mp_elu(x, alpha=1.0):
    return x if x > 0 else mpmath.mpf(alpha) * mpmath.expm1(x)


ONE_ARGUMENT = {
    "sigmoid": (ew.sigmoid, mp_sigmoid),
    "sigmoid_slope": (ew.sigmoid_slope, lambda x: mp_sigmoid(x) * mp_sigmoid(-x)),
    "tanh_slope": (ew.tanh_slope, lambda x: mpmath.sech(x) ** 2),
    "softplus": (ew.softplus, mp_softplus),
    "log_sigmoid": (ew.log_sigmoid, lambda x: -mp_softplus(-x)),
    "log_sigmoid_slope": (ew.log_sigmoid_slope, lambda x: -mp_softplus(x) - mp_softplus(-x)),
    "log_tanh_slope": (ew.log_tanh_slope, lambda x: mpmath.log(4) - mp_softplus(2 * x) - mp_softplus(-2 * x)),
    "silu": (ew.silu, lambda x: x * mp_sigmoid(x)),
    "gelu": (ew.gelu, lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2),
    "elu": (ew.elu, mp_elu),
    "elu, alpha .3": (partial(ew.elu, alpha=0.3), partial(mp_elu, alpha=0.3)),
}
POWERS = (-2, 0, 1, 3, 7, 0.5, 1.5, -0.5, 1 / 3)
TWO_ARGUMENTS = {
    "logaddexp": (ew.logaddexp, lambda a, b: mpmath.log(mpmath.exp(a) + mpmath.exp(b))),
    "angle_of": (ew.angle_of, mpmath.atan2),
    "modulus": (lambda a, b: ew.modulus(torch.complex(a, b)), mpmath.hypot),
    "binary_cross_entropy": (ew.binary_cross_entropy, lambda z, t: t * mp_softplus(-z) + (1 - t) * mp_softplus(z)),
    "glu": (lambda a, b: ew.glu(torch.stack([a, b]), dim=0)[0], lambda a, b: a * mp_sigmoid(b)),
}
SMOOTH = {name: function for name, (function, _) in ONE_ARGUMENT.items()} | {
    f"power {p:.3g}": partial(lambda x, p: ew.power(x.abs() + 0.01, p), p=p) for p in POWERS if p
}


def normal(*shape, seed=0, scale=3.0, dtype=torch.float64):
    return (scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).to(dtype)


# ---------------------------------------------------------------- values


def units_in_the_last_place(found, exact, arguments, dtype, scale=0.0):
    """The largest distance of a tensor's entries from mpmath's, in units of the last place of what is wanted.

    A wanted number that is smaller than `scale` counts as that.
    """
    info, worst = torch.finfo(dtype), 0.0
    with mpmath.workdps(60):
        for one, given in zip(found.tolist(), zip(*(x.tolist() for x in arguments), strict=True), strict=True):
            wanted = mpmath.mpf(exact(*map(mpmath.mpf, given)))
            unit = max(abs(float(wanted)), scale, info.tiny) * info.eps
            worst = max(worst, float(abs(mpmath.mpf(one) - wanted)) / unit)
    return worst


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ONE_ARGUMENT)
def test_values_are_right_to_a_few_units_in_the_last_place(name, dtype):
    function, exact = ONE_ARGUMENT[name]
    x = torch.cat([torch.linspace(-30, 30, 241), normal(50, scale=0.01), torch.tensor([-1e-20, 0, 1e-20])]).to(dtype)
    if name == "gelu":  # far below 0, Phi multiplies the rounding of its argument by x^2
        x = x[x > -6]
    scale = 1.0 if name == "log_tanh_slope" else 0.0  # the difference of two equal numbers at 0
    assert units_in_the_last_place(function(x), exact, [x], dtype, scale) < (40 if name == "gelu" else 6)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("p", POWERS)
def test_powers_are_right_to_the_stated_units(p, dtype):
    x = torch.cat([torch.logspace(-4, 4, 61, dtype=torch.float64), torch.tensor([1.0, 2.0])]).to(dtype)
    found = units_in_the_last_place(ew.power(x, p), lambda v: v ** mpmath.mpf(p), [x], dtype)
    assert found < 2 + abs(p) * math.log(1e4)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", TWO_ARGUMENTS)
def test_values_of_two_arguments_are_right_to_a_few_units_in_the_last_place(name, dtype):
    function, exact = TWO_ARGUMENTS[name]
    a, b = (torch.cat([normal(200, seed=s), normal(50, seed=s + 9, scale=1e-9)]).to(dtype) for s in (1, 2))
    b = b.abs().clamp(max=1) if name == "binary_cross_entropy" else b
    scale = 1.0 if name == "logaddexp" else 0.0  # which may be 0
    assert units_in_the_last_place(function(a, b), exact, [a, b], dtype, scale) < 6


INF, NAN = math.inf, math.nan
EDGES = {
    "sigmoid": (0.0, 0.5, 1.0),
    "sigmoid_slope": (0.0, 0.25, 0.0),
    "tanh_slope": (0.0, 1.0, 0.0),
    "softplus": (0.0, math.log(2), INF),
    "log_sigmoid": (-INF, -math.log(2), 0.0),
    "log_sigmoid_slope": (-INF, -math.log(4), -INF),
    "log_tanh_slope": (-INF, 0.0, -INF),
    "silu": (0.0, 0.0, INF),
    "gelu": (0.0, 0.0, INF),
    "elu": (-1.0, 0.0, INF),
    "elu, alpha .3": (-0.3, 0.0, INF),
}
"""At -inf, 0 and inf."""


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ONE_ARGUMENT)
def test_the_edges_are_the_limits_and_no_derivative_overflows(name, dtype):
    info, function = torch.finfo(dtype), ONE_ARGUMENT[name][0]
    huge = [-info.max, -info.max / 4, -1e4, -800.0, -745.0, -100.0, 100.0, 745.0, 800.0, 1e4, info.max / 4, info.max]
    tiny = [-info.smallest_normal / 4, -0.0, 0.0, info.smallest_normal / 4]
    at_edges = function(torch.tensor([-INF, 0.0, INF], dtype=dtype))
    torch.testing.assert_close(at_edges, torch.tensor(EDGES[name], dtype=dtype))
    assert function(torch.tensor([NAN], dtype=dtype)).isnan().all()
    for values in (huge, tiny, [-INF, INF]):
        x = torch.tensor(values, dtype=dtype, requires_grad=True)
        found = function(x)
        (first,) = torch.autograd.grad(found.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x)
        assert not found.isnan().any()
        assert first.isfinite().all()
        assert second.isfinite().all()


def test_slopes_do_not_vanish_before_their_value_does():
    x = torch.tensor([40.0, 300.0, 700.0], dtype=torch.float64)
    assert (ew.sigmoid_slope(x).log() + x).abs().max() < 1e-12
    assert (ew.tanh_slope(x / 2).log() + x - math.log(4)).abs().max() < 1e-12
    assert (ew.log_sigmoid_slope(1e4 * x) / (1e4 * x) + 1).abs().max() < 1e-12
    assert bool((1 - torch.tanh(x / 2).square() == 0).all())  # what stands in textbooks is gone


def test_edges_of_two_arguments():
    a = torch.tensor([INF, -INF, INF, -INF, 1e308, 0.0, NAN], dtype=torch.float64)
    b = torch.tensor([INF, -INF, -INF, 3.0, 1e308, -INF, 0.0], dtype=torch.float64)
    wanted = torch.tensor([INF, -INF, INF, 3.0, 1e308, 0.0, NAN], dtype=torch.float64)
    torch.testing.assert_close(ew.logaddexp(a, b), wanted, equal_nan=True)
    y = [0.0, 0.0, -0.0, -0.0, 1.0, -1.0, INF, INF, -INF, 1.0, -1.0, 3e-320]
    x = [0.0, -0.0, 0.0, -0.0, 0.0, 0.0, INF, -INF, -INF, -INF, INF, 1e-320]
    wanted = torch.tensor([math.atan2(*one) for one in zip(y, x, strict=True)], dtype=torch.float64)
    found = ew.angle_of(*(torch.tensor(one, dtype=torch.float64) for one in (y, x)))
    torch.testing.assert_close(found, wanted, rtol=1e-15, atol=0)
    assert torch.equal(found.signbit(), wanted.signbit())
    big = torch.tensor([complex(3e300, 4e300), complex(0, 0), complex(3e-300, 4e-300)], dtype=torch.complex128)
    torch.testing.assert_close(ew.modulus(big), torch.tensor([5e300, 0.0, 5e-300], dtype=torch.float64))
    with pytest.raises(ValueError, match="halves"):
        ew.glu(torch.zeros(3))


def test_powers_at_the_edges():
    x = torch.tensor([0.0, 1.0, INF, -2.0], dtype=torch.float64)
    torch.testing.assert_close(ew.power(x, 1.5), torch.tensor([0.0, 1.0, INF, NAN]).double(), equal_nan=True)
    torch.testing.assert_close(ew.power(x, -0.5), torch.tensor([INF, 1.0, 0.0, NAN]).double(), equal_nan=True)
    torch.testing.assert_close(ew.power(x, -3), torch.tensor([INF, 1.0, 0.0, -0.125], dtype=torch.float64))
    assert torch.equal(ew.power(x, 0), torch.ones_like(x))


# ---------------------------------------------------------------- derivatives


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_are_those_of_the_values_twice_and_under_func(name):
    function, x = SMOOTH[name], normal(7, seed=4, scale=1.5).requires_grad_()
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)
    (by_autograd,) = torch.autograd.grad(function(x).sum(), x, materialize_grads=True, allow_unused=True)
    for derivative in (torch.func.grad, torch.func.jacfwd, torch.func.jacrev):
        each = torch.func.vmap(derivative(function))(x.detach())
        torch.testing.assert_close(each, by_autograd, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ["logaddexp", "angle_of", "binary_cross_entropy", "glu"])
def test_derivatives_in_two_arguments(name):
    arguments = tuple(normal(5, seed=s).requires_grad_() for s in (5, 6))
    assert torch.autograd.gradcheck(TWO_ARGUMENTS[name][0], arguments)


def test_equal_arguments_share_the_gradient_of_logaddexp():
    a, b = (torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert [float(one) for one in torch.autograd.grad(ew.logaddexp(a, b), (a, b))] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("write", "function"),
    [(ew.write_sigmoid, ew.sigmoid), (ew.write_softplus, ew.softplus)],
    ids=["sigmoid", "softplus"],
)
def test_what_is_written_is_what_is_returned(write, function):
    x, out = normal(5, 9), torch.zeros(5, 3, 9, dtype=torch.float64)
    write(x, out[:, 1])
    assert torch.equal(out[:, 1], function(x))
    assert not out[:, [0, 2]].any()


def test_every_function_stands_in_this_suite():
    public = {name for name, value in vars(ew).items() if callable(value) and value.__module__ == ew.__name__}
    tested = {name.split(",")[0].split(" ")[0] for name in (*TWO_ARGUMENTS, *SMOOTH)}
    assert {name for name in public if not name.startswith("_")} - tested == {"write_sigmoid", "write_softplus"}


# ---------------------------------------------------------------- bits: what the script measures

OURS = SMOOTH | {
    name: partial(lambda x, f: f(x, 1 - 0.7 * x), f=function)
    for name, (function, _) in TWO_ARGUMENTS.items()
    if name != "modulus"
}
BLOCKS = {
    **{name: getattr(torch, name) for name in ("exp", "expm1", "tanh", "sin", "cos", "atan", "erf", "erfc", "square")},
    **{
        name: partial(lambda x, f: f(x.abs() + 0.01), f=getattr(torch, name))
        for name in ("log", "log1p", "sqrt", "rsqrt", "reciprocal")
    },
    "modulus": lambda x: x.abs() * ew.modulus(torch.complex(x.detach(), 1 - x.detach())),
    "third power": lambda x: x**3,
    "lerp": lambda x: torch.lerp(x, 1 - x, 0.3),
    "addcmul": lambda x: torch.addcmul(x, x + 1, x - 2, value=0.3),
    "addcdiv": lambda x: torch.addcdiv(x, x + 1, x.abs() + 1, value=0.3),
    "add": lambda x: torch.add(x, x * x, alpha=0.3),
    "tanh_backward": lambda x: torch.ops.aten.tanh_backward(x, x / 9),
    "sigmoid_backward": lambda x: torch.ops.aten.sigmoid_backward(x, x / 9),
}
"""What models, losses and optimisers are made of besides."""
REFUSED = {
    "softplus": softplus,
    "silu": silu,
    "elu": elu,
    "gelu": gelu,
    "sigmoid": torch.sigmoid,
    "cosh": torch.cosh,
    "pow": lambda x: torch.pow(x.abs() + 0.01, 1.5),
    "logaddexp": lambda x: torch.logaddexp(x, 1 - x),
    "atan2": lambda x: torch.atan2(x, 1 - x),
}
"""torch's own that the lint rule refuses: where there are vectors they must be found, else the measure is blind."""
POINTWISE = {
    **{f"elementwise.{name}": function for name, function in OURS.items()},
    **{f"block {name}": function for name, function in BLOCKS.items()},
    **{f"refused {name}": function for name, function in REFUSED.items()},
}
TARGET = torch.arange(70)
TOGETHER = {
    "sum over the last axis": lambda x: x.sum(-1),
    "sum over a middle axis": lambda x: x.sum(1),
    "mean over both": lambda x: x.mean((1, 2)),
    "norm": lambda x: torch.linalg.vector_norm(x.flatten(1), dim=1),
    "softmax": lambda x: x.softmax(-1),
    "logsumexp": lambda x: x.logsumexp(-1),
    "cross-entropy": lambda x: cross_entropy(
        x.mT, TARGET[: x.shape[1]].remainder(x.shape[2]).expand(len(x), -1), reduction="none"
    ),
    "product": lambda x: batched_product(x, x.mT),
    "product, one column": lambda x: batched_product(x, x.mT[..., :1]),
    "product, one row": lambda x: batched_product(x[:, :1], x.mT),
    "baddbmm": lambda x: torch.baddbmm(x.mT[..., :1], x.mT, x) if x.shape[2] > 1 else x,
    "sum_over_first": lambda x: sum_over_first(x.transpose(0, 1).contiguous()),
    "mean_over_first": lambda x: mean_over_first(x.transpose(0, 1).contiguous()),
    "refused sum over the first axis": lambda x: x.transpose(0, 1).contiguous().sum(0),
}
SHAPES = ((1, 1), (5, 6), (7, 3), (9, 1), (33, 9), (70, 40))


def with_gradient(function, x):
    """The value of every element, and the gradient of 1.7 times their sum."""
    leaf = x.detach().clone().requires_grad_()
    found = function(leaf)
    (gradient,) = torch.autograd.grad(found, leaf, torch.full_like(found, 1.7))
    return found.detach(), gradient


def stands_where_it_will(function, dtype):
    """Whether no element's bits, of value and gradient, depend on where it stands."""
    x = normal(160, seed=8, dtype=dtype)
    whole = with_gradient(function, x)
    if not torch.equal(function(torch.stack([x, x], dim=-1)[:, 0]), whole[0]):
        return False
    places = [slice(start, start + size) for size in MEMBERS for start in range(0, 160 - size, 41)]
    return all(
        torch.equal(part, all_of_it[place])
        for place in places
        for part, all_of_it in zip(with_gradient(function, x[place]), whole, strict=True)
    )


def is_each_members_own(function, dtype, shape):
    """Whether no member's bits, of value and gradient, depend on how many there are."""
    x = normal(18, *shape, seed=9, dtype=dtype)
    whole = with_gradient(function, x)
    return all(
        torch.equal(few, many[:members])
        for members in (1, 2, 3, 5, 6, 7, 13, 17)
        for few, many in zip(with_gradient(function, x[:members]), whole, strict=True)
    )


def measure():
    """The instructions that torch takes, and the names of what depends on the neighbours."""
    torch.set_num_threads(1)
    pointwise = {n for n, f in POINTWISE.items() if not all(stands_where_it_will(f, dtype) for dtype in TYPES)}
    together = {
        name
        for name, function in TOGETHER.items()
        if not all(is_each_members_own(function, dtype, shape) for dtype in TYPES for shape in SHAPES)
    }
    found = {"pointwise": sorted(pointwise), "together": sorted(together)}
    return {"capability": torch.backends.cpu.get_cpu_capability().lower(), **found}


def as_a_script(**environment):
    """What this file prints, torch's choice of instructions being left to `environment`."""
    inherited = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
    settings = inherited | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run([sys.executable, __file__], env=settings, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def best():
    """What is measured with the widest vectors that this processor has: to ask for wider ones kills the process."""
    return as_a_script()


@pytest.fixture(scope="module", params=CAPABILITIES)
def measured(request, best):
    """What is measured with torch held to one set of vector instructions."""
    if CAPABILITIES.index(request.param) > CAPABILITIES.index(best["capability"]):
        pytest.skip(f"this processor has no {request.param}: torch takes {best['capability']}")
    return best if request.param == best["capability"] else as_a_script(ATEN_CPU_CAPABILITY=request.param)


@pytest.mark.slow
def test_bits_do_not_depend_on_where_an_element_stands(measured):
    refused = {name for name in POINTWISE if name.startswith("refused")}
    found = set(measured["pointwise"])
    assert found - refused == set()
    if measured["capability"] != "default":
        assert refused - found == set()


@pytest.mark.slow
def test_bits_do_not_depend_on_how_many_members_there_are(measured):
    assert set(measured["together"]) == {name for name in TOGETHER if name.startswith("refused")}


if __name__ == "__main__":
    print(json.dumps(measure()))
