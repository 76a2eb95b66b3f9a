"""Wrong labels: how many, which, and whose."""

from __future__ import annotations

import pytest
import torch

from dynatlas.datasets.labels import flip_labels, relabel_uniform, shuffle_labels

N, CLASSES = 6000, 5
Y = torch.arange(N) % CLASSES


def streams(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_flipped_labels_are_all_wrong_and_exactly_so_many():
    flipped = flip_labels(Y, 0.25, classes=CLASSES, generators=streams(0, 1))
    changed = flipped != Y
    assert changed.sum(dim=1).tolist() == [1500, 1500]
    assert not torch.equal(changed[0], changed[1])
    away = ((flipped[0] - Y) % CLASSES)[changed[0]].bincount(minlength=CLASSES)
    assert away[0] == 0
    assert (away[1:] - 375).abs().max() < 4 * (1500 * 0.25 * 0.75) ** 0.5


def test_uniform_labels_keep_one_in_classes():
    changed = (relabel_uniform(Y, 0.5, classes=CLASSES, generators=streams(0)) != Y).sum().item()
    assert abs(changed - 2400) < 4 * (3000 * 0.2 * 0.8) ** 0.5
    free = relabel_uniform(Y, 1.0, classes=CLASSES, generators=streams(3))[0]
    assert abs((free == Y).float().mean().item() - 0.2) < 4 * (0.2 * 0.8 / N) ** 0.5


@pytest.mark.parametrize("make", [flip_labels, relabel_uniform])
def test_fractions_of_one_seed_are_nested(make):
    few, many = (make(Y, fraction, classes=CLASSES, generators=streams(4))[0] for fraction in (0.1, 0.4))
    changed = few != Y
    assert changed.any()
    assert torch.equal(few[changed], many[changed])
    assert (many != Y).sum() > changed.sum()


@pytest.mark.parametrize("make", [flip_labels, relabel_uniform])
def test_nothing_and_everything(make):
    assert torch.equal(make(Y, 0.0, classes=CLASSES, generators=streams(0))[0], Y)
    whole = make(Y, 1.0, classes=CLASSES, generators=streams(0))[0]
    assert whole.min() == 0
    assert whole.max() == CLASSES - 1
    assert ((whole != Y).all()) == (make is flip_labels)


@pytest.mark.parametrize("make", [flip_labels, relabel_uniform])
def test_one_more_seed_leaves_the_earlier_ones(make):
    few, more = (make(Y, 0.3, classes=CLASSES, generators=streams(*range(n))) for n in (2, 3))
    assert torch.equal(few, more[:2])


def test_shuffled_labels_keep_their_counts():
    shuffled = shuffle_labels(Y, generators=streams(0, 1))
    for row in shuffled:
        assert torch.equal(row.bincount(), Y.bincount())
        assert abs((row == Y).float().mean().item() - 0.2) < 0.03
    assert not torch.equal(shuffled[0], shuffled[1])


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"fraction = 1\.5: wanted is 0 to 1"):
        flip_labels(Y, 1.5, classes=CLASSES, generators=streams(0))
    with pytest.raises(ValueError, match=r"labels lie in 0\.\.4, wanted is 0\.\.3"):
        relabel_uniform(Y, 0.5, classes=4, generators=streams(0))
    with pytest.raises(ValueError, match="no other class"):
        flip_labels(torch.zeros(3).long(), 0.5, classes=1, generators=streams(0))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int8])
def test_labels_of_any_whole_type(dtype):
    y = torch.arange(300) % 100
    for change in (flip_labels, relabel_uniform):
        wanted = change(y, 0.5, classes=128, generators=[torch.Generator().manual_seed(0)])
        found = change(y.to(dtype), 0.5, classes=128, generators=[torch.Generator().manual_seed(0)])
        assert torch.equal(found, wanted)
