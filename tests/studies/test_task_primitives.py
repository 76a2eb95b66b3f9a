"""The lead study: its mathematics on cases with known answers."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from dynatlas.jobs import Job, Run
from dynatlas.members import Group, Members
from dynatlas.models.rnn import rollout
from dynatlas.problems.cognitive import NineTasks
from dynatlas.problems.cognitive_readouts import Exam
from dynatlas.studies.task_primitives import costs, measure, train
from dynatlas.studies.task_primitives.readouts import learned_in_turn, refitted_in_turn
from dynatlas.studies.task_primitives.strategies import TASKS, Strategy

WORLD = {"timing": "quick", "dt": 100, "sigma_x": 0.02, "sigma_rec": 0.05, "evaluation_trials": 6}
PAPER_WORLD = WORLD | {"timing": "lineage", "dt": 20, "sigma_x": 0.1}
SMALL = {"steps": 3, "trials": 4, "learning_rate": 7e-3, "world": WORLD}
JOB = Job(study="task-primitives", seeds=[0, 1])


@pytest.mark.parametrize(("name", "total"), [("MP", 11547), ("SEP", 17667), ("JOINT", 28483), ("DP", 30907)])
def test_parameters_are_those_that_were_counted_by_hand(name, total):
    built = costs.build(name, NineTasks(**WORLD), modules=4, units=40, generators=JOB.generators("sizes"))
    found = costs.counts(built, name, modules=4, units=40)
    assert found["total_parameters"].item() == total
    assert found["count_error"].item() == 0


@pytest.mark.parametrize(("name", "size"), product(costs.FORMULAS, [(4, 8), (2, 20), (5, 3)]))
def test_built_networks_have_the_parameters_of_the_formulas(name, size):
    modules, units = size
    built = costs.build(name, NineTasks(**WORLD), modules=modules, units=units, generators=JOB.generators("sizes"))
    found = costs.counts(built, name, modules=modules, units=units)
    assert found["count_error"].item() == found["marginal_error"].item() == 0


@pytest.mark.parametrize("name", [*costs.FROZEN, "SEP"])
def test_one_more_task_costs_what_is_trained_for_it(name):
    nine, ten = (costs.count_parameters(name, modules=4, units=40, tasks=tasks) for tasks in (9, 10))
    assert ten - nine == costs.count_trainable(name, modules=4, units=40) == (1963 if name == "SEP" else 3 * 161)


def test_projection_leaves_biases_alone():
    joint, projected = (costs.count_trainable(name, modules=4, units=40) for name in ("JOINT", "GP"))
    assert joint == costs.count_parameters("JOINT", modules=4, units=40) == projected + 160 + 3


def test_masked_modules_never_see_the_other_modality_and_share_their_start():
    run = train.train_primitives(JOB, strategy=["MP", "MPu"], units=5, **SMALL)
    masked, unmasked = (run["networks"].at(strategy=name) for name in ("MP", "MPu"))
    assert not any(w.any() for w in (masked["w_in"][:, 3:, 5:10], masked["w_in"][:, 1:3, 10:15]))
    assert unmasked["w_in"].all()
    assert torch.equal(masked["w_rec"][:, :5, :5], unmasked["w_rec"][:, :5, :5])  # memory: masked nowhere
    assert run["sizes"].at(strategy="MP")["scalars"] == 4 * 25 + 5 * (5 + 3 + 3 + 5) + 20 + (5 + 3 + 3 + 3) * 6


def test_a_silenced_module_leaves_the_others_to_the_bit():
    run = train.draw_reservoirs(JOB, draws={"": "reservoir"}, units=6, gain=0.95, world=WORLD)
    modular, dense = (run["networks"].at(strategy=name) for name in ("MR", "RES"))
    x = torch.randn(9, 4, 5, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(24)
    mask[6:12] = 0
    rest = mask.bool()
    whole, cut = rollout(modular, x, fused=False), rollout(modular, x, unit_mask=mask)
    assert torch.equal(whole[..., rest], cut[..., rest])
    assert not torch.equal(rollout(dense, x, fused=False)[..., rest], rollout(dense, x, unit_mask=mask)[..., rest])


def planted_exam() -> tuple[Exam, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    states = [torch.randn(2, 30, 7, generator=draw) for _ in TASKS]
    loc = [torch.rand(2, 30, generator=draw) * 2 * math.pi for _ in TASKS]
    return Exam(states, loc), torch.randn(2, 9, 7, 3, generator=draw), torch.randn(2, 9, 3, generator=draw) - 1


def test_own_readouts_forget_nothing_and_a_shared_one_does():
    exam, w_out, b_out = planted_exam()
    own, shared = learned_in_turn(exam, w_out, b_out), refitted_in_turn(exam, w_out, b_out)
    for j in range(9):
        assert torch.equal(own[:, j, j], shared[:, j, j])
        assert all(torch.equal(own[:, k, j], own[:, j, j]) for k in range(j, 9))
    assert not torch.equal(torch.diagonal(shared, dim1=1, dim2=2), shared[:, -1])


def test_updates_count_to_the_first_crossing_and_are_infinite_without_one():
    course = torch.tensor([[0.1, 0.1], [0.85, 0.3], [0.7, 0.79]])[..., None].expand(1, 3, 2, 9)
    axes = Members(strategy=["SEP"], update=[0, 25, 50], seed=[0, 1], task=TASKS)
    run = Run({"course": Group(axes, {"accuracy": course})}, seeds=[0, 1], settings={})
    found, others = costs.updates(run, "SEP", trainable=90, before=10.0)
    assert found["updates"].tolist() == [25 * 90 + 10, math.inf]
    assert found["updates_spent"].tolist() == [25 * 90 + 10, 50 * 90 + 10]
    assert others[costs.TASKS_SHOWN.index(18)].tolist() == [2 * 25 * 90 + 10, 2 * 50 * 90 + 10]


def test_interaction_ignores_what_modules_and_tasks_do_alone():
    alone = torch.arange(4.0)[:, None] + 10 * torch.arange(9.0)
    board = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None] * torch.tensor([1.0, -1.0] * 4 + [0.0])
    found = measure.interaction(torch.stack([alone, alone + 3 * board]))
    torch.testing.assert_close(found, torch.tensor([0.0, 8.0]))


def test_retained_accuracy_counts_from_chance_and_is_not_clipped():
    found = measure.retained_above_chance(torch.tensor([[0.5, 0.0], [0.3, 0.1]]), torch.tensor([0.9, 0.6]))
    torch.testing.assert_close(found, torch.tensor([0.375, -0.1]))


def test_a_task_is_answered_by_its_own_network_or_readout():
    for_tasks = Members(seed=[0], task=TASKS)
    number = Group(for_tasks, {"w_rec": torch.arange(9.0)[None], "w_out": torch.arange(9.0)[None]})
    nine = Strategy(number.only("w_rec"), number.only("w_out"))
    assert all(nine.for_task(task)["w_rec"].item() == k for k, task in enumerate(TASKS))
    one = Strategy(nine.network.at(task=TASKS[0]), nine.readout)
    last = one.for_task(TASKS[-1])
    assert (last["w_rec"].item(), last["w_out"].item()) == (0, 8)


def test_projected_learning_keeps_biases_and_plain_learning_does_not():
    projections = {"SEQ": math.inf, "GP": 0.1}
    run = train.train_sequential(JOB, projections=projections, units=8, covariance_trials=3, **SMALL)
    plain, projected = (run["networks"].at(strategy=name) for name in ("SEQ", "GP"))
    assert plain["b"].any()
    assert not projected["b"].any()
    assert not torch.equal(projected["w_rec"], plain["w_rec"])
    assert run["learned"].members.shape == (2, 2, 9, 9)


def test_the_papers_time_step_runs():
    small = SMALL | {"steps": 1, "trials": 2, "world": PAPER_WORLD}
    run = train.train_primitives(JOB, strategy=["MP"], units=4, **small)
    joint = train.train_joint(JOB, units=8, every=1, **small)
    assert all(w.isfinite().all() for group in (*run.values(), *joint.values()) for w in group.values())
    assert NineTasks(**PAPER_WORLD).trials(["MultiMem"], JOB.generators("task")).x.shape[1] > 200
