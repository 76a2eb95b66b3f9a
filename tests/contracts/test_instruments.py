"""What every instrument must keep: cases do not meet, nothing is changed or drawn behind one's back, NaN stays NaN.

And at the edges (types, equal data, copies, huge and tiny numbers, one sample): the right value, or a ValueError that
dynatlas itself raises; never a library's, and never a number that means nothing. What one kind of instrument must keep
besides stands in suites of its own (`test_dimension`, `test_lyapunov`).
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import dynatlas
from dynatlas.instruments.registry import INSTRUMENTS, ON_LABELS

CASES = 3
HOME = str(Path(dynatlas.__file__).parent)


@pytest.fixture(params=INSTRUMENTS)
def instrument(request):
    return INSTRUMENTS[request.param]


def draw(instrument, cases=CASES):
    return torch.stack([instrument.draw(torch.Generator().manual_seed(case)) for case in range(cases)])


def outcome(instrument, data):
    """What is found, and nothing that is no number; None where dynatlas refuses."""
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        try:
            found = instrument.measure(data)
        except ValueError as error:
            assert_ours(error)
            return None
    assert (found.isfinite() | (instrument.dies & torch.isneginf(found))).all()
    return found


def assert_ours(error):
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    assert trace.tb_frame.f_code.co_filename.startswith(HOME), f"a library's own: {error!r}"


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
    data = draw(instrument, 9)
    together = instrument.measure(data)
    for count in (1, 2, 3, 8):
        assert torch.equal(together[:count], instrument.measure(data[:count])), count


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


def test_nan_is_named_or_stays_nan_in_its_own_case(instrument):
    data = draw(instrument)
    clean = instrument.measure(data)
    data[1].view(-1)[0] = torch.nan
    try:
        found = instrument.measure(data)
    except ValueError as error:
        refusal = error
    else:
        refusal = None
    if refusal:
        assert_ours(refusal)
        assert "NaN" in str(refusal) or "finite" in str(refusal)
        return
    assert found[1].isnan().any()
    torch.testing.assert_close(found[[0, 2]], clean[[0, 2]], rtol=1e-12, atol=1e-12)


def test_data_that_are_not_contiguous_are_measured_as_they_are(instrument):
    data = draw(instrument)
    wanted = instrument.measure(data)
    for strided in (torch.stack([data, data + 1], dim=-1)[..., 0], data.transpose(0, -1).contiguous().transpose(0, -1)):
        assert not strided.is_contiguous()
        torch.testing.assert_close(instrument.measure(strided), wanted, rtol=1e-10, atol=1e-10)


def test_data_that_cannot_be_written_to_are_measured_and_left(instrument):
    data = draw(instrument)
    array = data.numpy().copy()
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it could not know
        read_only = torch.from_numpy(array)
    assert torch.equal(instrument.measure(read_only), instrument.measure(data))
    assert (array == data.numpy()).all()
    spread_out = data[:1].expand(CASES, *data.shape[1:])
    torch.testing.assert_close(instrument.measure(spread_out), instrument.measure(spread_out.clone()))


def test_every_real_type_is_widened_before_it_is_computed_with(instrument):
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.int16, torch.uint8):
        fractions = dtype.is_floating_point
        data = draw(instrument).to(dtype) if fractions else (20 * draw(instrument)).abs().to(dtype)
        single = fractions and (instrument.own_type or instrument.by_caller)
        found = outcome(instrument, data)
        wanted = outcome(instrument, data.to(torch.float32 if single else torch.float64))
        if found is None:  # whole numbers have ties, and no derivatives
            assert not fractions, dtype
            assert wanted is None or instrument.by_caller, dtype
            continue
        assert found.dtype == (dtype if fractions and instrument.own_type else torch.float64)
        torch.testing.assert_close(found, wanted.to(found.dtype), rtol=1e-9, atol=1e-9, msg=str(dtype))


def test_the_unit_of_measurement_does_not_matter(instrument):
    """To the last digits, where squares would over- or underflow."""
    data = draw(instrument)
    plain = instrument.measure(data)
    for c in (2.0**-498, 1e-150, 1e150, 2.0**498):
        found = outcome(instrument, c * data)
        if instrument.scaling is not None:
            wanted = instrument.scaling(plain, c)
            torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9 * float(wanted.abs().max()), msg=str(c))


def test_data_that_are_all_the_same_have_the_stated_value_or_none(instrument):
    """0.1 and a third are no binary fractions: their mean differs from them, and so does a spread of rounding."""
    for value in (0.0, 0.1, 1e5 / 3 if instrument.positive else -1e5 / 3):
        found = outcome(instrument, torch.full((CASES, *instrument.shape), value, dtype=torch.float64))
        wanted = instrument.constant(value)
        assert (found is None) == (wanted is None), value
        if found is not None and not math.isnan(wanted):
            torch.testing.assert_close(found, torch.full_like(found, wanted), rtol=1e-9, atol=1e-9, msg=str(value))


def test_a_few_samples_over_and_over_one_and_none_are_measured_or_refused(instrument):
    data = draw(instrument)
    for few in (0, 1, 2, 3):
        outcome(instrument, data[:, :few])
        if few:
            outcome(instrument, data[:, torch.arange(data.shape[1]) % few])


@pytest.mark.parametrize("name", ON_LABELS)
def test_labels_of_any_whole_type_are_the_same_labels(name):
    """20 x 20 classes are more than a byte can count."""
    stream = torch.Generator().manual_seed(0)
    a = torch.cat([torch.arange(20).repeat(3), torch.randint(20, (60,), generator=stream)])
    b = torch.where(torch.rand(120, generator=stream) < 0.7, a, torch.randint(20, (120,), generator=stream))
    wanted = ON_LABELS[name](a, b)
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        assert torch.equal(ON_LABELS[name](a.to(dtype), b.to(dtype)), wanted), dtype
        assert torch.equal(ON_LABELS[name](a, b.to(dtype)), wanted), dtype


@pytest.mark.parametrize("name", sorted(set(ON_LABELS) - {"mixed_ksg"}))
def test_labels_may_be_booleans_and_not_fractions(name):
    a, b = torch.arange(40) % 2, torch.arange(40) // 3 % 2
    assert torch.equal(ON_LABELS[name](a.bool(), b.bool()), ON_LABELS[name](a, b))
    with pytest.raises(ValueError, match="whole numbers") as refusal:
        ON_LABELS[name](a, b + 0.5)
    assert_ours(refusal.value)
