"""The nine tasks against their definitions, trial by trial."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.tasks.multitask import (
    INPUT_CHANNELS,
    NINE_TASKS,
    at_last_step,
    build_trial,
    circular_accuracy,
    correct,
    make_batch,
    masked_loss,
    task_ids,
)
from dynatlas.tasks.timing import LINEAGE_TIMING, QUICK_TIMING, timing_named

TWO = {"on1": 200, "off1": 400, "on2": 700, "off2": 900, "go": 1000, "end": 1300}


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def quick(tasks, *seeds, timing=QUICK_TIMING, sigma_x=0.0):
    return make_batch(tasks, timing, dt=100.0, sigma_x=sigma_x, generators=generators(*seeds))


def test_one_memory_trial_written_by_hand_is_what_the_definition_says():
    trial = build_trial(
        "MemAnti", on1=40, off1=80, go=140, end=280, angle1=0.3, strength1=(0.0, 0.7), dt=20.0, dtype=torch.float64
    )
    x, y, mask = trial.x[:, 0], trial.y[:, 0], trial.mask[:, 0]
    assert x.shape == (14, 14)
    expected = torch.zeros(14, 14, dtype=torch.float64)
    expected[:7, 0] = 1
    expected[2:4, 3], expected[2:4, 4] = 0.7 * math.sin(0.3), 0.7 * math.cos(0.3)
    expected[:, 5 + NINE_TASKS.index("MemAnti")] = 1
    torch.testing.assert_close(x, expected)
    away = 0.3 + math.pi
    torch.testing.assert_close(y[:7], torch.tensor([[0.8, 0.05, 0.05]], dtype=torch.float64).expand(7, 3))
    answer = torch.tensor([[0.05, 0.05 + math.sin(away), 0.05 + math.cos(away)]], dtype=torch.float64)
    torch.testing.assert_close(y[7:], answer.expand(7, 3))
    weight = [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 5, 5]
    torch.testing.assert_close(mask[:, 1], torch.tensor(weight, dtype=torch.float64))
    torch.testing.assert_close(mask[:, 2], mask[:, 1])
    torch.testing.assert_close(mask[:, 0], 2 * mask[:, 1])
    assert float(trial.loc) == pytest.approx(away)
    assert int(trial.t_last) == 13


@pytest.mark.parametrize(
    ("task", "wanted"),
    [("MemDm1", 0.5), ("MemDm2", 2.0), ("CtxMemDm1", 0.5), ("CtxMemDm2", 2.0), ("MultiMem", 2.0)],
)
def test_the_modality_that_counts_decides(task, wanted):
    trial = build_trial(task, **TWO, angle1=0.5, angle2=2.0, strength1=(1.2, 0.4), strength2=(0.8, 1.3), dt=100.0)
    assert float(trial.loc) == pytest.approx(wanted)


@pytest.mark.parametrize(("task", "unseen"), [("MemDm1", slice(3, 5)), ("MemDm2", slice(1, 3))])
def test_one_modality_tasks_ignore_the_other(task, unseen):
    trial = build_trial(task, **TWO, angle1=0.5, angle2=2.0, strength1=(1.2, 0.4), strength2=(0.8, 1.3), dt=100.0)
    assert not trial.x[..., unseen].any()
    assert trial.x[..., 1:5].any()


def test_what_a_task_does_not_use_is_ignored():
    used = {"on1": 200, "go": 1000, "end": 1300, "angle1": 1.0, "dt": 100.0}
    plain = build_trial("DelayPro", **used)
    loaded = build_trial("DelayPro", **used, off1=500, on2=600, off2=700, angle2=2.0, strength2=(9.0, 9.0))
    torch.testing.assert_close(plain.x, loaded.x)
    assert plain.x[-1, 0, 1] == pytest.approx(math.sin(1.0)), "the stimulus of a Delay task stays on to the end"
    assert torch.equal(plain.loc, loaded.loc)


def test_each_argument_may_be_one_value_per_trial():
    angles = torch.tensor([0.1, 1.1, 2.1], dtype=torch.float64)
    ends = [900, 1000, 1100]
    together = build_trial("MemPro", on1=200, off1=300, go=600, end=ends, angle1=angles, dt=100.0, steps=12)
    for i in range(3):
        alone = build_trial("MemPro", on1=200, off1=300, go=600, end=ends[i], angle1=angles[i], dt=100.0, steps=12)
        for name in ("x", "y", "mask"):
            torch.testing.assert_close(getattr(together, name)[:, i], getattr(alone, name)[:, 0])
    assert together.t_last.tolist() == [8, 9, 10]


def test_after_the_end_nothing_is_shown_wanted_or_scored():
    trial = build_trial("DelayPro", on1=200, go=600, end=900, angle1=1.0, dt=100.0, steps=15)
    assert not trial.x[9:].any()
    assert not trial.y[9:].any()
    assert not trial.mask[9:].any()
    assert trial.x[8].any()
    assert trial.mask[8].any()


def test_noise_is_on_every_channel_with_the_stated_size():
    times = {"on1": 200, "go": 10_000, "end": 100_000, "angle1": 1.0, "dt": 20.0}
    clean = build_trial("DelayPro", **times, dtype=torch.float64)
    noisy = build_trial(
        "DelayPro", **times, noise=True, sigma_x=0.1, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    spread = (noisy.x - clean.x).std(dim=(0, 1))
    torch.testing.assert_close(spread, torch.full((14,), 0.1 * math.sqrt(10.0), dtype=torch.float64), rtol=0.04, atol=0)
    with pytest.raises(ValueError, match="generator"):
        build_trial("DelayPro", **times, noise=True)


@pytest.mark.parametrize("dt", [20.0, 100.0])
def test_noise_of_a_batch_has_the_stated_size(dt):
    clean, noisy = (
        make_batch(torch.arange(9), LINEAGE_TIMING, dt=dt, sigma_x=sigma, generators=generators(*range(40)))
        for sigma in (0.0, 0.1)
    )
    spread = (noisy.x - clean.x).std(dim=(0, 1, 2))
    torch.testing.assert_close(spread, torch.full((14,), 0.1 * math.sqrt(200 / dt)), rtol=0.03, atol=0)


def test_batches_equal_the_trials_written_by_hand():
    batch = make_batch(
        torch.arange(9).repeat(5), LINEAGE_TIMING, dt=20.0, sigma_x=0.0, generators=torch.Generator().manual_seed(3)
    )
    t = batch.trials
    for i in range(45):
        ms = {name: 20.0 * float(getattr(t, name)[i]) for name in ("on1", "off1", "on2", "off2", "go", "end")}
        angles = {"angle1": t.angle1[i], "angle2": t.angle2[i]}
        strengths = {f"strength{s + 1}": (t.strength[i, s, 0], t.strength[i, s, 1]) for s in (0, 1)}
        alone = build_trial(NINE_TASKS[int(t.task[i])], **ms, **angles, **strengths, steps=batch.x.shape[0])
        for name in ("x", "y", "mask"):
            torch.testing.assert_close(getattr(batch, name)[:, i], getattr(alone, name)[:, 0])
        torch.testing.assert_close(batch.loc[i], alone.loc[0])


def counts(values):
    found, number = values.flatten().unique(return_counts=True)
    return dict(zip(found.tolist(), (number / number.sum()).tolist(), strict=True))


def test_quick_times_are_whole_steps_uniform_over_the_stated_ranges():
    t = quick(torch.arange(9).repeat(400), 0, 1).trials
    parts = {
        "onset": (t.on1, range(1, 4)),
        "response": (t.end - t.go, range(3, 4)),
    }
    two, memory, delay = t.task >= 4, (t.task == 2) | (t.task == 3), t.task < 2
    stimulus = (t.off1 - t.on1)[two | memory]
    parts |= {
        "stimulus": (stimulus, range(2, 5)),
        "memory delay": ((t.go - t.off1)[memory], range(1, 6)),
        "hold": ((t.go - t.on1)[delay], range(5, 16)),
        "gap": ((t.on2 - t.off1)[two], range(1, 6)),
        "second": ((t.off2 - t.on2)[two], range(2, 5)),
        "delay": ((t.go - t.off2)[two], range(1, 3)),
    }
    for name, (values, allowed) in parts.items():
        shares = counts(values)
        assert sorted(shares) == list(allowed), name
        assert max(abs(share - 1 / len(allowed)) for share in shares.values()) < 0.05, name
    drawn = torch.stack([part[two].double() for part in (t.on1, t.off1 - t.on1, t.on2 - t.off1, t.off2 - t.on2)])
    correlation = torch.corrcoef(torch.cat([drawn, (t.go - t.off2)[two].double()[None]]))
    assert (correlation - torch.eye(5)).abs().max() < 5 / int(two.sum()) ** 0.5, "the intervals are independent"
    assert QUICK_TIMING.steps(100.0) == 21
    assert int(t.end.max()) <= 21


def test_lineage_times_are_floors_within_the_longest_trial():
    t = make_batch(torch.arange(9).repeat(300), LINEAGE_TIMING, dt=20.0, sigma_x=0.0, generators=generators(0)).trials
    two = t.task >= 4
    assert int((t.on2 - t.off1)[two].min()) >= 10
    assert int((t.on2 - t.off1)[two].max()) <= 79
    assert int((t.off2 - t.on2)[two].max()) <= 29
    assert int(t.end.max()) <= LINEAGE_TIMING.steps(20.0) == 29 + 29 + 79 + 29 + 14 + 34


def test_strengths_follow_the_table():
    t = quick(torch.arange(9).repeat(1000), 5).trials
    strength, task = t.strength[0], t.task[0]
    single = strength[task < 4][:, 0]
    assert set(single.flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(single.sum(dim=-1), torch.ones(4000, dtype=torch.float64))
    assert abs(single[:, 0].mean() - 0.5) < 0.03
    context = strength[(task == 6) | (task == 7)]
    m, c = context.mean(dim=1), (context[:, 0] - context[:, 1]).abs() / 2
    assert m.min() >= 0.8
    assert m.max() <= 1.2
    assert c.min() >= 0.1
    assert c.max() <= 0.8
    assert abs(torch.corrcoef(c.T)[0, 1]) < 0.08, "the contrasts of the modalities are independent"
    multi = strength[task == 8]
    base = multi.mean(dim=-1)
    assert base.mean(dim=-1).min() >= 0.8
    assert base.mean(dim=-1).max() <= 1.2
    relative = (multi[..., 0] - multi[..., 1]).abs() / base
    assert relative[base > 1e-9].min() >= 0.005 - 1e-9
    assert relative[base > 1e-9].max() <= 0.8 + 1e-9


def test_second_angle_is_at_least_a_quarter_turn_away():
    t = quick(torch.full((2000,), 6), 5).trials
    apart = (t.angle2 - t.angle1).remainder(2 * math.pi)
    assert apart.min() >= 0.5 * math.pi
    assert apart.max() <= 1.5 * math.pi


def test_longer_delays_fix_the_gap_of_the_seven_and_keep_all_other_draws():
    tasks = torch.arange(9).repeat(50)
    before, after = (
        quick(tasks, 7).trials,
        quick(tasks, 7, timing=QUICK_TIMING.with_gap(1200)),
    )
    assert after.x.shape[1] == 3 + 4 + 12 + 4 + 2 + 3
    after = after.trials
    memory, two, delay = (before.task == 2) | (before.task == 3), before.task >= 4, before.task < 2
    assert set((after.go - after.off1)[memory].tolist()) == {12}
    assert set((after.on2 - after.off1)[two].tolist()) == {12}
    assert torch.equal(after.go[delay], before.go[delay])
    for name in ("on1", "off1", "angle1", "angle2", "strength"):
        assert torch.equal(getattr(after, name), getattr(before, name)), name
    assert torch.equal((after.off2 - after.on2)[two], (before.off2 - before.on2)[two])


def test_epochs_tile_the_trial():
    batch = quick(torch.arange(9).repeat(20), 1, 2)
    spans = list(batch.epochs.values())
    assert not spans[0][..., 0].any()
    used = torch.stack(spans, dim=-2)
    lengths = (used[..., 1] - used[..., 0]).clamp(min=0)
    delay = batch.trials.task < 2
    overlap = torch.where(delay, (batch.trials.end - batch.trials.go), 0)
    assert torch.equal(lengths.sum(dim=-1) - overlap, batch.trials.end), "Delay stimuli reach into the response"


def test_scoring_rule():
    def last(fix, angle):
        return torch.tensor([fix, math.sin(angle), math.cos(angle)], dtype=torch.float64)

    loc = torch.tensor(6.2, dtype=torch.float64)
    assert correct(last(0.4, 6.2 + 0.31), loc) == 1
    assert correct(last(0.4, 6.2 - 0.31), loc) == 1
    assert correct(last(0.4, 6.2 + 0.32), loc) == 0
    assert correct(last(0.6, 6.2), loc) == 0
    none = torch.tensor(-1.0, dtype=torch.float64)
    assert correct(last(0.6, 1.0), none) == 1
    assert correct(last(0.5, 1.0), none) == 0


def test_accuracy_reads_each_trial_at_its_own_last_step():
    yhat = torch.zeros(2, 4, 3, 3)
    yhat[..., 2] = -1.0
    t_last = torch.tensor([1, 2, 3])
    for trial, step in enumerate(t_last):
        yhat[0, step, trial, 2] = 1.0
    torch.testing.assert_close(at_last_step(yhat, t_last)[0, :, 2], torch.ones(3))
    torch.testing.assert_close(circular_accuracy(yhat, torch.zeros(3), t_last), torch.tensor([1.0, 0.0]))


def test_masked_loss_by_hand():
    y = torch.zeros(2, 1, 1, 3)
    yhat = torch.tensor([1.0, 2.0, 3.0]).expand(2, 1, 1, 3)
    mask = torch.stack([torch.tensor([[[2.0, 1.0, 1.0]]]), torch.tensor([[[0.0, 5.0, 0.0]]])])
    torch.testing.assert_close(masked_loss(yhat, y, mask), torch.tensor([(4 + 4 + 9) / 3, 100 / 3]))


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'MultiMem'"):
        task_ids(["MultMem"])
    with pytest.raises(ValueError, match="did you mean 'quick'"):
        timing_named("quik")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"go": 800}, "go = 800"),
        ({"on2": 300}, "on2 = 300"),
        ({"off1": None}, "off1 = nan"),
        ({"end": 1000}, "end = 1000"),
    ],
)
def test_times_out_of_order_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        build_trial("MemDm1", **{**TWO, **wrong}, angle1=0.0, dt=100.0)


def test_padding_below_the_longest_trial_is_refused():
    with pytest.raises(ValueError, match="13 steps"):
        build_trial("MemDm1", **TWO, angle1=0.0, dt=100.0, steps=12)


def test_channels_are_named():
    assert INPUT_CHANNELS[:5] == ("fix", "mod1_sin", "mod1_cos", "mod2_sin", "mod2_cos")
    assert [name.removeprefix("rule_") for name in INPUT_CHANNELS[5:]] == list(NINE_TASKS)
