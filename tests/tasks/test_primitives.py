"""Streams of stimulus events: what is shown, when, and what each primitive should answer."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.tasks.multitask import at_last_step
from dynatlas.tasks.primitives import (
    PRIMITIVES,
    STREAM_CHANNELS,
    direction_accuracy,
    inputs_seen,
    make_stream,
    modules_loss,
    outputs_used,
    together_loss,
)
from dynatlas.tasks.timing import LINEAGE_TIMING, QUICK_TIMING

NAMES = [primitive.name for primitive in PRIMITIVES]


def stream(trials=600, *seeds, sigma_x=0.0):
    sources = [torch.Generator().manual_seed(seed) for seed in seeds or (0,)]
    return make_stream(trials, QUICK_TIMING, dt=100.0, sigma_x=sigma_x, generators=sources)


def events(x):
    """Per trial of x (time, trial, 5): the list of (onset, offset, vector (modality, 2)), read off the inputs."""
    vectors = x[..., 1:].unflatten(-1, (2, 2))
    on = vectors.norm(dim=-1).sum(dim=-1) > 1e-6
    found = []
    for trial in range(x.shape[1]):
        steps = on[:, trial].nonzero().flatten().tolist()
        runs: list[list[int]] = []
        for step in steps:
            if runs and runs[-1][-1] == step - 1:
                runs[-1].append(step)
            else:
                runs.append([step])
        found.append([(run[0], run[-1] + 1, vectors[run[0], trial]) for run in runs])
    return found


def test_values_are_what_the_events_say():
    s = stream()
    at_end = {name: at_last_step(s.targets[name][0], s.t_last[0]) for name in NAMES}
    for trial, shown in enumerate(events(s.x[0])):
        vectors = [vector for _, _, vector in shown]
        torch.testing.assert_close(at_end["memory"][trial, 1:], vectors[-1].flatten())
        for name, part in (
            ("comparison-1", slice(0, 1)),
            ("comparison-2", slice(1, 2)),
            ("comparison-sum", slice(0, 2)),
        ):
            size = [float(vector[part].norm(dim=-1).sum()) for vector in vectors]
            wanted = vectors[size.index(max(size))][part].sum(dim=0)
            unit = wanted / wanted.norm() if max(size) > 0 else wanted
            torch.testing.assert_close(at_end[name][trial, 1:], unit, atol=1e-5, rtol=1e-5)


def test_wait_until_go_then_release():
    s = stream(300)
    clock = torch.arange(s.x.shape[1]).unsqueeze(-1)
    before, after = clock < s.go[0], (clock >= s.go[0]) & (clock <= s.t_last[0])
    assert torch.equal(s.x[0, ..., 0], before.float())
    for name in NAMES:
        target = s.targets[name][0]
        assert torch.equal(target[..., 0], before.float()), name
        assert not target[..., 1:][before].any(), name
        final = at_last_step(target, s.t_last[0]).expand_as(target)
        assert torch.equal(target[..., 1:][after], final[..., 1:][after]), name
    expected = before + 5.0 * ((clock > s.go[0]) & (clock <= s.t_last[0]))
    assert torch.equal(s.weight[0], expected)


def test_events_come_with_the_stated_frequencies_and_times():
    s = stream(4000, 3)
    shown = events(s.x[0])
    go, end = s.go[0].tolist(), (s.t_last[0] + 1).tolist()
    two = [len(found) == 2 for found in shown]
    assert sum(two) / 4000 == pytest.approx(0.7, abs=0.025)
    stays = [found[0][1] == end[i] for i, found in enumerate(shown) if len(found) == 1]
    assert sum(stays) / len(stays) == pytest.approx(0.3, abs=0.05)
    gaps = {found[1][0] - found[0][1] for found in shown if len(found) == 2}
    assert gaps == {1, 2, 3, 4, 5}
    delays = {go[i] - found[1][1] for i, found in enumerate(shown) if len(found) == 2}
    assert delays == {1, 2}
    held = {go[i] - found[0][1] for i, found in enumerate(shown) if len(found) == 1 and found[0][1] < end[i]}
    assert held == {1, 2, 3, 4, 5}
    modalities = [tuple((found[0][2].norm(dim=-1) > 0).tolist()) for found in shown]
    for kind in ((True, False), (False, True), (True, True)):
        assert modalities.count(kind) / 4000 == pytest.approx(1 / 3, abs=0.03)
    assert max(end) <= QUICK_TIMING.steps(100.0) == s.x.shape[1]


def test_stacked_and_joined_targets_hold_the_same_channels():
    s = stream(10, 0, 1)
    stacked, joined, used = s.stacked_targets(), s.joined_targets(), outputs_used()
    assert stacked.shape == (2, 4, 21, 10, 5)
    assert joined.shape == (2, 21, 10, 14)
    assert used.sum(dim=-1).tolist() == [len(primitive.outputs) for primitive in PRIMITIVES]
    side_by_side = torch.cat([stacked[:, i, ..., used[i] > 0] for i in range(4)], dim=-1)
    assert torch.equal(side_by_side, joined)
    assert not stacked[..., 3:][:, 1:].any()


def test_comparison_modules_see_one_modality():
    seen = inputs_seen()
    assert seen.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 1, 1], [1, 1, 1, 1, 1]]
    assert STREAM_CHANNELS == ("fix", "mod1_sin", "mod1_cos", "mod2_sin", "mod2_cos")


def test_seeds_are_apart():
    one, three = stream(20, 1, sigma_x=0.1), stream(20, 1, 2, 3, sigma_x=0.1)
    alone = make_stream(20, QUICK_TIMING, dt=100.0, sigma_x=0.1, generators=torch.Generator().manual_seed(1))
    assert torch.equal(one.x[0], three.x[0])
    assert torch.equal(one.joined_targets()[0], three.joined_targets()[0])
    assert torch.equal(alone.x, one.x[0])
    assert torch.equal(alone.stacked_targets(), one.stacked_targets()[0])
    assert not torch.equal(three.x[0], three.x[1])


def test_noise_has_the_stated_size():
    clean, noisy = stream(400, 1), stream(400, 1, sigma_x=0.1)
    spread = (noisy.x - clean.x).std(dim=(0, 1, 2))
    torch.testing.assert_close(spread, torch.full((5,), 0.1 * math.sqrt(2.0)), rtol=0.03, atol=0)


def test_lineage_times_fit():
    s = make_stream(500, LINEAGE_TIMING, dt=20.0, sigma_x=0.0, generators=torch.Generator().manual_seed(0))
    assert s.x.shape == (LINEAGE_TIMING.steps(20.0), 500, 5)
    assert int(s.t_last.max()) < s.x.shape[0]


def test_direction_accuracy_counts_only_streams_that_ask():
    s = stream(2000, 2)
    for name in NAMES[1:]:
        target = s.targets[name]
        assert torch.equal(direction_accuracy(target, target, s.t_last), torch.ones(1))
        turned = target.clone()
        turned[..., 1:] = -turned[..., 1:]
        assert torch.equal(direction_accuracy(turned, target, s.t_last), torch.zeros(1))
    ahead = torch.zeros_like(s.targets["comparison-1"])
    ahead[..., 2] = 1.0
    assert float(direction_accuracy(ahead, s.targets["comparison-1"], s.t_last)) == pytest.approx(0.1, abs=0.03)


def test_losses_weigh_errors_of_own_channels_and_no_others():
    s = stream(20, 0, 1)
    right = s.stacked_targets()[:, None].expand(-1, 3, -1, -1, -1, -1)  # three networks of modules a seed
    assert not modules_loss(right, s).any()
    wrong_padding = right + 7 * (1 - outputs_used())[:, None, None]
    assert not modules_loss(wrong_padding, s).any()
    off = right.clone()
    off[:, 1, 2, ..., 0] += 2  # one channel of three of comparison-2, in the second network
    expected = torch.zeros(2, 3, 4)
    expected[:, 1, 2] = 4 / 3 * s.weight.mean((1, 2))
    torch.testing.assert_close(modules_loss(off, s), expected)
    together = s.joined_targets()
    assert not together_loss(together, s).any()
    together[..., 13] += 2
    torch.testing.assert_close(together_loss(together, s), 4 / 14 * s.weight.mean((1, 2)))
