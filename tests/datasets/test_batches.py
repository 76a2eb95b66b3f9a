"""The order in which examples are seen."""

from __future__ import annotations

import pytest
import torch

from dynatlas.datasets.batches import batch_order, draw_batch


def streams(count):
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_an_epoch_shows_no_example_twice_and_leaves_out_the_rest():
    order = batch_order(23, updates=13, size=5, generators=streams(3))
    assert order.shape == (13, 3, 5)
    assert 0 <= int(order.min()) <= int(order.max()) < 23
    for seed in range(3):
        for epoch in (order[:4, seed], order[4:8, seed], order[8:12, seed]):
            assert len(epoch.unique()) == 20
        assert not torch.equal(order[:4, seed], order[4:8, seed])


def test_seeds_have_orders_of_their_own_that_more_updates_and_seeds_only_extend():
    few = batch_order(23, updates=6, size=5, generators=streams(2))
    many = batch_order(23, updates=11, size=5, generators=streams(4))
    assert torch.equal(many[:6, :2], few)
    assert not torch.equal(many[:, 0], many[:, 1])


@pytest.mark.parametrize("size", [0, 24])
def test_batches_that_cannot_be_are_refused(size):
    with pytest.raises(ValueError, match="wanted is 1 to 23"):
        batch_order(23, updates=1, size=size, generators=streams(1))


def test_batches_with_replacement_are_uniform_and_each_seeds_own():
    drawn = draw_batch(7, size=7000, generators=streams(3))
    assert drawn.shape == (3, 7000)
    for own in drawn:
        counts = own.bincount(minlength=7)
        assert len(counts) == 7
        assert ((counts - 1000).abs() < 6 * (1000 * 6 / 7) ** 0.5).all()
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(draw_batch(7, size=7000, generators=streams(1))[0], drawn[0])
    source = streams(1)
    assert not torch.equal(draw_batch(7, size=9, generators=source), draw_batch(7, size=9, generators=source))


def test_epochs_are_as_many_updates_as_fit_into_them():
    whole = batch_order(23, epochs=2, size=5, generators=streams(2))
    assert torch.equal(whole, batch_order(23, updates=8, size=5, generators=streams(2)))
    for given in ({}, {"updates": 3, "epochs": 1}):
        with pytest.raises(ValueError, match="wanted is one of the two"):
            batch_order(23, size=5, generators=streams(1), **given)


@pytest.mark.parametrize(("count", "size"), [(0, 3), (5, 0)])
def test_batches_of_nothing_are_refused(count, size):
    with pytest.raises(ValueError, match=f"batch = {size} of {count} examples"):
        draw_batch(count, size=size, generators=streams(1))
