"""Projections of sequential learning against their eigenvalue definition, and for what they are meant to do."""

from __future__ import annotations

import pytest
import torch

from dynatlas.optim.gradient_projection import GradientProjection

N_IN, N, N_OUT, SAMPLES = 3, 5, 2, 40


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def task(seed: int, *leading: int) -> dict[str, torch.Tensor]:
    return {
        "z": normal(*leading, SAMPLES, N_IN + N, seed=seed),
        "y": normal(*leading, SAMPLES, N_OUT, seed=seed + 1),
        "W": normal(*leading, N_IN + N, N, seed=seed + 2),
    }


def by_eigenvalues(covariance: torch.Tensor, alpha: float) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ torch.diag(alpha / (alpha + values)) @ vectors.T


def test_projections_are_the_stated_functions_of_the_mean_covariances():
    tasks = [task(seed) for seed in (0, 10, 20)]
    projection = GradientProjection(0.1)
    for each in tasks:
        projection.update_covariances(**each)
    c_z = sum(each["z"].T @ each["z"] / (SAMPLES - 1) for each in tasks) / 3
    c_h = sum(each["W"].T @ (each["z"].T @ each["z"] / (SAMPLES - 1)) @ each["W"] for each in tasks) / 3
    c_y = sum(each["y"].T @ each["y"] / (SAMPLES - 1) for each in tasks) / 3
    expected = {"P_in": c_z, "P_out": c_h, "P_rec": c_z[N_IN:, N_IN:], "P_y": c_y}
    for name, covariance in expected.items():
        ours = getattr(projection, name)
        torch.testing.assert_close(ours, by_eigenvalues(covariance, 0.1), rtol=0, atol=1e-12)
        assert torch.equal(ours, ours.mT)
        assert ours.dtype == torch.float64
    dW, dW_out = normal(N_IN + N, N, seed=30), normal(N, N_OUT, seed=31)
    projected, projected_out = projection.project(dW, dW_out)
    torch.testing.assert_close(projected, projection.P_in @ dW @ projection.P_out, rtol=0, atol=1e-13)
    torch.testing.assert_close(projected_out, projection.P_rec @ dW_out @ projection.P_y, rtol=0, atol=1e-13)


def test_before_the_first_task_nothing_is_projected():
    dW, dW_out = normal(N_IN + N, N), normal(N, N_OUT)
    projected, projected_out = GradientProjection(0.1).project(dW, dW_out)
    assert projected is dW
    assert projected_out is dW_out


def test_small_alpha_forbids_used_directions_and_leaves_unused_ones():
    used = torch.zeros(SAMPLES, N_IN + N, dtype=torch.float64)
    used[:, :4] = normal(SAMPLES, 4)
    projection = GradientProjection(1e-9)
    projection.update_covariances(used, normal(SAMPLES, N_OUT, seed=1), normal(N_IN + N, N, seed=2))
    expected = torch.diag(torch.tensor([0.0] * 4 + [1.0] * 4, dtype=torch.float64))
    torch.testing.assert_close(projection.P_in, expected, rtol=0, atol=1e-7)


def test_members_are_projected_as_if_alone_and_infinite_alpha_is_the_identity():
    alphas = torch.tensor([0.1, torch.inf, 0.01], dtype=torch.float64)
    together = GradientProjection(alphas)
    together.update_covariances(**task(0, 3))
    assert torch.equal(together.P_in[1], torch.eye(N_IN + N, dtype=torch.float64))
    dW, dW_out = normal(3, N_IN + N, N, seed=5), normal(3, N, N_OUT, seed=6)
    both = together.project(dW, dW_out)
    assert torch.equal(both[0][1], dW[1])
    for member in (0, 2):
        alone = GradientProjection(float(alphas[member]))
        alone.update_covariances(**{name: tensor[member] for name, tensor in task(0, 3).items()})
        for ours, single in zip(both, alone.project(dW[member], dW_out[member]), strict=True):
            torch.testing.assert_close(ours[member], single, rtol=0, atol=1e-12)


def test_single_precision_is_exact_where_the_covariance_is_ill_conditioned():
    given = task(0)
    given["z"] = given["z"] * torch.logspace(2, -2, N_IN + N, dtype=torch.float64)
    given = {name: tensor.float() for name, tensor in given.items()}
    single, double = GradientProjection(1e-3), GradientProjection(1e-3)
    single.update_covariances(**given)
    double.update_covariances(**{name: tensor.double() for name, tensor in given.items()})
    for name in ("P_in", "P_out", "P_rec", "P_y"):
        assert getattr(single, name).dtype == torch.float32
        assert torch.equal(getattr(single, name), getattr(double, name).float())


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="alpha must be > 0"):
        GradientProjection(0.0)
    with pytest.raises(ValueError, match="do not fit"):
        GradientProjection(0.1).update_covariances(normal(SAMPLES, 8), normal(SAMPLES, 2), normal(7, 5))


def network(seed: int) -> dict[str, torch.Tensor]:
    shapes = {"w_in": (N_IN, N), "w_rec": (N, N), "b": (N,), "w_out": (N, N_OUT), "b_out": (N_OUT,)}
    return {name: normal(2, *shape, seed=seed + k) for k, (name, shape) in enumerate(shapes.items())}


def test_steps_after_a_trials_end_are_no_samples():
    x, states, y = (normal(2, 6, 4, width, seed=width) for width in (N_IN, N, N_OUT))  # (member, time, trial, ...)
    t_last = torch.tensor([[5, 2, 3, 4], [1, 2, 5, 4]])
    ours, params = GradientProjection(0.1), network(40)
    ours.take_in(params, x, states, y, t_last)
    for member in range(2):
        alive = torch.arange(6)[:, None] <= t_last[member]
        z, wanted = torch.cat([x, states], dim=-1)[member][alive], y[member][alive]
        unpadded, samples = GradientProjection(0.1), len(z)
        rescaled = ((samples - 1) / samples * 24 / 23) ** 0.5  # our mean over samples, not samples - 1, times 24 / 23
        weights = torch.cat([params["w_in"], params["w_rec"]], dim=1)[member]
        unpadded.update_covariances(z * rescaled, wanted * rescaled, weights)
        for name in ("P_in", "P_out", "P_rec", "P_y"):
            torch.testing.assert_close(getattr(ours, name)[member], getattr(unpadded, name), rtol=0, atol=1e-9)


def test_a_networks_update_is_projected_whole_and_its_biases_are_held_unless_alpha_is_infinite():
    projection, update = GradientProjection(torch.tensor([0.1, torch.inf])), network(50)
    projection.update_covariances(**task(0, 2))
    found = projection.project_network(update)
    whole, w_out = projection.project(torch.cat([update["w_in"], update["w_rec"]], dim=1), update["w_out"])
    assert torch.equal(torch.cat([found["w_in"], found["w_rec"]], dim=1), whole)
    assert torch.equal(found["w_out"], w_out)
    for name in ("b", "b_out"):
        assert not found[name][0].any()
        assert torch.equal(found[name][1], update[name][1])
    torch.testing.assert_close(found["w_rec"][1], update["w_rec"][1])
