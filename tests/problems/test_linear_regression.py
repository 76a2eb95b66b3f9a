"""Regression on a linear teacher: both ways to the loss, batches, and that seeds leave each other alone."""

from __future__ import annotations

import torch

from dynatlas.jobs import Job
from dynatlas.problems.linear_regression import FullBatch, MiniBatches, linear_teacher, squared_error

JOB = Job(study="test", seeds=[0, 1])


def data(job=JOB):
    x, y = linear_teacher(job.generators("data"), inputs=5, outputs=2, examples=40)
    return x.double(), y.double()


def test_the_loss_from_moments_is_the_loss_on_the_examples():
    x, y = data()
    w = torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = FullBatch.of(x, y, copies=2)(w)
    wanted = squared_error(x.repeat_interleave(2, dim=0) @ w, y.repeat_interleave(2, dim=0))
    torch.testing.assert_close(found, wanted)
    error = x[1] @ w[3] - y[1]
    torch.testing.assert_close(found[3], 0.5 * error.square().sum() / 40)


def test_the_best_map_leaves_the_teachers_noise():
    x, y = linear_teacher([torch.Generator().manual_seed(3)], inputs=4, outputs=3, examples=20000)
    best = torch.linalg.lstsq(x, y).solution
    torch.testing.assert_close(FullBatch.of(x, y)(best), torch.tensor([0.5 * 3 * 0.25]), rtol=0.02, atol=0)


def test_batches_are_examples_of_their_own_seed():
    x, y = data()
    drawn, wanted = MiniBatches(x, y, 7, JOB.generators("batches"))(0)
    for seed in range(2):
        place = (drawn[seed][:, None] == x[seed]).all(-1).long().argmax(1)
        assert torch.equal(x[seed][place], drawn[seed])
        assert torch.equal(y[seed][place], wanted[seed])


def test_one_more_seed_leaves_the_others():
    few, more = data(), data(Job(study="test", seeds=[0, 1, 2]))
    assert all(torch.equal(a, b[:2]) for a, b in zip(few, more, strict=True))
