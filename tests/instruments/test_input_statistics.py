"""Changed inputs: each kind against its formula, on whatever axis time lies."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.instruments.input_statistics import INPUT_CHANGES, transform_inputs

STEPS = 8
SETTINGS = {
    "ramp": {},
    "half-sine": {},
    "offset": {"size": -0.3},
    "gain": {"factor": 2.0},
    "noise": {"sd": 0.2},
    "slow-drift": {"phase": 0.4},
    "step": {"amplitude": 1.0, "position": 2, "length": 4},
}


def inputs(seed=0):
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(3, 5, STEPS, 2, generator=stream, dtype=torch.float64)


def streams():
    return [torch.Generator().manual_seed(seed) for seed in range(3)]


def settings_of(kind):
    return SETTINGS[kind] | ({"generators": streams()} if kind == "noise" else {})


def test_ramp_and_half_sine_at_every_step():
    x = inputs()
    rising, wave = transform_inputs(x, "ramp"), transform_inputs(x, "half-sine")
    for t in range(1, STEPS + 1):
        torch.testing.assert_close(rising[:, :, t - 1], x[:, :, t - 1] * t / STEPS, rtol=0, atol=1e-14)
        wanted = x[:, :, t - 1] * math.sin(math.pi * t / STEPS)
        torch.testing.assert_close(wave[:, :, t - 1], wanted, rtol=0, atol=1e-14)


def test_periods_repeat():
    x = torch.ones(STEPS, 1, dtype=torch.float64)
    assert transform_inputs(x, "ramp", period=2)[:, 0].tolist() == [0.5, 1.0] * 4
    whole = transform_inputs(x, "half-sine", period=4)
    assert torch.equal(whole[:4], whole[4:])
    assert float(whole[3].abs()) < 1e-15
    with pytest.raises(ValueError, match="period = 0"):
        transform_inputs(x, "ramp", period=0)


def test_offset_gain_and_step():
    x = inputs()
    assert torch.equal(transform_inputs(x, "offset", size=0.3), x + 0.3)
    assert torch.equal(transform_inputs(x, "gain", factor=0.5), x / 2)
    stepped = transform_inputs(x, "step", amplitude=1.0, position=2, length=4)
    inside = torch.tensor([False, False, True, True, True, False, False, False])  # 2 < t < 6, t from 1
    assert torch.equal(stepped[:, :, inside], 2 * x[:, :, inside])
    assert torch.equal(stepped[:, :, ~inside], x[:, :, ~inside])


def test_slow_drift_moves_positive_inputs_only():
    x = inputs()
    drifted = transform_inputs(x, "slow-drift", amplitude=0.5, frequency=2.0, phase=0.4, period=4)
    t = torch.arange(STEPS, dtype=torch.float64) % 4 + 1
    factor = (1 + 0.5 * torch.sin(2 * math.pi * 2 * t / 4 + 0.4))[:, None]
    torch.testing.assert_close(drifted, torch.where(x > 0, x * factor, x), rtol=0, atol=1e-14)
    assert torch.equal(drifted[x <= 0], x[x <= 0])


def test_noise_has_its_size_and_each_row_its_own_stream():
    x = torch.zeros(3, 200, 50, 2, dtype=torch.float64)
    noisy = transform_inputs(x, "noise", sd=0.2, generators=streams())
    assert float(noisy.std()) == pytest.approx(0.2, rel=0.02)
    fewer = transform_inputs(x[:2], "noise", sd=0.2, generators=streams()[:2])
    assert torch.equal(noisy[:2], fewer)
    with pytest.raises(ValueError, match="3 rows but there are 2 generators"):
        transform_inputs(x, "noise", sd=0.2, generators=streams()[:2])


@pytest.mark.parametrize("kind", sorted(INPUT_CHANGES))
def test_time_may_lie_elsewhere_and_nothing_is_changed_in_place(kind):
    x = inputs()
    kept = x.clone()
    changed = transform_inputs(x, kind, **settings_of(kind))
    assert torch.equal(x, kept)
    assert changed.shape == x.shape
    assert not torch.equal(changed, x)
    if kind == "noise":
        return  # drawn in the order of the axes
    moved = transform_inputs(x.transpose(1, 2), kind, dim=-3, **settings_of(kind))
    assert torch.equal(moved.transpose(1, 2), changed)


@pytest.mark.parametrize("kind", sorted(INPUT_CHANGES))
def test_whole_numbers_are_not_cut_and_half_precision_is_rounded_once(kind):
    """t / P is 0 as an integer; 1.1 and t / P are not what they should be in half precision."""
    x = (20 * inputs()).round()
    wanted = transform_inputs(x, kind, **settings_of(kind))
    assert torch.equal(transform_inputs(x.to(torch.int8), kind, **settings_of(kind)), wanted)
    single = transform_inputs(x.float(), kind, **settings_of(kind))
    for half in (torch.float16, torch.bfloat16):
        found = transform_inputs(x.to(half), kind, **settings_of(kind))
        assert torch.equal(found, single.to(half))


def test_a_step_is_as_high_as_it_says_in_double_precision():
    found = transform_inputs(torch.ones(5, 1, dtype=torch.float64), "step", amplitude=0.1, position=0, length=9)
    assert (found == 1.1).all()


def test_noise_does_not_ask_how_inputs_lie_in_memory():
    x = inputs()
    other = x.transpose(1, 2).contiguous().transpose(1, 2)
    found = (transform_inputs(given, "noise", sd=0.2, generators=streams()) for given in (x, other))
    assert torch.equal(*found)


def test_unknown_kinds_and_settings_are_named():
    with pytest.raises(KeyError, match="did you mean 'half-sine'"):
        transform_inputs(inputs(), "halfsine")
    with pytest.raises(TypeError, match="factor"):
        transform_inputs(inputs(), "ramp", factor=2)
