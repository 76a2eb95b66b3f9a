"""Jacobians of saturated units: slopes from the arguments, where 1 - y^2 and y (1 - y) have long been 0.

Networks of one unit with positive weights and inputs, so that a Jacobian is a sum of positive terms whose logarithms
are known in closed form.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch

from dynatlas.elementwise import log_sigmoid, log_sigmoid_slope, log_tanh_slope
from dynatlas.instruments.lyapunov import jacobians_along, lyapunov_spectrum
from dynatlas.models.gain_saturation_rnn import GainSaturationRNN
from dynatlas.models.gated import GRU, LSTM
from dynatlas.models.rnn import ElmanRNN

DOUBLE = torch.float64
X = torch.linspace(0, 200, 41, dtype=DOUBLE)[:, None, None]
"""Inputs 0 ... 200 (step, sequence, input): gates are shut to 1e-87."""


def positive(net, **over):
    drawn = net.initialise([torch.Generator().manual_seed(1)], dtype=DOUBLE)
    return {name: (0.1 + tensor.abs()).clamp(max=0.9) for name, tensor in drawn.items()} | over


def log_sum(*logarithms):
    return torch.stack(logarithms).logsumexp(0)


def along(net, params):
    """Inputs and states before each step, as (step,)."""
    states = net.rollout(params, X)[0, :, 0]
    return X[:, 0, 0], torch.cat([torch.zeros_like(states[:1]), states[:-1]]), states


@pytest.mark.parametrize(
    ("activation", "log_slope"), [("tanh", log_tanh_slope), ("sigmoid", log_sigmoid_slope), ("softplus", log_sigmoid)]
)
def test_rate_units(activation, log_slope):
    net = ElmanRNN(1, 1, 1, activation=activation, bias=False)
    params = positive(net, w_rec=torch.full((1, 1, 1), 0.5, dtype=DOUBLE))
    x, before, _ = along(net, params)
    argument = x * params["w_in"].item() + before[:, 0] * 0.5
    found = lyapunov_spectrum(net, params, X, burn_in=0).exponents.item()
    assert found == pytest.approx((log_slope(argument) + math.log(0.5)).mean().item(), rel=1e-12)
    if activation != "softplus":
        assert found < -40


def test_units_with_gain_and_saturation():
    gain, saturation = torch.full((1, 1), 1.5, dtype=DOUBLE), torch.ones(1, 1, dtype=DOUBLE)
    net = GainSaturationRNN(1, 1, 1)
    params = positive(net, gain=gain, saturation=saturation)
    x, before, _ = along(net, params)
    argument = x * params["w_in"].item() + before[:, 0] * params["w_rec"].item() + params["b"].item()
    wanted = log_sigmoid_slope(1.5 * argument) + math.log(1.5 * params["w_rec"].item())
    found = lyapunov_spectrum(net, params, X, burn_in=0).exponents.item()
    assert found == pytest.approx(wanted.mean().item(), rel=1e-12)
    assert found < -40


def gru_logarithm(params, x, h):
    """log d h' / d h with h < 0 <= n, z > 0 shut towards 0: of diag(z), of n by c, and of n by r (h' by z vanishes)."""
    w_in, w_rec = params["w_in_l0"][0, 0], params["w_rec_l0"][0, 0]
    r, z, new = (x[:, None] * w_in).unbind(1)
    r, z, c = r + h * w_rec[0], z + h * w_rec[1], h * w_rec[2]
    argument = new + torch.sigmoid(r) * c
    into_new = log_sigmoid(-z) + log_tanh_slope(argument)
    by_z = (h - torch.tanh(argument)) * w_rec[1]
    by_r = c * w_rec[0]
    terms = [
        (log_sigmoid(z), torch.ones_like(x)),
        (into_new + log_sigmoid(r) + w_rec[2].log(), torch.ones_like(x)),
        (into_new + log_sigmoid_slope(r) + by_r.abs().log(), by_r.sign()),
        (log_sigmoid_slope(z) + by_z.abs().log(), by_z.sign()),
    ]
    largest = torch.stack([logarithm for logarithm, _ in terms]).amax(0)
    total = sum(sign * (logarithm - largest).exp() for logarithm, sign in terms)
    return largest + total.abs().log()


def test_gated_recurrent_units():
    net = GRU(1, 1, 1, bias=False)
    params = positive(net)
    params["w_in_l0"] = params["w_in_l0"] * torch.tensor([1.0, -1.0, 1.0], dtype=DOUBLE)  # z shuts: nothing is kept
    x, before, _ = along(net, params)
    found = jacobians_along(net, params, X)[:, 0, 0, 0, 0]
    torch.testing.assert_close(found.abs().log(), gru_logarithm(params, x, before[:, 0]), rtol=1e-10, atol=1e-10)
    assert found.abs().log()[-1] < -15
    assert lyapunov_spectrum(net, params, X, burn_in=0).exponents.isfinite().all()


def test_long_short_term_memory():
    """d h' / d h = o' tanh(c') w_o + o tanh'(c') (i' g w_i + f' c w_f + i g' w_g), all gates open."""
    net = LSTM(1, 1, 1, bias=False)
    params = positive(net)
    x, before, after = along(net, params)
    w_in, w_rec = params["w_in_l0"][0, 0], params["w_rec_l0"][0, 0]
    i, f, g, o = (x[:, None] * w_in + before[:, :1] * w_rec).unbind(1)
    w_i, w_f, w_g, w_o = w_rec.log()
    into_memory = log_sum(
        log_sigmoid_slope(i) + torch.tanh(g).log() + w_i,
        log_sigmoid_slope(f) + before[:, 1].log() + w_f,
        log_sigmoid(i) + log_tanh_slope(g) + w_g,
    )
    memory = after[:, 1]
    wanted = log_sum(
        log_sigmoid_slope(o) + torch.tanh(memory).log() + w_o, log_sigmoid(o) + log_tanh_slope(memory) + into_memory
    )
    found = jacobians_along(net, params, X[1:], state0=before[1:2], state="hidden")[:, 0, 0, 0, 0]
    torch.testing.assert_close(found.log(), wanted[1:], rtol=1e-10, atol=1e-10)
    exponent = lyapunov_spectrum(net, params, X[1:], state0=before[1:2], burn_in=0, state="hidden").exponents.item()
    assert exponent == pytest.approx(wanted[1:].mean().item(), rel=1e-10)
    assert exponent < -40


def test_two_units_of_long_short_term_memory_keep_both_exponents():
    """Their sum is the mean of log|det J|, which of two positive rows is known from the rows' sizes."""
    net = LSTM(1, 2, 1, bias=False)
    params = positive(net)
    found = lyapunov_spectrum(net, params, X, burn_in=1, state="hidden").exponents[0, 0]
    jacobians = jacobians_along(net, params, X, state="hidden")[1:, 0, 0]
    size = jacobians.abs().amax(dim=-1)
    rows = jacobians / size[..., None]
    determinant = rows[:, 0, 0] * rows[:, 1, 1] - rows[:, 0, 1] * rows[:, 1, 0]
    assert found.isfinite().all()
    assert found.sum().item() == pytest.approx((size.log().sum(1) + determinant.abs().log()).mean().item(), rel=1e-10)
    assert found.max() < -15
    assert found.min() < -50


def test_an_lstm_is_the_product_of_its_factors():
    net = LSTM(2, 3, 1, layers=2)
    params = net.initialise([torch.Generator().manual_seed(seed) for seed in (1, 2)], dtype=DOUBLE)
    params = {name: w + 0.1 if name.startswith("b_") else w for name, w in params.items()}
    x, s = (torch.randn(2, size, generator=torch.Generator().manual_seed(3), dtype=DOUBLE) for size in (2, 12))
    product = torch.eye(12, dtype=DOUBLE)
    for factor in net.factors(params, x, s):
        product = factor @ product
    torch.testing.assert_close(product, net.jacobian(params, x, s)[1], rtol=1e-13, atol=1e-13)


def exact_exponents(w_in, w_rec, inputs, frame):
    """Of the full state (h, c) of an LSTM that starts at 0, by QR in as many digits as the products have, each step
    from the scalar equations; w_in (4n, 1), w_rec (4n, n), frame (2n, 2n) as nested lists."""
    n = len(w_in) // 4
    with mpmath.workdps(1800):
        weights, h, c = mpmath.matrix(w_rec), [mpmath.mpf(0)] * n, [mpmath.mpf(0)] * n
        product = mpmath.matrix(frame)
        for x in inputs:
            own = weights * mpmath.matrix(h)
            arguments = [mpmath.mpf(w_in[k][0]) * x + own[k] for k in range(4 * n)]
            gate = [1 / (1 + mpmath.exp(-a)) for a in arguments]
            slope = [g / (1 + mpmath.exp(a)) for g, a in zip(gate, arguments, strict=True)]
            new = [mpmath.tanh(a) for a in arguments[2 * n : 3 * n]]
            step = mpmath.zeros(2 * n, 2 * n)
            memory = [gate[n + k] * c[k] + gate[k] * new[k] for k in range(n)]
            for k in range(n):
                shown = gate[3 * n + k] * mpmath.sech(memory[k]) ** 2
                for m in range(n):
                    step[n + k, m] = (
                        slope[k] * new[k] * weights[k, m]
                        + slope[n + k] * c[k] * weights[n + k, m]
                        + gate[k] * mpmath.sech(arguments[2 * n + k]) ** 2 * weights[2 * n + k, m]
                    )
                    opened = slope[3 * n + k] * mpmath.tanh(memory[k]) * weights[3 * n + k, m]
                    step[k, m] = opened + shown * step[n + k, m]
                step[n + k, n + k] = gate[n + k]
                step[k, n + k] = shown * gate[n + k]
            product = step * product
            h, c = [gate[3 * n + k] * mpmath.tanh(memory[k]) for k in range(n)], memory
        r = mpmath.qr(product)[1]
        return [float(mpmath.log(abs(r[k, k])) / len(inputs)) for k in range(2 * n)]


@pytest.mark.parametrize(("units", "seed"), [(1, 103), (2, 102), (2, 105), (3, 100)])
def test_memory_cells_and_hidden_units_together(units, seed):
    """Exponents of the full state down to -170; another network beside it changes no bit."""
    rng, inputs = np.random.default_rng(seed), np.linspace(0, 200, 13)[1:]
    drawn = {"w_in_l0": rng.uniform(-1, 1, (4 * units, 1)), "w_rec_l0": rng.uniform(-1, 1, (4 * units, units))}
    frame = np.linalg.qr(np.random.default_rng(99).normal(size=(2 * units, 2 * units)))[0]
    wanted = exact_exponents(drawn["w_in_l0"].tolist(), drawn["w_rec_l0"].tolist(), inputs, frame.tolist())
    net = LSTM(1, units, 1, bias=False)
    params = net.initialise([torch.Generator().manual_seed(1)], 2, dtype=DOUBLE)
    for name, weights in drawn.items():
        params[name][1] = torch.from_numpy(weights.T.copy())
    alone = {name: tensor[1:] for name, tensor in params.items()}
    given = {"q0": torch.from_numpy(frame), "burn_in": 0}
    x = torch.from_numpy(inputs)[:, None, None]
    for qr_every in (1, "auto"):
        found = lyapunov_spectrum(net, params, x, qr_every=qr_every, **given).exponents[1]
        np.testing.assert_allclose(found[0], wanted, rtol=1e-10, atol=1e-10)
        assert torch.equal(lyapunov_spectrum(net, alone, x, qr_every=qr_every, **given).exponents[0], found)
