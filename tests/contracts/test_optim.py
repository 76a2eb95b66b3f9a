"""What every optimiser and every transform of its update must keep: known optima, independence of members, resuming."""

from __future__ import annotations

import pytest
import torch

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.registry import OPTIMISERS
from dynatlas.jobs import Job

MEMBERS = 3
CURVATURE = torch.tensor([1.0, 3.0, 9.0], dtype=torch.float64)
OPTIMUM = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)


def by_step(step):
    """A batch that is the number of its step."""
    return step


def bowl(params, step):
    """Ill-conditioned quadratics (condition 9) with the optimum at OPTIMUM."""
    return 0.5 * (CURVATURE * (params["w"] - OPTIMUM) ** 2).sum(1)


def start(members: int = MEMBERS) -> dict[str, torch.Tensor]:
    return {"w": torch.arange(members * 3, dtype=torch.float64).view(members, 3) / 7}


@pytest.fixture(params=OPTIMISERS)
def make(request):
    return OPTIMISERS[request.param]


def test_finds_the_optimum_of_a_quadratic(make):
    fitted = fit(by_step, bowl, start(), steps=900, optimiser=make(lr=0.03, weight_decay=0.0))
    torch.testing.assert_close(fitted.parameters["w"], OPTIMUM.expand(MEMBERS, 3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(OPTIMISERS) - {"adamw"}))
def test_stationary_point_under_weight_decay_is_the_known_one(name):
    """Decay added to the gradient moves the optimum to H w* / (H + decay); decoupled decay has none of its own."""
    fitted = fit(by_step, bowl, start(), steps=800, optimiser=OPTIMISERS[name](lr=0.03, weight_decay=0.5))
    expected = (CURVATURE * OPTIMUM / (CURVATURE + 0.5)).expand(MEMBERS, 3)
    torch.testing.assert_close(fitted.parameters["w"], expected, rtol=0, atol=1e-5)


def test_stacked_equals_single_with_settings_of_its_own(make):
    rates, decays = [0.01, 0.03, 0.002], [0.0, 0.1, 0.01]
    stacked = make(lr=torch.tensor(rates, dtype=torch.float64), weight_decay=torch.tensor(decays, dtype=torch.float64))
    together = fit(by_step, bowl, start(), steps=40, optimiser=stacked, clip_norm=0.7)
    for member in range(MEMBERS):
        one = {"w": start()["w"][member : member + 1]}
        alone = fit(
            by_step, bowl, one, steps=40, optimiser=make(lr=rates[member], weight_decay=decays[member]), clip_norm=0.7
        )
        torch.testing.assert_close(together.parameters["w"][member], alone.parameters["w"][0], rtol=0, atol=1e-10)


def test_more_members_leave_earlier_ones_bits(make):
    many = fit(by_step, bowl, start(7), steps=30, optimiser=make(lr=0.02), clip_norm=0.5)
    for members in (1, 2, 3, 5, 6):
        few = fit(by_step, bowl, start(members), steps=30, optimiser=make(lr=0.02), clip_norm=0.5)
        assert torch.equal(many.parameters["w"][:members], few.parameters["w"])


def test_resuming_equals_not_stopping(make, tmp_path):
    def dying(params, step):
        if step == 23:
            raise InterruptedError
        return bowl(params, step)

    job = Job("contract", range(MEMBERS), scratch=tmp_path, checkpoint_seconds=0)
    with pytest.raises(InterruptedError):
        fit(by_step, dying, start(), steps=40, optimiser=make(lr=0.02), job=job)
    resumed = fit(by_step, bowl, start(), steps=40, optimiser=make(lr=0.02), job=job)
    whole = fit(by_step, bowl, start(), steps=40, optimiser=make(lr=0.02))
    assert torch.equal(resumed.parameters["w"], whole.parameters["w"])
