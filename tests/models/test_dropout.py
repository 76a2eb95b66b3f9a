"""Dropout: what share is hidden, what is left, and who sees which draws."""

from __future__ import annotations

import pytest
import torch

from dynatlas.models.dropout import Dropout


def streams(count, first=0):
    return [torch.Generator().manual_seed(first + seed) for seed in range(count)]


def test_units_are_hidden_at_their_rate_and_the_mean_is_kept():
    rate = torch.tensor([0.0, 0.2, 0.7])
    masks = Dropout(streams(3), rate).draw(200, 100)
    assert masks.shape == (3, 200, 100)
    assert masks.dtype == torch.float32
    for own, share in zip(masks, rate.tolist(), strict=True):
        deviation = (share * (1 - share) / own.numel()) ** 0.5
        assert abs(float((own == 0).double().mean()) - share) <= 5 * deviation
        assert set(own.unique().tolist()) <= {0.0, float(torch.tensor(1.0) / (1 - torch.tensor(share)))}


def test_one_more_seed_leaves_the_earlier_draws_and_a_draw_moves_on():
    two, three = (Dropout(streams(count), torch.full((count,), 0.5)) for count in (2, 3))
    first = two.draw(4, 5)
    assert torch.equal(three.draw(4, 5)[:2], first)
    assert not torch.equal(two.draw(4, 5), first)
    assert not torch.equal(first[0], first[1])


def test_shared_copies_are_paired_and_the_larger_rate_hides_all_that_the_smaller_does():
    rate = torch.tensor([0.1, 0.6, 0.1, 0.6])
    hidden = Dropout(streams(2), rate, copies=2, shared=True).draw(300) == 0
    own = Dropout(streams(2), rate, copies=2).draw(300) == 0
    for seed in (0, 2):
        assert not (hidden[seed] & ~hidden[seed + 1]).any()
        assert (own[seed] & ~own[seed + 1]).any()


def test_no_draw_is_made_where_nothing_is_hidden():
    (source,) = streams(1)
    before = source.get_state()
    assert Dropout([source], torch.zeros(1)).draw(3) is None
    assert torch.equal(source.get_state(), before)


@pytest.mark.parametrize(("rate", "message"), [
    (torch.tensor([0.5]), "2 generators x 1 copies"), (torch.tensor([[0.5, 0.5]]), "wanted are"),
    (torch.tensor([0.5, 1.0]), "0 <= rate < 1"), (torch.tensor([-0.1, 0]), "0 <= rate < 1"),
    (torch.tensor([torch.nan, 0]), "0 <= rate < 1"),
])  # fmt: skip
def test_rates_that_cannot_be_are_refused(rate, message):
    with pytest.raises(ValueError, match=message):
        Dropout(streams(2), rate)
