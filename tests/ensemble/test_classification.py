"""Cross-entropy and accuracy of all members against torch's, one member and one example at a time."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.ensemble.classification import accuracy, cross_entropy, cross_entropy_by_logsumexp

LOSSES = [cross_entropy, cross_entropy_by_logsumexp]


def case(*shape, classes=4, seed=0, dtype=torch.float64):
    stream = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(*shape, classes, generator=stream, dtype=torch.float64)
    return logits.to(dtype), torch.randint(classes, shape, generator=stream)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(3, 6), (2, 5, 3), (1, 4, 2, 3), (3, 1), (3,)])
def test_the_cross_entropy_is_torchs_member_by_member(loss, shape):
    logits, y = case(*shape)
    wanted = [
        torch.nn.functional.cross_entropy(own.reshape(-1, 4), target.reshape(-1))
        for own, target in zip(logits, y, strict=True)
    ]
    torch.testing.assert_close(loss(logits, y), torch.stack(wanted), rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_the_probability_minus_one_of_the_wanted_class(loss):
    logits, y = case(3, 5)
    leaf = logits.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(leaf, y).sum(), leaf)
    wanted = (logits.softmax(dim=-1) - torch.nn.functional.one_hot(y, 4)) / 5
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_logits_that_say_nothing_cost_log_of_the_classes(loss):
    logits, y = torch.full((2, 7, 9), 100.0), case(2, 7, classes=9)[1]
    torch.testing.assert_close(loss(logits, y), torch.full((2,), math.log(9)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_more_member_leaves_the_bits_of_the_others(loss, dtype):
    logits, y = case(9, 5, 3, dtype=dtype)

    def found(members):
        leaf = logits[:members].clone().requires_grad_()
        losses = loss(leaf, y[:members])
        return losses.detach(), *torch.autograd.grad(losses.sum(), leaf)

    for members in range(1, 9):
        for few, many in zip(found(members), found(9), strict=True):
            assert torch.equal(few, many[:members])


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_not_finite_stays_with_its_member(loss):
    logits, y = case(3, 5)
    wild = logits.clone()
    wild[1, 2, 0] = torch.nan
    losses = loss(wild, y)
    assert losses[1].isnan()
    assert torch.equal(losses[[0, 2]], loss(logits, y)[[0, 2]])


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_and_other_memory_give_the_same(loss):
    logits, y = case(3, 5, 2)
    turned = logits.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(loss(turned, y), loss(logits, y), rtol=0, atol=1e-12)
    half = loss(logits.half(), y)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.double(), loss(logits, y), rtol=5e-3, atol=5e-3)


def test_accuracy_counts_each_member_against_its_own_labels_or_against_shared_ones():
    logits = torch.eye(3).expand(2, 3, 3)
    assert accuracy(logits, torch.tensor([[0, 1, 2], [0, 0, 0]])).tolist() == pytest.approx([1, 1 / 3])
    assert accuracy(logits, torch.tensor([0, 1, 0])).tolist() == pytest.approx([2 / 3, 2 / 3])


def test_accuracy_is_a_mean_over_all_places_in_float64():
    logits, y = case(3, 4, 5, dtype=torch.float16)
    found = accuracy(logits, y)
    assert found.dtype == torch.float64
    for member in range(3):
        right = [int(logits[member, i, j].argmax()) == int(y[member, i, j]) for i in range(4) for j in range(5)]
        assert float(found[member]) == pytest.approx(sum(right) / 20)


def test_of_equal_logits_the_first_is_the_answer():
    assert accuracy(torch.zeros(1, 3, 4), torch.tensor([0, 0, 1])).tolist() == pytest.approx([2 / 3])
    wild = torch.tensor([[[0.0, torch.nan, 5.0], [torch.nan, 0.0, torch.nan]]])
    assert accuracy(wild, torch.tensor([1, 0])).tolist() == [1]


@pytest.mark.parametrize("score", [*LOSSES, accuracy])
@pytest.mark.parametrize("shape", [(3, 4), (3, 1), (3,), (4, 5), (3, 5, 4)])
def test_labels_of_another_shape_are_refused(score, shape):
    with pytest.raises(ValueError, match=r"labels are \(.*logits \(3, 5, 4\) without classes"):
        score(case(3, 5)[0], torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("score", [*LOSSES, accuracy])
def test_whole_numbers_and_read_only_memory_are_logits_too(score):
    logits, y = case(3, 5)
    whole = logits.round().long()
    torch.testing.assert_close(score(whole, y).double(), score(whole.double(), y), rtol=1e-6, atol=1e-6)
    shared = logits[:1].expand(3, -1, -1)
    torch.testing.assert_close(score(shared, y), score(shared.clone(), y), rtol=0, atol=1e-12)
