"""Lyapunov exponents at the edges: dead and saturated units, marginal gates, damaged networks, summaries, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dynatlas.instruments.lyapunov import jacobians_along, lyapunov_from_jacobians, lyapunov_spectrum
from dynatlas.instruments.lyapunov_frame import Dense, Frame, eliminate
from dynatlas.instruments.lyapunov_summaries import (
    fraction_above,
    kaplan_yorke,
    leading_half_mean,
    mean_exponent,
    spectrum_slope,
    spectrum_table,
)
from dynatlas.instruments.lyapunov_systems import System, logistic, map_lyapunov, ode_lyapunov
from dynatlas.models.gated import GRU, LSTM, Elman
from dynatlas.models.rnn import ElmanRNN


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def streams(count):
    return [stream(seed) for seed in range(count)]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


@pytest.mark.parametrize("qr_every", [1, 5, "auto"])
def test_dead_units_are_counted_and_never_nan(qr_every):
    """Zero rows of rank-deficient Jacobians: as many exponents of -inf, the others those of the units that live."""
    live = normal(300, 4, 4, seed=2)
    whole = torch.zeros(300, 6, 6, dtype=torch.float64)
    whole[:, :4, :4] = live
    whole[:, :4, 4:] = normal(300, 4, 2, seed=3)  # the dead units are listened to, and never move
    found = lyapunov_from_jacobians(whole, burn_in=100, qr_every=qr_every)
    assert found.dead.tolist() == [[2]]
    wanted = lyapunov_from_jacobians(live, burn_in=100).mean
    torch.testing.assert_close(found.mean[:, :4], wanted, rtol=0, atol=0.02)
    for tensor in (found.exponents, found.running, found.by_block, found.stderr, found.mean, found.spread):
        assert not tensor.isnan().any()
    assert found.stderr[0, 4:].tolist() == [0.0, 0.0]
    assert torch.isfinite(found.stderr[0, :4]).all()


def test_a_network_of_dead_units_has_no_finite_exponent():
    net = ElmanRNN(2, 5, 1, activation="relu")
    params = net.initialise(streams(2), dtype=torch.float64)
    params["b"] -= 100
    found = lyapunov_spectrum(net, params, normal(30, 3, 2), burn_in=5, qr_every="auto")
    assert (found.exponents == -torch.inf).all()
    assert (found.dead == 5).all()
    assert (found.stderr == 0).all()


def test_rank_deficiency_that_rounding_hides_counts_as_dead():
    factors = normal(200, 6, 2, seed=4) @ normal(200, 2, 6, seed=5)
    assert lyapunov_from_jacobians(factors, burn_in=10).dead.tolist() == [[4]]


def test_saturated_units_keep_their_exponents():
    """Slopes down to 1e-30, far below what a QR of the whole can resolve: the sum still is log det."""
    slopes = torch.logspace(0, -30, 8, dtype=torch.float64)
    jacobians = slopes[:, None] * normal(60, 8, 8, seed=6)
    found = lyapunov_from_jacobians(jacobians)
    torch.testing.assert_close(found.exponents.sum(), 8 * mean_exponent(jacobians), rtol=0, atol=1e-9)
    assert found.dead.tolist() == [[0]]


def test_saturated_tanh_units_are_not_dead():
    net = Elman(1, 6, 1)
    params = net.initialise(streams(1), dtype=torch.float64)
    x = torch.zeros(50, 1, 1, dtype=torch.float64)
    params["b_in_l0"] += 25.0  # slope 8e-22: 1 - tanh^2 would be 0
    found = lyapunov_spectrum(net, params, x, burn_in=5)
    assert torch.isfinite(found.exponents).all()
    assert found.mean.max() < -45


@pytest.mark.parametrize("qr_every", [1, "auto"])
def test_a_network_that_is_not_finite_is_nan_and_leaves_the_others_alone(qr_every):
    net = Elman(2, 5, 1)
    params = net.initialise(streams(3), dtype=torch.float64)
    x = normal(40, 2, 2)
    whole = lyapunov_spectrum(net, params, x, burn_in=5, qr_every=qr_every).exponents
    params["w_rec_l0"][1] = torch.nan
    found = lyapunov_spectrum(net, params, x, burn_in=5, qr_every=qr_every).exponents
    assert found[1].isnan().all()
    assert torch.equal(found[[0, 2]], whole[[0, 2]])


def test_gru_with_small_weights_forgets_by_half_at_each_step():
    """arXiv 2006.14123, claim C4c: the update gate stands at 1/2, so J = I / 2."""
    p, n = 1e-3, 20
    net = GRU(4, n, 1, recurrent_gain=p * math.sqrt(n), input_gain=p * math.sqrt(4), bias=False)
    params = net.initialise(streams(2), dtype=torch.float64)
    found = lyapunov_spectrum(net, params, normal(150, 2, 4))
    assert (found.exponents + math.log(2)).abs().max() < 0.01
    tanh = Elman(4, n, 1, recurrent_gain=p * math.sqrt(n), input_gain=p * math.sqrt(4), bias=False)
    assert lyapunov_spectrum(tanh, tanh.initialise(streams(2)), normal(150, 2, 4)).exponents.max() < -5


def test_lstm_with_small_weights_remembers_in_its_cells_only():
    p, n = 1e-3, 32
    net = LSTM(4, n, 1, recurrent_gain=p * math.sqrt(n), input_gain=p * math.sqrt(4), bias=False)
    params = net.initialise(streams(2), dtype=torch.float64)
    found = lyapunov_spectrum(net, params, normal(150, 2, 4)).mean
    assert (found[:, :n] + math.log(2)).abs().max() < 0.01
    assert found[:, n:].max() < -13
    hidden = lyapunov_spectrum(net, params, normal(150, 2, 4), state="hidden").mean
    assert hidden.shape == (2, n)
    assert hidden.max() < -5  # without the cell path nothing is remembered


def test_hidden_state_of_a_network_without_cells_is_all_of_it():
    net = GRU(2, 5, 1, 2)
    params, x = net.initialise(streams(2)), normal(30, 2, 2)
    full, hidden = (lyapunov_spectrum(net, params, x, burn_in=5, state=state).exponents for state in ("full", "hidden"))
    assert torch.equal(full, hidden)


def test_hidden_jacobian_is_the_block_of_hidden_units():
    net = LSTM(2, 3, 1, 2)
    params, x = net.initialise(streams(2)), normal(6, 2, 2)
    full, hidden = (jacobians_along(net, params, x, state=state) for state in ("full", "hidden"))
    assert torch.equal(hidden, full[..., :6, :6])


def test_mean_is_sorted_after_averaging_with_its_errors():
    jacobians = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 3.0]]], dtype=torch.float64)
    found = lyapunov_from_jacobians(jacobians.expand(4, 1, 2, 2, 2), q0=torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(found.exponents[0, :, 1].exp(), torch.tensor([2.0, 3.0], dtype=torch.float64))
    assert found.mean[0].tolist() == pytest.approx([math.log(6) / 2, 0.0], abs=1e-12)
    assert found.stderr[0].tolist() == pytest.approx([math.log(1.5) / 2, 0.0], abs=1e-12)


def test_running_estimate_ends_at_the_exponents_and_blocks_average_to_them():
    found = lyapunov_from_jacobians(normal(57, 2, 3, 4, 4), burn_in=4)
    assert found.steps[-1] == 53
    torch.testing.assert_close(found.running[:, :, -1], found.exponents)
    lengths = found.steps.diff(prepend=torch.zeros(1, dtype=found.steps.dtype))
    weighted = (found.by_block * lengths[:, None]).sum(dim=2) / 53
    torch.testing.assert_close(weighted, found.exponents, rtol=0, atol=1e-12)


def test_standard_error_of_one_sequence_shrinks_with_time():
    short, long = (lyapunov_from_jacobians(normal(steps, 40, 1, 3, 3)).stderr.mean() for steps in (50, 800))
    assert short / long == pytest.approx(4.0, rel=0.25)


def test_logistic_map_and_a_linear_equation():
    found = map_lyapunov(logistic(), 0.1 + 0.8 * torch.rand(50, 1, generator=stream(), dtype=torch.float64), steps=2050)
    assert float(found.mean) == pytest.approx(math.log(2), abs=2e-3)
    rates = torch.tensor([0.3, -0.2, -1.5], dtype=torch.float64)
    system = System(lambda s: rates * s, lambda s: torch.diag(rates).expand(*s.shape, 3))
    found = ode_lyapunov(system, normal(2, 3), dt=0.01, steps=200, burn_in=0, q0=torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(
        found.mean[0], rates, rtol=0, atol=1e-9
    )  # the error of the method is rate (rate dt)^4 / 120


def test_a_module_of_ones_own_through_a_closure():
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Tanh()).double()
    params = {name: tensor.detach()[None] for name, tensor in module.named_parameters()}

    def step(p, x, s):
        return torch.tanh(p["0.weight"] @ torch.cat([x, s]) + p["0.bias"])

    def called(p, x, s):
        return torch.func.functional_call(module, p, (torch.cat([x, s]),))

    x, state0 = normal(40, 2, 2), torch.zeros(2, 4, dtype=torch.float64)
    ours, theirs = (lyapunov_spectrum(f, params, x, state0=state0, burn_in=5).exponents for f in (step, called))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_elimination_is_a_factorisation_with_a_good_frame():
    moved = normal(5, 4, 7)  # transposed: 4 vectors of 7 coordinates
    basis, factors, spread, exact = eliminate(moved)
    upper = torch.linalg.lstsq(basis.mT, moved.mT).solution
    torch.testing.assert_close(basis.mT @ upper, moved.mT, rtol=0, atol=1e-12)
    torch.testing.assert_close(upper.tril(-1), torch.zeros_like(upper), rtol=0, atol=1e-12)
    torch.testing.assert_close(upper.diagonal(dim1=-2, dim2=-1).abs(), factors, rtol=0, atol=1e-12)
    torch.testing.assert_close(spread, factors.amax(-1) / factors.amin(-1))
    assert exact
    assert basis.abs().max() == 1


def test_auto_lengthens_its_blocks_where_it_can_and_halves_them_where_it_must():
    eye = torch.eye(3, dtype=torch.float64)
    easy, hard = (
        eye.expand(64, 1, 3, 3),
        torch.diag(torch.tensor([1.0, 1e-2, 1e-4], dtype=torch.float64)).expand(64, 1, 3, 3),
    )
    frame = Frame(eye[None].clone(), "auto")
    frame.advance(Dense(easy))
    assert frame.span == 32
    frame.advance(Dense(hard))
    assert frame.span == 1
    assert float(frame.spread) <= 1e6
    torch.testing.assert_close(
        frame.read()[0], torch.tensor([0.0, -128, -256], dtype=torch.float64) * math.log(10), rtol=1e-12, atol=1e-9
    )


@pytest.mark.parametrize("qr_every", [1, 2, 5, "auto"])
def test_products_that_underflow_are_not_taken_for_death(qr_every):
    """Several steps of 1e-200 multiply to 0 exactly, and so does a direction beside one that keeps its length."""
    for rates in ([1e-200, 1e-200], [1.0, 1e-200], [1e200, 1e200], [1e160, 1e-160], [1e-300, 1e-300]):
        jacobians = torch.diag(torch.tensor(rates, dtype=torch.float64)).expand(64, 2, 2)
        found = lyapunov_from_jacobians(jacobians, q0=torch.eye(2, dtype=torch.float64), qr_every=qr_every)
        wanted = torch.tensor(rates, dtype=torch.float64).log()
        torch.testing.assert_close(found.exponents[0, 0], wanted, rtol=1e-12, atol=1e-12)


def test_settings_may_be_numpys():
    jacobians = normal(40, 3, 3)
    wanted = lyapunov_from_jacobians(jacobians, k=2, burn_in=5, qr_every=5).exponents
    numpys = lyapunov_from_jacobians(jacobians, k=np.int64(2), burn_in=np.int32(5), qr_every=np.int64(5)).exponents
    assert torch.equal(numpys, wanted)
    with pytest.raises(ValueError, match=r"qr_every = 2\.5: wanted is a whole number"):
        lyapunov_from_jacobians(jacobians, qr_every=2.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int32])
def test_jacobians_of_any_real_type_are_computed_in_double_precision(dtype):
    jacobians = (3 * normal(40, 3, 3)).to(dtype)
    found = lyapunov_from_jacobians(jacobians, burn_in=5)
    assert found.exponents.dtype == torch.float64
    assert torch.equal(found.exponents, lyapunov_from_jacobians(jacobians.double(), burn_in=5).exponents)
    assert torch.equal(mean_exponent(jacobians), mean_exponent(jacobians.double()))


def test_parameters_and_states_of_half_precision_are_widened_and_half_arithmetic_is_refused():
    net, params = network()
    x = normal(40, 2, 2).half()
    halves = {name: value.half() for name, value in params.items()}
    found = lyapunov_spectrum(net, halves, x, burn_in=5).exponents
    wanted = lyapunov_spectrum(net, {name: value.double() for name, value in halves.items()}, x.double(), burn_in=5)
    assert torch.equal(found, wanted.exponents)
    with pytest.raises(ValueError, match=r"dtype = torch\.float16: exponents are computed in float32 or float64"):
        lyapunov_spectrum(net, params, x, burn_in=5, dtype=torch.float16)


def test_exponents_stand_in_the_order_of_the_frame_and_descending_in_that_of_their_size():
    rates = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
    jacobians = torch.diag(rates).expand(30, 3, 3)
    found = lyapunov_from_jacobians(jacobians, q0=torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(found.exponents[0, 0], rates.log())
    torch.testing.assert_close(found.running[0, 0, -1], found.exponents[0, 0])
    torch.testing.assert_close(found.descending[0, 0], rates.log().sort(descending=True).values)


def test_summaries_take_exponents_in_any_order_and_keep_nan():
    ordered = normal(6).sort(descending=True).values
    shuffled = ordered[torch.tensor([3, 0, 5, 1, 4, 2])]
    broken = torch.stack([shuffled, torch.where(shuffled == ordered[-1], torch.nan, shuffled)])
    for summary in (kaplan_yorke, leading_half_mean, fraction_above, lambda e: spectrum_slope(e, 1, 4)):
        assert summary(shuffled) == summary(ordered)
        assert summary(broken).isnan().tolist() == [False, True]


def test_kaplan_yorke_dimension():
    lorenz = torch.tensor([0.9056, 0.0, -14.5723])
    assert float(kaplan_yorke(lorenz)) == pytest.approx(2 + 0.9056 / 14.5723)
    assert float(kaplan_yorke(lorenz[[2, 0, 1]])) == pytest.approx(2 + 0.9056 / 14.5723)
    assert float(kaplan_yorke(torch.tensor([-0.1, -0.2]))) == 0
    assert float(kaplan_yorke(torch.tensor([0.0, -1.0]))) == 1
    assert float(kaplan_yorke(torch.tensor([0.5, -0.1]))) == 2
    assert float(kaplan_yorke(torch.tensor([0.5, -torch.inf]))) == 1
    assert kaplan_yorke(lorenz.expand(4, 2, 3)).shape == (4, 2)


def test_other_summaries():
    spectrum = torch.tensor([0.0, -0.1, -0.2, -0.6, -1.0])
    assert float(spectrum_slope(spectrum, 1, 3)) == pytest.approx(-0.25)
    assert float(leading_half_mean(spectrum)) == pytest.approx(-0.1)
    assert float(fraction_above(spectrum)) == pytest.approx(0.6)
    with pytest.raises(ValueError, match="0 <= first < last < 5"):
        spectrum_slope(spectrum, 3, 5)


def network():
    net = Elman(2, 5, 1)
    return net, net.initialise(streams(2), dtype=torch.float64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 6}, "k = 6: there are 1 to 5 exponents"),
        ({"k": 0}, "k = 0"),
        ({"burn_in": 40}, "burn_in = 40: of 40 steps"),
        ({"qr_every": 0}, "qr_every = 0"),
        ({"qr_every": "often"}, "qr_every = 'often'"),
        ({"order": "backward"}, "wanted is 'forward' or 'reversed'"),
        ({"state": "cells"}, "wanted is 'full' or 'hidden'"),
        ({"steps": 30}, "steps = 30, but inputs have 40"),
        ({"q0": torch.eye(4)}, r"q0 must end in \(5, 5\)"),
        ({"state0": torch.zeros(3, 3, 5)}, "state0 must be"),
        ({"state0": torch.zeros(3, 5)}, "inputs must be"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings, message):
    net, params = network()
    with pytest.raises(ValueError, match=message):
        lyapunov_spectrum(net, params, normal(40, 2, 2), **{"burn_in": 5, **settings})


def test_the_table_holds_means_errors_and_names_in_order():
    net, params = network()
    found = lyapunov_spectrum(net, params, normal(40, 3, 2), burn_in=5, k=4)
    table = spectrum_table(found, ["a", "b"])
    assert list(table.columns) == ["network", "order", "exponent", "standard_error"]
    second = table[table["network"] == "b"]
    assert second["order"].tolist() == [1, 2, 3, 4]
    assert second["exponent"].tolist() == found.mean[1].tolist()
    assert second["standard_error"].tolist() == found.stderr[1].tolist()
    assert set(spectrum_table(found)["network"]) == {0, 1}
    with pytest.raises(ValueError, match="3 names for 2 networks"):
        spectrum_table(found, ["a", "b", "c"])


def test_missing_information_is_asked_for():
    net, params = network()
    with pytest.raises(ValueError, match="without inputs, say for how many steps"):
        lyapunov_spectrum(net, params)
    with pytest.raises(ValueError, match="give state0"):
        lyapunov_spectrum(lambda p, x, s: s, None, normal(40, 2, 2))
    with pytest.raises(ValueError, match="jacobians must be"):
        lyapunov_from_jacobians(normal(4, 3))


@pytest.mark.parametrize("size", [1e-310, 1e-320, 1.7e308])
@pytest.mark.parametrize("qr_every", [1, 5, "auto"])
def test_jacobians_at_the_ends_of_the_numbers(size, qr_every):
    """Dividing by a subnormal pivot overflows, as do products of the largest numbers."""
    turned = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    jacobians = (turned * size * 0.5).expand(20, 3, 3)
    found = lyapunov_from_jacobians(jacobians, qr_every=qr_every).exponents
    wanted = math.log(size) - math.log(2)
    torch.testing.assert_close(found, torch.full_like(found, wanted), rtol=0, atol=1e-3 if size < 1e-315 else 1e-9)


def test_jacobians_of_numpy_are_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r"jacobians must be a torch tensor, not ndarray: see torch.as_tensor"):
        lyapunov_from_jacobians(np.eye(3)[None])
