"""What every registered task must do."""

from __future__ import annotations

import pytest
import torch

from dynatlas.tasks.registry import TASKS

NOISE = 0.1


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def tensors(batch):
    return {"x": batch.x, "y": batch.y, "mask": batch.mask}


@pytest.fixture(params=sorted(TASKS))
def task(request):
    return TASKS[request.param]


def test_shapes_and_channels(task):
    batch = task.draw(7, generators(0, 1, 2), NOISE)
    seeds, steps, trials, inputs = batch.x.shape
    assert (seeds, trials, inputs) == (3, 7, len(task.inputs))
    assert batch.y.shape == (3, steps, 7, len(task.outputs))
    assert batch.mask.shape == batch.y.shape
    for names in (task.inputs, task.outputs):
        assert len(set(names)) == len(names)
        assert all(names)


def test_the_seed_decides_everything(task):
    once, again, other = (task.draw(5, generators(seed), NOISE) for seed in (4, 4, 5))
    for name, value in tensors(once).items():
        assert torch.equal(value, tensors(again)[name]), name
    assert not torch.equal(once.x, other.x)
    assert not torch.equal(once.y, other.y)


def test_one_more_seed_leaves_the_earlier_draws(task):
    few, many = task.draw(5, generators(4, 5), NOISE), task.draw(5, generators(4, 5, 6, 7, 8), NOISE)
    for name, value in tensors(few).items():
        assert torch.equal(value, tensors(many)[name][:2]), name


def test_draws_go_on_where_the_generator_stands(task):
    source = generators(3)
    assert not torch.equal(task.draw(5, source, NOISE).y, task.draw(5, source, NOISE).y)


def test_global_random_state_is_neither_read_nor_moved(task):
    before = torch.get_rng_state()
    task.draw(5, generators(3), NOISE)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_mask_marks_the_scored_steps(task):
    batch = task.draw(6, generators(0, 1), 0.0)
    scored = batch.mask > 0
    assert scored.any(dim=-3).all(), "every trial and channel is scored somewhere"
    perfect = task.perfect(batch)
    unscored = torch.where(scored, perfect, torch.full_like(batch.y, 7.0))
    assert torch.equal(task.loss(unscored, batch), torch.zeros(2))
    assert torch.equal(task.score(unscored, batch), task.score(perfect, batch))
    for seed in range(2):
        wrong = perfect.clone()
        wrong[seed] = torch.where(scored[seed], perfect[seed].roll(1, dims=-1), perfect[seed])
        loss = task.loss(wrong, batch)
        assert loss[seed] > 0
        assert loss[1 - seed] == 0


def test_noise_is_added_to_inputs_alone(task):
    clean, noisy = task.draw(40, generators(2), 0.0), task.draw(40, generators(2), NOISE)
    assert torch.equal(clean.y, noisy.y)
    assert torch.equal(clean.mask, noisy.mask)
    added = (noisy.x - clean.x).flatten(0, 2)
    assert (added.std(dim=0) > 0).all()
    assert added.mean(dim=0).abs().max() < 6 * added.std() / added.shape[0] ** 0.5


def test_the_oracle_scores_one(task):
    batch = task.draw(200, generators(0, 1), 0.0)
    assert torch.equal(task.score(task.oracle(batch.x), batch), torch.ones(2))


def test_the_ignorant_score_chance(task):
    batch = task.draw(4000, generators(0, 1), 0.0)
    score = task.score(task.ignorant(batch.x, generators(10, 11)), batch).mean()
    spread = (task.chance * (1 - task.chance) / 8000) ** 0.5
    assert abs(score - task.chance) < 4 * spread
