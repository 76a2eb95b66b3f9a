"""What every instrument must keep: cases do not meet, nothing is changed or drawn behind one's back, NaN stays NaN.

What one kind of instrument must keep besides stands in suites of its own (`test_dimension`, `test_lyapunov`).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynatlas.instruments.registry import INSTRUMENTS

CASES = 3


@pytest.fixture(params=INSTRUMENTS)
def instrument(request):
    return INSTRUMENTS[request.param]


def draw(instrument, cases=CASES):
    return torch.stack([instrument.draw(torch.Generator().manual_seed(case)) for case in range(cases)])


def test_gives_one_finite_float64_result_a_case(instrument):
    found = instrument.measure(draw(instrument))
    assert found.shape[0] == CASES
    assert found.dtype == torch.float64
    assert found.isfinite().all()


def test_cases_are_told_apart(instrument):
    """Else nothing below could fail."""
    found = instrument.measure(draw(instrument, 12))
    assert any(not torch.equal(one, found[0]) for one in found)


def test_together_equals_one_case_at_a_time(instrument):
    data = draw(instrument)
    together = instrument.measure(data)
    # a perturbation's random stream belongs to the place of its case, so that only the first can stand alone
    torch.testing.assert_close(instrument.measure(data[:1])[0], together[0], rtol=1e-10, atol=1e-10)


def test_one_more_case_leaves_the_earlier_ones_bits(instrument):
    assert torch.equal(instrument.measure(draw(instrument, CASES + 2))[:CASES], instrument.measure(draw(instrument)))


def test_data_are_left_as_they_were(instrument):
    data = draw(instrument)
    before = data.clone()
    instrument.measure(data)
    assert torch.equal(data, before)


def test_twice_the_same_and_no_global_randomness(instrument):
    data = draw(instrument)
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 (read, to see that it stays)
    first = instrument.measure(data)
    assert torch.equal(instrument.measure(data), first)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002


def test_nan_is_refused_or_stays_nan_in_its_own_case(instrument):
    data = draw(instrument)
    clean = instrument.measure(data)
    data[1].view(-1)[0] = torch.nan
    try:
        found = instrument.measure(data)
    except ValueError:
        return
    assert found[1].isnan().any()
    torch.testing.assert_close(found[[0, 2]], clean[[0, 2]], rtol=1e-12, atol=1e-12)


def test_data_that_are_not_contiguous_are_measured_as_they_are(instrument):
    data = draw(instrument)
    strided = torch.stack([data, data + 1], dim=-1)[..., 0]
    assert not strided.is_contiguous()
    torch.testing.assert_close(instrument.measure(strided), instrument.measure(data), rtol=1e-10, atol=1e-10)
