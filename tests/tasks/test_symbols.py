"""Copy memory and lag text: what a trial is, what a perfect and an empty memory reach."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.tasks import copy_memory as copying
from dynatlas.tasks import lag_text as lagging
from dynatlas.tasks.symbols import accuracy, cross_entropy, one_hot


def streams(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_a_copy_trial_step_by_step():
    batch = copying.copy_memory(6, delay=4, count=2, symbols=3, generators=streams(0, 1))
    assert batch.x.shape == (2, 8, 6, 5)
    shown = batch.x.argmax(dim=-1)
    assert (batch.x.sum(dim=-1) == 1).all()
    assert ((shown[:, :2] >= 1) & (shown[:, :2] <= 3)).all()
    assert not shown[:, 2:5].any()
    assert (shown[:, 5] == 4).all()
    assert not shown[:, 6:].any()
    assert not batch.target[:, :6].any()
    assert torch.equal(batch.target[:, 6:], shown[:, :2])
    assert torch.equal(batch.y.argmax(dim=-1), batch.target)
    assert batch.counted.tolist() == [False] * 6 + [True] * 2
    assert len(copying.input_channels(3)) == 5
    assert copying.output_channels(3) == ("blank", "symbol1", "symbol2", "symbol3")


def test_copied_symbols_are_uniform():
    batch = copying.copy_memory(4000, delay=1, count=3, generators=streams(0))
    counts = batch.target[:, -3:].flatten().bincount()
    assert counts[0] == 0
    assert (counts[1:] - 1500).abs().max() < 4 * (12000 / 8 * 7 / 8) ** 0.5


def test_scalar_inputs_are_the_same_trials():
    plain, scalar = (copying.copy_memory(5, delay=3, count=2, generators=streams(3), scalar=s) for s in (False, True))
    assert scalar.x.shape == (1, 7, 5, 1)
    assert torch.equal(scalar.x[..., 0].long(), plain.x.argmax(dim=-1))
    assert torch.equal(scalar.target, plain.target)


def test_the_baseline_is_the_loss_of_knowing_all_but_the_symbols():
    batch = copying.copy_memory(20, delay=10, count=3, generators=streams(0, 1), dtype=torch.float64)
    outputs = torch.full_like(batch.y, -1e4)
    outputs[:, ~batch.counted, :, 0] = 0
    outputs[:, batch.counted, :, 1:] = 0
    wanted = torch.full((2,), copying.baseline_loss(delay=10, count=3), dtype=torch.float64)
    torch.testing.assert_close(cross_entropy(outputs, batch), wanted, rtol=1e-12, atol=0)


def test_text_repeats_or_is_drawn_anew():
    text = lagging.lag_text(60000, symbols=4, lag=5, keep=0.85, generators=streams(0, 1))
    assert text.shape == (2, 60000)
    for row in text:
        repeated = (row[5:] == row[:-5]).double().mean().item()
        assert repeated == pytest.approx(0.85 + 0.15 / 4, abs=4 * (0.1 / 60000) ** 0.5)
        assert (row[3:] == row[:-3]).double().mean().item() == pytest.approx(0.25, abs=0.02)
        assert (row.bincount() / 60000 - 0.25).abs().max() < 0.02
    assert not torch.equal(text[0], text[1])


def test_text_without_and_with_nothing_but_memory():
    periodic = lagging.lag_text(53, lag=5, keep=1.0, generators=streams(2))[0]
    assert torch.equal(periodic[5:], periodic[:-5])
    free = lagging.lag_text(20000, lag=5, keep=0.0, generators=streams(2))[0]
    assert (free[5:] == free[:-5]).double().mean().item() == pytest.approx(0.25, abs=0.015)


def test_longer_texts_begin_with_other_symbols_but_more_seeds_do_not():
    few, more = (lagging.lag_text(200, generators=streams(*range(n))) for n in (2, 4))
    assert torch.equal(few, more[:2])


def test_the_entropy_floor_is_reached_by_who_knows_the_law():
    assert lagging.entropy_floor() == pytest.approx(0.4753, abs=5e-5)
    assert lagging.entropy_floor(keep=0.0) == pytest.approx(math.log(4))
    assert lagging.entropy_floor(keep=1.0) == 0
    text = lagging.lag_text(40000, generators=streams(0, 1))
    batch = lagging.draw_windows(text, 800, steps=25, generators=streams(5, 6))
    right = 0.85 + 0.15 / 4
    law = lagging.oracle(batch.x) * (right - 0.15 / 4) + 0.15 / 4
    assert cross_entropy(law.log(), batch).mean().item() == pytest.approx(lagging.entropy_floor(), abs=0.02)
    assert accuracy(lagging.oracle(batch.x), batch).mean().item() == pytest.approx(right, abs=0.01)


def test_windows_are_pieces_of_the_text():
    text = torch.arange(40)[None] % 7
    starts = torch.tensor([[0, 3, 28]])
    batch = lagging.windows(text, starts, steps=11, symbols=7, lag=4)
    for trial, start in enumerate([0, 3, 28]):
        assert torch.equal(batch.x[0, :, trial].argmax(dim=-1), text[0, start : start + 11])
        assert torch.equal(batch.target[0, :, trial], text[0, start + 1 : start + 12])
    assert batch.counted.tolist() == [False] * 4 + [True] * 7
    assert torch.equal(batch.mask[0, :, 0, 0].bool(), batch.counted)


def test_every_place_of_a_text_is_drawn():
    text = torch.arange(30)[None]
    batch = lagging.draw_windows(text, 3000, steps=6, generators=streams(0), symbols=30)
    begun = batch.x[0, 0].argmax(dim=-1).bincount(minlength=30)
    assert (begun[:24] > 0).all()
    assert not begun[24:].any()


def test_unscored_steps_do_not_count():
    text = lagging.lag_text(200, generators=streams(0))
    batch = lagging.draw_windows(text, 9, steps=12, generators=streams(1))
    outputs = torch.randn(batch.y.shape, generator=streams(2)[0])
    changed = torch.where(batch.mask > 0, outputs, -outputs)
    assert torch.equal(cross_entropy(changed, batch), cross_entropy(outputs, batch))
    assert torch.equal(accuracy(changed, batch), accuracy(outputs, batch))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="delay = 0"):
        copying.copy_memory(5, delay=0, count=2, generators=streams(0))
    with pytest.raises(ValueError, match=r"keep = 1\.2"):
        lagging.lag_text(50, keep=1.2, generators=streams(0))
    text = lagging.lag_text(50, generators=streams(0))
    with pytest.raises(ValueError, match="nothing is scored before position lag = 5"):
        lagging.windows(text, torch.zeros(1, 2).long(), steps=5)
    with pytest.raises(ValueError, match=r"starts must lie in 0\.\.24"):
        lagging.windows(text, torch.tensor([[25]]), steps=25)


def test_symbols_of_any_whole_type():
    small = torch.tensor([0, 2, 1], dtype=torch.uint8)
    assert torch.equal(one_hot(small, 3, torch.float32), torch.eye(3)[[0, 2, 1]])


def test_chosen_trials_are_those_of_the_whole():
    text = lagging.lag_text(200, generators=streams(3, 4))
    batch = lagging.draw_windows(text, 7, steps=12, generators=streams(3, 4))
    for chosen in (torch.tensor([5, 0]), slice(2, 4)):
        some = batch.trials(chosen)
        for name in ("x", "target", "y", "mask"):
            assert torch.equal(getattr(some, name), getattr(batch, name)[:, :, chosen])
        assert torch.equal(some.counted, batch.counted)
