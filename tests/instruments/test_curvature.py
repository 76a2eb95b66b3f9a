"""Traces against closed forms and against Hessians that are formed."""

from __future__ import annotations

import pytest
import torch

from dynatlas.instruments.curvature import gauss_newton_trace, hessian_trace, increase_under_noise
from dynatlas.models.mlp import PopulationMLP


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def probes(count=4000, seed=1, members=2):
    return {"probes": count, "generators": [torch.Generator().manual_seed(seed + 10 * m) for m in range(members)]}


def near(found, wanted):
    """Within four standard errors, which must be small enough to mean something."""
    assert (found.standard_error < 0.05 * wanted.abs()).all()
    assert ((found.mean - wanted).abs() <= 4 * found.standard_error + 1e-9 * wanted.abs()).all()


def test_a_diagonal_hessian_is_exact_at_every_probe():
    scale = torch.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 4.0]], dtype=torch.float64)
    found = hessian_trace(lambda p: 0.5 * (scale * p["w"].square()).sum(-1), {"w": normal(2, 3)}, **probes(3))
    torch.testing.assert_close(found.mean, scale.sum(-1))
    assert (found.standard_error < 1e-12).all()


def network():
    model = PopulationMLP((3, 4, 2), "tanh")
    params = model.initialise([torch.Generator().manual_seed(s) for s in range(2)], dtype=torch.float64)
    return model, {name: value + 0.1 * normal(*value.shape, seed=5) for name, value in params.items()}


def flat_function(function, params, member):
    """The member's value as a function of one flat vector of its parameters."""
    sizes = {name: value.shape[1:] for name, value in params.items()}

    def of(vector):
        parts = vector.split([size.numel() for size in sizes.values()])
        tree = {name: part.view(1, *size) for (name, size), part in zip(sizes.items(), parts, strict=True)}
        return function(tree, member)

    return of, torch.cat([value[member].flatten() for value in params.values()])


def test_hessian_trace_equals_that_of_the_formed_hessian():
    model, params = network()
    x, y = normal(2, 7, 3, seed=2), normal(2, 7, 2, seed=3)

    def loss(p, own=slice(None)):
        return 0.5 * (model.logits(p, x[own]) - y[own]).square().sum(-1).mean(-1)

    wanted = []
    for member in range(2):
        of, at = flat_function(lambda p, m: loss(p, slice(m, m + 1)).sum(), params, member)
        wanted.append(torch.autograd.functional.hessian(of, at).trace())
    near(hessian_trace(loss, params, **probes()), torch.stack(wanted))


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_gauss_newton_trace_equals_that_of_the_formed_matrix(loss):
    model, params = network()
    x = normal(2, 7, 3, seed=2)
    wanted = []
    for member in range(2):
        of, at = flat_function(lambda p, m: model.logits(p, x[m : m + 1])[0], params, member)
        jacobian, p = torch.autograd.functional.jacobian(of, at), of(at).softmax(-1)
        middle = torch.diag_embed(p) - p[:, :, None] * p[:, None]
        if loss == "squared":
            middle = torch.eye(2, dtype=torch.float64).expand(7, 2, 2)
        wanted.append(torch.einsum("eoi,eop,epi->", jacobian, middle, jacobian) / 7)
    near(gauss_newton_trace(lambda p: model.logits(p, x), params, loss=loss, **probes()), torch.stack(wanted))


def test_both_traces_agree_where_the_outputs_are_linear_in_the_parameters():
    x, y = normal(9, 4), torch.arange(9) % 3
    params = {"w": normal(1, 4, 3, seed=7)}

    def loss(p):
        return torch.nn.functional.cross_entropy(x @ p["w"][0], y)[None]

    whole = hessian_trace(loss, params, **probes(members=1))
    part = gauss_newton_trace(lambda p: x @ p["w"], params, loss="cross_entropy", **probes(seed=2, members=1))
    assert (whole.mean - part.mean).abs() < 4 * (whole.standard_error**2 + part.standard_error**2) ** 0.5
    assert part.standard_error < 0.05 * part.mean


