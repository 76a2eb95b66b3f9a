"""Principal components against the covariance they diagonalise, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynatlas.instruments.embedding import principal_components, t_sne
from dynatlas.instruments.neighbours import nearest_neighbours


def cloud(*leading, seed=0):
    scale = torch.tensor([5.0, 0.1, 2.0, 1.0, 0.5], dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*leading, 90, 5, generator=generator, dtype=torch.float64) + 4


def test_they_diagonalise_the_covariance():
    points = cloud(2, 3)
    found = principal_components(points, 5)
    covariance = found.coordinates.mT @ found.coordinates / 90
    variances = covariance.diagonal(dim1=-2, dim2=-1)
    assert (covariance - torch.diag_embed(variances)).abs().max() < 1e-12 * 25
    assert (variances.diff(dim=-1) < 0).all()
    torch.testing.assert_close(found.explained, variances / variances.sum(dim=-1, keepdim=True), rtol=1e-10, atol=0)
    back = found.coordinates @ found.axes.mT + found.centre.unsqueeze(-2)
    torch.testing.assert_close(back, points, rtol=0, atol=1e-12)


def test_scikit_learn_finds_the_same_up_to_sign():
    theirs = pytest.importorskip("sklearn.decomposition").PCA(3).fit(cloud().numpy())
    ours = principal_components(cloud(), 3)
    np.testing.assert_allclose(ours.explained.numpy(), theirs.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(ours.axes.mT.abs().numpy(), np.abs(theirs.components_), rtol=0, atol=1e-10)


def test_signs_are_fixed_and_new_points_go_where_the_old_went():
    found = principal_components(cloud(2), 3)
    largest = found.axes.gather(-2, found.axes.abs().argmax(dim=-2, keepdim=True))
    assert (largest > 0).all()
    torch.testing.assert_close(found.project(cloud(2)), found.coordinates, rtol=0, atol=1e-12)
    mirrored = principal_components(8 - cloud(2), 3)
    torch.testing.assert_close(mirrored.axes, found.axes, rtol=0, atol=1e-10)
    torch.testing.assert_close(mirrored.coordinates, -found.coordinates, rtol=0, atol=1e-10)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="components = 6: wanted is 1 to 5"):
        principal_components(cloud(), 6)
    with pytest.raises(ValueError, match="all points of a cloud coincide"):
        principal_components(torch.ones(10, 3))
    with pytest.raises(ValueError, match="row 0"):
        principal_components(cloud() * torch.nan)


def test_t_sne_keeps_neighbours_and_treats_each_cloud_alone():
    generator = torch.Generator().manual_seed(1)
    centres = 30 * torch.eye(4, 10, dtype=torch.float64).repeat_interleave(20, dim=0)
    clouds = centres + torch.randn(2, 80, 10, generator=generator, dtype=torch.float64)
    planes = t_sne(clouds, perplexity=10)
    assert planes.shape == (2, 80, 2)
    torch.testing.assert_close(planes[1], t_sne(clouds[1], perplexity=10))
    distances = torch.cdist(planes, planes) + 1e9 * torch.eye(80)
    assert torch.equal(distances.argmin(dim=-1) // 20, (torch.arange(80) // 20).expand(2, -1))
    with pytest.raises(ValueError, match="perplexity = 80: wanted is 1 to 79"):
        t_sne(clouds, perplexity=80)


class NeverReached:
    """In place of scikit-learn."""

    def __init__(self, *args, **settings):
        pass

    def fit_transform(self, cloud):
        raise AssertionError("a degenerate cloud reached the library, which may end the process")


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(40, 3), "all points of a cloud coincide"),
        (torch.full((40, 3), 0.1, dtype=torch.float64), "all points of a cloud coincide"),
        (torch.stack([cloud()[:40], torch.ones(40, 5)]), "all points of a cloud coincide"),
        (cloud()[:1], "all points of a cloud coincide"),
        (cloud()[torch.arange(40) % 5], "perplexity = 5: wanted is 1 to 4, for 5 points that differ"),
        (cloud()[:5], "perplexity = 5: wanted is 1 to 4"),
        (cloud()[:, :1], "points have 1 coordinate"),
        (cloud() * torch.nan, "NaN or infinity"),
        (torch.full((40, 3), torch.inf), "NaN or infinity"),
        (cloud()[:0], "hold nothing"),
        (cloud()[0], r"shape \(5,\)"),
    ],
)
def test_degenerate_clouds_reach_no_library(points, message, monkeypatch):
    monkeypatch.setattr(pytest.importorskip("sklearn.manifold"), "TSNE", NeverReached)
    with pytest.raises(ValueError, match=message):
        t_sne(points, perplexity=5)


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_t_sne_of_huge_and_tiny_clouds_is_finite(size):
    points = cloud()[:30]
    planes = t_sne(size * points, perplexity=5)
    assert planes.isfinite().all()
    assert (planes.std(dim=0) > 1).all()


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_components_do_not_ask_for_the_unit(size):
    plain, found = principal_components(cloud(), 3), principal_components(size * cloud(), 3)
    torch.testing.assert_close(found.explained, plain.explained, rtol=1e-10, atol=0)
    torch.testing.assert_close(found.axes, plain.axes, rtol=0, atol=1e-9)


def test_t_sne_keeps_neighbours_far_from_the_origin():
    """Squares of 1e8 leave no digit of distances of 1."""
    near = torch.randn(60, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul(256).round() / 256
    found = [t_sne(near + offset, perplexity=5) for offset in (2.0**20, 2.0**27)]
    assert torch.equal(*found)
    own = nearest_neighbours(near, 5).indices
    kept = nearest_neighbours(found[0], 5).indices
    assert float((own[:, :, None] == kept[:, None, :]).any(-1).double().mean()) > 0.4


def test_a_cloud_that_coincides_up_to_the_rounding_of_single_precision_has_no_components():
    cloud = torch.full((5, 2), 0.1)
    cloud[2] = torch.tensor(0.3) - 0.2
    assert len(cloud.unique()) == 2
    with pytest.raises(ValueError, match="coincide"):
        principal_components(cloud)
