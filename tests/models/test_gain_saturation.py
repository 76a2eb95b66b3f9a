"""The gain-saturation activation: its corners, its derivatives, its steepest slope, and a network that carries it."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.instruments.lyapunov import lyapunov_spectrum
from dynatlas.models.gain_saturation import (
    gain_saturation,
    gain_saturation_derivatives,
    largest_slope,
    pooled,
    shape_parameters,
)
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN

X = torch.linspace(-30, 30, 6001, dtype=torch.float64)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def test_corners_are_softplus_and_sigmoid():
    softplus = torch.logaddexp(X, number(0))
    torch.testing.assert_close(gain_saturation(X, number(1), number(0)), softplus, rtol=0, atol=1e-14)
    torch.testing.assert_close(gain_saturation(X, number(1), number(1)), torch.sigmoid(X), rtol=0, atol=1e-14)
    torch.testing.assert_close(gain_saturation(X, number(7), number(1)), torch.sigmoid(7 * X), rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [1.0, 5.0, 20.0, 100.0])
def test_distance_to_relu_is_log_2_over_the_gain(n):
    distance = (gain_saturation(X, number(n), number(0)) - X.relu()).abs()
    assert float(distance.max()) == pytest.approx(math.log(2) / n, abs=1e-12)
    assert float(X[distance.argmax()]) == pytest.approx(0, abs=1e-9)
    wrong = gain_saturation(X, number(n + 1), number(0)) - X.relu()
    assert abs(float(wrong.abs().max()) - math.log(2) / n) > 1e-6


@pytest.mark.parametrize("n", [0.5, 1.0, 2.5, 20.0])
@pytest.mark.parametrize("s", [0.0, 0.05, 0.25, 0.5, 1.0])
def test_largest_slope_and_where_it_is(n, s):
    x = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    slopes = gain_saturation_derivatives(x, number(n), number(s))[0]
    steepest, place = largest_slope(number(n), number(s))
    assert float(steepest) - 1e-5 < float(slopes.max()) < float(steepest) + 1e-12  # on a grid
    if torch.isfinite(place):
        assert float(x[slopes.argmax()]) == pytest.approx(float(place), abs=2e-3)
        at = gain_saturation_derivatives(place, number(n), number(s))[0]
        assert float(at) == pytest.approx(float(steepest), abs=1e-12)


def test_largest_slope_refuses_what_has_none():
    with pytest.raises(ValueError, match=r"n > 0 and saturations s in \[0, 1\]"):
        largest_slope(number(2), number(-0.1))


def arguments():
    stream = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(4, 3, 5, generator=stream, dtype=torch.float64)
    n = 0.5 + 4 * torch.rand(4, 1, 5, generator=stream, dtype=torch.float64)
    s = torch.rand(4, 1, 1, generator=stream, dtype=torch.float64) - 0.2
    return [tensor.requires_grad_() for tensor in (x, n, s)]


def test_derivatives_equal_autograd_of_the_formula():
    x, n, s = arguments()
    plain = (1 - s) * torch.log1p(torch.exp(n * x)) / n + s / (1 + torch.exp(-n * x))
    torch.testing.assert_close(gain_saturation(x, n, s), plain, rtol=0, atol=1e-12)
    wanted = torch.autograd.grad(plain.sum(), (x, n, s))
    found = gain_saturation_derivatives(x, n, s)
    for slope, given, gradient in zip(found, (x, n, s), wanted, strict=True):
        torch.testing.assert_close(slope.sum_to_size(given.shape), gradient, rtol=0, atol=1e-10)


def test_gradients_equal_finite_differences_twice():
    assert torch.autograd.gradcheck(gain_saturation, arguments())
    assert torch.autograd.gradgradcheck(gain_saturation, arguments())


def test_far_arguments_are_finite():
    x = number([-1e4, -800.0, 800.0, 1e4])
    for tensor in (
        gain_saturation(x, number(20), number(0.5)),
        *gain_saturation_derivatives(x, number(20), number(0.5)),
    ):
        assert torch.isfinite(tensor).all()


def test_modes_have_one_pair_a_network_or_one_a_unit():
    n, s = number([1.0, 5.0]), number([0.0, 0.5])
    for mode, width in (("static", 1), ("homogeneous", 1), ("heterogeneous", 4)):
        params = shape_parameters(mode, n, s, units=4)
        assert params["gain"].shape == params["saturation"].shape == (2, width)
        assert torch.equal(params["gain"], n[:, None].expand(2, width))
        assert torch.equal(params["saturation"], s[:, None].expand(2, width))
    with pytest.raises(ValueError, match="mode = 'fixed'"):
        shape_parameters("fixed", n, s, units=4)


def network(*, members=3, units=6, seed=0):
    """A network with spread gains and saturations, and inputs for it."""
    streams = [torch.Generator().manual_seed(seed + member) for member in range(members)]
    net = GainSaturationRNN(3, units, 2)
    params = net.initialise(streams, dtype=torch.float64)
    params["b"] = torch.randn(params["b"].shape, generator=streams[0], dtype=torch.float64)
    for name, low, span in (("gain", 0.5, 6.0), ("saturation", -0.3, 1.4)):
        drawn = torch.rand(params[name].shape, generator=streams[0], dtype=torch.float64)
        params[name] = low + span * drawn
    x = torch.randn(members, 7, 4, 3, generator=streams[0], dtype=torch.float64)
    return net, params, x


def test_hand_written_backward_pass_equals_autograd_through_the_steps():
    net, params, x = network()
    state0 = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    upstream = torch.randn(3, 7, 4, 6, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    found = []
    for other in ({}, {"noise": torch.zeros(1, dtype=torch.float64)}):  # noise goes step by step
        leaves = {name: part.clone().requires_grad_() for name, part in (params | {"x": x, "s0": state0}).items()}
        states = net.rollout(leaves, leaves["x"], state0=leaves["s0"], **other)
        learned = [leaves[name] for name in leaves if name not in ("w_out", "b_out")]
        found.append([states, *torch.autograd.grad(states, learned, upstream)])
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-10)


def test_one_pair_a_network_gathers_the_gradients_of_its_units():
    net, params, x = network()
    shared = torch.tensor([True, False, True])
    leaves = {name: params[name].clone().requires_grad_() for name in ("gain", "saturation")}
    net.rollout(pooled(params | leaves, shared), x).square().sum().backward()
    single = {name: params[name][:, :1].clone().requires_grad_() for name in leaves}
    net.rollout(params | single, x).square().sum().backward()
    for name, leaf in leaves.items():
        torch.testing.assert_close(leaf.grad[shared, :1], single[name].grad[shared], rtol=0, atol=1e-10)
        assert leaf.grad[shared, 1:].abs().max() == 0
        assert leaf.grad[1].abs().min() > 0


def test_gain_is_a_gauge_of_a_network_without_bias_input_or_saturation():
    """gamma(x; n, 0) = gamma(n x; 1, 0) / n: the same dynamics, hence the same exponents, for every n."""
    found = []
    for n in (1.0, 8.0):
        net = GainSaturationRNN(1, 6, 1, n=n)
        params = net.initialise([torch.Generator().manual_seed(3)], dtype=torch.float64)
        start = torch.ones(1, 6, dtype=torch.float64) / n
        found.append(lyapunov_spectrum(net, params, steps=80, state0=start, burn_in=0).exponents)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-9)


def test_inputs_of_another_shape_are_refused():
    net, params, x = network()
    with pytest.raises(ValueError, match=r"x must be \(T, B, 3\) or \(3, T, B, 3\), not \(3, 7, 4, 2\)"):
        net.rollout(params, x[..., :2])