def test_one_more_member_leaves_the_others():
    model, params = network()
    x = normal(7, 3, seed=2)
    trees = (params, {name: value[:1] for name, value in params.items()})

    def loss(p):
        return model.logits(p, x).square().sum((-2, -1))

    found = [hessian_trace(loss, tree, **probes(5, members=len(tree["b1"]))) for tree in trees]
    torch.testing.assert_close(found[0].mean[:1], found[1].mean, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda p: 3 * p["w"].sum(-1),
        lambda p: p["w"].relu().sum(-1),
        lambda p: p["w"].abs().sum(-1) + 0 * p["unused"].sum(-1),
    ],
)
def test_a_loss_that_is_linear_in_pieces_has_no_curvature(loss):
    found = hessian_trace(loss, {"w": normal(2, 3), "unused": normal(2, 1)}, **probes(3))
    assert found.mean.tolist() == found.standard_error.tolist() == [0.0, 0.0]


def test_curvature_may_be_asked_for_where_gradients_are_off():
    params = {"w": normal(2, 3)}
    with torch.no_grad():
        found = hessian_trace(lambda p: p["w"].square().sum(-1), params, **probes(3))
        part = gauss_newton_trace(lambda p: p["w"][:, None] * 2, params, **probes(3))
    torch.testing.assert_close(found.mean, torch.full((2,), 6.0, dtype=torch.float64))
    torch.testing.assert_close(part.mean, torch.full((2,), 12.0, dtype=torch.float64))


def test_half_precision_is_computed_in_single():
    """A sum of 3000 terms of 2 * 20 is more than half precision holds."""
    params = {"w": torch.ones(1, 3000, dtype=torch.float16)}
    found = hessian_trace(lambda p: 20 * p["w"].square().sum(-1), params, **probes(3, members=1))
    assert found.mean.tolist() == [120_000.0]


def test_errors_name_what_is_wrong():
    model, params = network()
    for loss in (lambda p: p["b1"].detach().sum(-1), lambda p: torch.ones(2)):
        with pytest.raises(ValueError, match="does not hang on the parameters"):
            hessian_trace(loss, params, **probes(3))
    with pytest.raises(ValueError, match="outputs: does not hang"):
        gauss_newton_trace(lambda p: model.logits(p, normal(5, 3)).detach(), params, **probes(2))
    with pytest.raises(ValueError, match=r"parameters 'w' are torch\.int64"):
        hessian_trace(lambda p: p["w"].sum(-1), {"w": torch.ones(2, 3).long()}, **probes(3))
    with pytest.raises(ValueError, match="probes = 1"):
        hessian_trace(lambda p: p["b1"].sum(-1).square(), params, **probes(1))
    with pytest.raises(ValueError, match="2 members and 3 generators"):
        hessian_trace(lambda p: p["b1"].sum(-1).square(), params, **probes(4, members=3))
    with pytest.raises(ValueError, match="did you mean 'squared'"):
        gauss_newton_trace(lambda p: model.logits(p, normal(5, 3)), params, loss="square", **probes(2))


def test_noise_raises_a_polynomial_by_its_moments():
    # E a (w + s xi)^2 - a w^2 = a s^2, and E (w + s xi)^4 - w^4 = 6 w^2 s^2 + 3 s^4
    scale, w, sigma = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64), normal(2, 2), 0.3
    streams = probes()["generators"]
    quadratic = increase_under_noise(
        lambda p: (scale * p["w"].square()).sum(-1), {"w": w}, sigma, generators=streams, pairs=4000
    )
    wanted = sigma**2 * scale.sum(-1)
    assert ((quadratic.mean - wanted).abs() <= 4 * quadratic.standard_error).all()
    quartic = increase_under_noise(lambda p: (p["w"] ** 4).sum(-1), {"w": w}, sigma, generators=streams, pairs=4000)
    near(quartic, (6 * w.square() * sigma**2 + 3 * sigma**4).sum(-1))


def test_noise_is_drawn_until_the_error_is_as_small_as_wanted():
    def found(**limits):
        streams = probes()["generators"]
        given = {"generators": streams, "pairs": 10, **limits}
        return increase_under_noise(lambda p: p["w"].square().sum(-1), {"w": normal(2, 3)}, 0.5, **given)

    once, often, stopped = found(), found(error=0.02), found(error=1e-9, limit=2)
    assert (often.standard_error < 0.02).all()
    assert not (once.standard_error < 0.02).all()
    torch.testing.assert_close(stopped.standard_error, found(error=0.0, limit=2).standard_error)
