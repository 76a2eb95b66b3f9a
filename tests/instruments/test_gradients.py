"""Gradients along time: known products of Jacobians, real backpropagation, dying gradients."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.instruments.gradients import (
    gradient_growth_rate,
    gradient_norms,
    jacobian_norms,
    log_gradient_norms,
    propagation_exponent,
)
from dynatlas.instruments.lyapunov import jacobians_along, lyapunov_from_jacobians
from dynatlas.models.gated import Elman


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_norms_are_those_of_backpropagation_through_a_network():
    net = Elman(3, 6, 1, recurrent_gain=2.0)
    params = net.initialise([torch.Generator().manual_seed(0)], dtype=torch.float64)
    x, v = normal(12, 1, 3), normal(6, seed=1)
    states = [torch.zeros(6, dtype=torch.float64).requires_grad_()]
    alone = {name: tensor[0] for name, tensor in params.items()}
    for given in x[:, 0]:
        states.append(net.step(alone, given, states[-1]))
    gradients = torch.autograd.grad(states[-1] @ v, states)
    found = log_gradient_norms(jacobians_along(net, params, x), vector=v)[:, 0, 0]
    wanted = torch.stack([gradient.norm() for gradient in reversed(gradients)]) / v.norm()
    torch.testing.assert_close(found.exp(), wanted, rtol=1e-10, atol=0)


def test_growth_rate_is_the_leading_exponent_and_not_the_second():
    jacobians = 0.8 * normal(3000, 2, 4, 8, 8) / math.sqrt(8)
    leading = lyapunov_from_jacobians(jacobians, k=2, burn_in=50).exponents
    rate = gradient_growth_rate(jacobians)
    assert rate.shape == (2, 4)
    assert (rate - leading[..., 0]).abs().mean() < 0.02
    assert (rate - leading[..., 1]).abs().mean() > 0.02


def test_growth_rate_of_a_constant_scaling_is_exact_and_nothing_overflows():
    for factor in (1e-300, 1e-200, 1e-8, 0.5, 1.0, 1e8, 1e200, 1e300):
        jacobians = (factor * torch.eye(3, dtype=torch.float64)).expand(400, 3, 3)
        assert float(gradient_growth_rate(jacobians)) == pytest.approx(math.log(factor), abs=1e-9)


def test_a_gradient_that_dies_is_minus_infinity_and_never_nan():
    jacobians = torch.eye(3, dtype=torch.float64).repeat(60, 1, 1, 1)
    jacobians = torch.cat([jacobians, jacobians], dim=1)
    jacobians[10, 1] = 0
    norms = log_gradient_norms(jacobians)
    assert not norms.isnan().any()
    assert torch.isneginf(norms[50:, 1]).all()
    assert torch.isfinite(norms[:50, 1]).all()
    rates = gradient_growth_rate(jacobians)
    assert float(rates[0]) == pytest.approx(0, abs=1e-12)
    assert torch.isneginf(rates[1])


def test_too_few_steps_are_an_error():
    with pytest.raises(ValueError, match="skip = 30: of 30 steps"):
        gradient_growth_rate(normal(30, 3, 3))
    with pytest.raises(ValueError, match="at least two must remain"):
        propagation_exponent(torch.ones(3), skip=2)
    with pytest.raises(ValueError, match="skip = -1: wanted is a number >= 0"):
        gradient_growth_rate(normal(30, 3, 3), skip=-1)


def test_types_and_sizes_of_jacobians_do_not_matter():
    jacobians = (4 * normal(20, 3, 3)).round()
    for dtype in (torch.float16, torch.bfloat16, torch.int8):
        for measure in (log_gradient_norms, jacobian_norms):
            assert torch.equal(measure(jacobians.to(dtype)), measure(jacobians))
    with pytest.raises(ValueError, match="its norm is 0"):
        log_gradient_norms(jacobians, vector=torch.zeros(3))
    with pytest.raises(ValueError, match=r"must be \(T, \.\.\., d, d\)"):
        log_gradient_norms(jacobians[0])


def test_a_loss_that_does_not_see_the_states_is_named():
    for loss in (lambda s: s.detach().sum(), lambda s: torch.ones(1), lambda s: torch.ones(1, requires_grad=True)):
        with pytest.raises(ValueError, match="does not hang on the states"):
            gradient_norms(loss, normal(5, 3))
    half = gradient_norms(lambda s: 1e-3 * s.square(), normal(5, 3).half())
    torch.testing.assert_close(half, 2e-3 * normal(5, 3).half().double().norm(dim=-1), rtol=1e-6, atol=0)


def test_norm_of_the_gradient_at_each_state():
    states, weight = normal(5, 4, 3), normal(5, 4, 3, seed=2)
    found = gradient_norms(lambda s: (weight * s.square()).sum(dim=-1), states)
    torch.testing.assert_close(found, (2 * weight * states).norm(dim=-1))


def test_propagation_exponent_of_a_power_and_of_an_exponential():
    t = torch.arange(1, 201, dtype=torch.float64)
    powers = torch.stack([t**-0.5, 3 * t**-2], dim=1)
    torch.testing.assert_close(propagation_exponent(powers), torch.tensor([-0.5, -2.0], dtype=torch.float64))
    for place in (0, 57, 199):
        broken = powers.clone()
        broken[place, 1] = 0
        found = propagation_exponent(broken)
        torch.testing.assert_close(found, torch.tensor([-0.5, -2.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="fewer than two are not 0"):
        propagation_exponent(torch.zeros(5, 2))
    with pytest.raises(ValueError, match="one is -2"):
        propagation_exponent(-2 * torch.ones(5))
    decay = torch.exp(-0.1 * t)
    assert propagation_exponent(decay) < propagation_exponent(decay[:100]) < -2


def test_jacobian_norms():
    jacobians = torch.tensor([[[3.0, -4.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, -2.0]]])
    assert jacobian_norms(jacobians).tolist() == pytest.approx([5.0, 2.0])
    assert jacobian_norms(jacobians, order=math.inf).tolist() == [7.0, 2.0]
    with pytest.raises(ValueError, match="wanted is 2 or inf"):
        jacobian_norms(jacobians, order=1)
