"""Vectors to classify: how they are cut, standardised, and laid out as images again."""

from __future__ import annotations

import pytest
import torch

from dynatlas.datasets.labelled import Labelled, Split
from dynatlas.problems import vectors
from dynatlas.problems.vectors import vector_problem


@pytest.mark.parametrize(
    ("name", "sizes", "classes"), [("digits", (1000, 797, 64), 10), ("manifold", (1000, 800, 100), 4)]
)
def test_problems_are_standardised_and_cut_without_overlap(name, sizes, classes):
    problem = vector_problem(name)
    train, test = problem.data.train, problem.data.test
    assert (len(train), len(test), train.x.shape[1]) == sizes
    whole = torch.cat([train.x, test.x])
    assert float(whole.mean()) == pytest.approx(0, abs=1e-4)
    assert float(whole.std()) == pytest.approx(1, rel=1e-3)
    assert len(torch.unique(whole, dim=0)) >= len(whole) - 2
    assert int(train.y.max()) + 1 == classes == problem.classes


def test_published_images_are_standardised_over_both_parts(monkeypatch):
    numbers = torch.randn(9, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    parts = Split(Labelled(numbers[:6], torch.arange(6)), Labelled(numbers[6:], torch.arange(3)))
    monkeypatch.setattr(vectors, "image_split", lambda name, *, test, folder: parts)
    problem = vector_problem("cifar10")
    train, test = problem.data.train, problem.data.test
    wanted = ((numbers - numbers.mean()) / numbers.std()).flatten(1)
    torch.testing.assert_close(torch.cat([train.x, test.x]), wanted)
    assert (len(train), problem.classes, problem.image_shape) == (6, 6, (3, 4, 5))
    assert torch.equal(test.y, parts.test.y)


def test_latent_variables_are_cut_as_the_points_are():
    problem = vector_problem("manifold")
    for points, latents in ((problem.data.train, problem.latents.train), (problem.data.test, problem.latents.test)):
        z = latents.x
        assert torch.equal(2 * (z[:, 0] > 0).long() + (z[:, :2].prod(1) > 0).long(), points.y)


def test_images_keep_their_pixels():
    problem = vector_problem("digits")
    pictures = problem.as_images(problem.data.test.x[:5])
    assert pictures.shape == (5, 1, 8, 8)
    assert torch.equal(pictures.flatten(1), problem.data.test.x[:5])
    manifold = vector_problem("manifold")
    with pytest.raises(ValueError, match="need images"):
        manifold.as_images(manifold.data.test.x)


def test_unknown_data_are_answered_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        vector_problem("digit")
