"""The identities of the family hold to rounding, and none does with another gain."""

from __future__ import annotations

import pytest

from dynatlas.models.gain_saturation_identities import IDENTITIES

LARGEST = {"softplus": 1e-14, "sigmoid": 1e-14, "ReLU": 1e-14, "gauge": 1e-13, "steepest": 1e-8, "gradients": 1e-10}


@pytest.mark.parametrize("name", IDENTITIES)
def test_an_identity_holds_and_fails_with_another_gain(name):
    assert IDENTITIES[name](0.0) <= LARGEST[name]
    assert IDENTITIES[name](1.0) > 1e-3
