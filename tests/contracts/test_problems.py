"""What every problem must do: a row for each seed, pairs of inputs and answers, an evaluation that stays the same."""

from __future__ import annotations

import pytest
import torch

from dynatlas.jobs import Job
from dynatlas.problems.registry import BATCH, PROBLEMS, TEST
from dynatlas.problems.sequences import all_images, image_batch, permuted_images

SEEDS = [3, 4]


def job(seeds=SEEDS):
    return Job(study="test", seeds=seeds)


@pytest.fixture(params=PROBLEMS)
def make(request):
    return PROBLEMS[request.param]


def batches(problem):
    return {"train": problem.train(0), "held out": problem.held_out()}


def test_shapes_and_classes_are_those_that_are_said(make):
    problem = make(job())
    for part, batch in batches(problem).items():
        seeds, steps, trials, inputs = batch.x.shape
        assert (seeds, trials, inputs) == (2, TEST if part == "held out" else BATCH, problem.n_in)
        read = batch.read(torch.zeros(2, steps, trials, 5))
        assert batch.target.shape == read.shape[:3]
        assert batch.target.dtype == torch.int64
        assert 0 <= int(batch.target.min()) <= int(batch.target.max()) < problem.n_out
        assert batch.target[:, batch.counted_from :].numel() > 0


def test_the_evaluation_stays_the_same_and_training_goes_on(make):
    problem = make(job())
    first = problem.held_out()
    one, two = problem.train(0), problem.train(1)
    assert not torch.equal(one.x, two.x)
    assert torch.equal(problem.held_out().x, first.x)
    assert torch.equal(problem.held_out().target, first.target)


def test_another_job_sees_the_same_and_one_more_seed_leaves_the_others(make):
    few, more = batches(make(job())), batches(make(job([*SEEDS, 9])))
    for part, batch in few.items():
        assert torch.equal(more[part].x[:2], batch.x)
        assert torch.equal(more[part].target[:2], batch.target)
    assert not torch.equal(few["train"].x[0], few["train"].x[1])


def test_every_member_of_a_seed_has_its_row(make):
    batch = make(job()).train(0)
    many = batch.for_members(3)
    for member in range(6):
        assert torch.equal(many.x[member], batch.x[member // 3])
        assert torch.equal(many.target[member], batch.target[member // 3])
        assert torch.equal(batch.wanted(6)[member], batch.target[member // 3])
    assert torch.equal(many.of(slice(3, 6)).x, batch.for_members(3).x[3:6])
    assert (many.read_from, many.counted_from) == (batch.read_from, batch.counted_from)


def test_a_guess_scores_chance(make):
    problem = make(job([0, 1, 2]))
    batch = problem.held_out()
    counted = batch.target[:, batch.counted_from :]
    best = max(float((counted == answer).double().mean()) for answer in range(problem.n_out))
    assert best == pytest.approx(problem.chance, abs=0.12)


def test_global_random_state_is_not_moved(make):
    before = torch.get_rng_state()
    batches(make(job()))
    assert torch.equal(torch.get_rng_state(), before)


def test_copied_symbols_are_those_that_were_shown():
    batch = PROBLEMS["copy"](job()).held_out()
    assert torch.equal(batch.x[:, :2].argmax(dim=-1), batch.target[:, -2:])
    assert (batch.target[:, :-2] == 0).all()
    assert batch.counted_from == -2
    numbers = PROBLEMS["copy of numbers"](job()).held_out()
    assert torch.equal(numbers.x[:, :2, :, 0].long(), numbers.target[:, -2:])


@pytest.mark.parametrize("name", ["text", "characters"])
def test_texts_are_foreseen_one_step_ahead(name):
    batch = PROBLEMS[name](job()).train(0)
    shown, read = batch.x.argmax(dim=-1), batch.target
    assert torch.equal(read[:, :-1], shown[:, batch.read_from + 1 :])
    if name == "characters":
        assert torch.equal(read, (shown[:, batch.read_from :] + 1) % 3)


def test_images_come_with_their_labels_or_with_others():
    images = permuted_images("digits", train=1000, test=7, pixels_per_step=16)
    assert images.train.x.shape == (1000, 4, 16)
    chosen = torch.tensor([[5, 1], [0, 2]])
    own = image_batch(images.train, chosen)
    assert torch.equal(own.x[1, :, 1], images.train.x[2])
    assert own.target.tolist() == images.train.y[chosen][:, None].tolist()
    wrong = torch.arange(2000).view(2, 1000)
    assert image_batch(images.train, chosen, wrong).target.tolist() == [[[5, 1]], [[1000, 1002]]]
    whole = all_images(images.test, 3)
    assert whole.x.shape == (3, 4, 7, 16)
    assert torch.equal(whole.target[2, 0], images.test.y)
