"""The nine tasks as a problem: what networks are shown, what is added to it, and how answers are counted."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.jobs import Job
from dynatlas.models.rnn import rollout
from dynatlas.optim.ridge import moments
from dynatlas.problems.cognitive import NineTasks
from dynatlas.problems.cognitive_readouts import Exam, loss_from_sums, ridge_readouts, sums_over_trials
from dynatlas.tasks.multitask import INPUT_CHANNELS, NINE_TASKS, SENSORY_INPUTS, TOLERANCE, at_last_step, masked_loss

SETTING = NineTasks(timing="quick", dt=100, sigma_x=0.02, sigma_rec=0.05, evaluation_trials=12)
JOB = Job(study="cognitive", seeds=[0, 1])
QUIET = {"sigma_x": 0.0, "sigma_rec": 0.0}


def networks(n_in=SENSORY_INPUTS):
    return SETTING.network(n_in, 6, 3).initialise(JOB.generators("initialisation"))


def test_noise_scales_with_the_share_of_a_step():
    noise = SETTING.noise(JOB.generators("noise"), 3)
    assert noise.scale == pytest.approx(0.05 * math.sqrt(2))
    drawn = noise.draw(torch.zeros(6, 50, 400))
    assert torch.equal(drawn[0], drawn[2])  # copies of a seed share them
    assert not torch.equal(drawn[2], drawn[3])
    assert float(drawn.std()) == pytest.approx(0.05 * math.sqrt(2), rel=0.02)


def test_all_networks_are_examined_on_the_same_trials_whenever_they_are():
    first, loc = SETTING.final_states(JOB, networks(), "MemDm1")
    other, same = SETTING.final_states(JOB, {**networks(), "b": torch.ones(2, 6)}, "MemDm1")
    assert torch.equal(first, SETTING.final_states(JOB, networks(), "MemDm1")[0])
    assert torch.equal(loc, same)
    assert not torch.equal(first, other)


def test_without_noise_final_states_are_those_of_the_last_step():
    params = networks()
    batch = SETTING.trials(["MemPro"] * 12, JOB.generators("evaluation MemPro"), sigma_x=0.0)
    direct = at_last_step(rollout(params, batch.x[..., :SENSORY_INPUTS], alpha=1.0), batch.t_last)
    torch.testing.assert_close(SETTING.final_states(JOB, params, "MemPro", **QUIET)[0], direct)


def test_what_disturbs_an_examination_changes_states_and_a_silenced_unit_stays_silent():
    params = networks()
    quiet = SETTING.final_states(JOB, params, "MemPro", **QUIET)[0]
    for disturbed in ({"sigma_x": 0.3}, {"sigma_rec": 0.3}, {"activity": 0.3}, {"gap": 1200}):
        assert not torch.equal(quiet, SETTING.final_states(JOB, params, "MemPro", **QUIET | disturbed)[0])
    mask = torch.tensor([1.0, 1, 1, 0, 1, 1])
    assert not SETTING.final_states(JOB, params, "MemPro", unit_mask=mask)[0][..., 3].any()


def test_a_rule_is_shown_to_networks_that_have_an_input_for_it():
    cued = networks(len(INPUT_CHANNELS))
    blind = {**cued, "w_in": cued["w_in"][:, :SENSORY_INPUTS]}
    deaf = {**cued, "w_in": torch.cat([blind["w_in"], torch.zeros(2, 9, 6)], dim=1)}
    states = {
        name: SETTING.final_states(JOB, p, "DelayPro")[0] for name, p in {"c": cued, "b": blind, "d": deaf}.items()
    }
    torch.testing.assert_close(states["b"], states["d"])
    assert not torch.allclose(states["b"], states["c"])


def test_a_network_that_always_points_to_0_is_right_where_0_is_wanted():
    still = {name: torch.zeros_like(w) for name, w in networks().items()} | {"b_out": torch.tensor([[0.0, 0, 1]] * 2)}
    found = SETTING.accuracies(JOB, lambda task: still)
    for k, task in enumerate(NINE_TASKS):
        loc = SETTING.final_states(JOB, still, task)[1]
        distance = torch.remainder(loc + math.pi, 2 * math.pi) - math.pi
        torch.testing.assert_close(found[:, k], (distance.abs() < TOLERANCE).float().mean(-1))


def test_the_loss_of_a_network_that_says_nothing_is_the_masked_square_of_the_targets():
    silent = {name: torch.zeros_like(w) for name, w in networks().items()}
    batch = SETTING.trials(["MultiMem"] * 4, JOB.generators("trials"))
    found = SETTING.loss(silent, batch.x, batch.y, batch.mask)
    torch.testing.assert_close(found, (batch.y * batch.mask).square().mean((1, 2, 3)))


def test_loss_from_sums_is_the_loss_over_trials():
    batch = SETTING.trials(["MemPro"] * 5, JOB.generators("readout"))
    states = torch.rand(2, *batch.x.shape[1:3], 4, dtype=torch.float64)
    with_one = torch.cat([states, torch.ones_like(states[..., :1])], dim=-1)
    sums = moments(
        with_one.flatten(1, 2), batch.y.flatten(1, 2).double(), weights=batch.mask[..., 1].flatten(1).square()
    )
    first, second = torch.randn(2, 2, 5, 3, dtype=torch.float64)
    entries = batch.y[0].numel()
    direct = [masked_loss(with_one @ w[:, None], batch.y, batch.mask) * entries for w in (first, second)]
    by_sums = [loss_from_sums(w, sums.xx, sums.xy) for w in (first, second)]
    torch.testing.assert_close(by_sums[0] - by_sums[1], direct[0] - direct[1], rtol=1e-6, atol=1e-6)


def test_ridge_readouts_are_those_of_the_trials_and_an_exam_marks_them_as_the_network_itself_is():
    params = networks()
    sums = [sums_over_trials(JOB, SETTING, params, task, trials=8)[0] for task in NINE_TASKS]
    w_out, b_out = ridge_readouts(sums, penalty=0.1)
    exam = Exam.of(JOB, SETTING, params)
    for k, task in enumerate(NINE_TASKS):
        own = {**params, "w_out": w_out[:, k], "b_out": b_out[:, k]}
        assert torch.equal(exam.mark(k, own["w_out"], own["b_out"]), SETTING.accuracy(JOB, own, task))
        # a constant that is not penalised leaves no weighted mean of errors
        left = sums[k].y - sums[k].weight[:, None] * b_out[:, k] - (sums[k].x[:, None] @ w_out[:, k].double())[:, 0]
        torch.testing.assert_close(left, torch.zeros_like(left), rtol=0, atol=1e-3)
