"""What Lyapunov exponents must be, of every cell: closed forms, the sum rule, the plain QR method, perturbations."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.instruments.gradients import gradient_growth_rate
from dynatlas.instruments.lyapunov import jacobians_along, lyapunov_from_jacobians, lyapunov_spectrum, random_frame
from dynatlas.instruments.lyapunov_summaries import mean_exponent
from dynatlas.instruments.lyapunov_systems import henon, lorenz63, map_lyapunov, ode_lyapunov
from dynatlas.models.gated import GRU, LSTM, Elman
from dynatlas.models.rnn import ElmanRNN

E, S, T, BURN = 3, 2, 60, 10
CELLS = {
    "tanh": lambda: ElmanRNN(3, 6, 2, activation="tanh", recurrent_gain=1.5),
    "leaky sigmoid": lambda: ElmanRNN(3, 6, 2, activation="sigmoid", alpha=0.3),
    "softplus, leak inside": lambda: ElmanRNN(3, 6, 2, activation="softplus", alpha=0.3, leak="inside"),
    "GRU": lambda: GRU(3, 6, 2, recurrent_gain=2.0),
    "GRU without bias, two layers": lambda: GRU(3, 4, 2, 2, bias=False),
    "LSTM": lambda: LSTM(3, 4, 2, recurrent_gain=2.0),
    "LSTM without bias, two layers": lambda: LSTM(3, 3, 2, 2, bias=False),
    "tanh, two layers": lambda: Elman(3, 4, 2, 2),
    "a function": lambda: ElmanRNN(3, 6, 2, activation=lambda h: h.tanh() + 0.1 * h, recurrent_init="gaussian"),
}


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


def streams(count=E):
    return [stream(seed) for seed in range(count)]


class StepOnly:
    """A cell without an analytic Jacobian."""

    def __init__(self, cell):
        self.step, self.state_size = cell.step, getattr(cell, "state_size", cell.units)


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]()


@pytest.fixture
def params(cell):
    drawn = cell.initialise(streams(), dtype=torch.float64)
    return {name: tensor + 0.1 * normal(*tensor.shape, seed=7) for name, tensor in drawn.items()}


@pytest.fixture
def x(cell):
    return normal(T, S, cell.n_in, seed=3)


def plain_qr(jacobians, k, burn_in):
    """The method as it stands in textbooks: one orthonormalisation a step."""
    q = random_frame(jacobians.shape[-1], k).expand(*jacobians.shape[1:-1], k)
    logs = []
    for jacobian in jacobians:
        q, r = torch.linalg.qr(jacobian @ q)
        logs.append(r.diagonal(dim1=-2, dim2=-1).abs().log())
    return torch.stack(logs[burn_in:])


@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("qr_every", [1, 3, "auto"])
def test_equals_the_plain_qr_method(cell, params, x, k, qr_every):
    found = lyapunov_spectrum(cell, params, x, k=k, burn_in=BURN, qr_every=qr_every)
    jacobians = jacobians_along(cell, params, x)
    logs = plain_qr(jacobians, k or jacobians.shape[-1], BURN)
    torch.testing.assert_close(found.exponents, logs.mean(dim=0), rtol=0, atol=1e-8)
    for i, steps in enumerate(found.steps.tolist()):
        torch.testing.assert_close(found.running[:, :, i], logs[:steps].mean(dim=0), rtol=0, atol=1e-8)


@pytest.mark.parametrize("qr_every", [1, 2, 3, "auto"])
@pytest.mark.parametrize("burn_in", [0, 7])
@pytest.mark.parametrize("steps", [8, 9, 41])
def test_the_sum_is_the_mean_log_determinant_over_the_same_steps(cell, params, x, qr_every, burn_in, steps):
    jacobians = jacobians_along(cell, params, x[:steps])
    found = lyapunov_spectrum(cell, params, x[:steps], burn_in=burn_in, qr_every=qr_every, generator=stream(5))
    wanted = mean_exponent(jacobians[burn_in:]) * jacobians.shape[-1]
    torch.testing.assert_close(found.exponents.sum(dim=-1), wanted, rtol=0, atol=1e-9)


def test_a_shifted_step_breaks_the_sum_rule(cell, params, x):
    jacobians = jacobians_along(cell, params, x[:40])
    found = lyapunov_spectrum(cell, params, x[:40], burn_in=7).exponents.sum(dim=-1)
    assert (found - mean_exponent(jacobians[6:39]) * jacobians.shape[-1]).abs().min() > 1e-6


def test_analytic_jacobians_equal_autograd(cell, params, x):
    ours, automatic = (jacobians_along(c, params, x[:12], state0=None) for c in (cell, StepOnly(cell)))
    torch.testing.assert_close(ours, automatic, rtol=0, atol=1e-10)
    ours, automatic = (lyapunov_spectrum(c, params, x, burn_in=BURN).exponents for c in (cell, StepOnly(cell)))
    torch.testing.assert_close(ours, automatic, rtol=0, atol=1e-8)


def test_orthogonal_coordinates_change_nothing(cell, params, x):
    d = getattr(cell, "state_size", cell.units)
    o = torch.linalg.qr(normal(d, d, seed=11)).Q

    def turned(p, given, s):
        return o @ cell.step(p, given, o.mT @ s)

    q0 = random_frame(d, d)
    plain = lyapunov_spectrum(cell, params, x, burn_in=BURN, q0=q0)
    there = lyapunov_spectrum(turned, params, x, burn_in=BURN, q0=o @ q0, state0=torch.zeros(S, d, dtype=torch.float64))
    torch.testing.assert_close(there.exponents, plain.exponents, rtol=0, atol=1e-8)


def test_a_small_perturbation_grows_as_the_first_vector_does(cell, params, x):
    d, size = getattr(cell, "state_size", cell.units), 1e-7
    direction = random_frame(d, 1)[:, 0]
    start = 0.1 * normal(S, d, seed=13)
    steps = 12
    broadcast = {name: tensor[:, None] for name, tensor in params.items()}
    near, far = start.expand(E, S, d), (start + size * direction).expand(E, S, d)
    for t in range(steps):
        near, far = cell.step(broadcast, x[t], near), cell.step(broadcast, x[t], far)
    grown = ((far - near).norm(dim=-1) / size).log() / steps
    found = lyapunov_spectrum(cell, params, x[:steps], state0=start, k=1, burn_in=0, q0=direction[:, None])
    torch.testing.assert_close(found.exponents[..., 0], grown, rtol=0, atol=1e-4)


def test_scaling_jacobians_shifts_every_exponent_by_the_logarithm(cell, params, x):
    jacobians = jacobians_along(cell, params, x)
    plain, scaled = (lyapunov_from_jacobians(c * jacobians, burn_in=5).exponents for c in (1.0, 0.3))
    torch.testing.assert_close(scaled, plain + math.log(0.3), rtol=0, atol=1e-10)


def test_reversed_order_has_the_same_sum_and_other_exponents(cell, params, x):
    forward = lyapunov_spectrum(cell, params, x, burn_in=0).exponents
    backward = lyapunov_spectrum(cell, params, x, burn_in=0, order="reversed").exponents
    torch.testing.assert_close(forward.sum(-1), backward.sum(-1), rtol=0, atol=1e-9)
    assert (forward - backward).abs().max() > 1e-3


def test_reversed_order_is_the_transposed_jacobians_in_order_of_time(cell, params, x):
    jacobians = jacobians_along(cell, params, x)
    backward = lyapunov_spectrum(cell, params, x, burn_in=4, order="reversed").exponents
    logs = plain_qr(jacobians.mT, jacobians.shape[-1], 4)
    torch.testing.assert_close(backward, logs.mean(dim=0), rtol=0, atol=1e-8)


def test_gradients_grow_at_the_leading_exponent_over_long_spans(cell, params):
    x = normal(400, 1, cell.n_in, seed=17)
    jacobians = jacobians_along(cell, params, x)
    leading = lyapunov_from_jacobians(jacobians, k=1, burn_in=50).exponents[..., 0]
    torch.testing.assert_close(gradient_growth_rate(jacobians), leading, rtol=0, atol=0.05)


@pytest.mark.parametrize("qr_every", [1, "auto"])
@pytest.mark.parametrize("sequences", [1, 2])
def test_more_networks_leave_the_earlier_ones_bits(cell, x, sequences, qr_every):
    """At odd lengths, counts and sizes: one more network moves others from the rest of a vector into a vector."""
    found = {}
    for count in (1, 2, 3, 5):
        params, given = cell.initialise(streams(count), dtype=torch.float64), x[: T - 7, :sequences]
        found[count] = lyapunov_spectrum(cell, params, given, burn_in=BURN, qr_every=qr_every).exponents
    assert all(torch.equal(few, found[5][:count]) for count, few in found.items())


@pytest.mark.parametrize("qr_every", [1, "auto"])
def test_the_number_of_threads_does_not_change_a_bit(cell, params, x, qr_every):
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            found.append(lyapunov_spectrum(cell, params, x, burn_in=BURN, qr_every=qr_every).exponents)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("k", [None, 16])
def test_threads_do_not_change_a_bit_of_networks_large_enough_to_share(k):
    net = Elman(3, 64, 1)
    params, x = net.initialise(streams(3), dtype=torch.float64), normal(12, 4, 3)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            found.append(lyapunov_spectrum(net, params, x, k=k, burn_in=2).exponents)
        finally:
            torch.set_num_threads(before)
    assert torch.equal(*found)


def test_autonomous_equals_driven_by_zeros(cell, params):
    d = getattr(cell, "state_size", cell.units)
    start = normal(E, S, d, seed=19)
    zeros = torch.zeros(T, S, cell.n_in, dtype=torch.float64)
    alone = lyapunov_spectrum(cell, params, steps=T, state0=start)
    assert torch.equal(alone.exponents, lyapunov_spectrum(cell, params, zeros, state0=start).exponents)


def linear_network(w, u):
    return lambda params, x, s: w @ s + u @ x


def test_linear_network_has_the_logarithms_of_its_eigenvalues():
    w, u = normal(20, 20, seed=1) / math.sqrt(20), normal(20, 3, seed=2)
    state0 = torch.zeros(2, 20, dtype=torch.float64)
    found = lyapunov_spectrum(linear_network(w, u), None, normal(4000, 2, 3), state0=state0, burn_in=200)
    wanted = torch.linalg.eigvals(w).abs().log().sort(descending=True).values
    assert (found.mean[0] - wanted).abs().max() < 2e-3
    transposed = torch.linalg.eigvals(w @ w.mT).abs().log().sort(descending=True).values / 2
    assert (transposed - wanted).abs().max() > 0.1  # singular values are no substitute


def test_orthogonal_weights_have_exponents_zero():
    w = torch.linalg.qr(normal(12, 12)).Q
    found = lyapunov_from_jacobians(w.expand(100, 12, 12), burn_in=3)
    assert found.exponents.abs().max() < 1e-12


def test_henon_map():
    found = map_lyapunov(henon(), 0.1 * torch.rand(64, 2, generator=stream(), dtype=torch.float64), steps=2050)
    assert abs(float(found.mean.sum()) - math.log(0.3)) < 1e-10
    assert (found.mean[0] - torch.tensor([0.4192, -1.6232], dtype=torch.float64)).abs().max() < 0.004


def test_lorenz_equations():
    start = torch.tensor([1.0, 1.0, 20.0], dtype=torch.float64) + normal(16, 3)
    found = ode_lyapunov(lorenz63(), start, dt=0.01, steps=5000, burn_in=1000, qr_every=10)
    assert abs(float(found.mean.sum()) + 41 / 3) < 1e-3
    assert (found.mean[0] - torch.tensor([0.9056, 0.0, -14.5723], dtype=torch.float64)).abs().max() < 0.04
