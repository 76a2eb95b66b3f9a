"""Ridge readouts against the augmented least-squares problem, its gradient, and scikit-learn."""

from __future__ import annotations

import pytest
import torch

from dynatlas.optim.ridge import moments, ridge_readout, solve


def problem(*leading: int, samples: int = 50) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*leading, samples, 6, generator=generator, dtype=torch.float64) + 2
    y = torch.randn(*leading, samples, 3, generator=generator, dtype=torch.float64) - 1
    weights = torch.rand(*leading, samples, generator=generator, dtype=torch.float64) * 5
    return x, y, weights


@pytest.mark.parametrize("intercept", [True, False])
def test_solution_is_stationary(intercept):
    x, y, weights = problem(2, 4)
    w, b = (part.requires_grad_() for part in ridge_readout(x, y, penalty=0.3, weights=weights, intercept=intercept))
    error = ((y - x @ w - b[..., None, :]) ** 2).sum(-1)
    loss = (weights * error).sum(-1) + 0.3 * weights.sum(-1) * (w**2).sum((-1, -2))
    slope_w, slope_b = torch.autograd.grad(loss.sum(), (w, b))
    assert slope_w.abs().max() < 1e-10
    assert (slope_b.abs().max() < 1e-10) == intercept
    assert intercept or (b == 0).all()


def test_agrees_with_scikit_learn():
    from sklearn.linear_model import Ridge

    x, y, weights = problem()
    w, b = ridge_readout(x, y, penalty=0.1, weights=weights)
    theirs = Ridge(alpha=0.1 * weights.sum().item()).fit(x.numpy(), y.numpy(), sample_weight=weights.numpy())
    torch.testing.assert_close(w, torch.from_numpy(theirs.coef_.T.copy()), rtol=0, atol=1e-10)
    torch.testing.assert_close(b, torch.from_numpy(theirs.intercept_), rtol=0, atol=1e-10)


def test_an_exact_line_is_found_as_the_penalty_vanishes():
    x, _, _ = problem(3)
    truth = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    w, b = ridge_readout(x, x @ truth + 4, penalty=1e-13)
    torch.testing.assert_close(w, truth, rtol=0, atol=1e-9)
    torch.testing.assert_close(b, torch.full_like(b, 4), rtol=0, atol=1e-9)


def test_portions_weights_and_scale():
    x, y, weights = problem(2)
    whole = ridge_readout(x, y, penalty=0.1, weights=weights)
    parts = moments(x[:, :20], y[:, :20], weights=weights[:, :20]) + moments(
        x[:, 20:], y[:, 20:], weights=weights[:, 20:]
    )
    for ours, other in zip(whole, solve(parts, penalty=0.1), strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-12)
    for ours, other in zip(whole, ridge_readout(x, y, penalty=0.1, weights=7 * weights), strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-12)
    weights[:, 30:] = 0
    cut = ridge_readout(x[:, :30], y[:, :30], penalty=0.1, weights=weights[:, :30])
    for ours, other in zip(ridge_readout(x, y, penalty=0.1, weights=weights), cut, strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-12)


def test_penalties_may_differ_along_the_leading_axes_and_type_is_kept():
    x, y, _ = problem(2)
    both = ridge_readout(x, y, penalty=torch.tensor([0.1, 10.0]))[0]
    torch.testing.assert_close(both[1], ridge_readout(x[1], y[1], penalty=10.0)[0], rtol=0, atol=1e-12)
    single = ridge_readout(x.float(), y.float(), penalty=0.1)[0]
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), ridge_readout(x, y, penalty=0.1)[0], rtol=0, atol=1e-5)


def test_mistakes_are_named():
    x, y, weights = problem()
    with pytest.raises(ValueError, match="penalty must be > 0"):
        ridge_readout(x, y, penalty=0.0)
    with pytest.raises(ValueError, match="negative"):
        ridge_readout(x, y, penalty=0.1, weights=-weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_single(dtype):
    x = (300 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))).to(dtype)
    y = x[:, :1]
    found = ridge_readout(x, y, penalty=0.1)
    assert found[0].dtype == dtype
    wanted = ridge_readout(x.double(), y.double(), penalty=0.1)
    for own, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(own.double(), other, rtol=0, atol=0.01)
