"""Initial weights: what each kind promises."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.models.initial import INITIALISERS, draw


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("units", [6, 7])
def test_a_rotation_turns_pairs_of_units_by_angles_between_minus_pi_and_0(units):
    matrix = draw("rotation", units, units, gain=1.0, generator=stream())
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(units, dtype=torch.float64), rtol=0, atol=1e-14)
    skew = torch.zeros_like(matrix)
    for at in range(0, units - 1, 2):
        block = matrix[at : at + 2, at : at + 2]
        angle = math.atan2(float(block[0, 1]), float(block[0, 0]))
        assert -math.pi < angle < 0
        skew[at, at + 1], skew[at + 1, at] = angle, -angle
    torch.testing.assert_close(torch.linalg.matrix_exp(skew), matrix, rtol=0, atol=1e-12)


def test_angles_of_rotations_are_uniform():
    blocks = [draw("rotation", 2, 2, gain=1.0, generator=stream(seed)) for seed in range(2000)]
    angles = torch.tensor([math.atan2(float(b[0, 1]), float(b[0, 0])) for b in blocks])
    assert float(angles.mean()) == pytest.approx(-math.pi / 2, abs=0.1)
    assert float(angles.std()) == pytest.approx(math.pi / math.sqrt(12), abs=0.05)


def test_a_rotation_is_square_and_takes_a_gain():
    with pytest.raises(ValueError, match="square, not 4 x 5"):
        draw("rotation", 4, 5, gain=1.0, generator=stream())
    twice, once = (draw("rotation", 4, 4, gain=gain, generator=stream()) for gain in (2.0, 1.0))
    torch.testing.assert_close(twice, 2 * once, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "spread"),
    [("gaussian", math.sqrt(1 / 300)), ("xavier", math.sqrt(2 / 500)), ("uniform", math.sqrt(1 / 900))],
)
def test_standard_deviations(kind, spread):
    matrix = draw(kind, 300, 200, gain=1.0, generator=stream())
    assert float(matrix.std()) == pytest.approx(spread, rel=0.02)
    assert float(matrix.mean()) == pytest.approx(0, abs=0.05 * spread)


def test_every_kind_is_drawn_from_its_generator_alone():
    for kind in INITIALISERS:
        first, again, other = (draw(kind, 4, 4, gain=1.0, generator=stream(seed)) for seed in (1, 1, 2))
        assert torch.equal(first, again), kind
        assert not torch.equal(first, other), kind
    with pytest.raises(KeyError, match="did you mean 'rotation'"):
        draw("rotatoin", 4, 4, gain=1.0, generator=stream())
