"""Identities of the gain-saturation family, and what is drawn of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dynatlas.claims.checks import parse_claims
from dynatlas.claims.decide import decide
from dynatlas.claims.resolve import resolve
from dynatlas.config import read_yaml
from dynatlas.jobs import Job
from dynatlas.studies.adaptive_activation import identities, measure

JOB = Job(study="adaptive-activation", seeds=[0, 1])
CLAIMS = {c.id: c for c in parse_claims(read_yaml(Path(measure.__file__).with_name("claims.yaml")))}


def test_identities_hold_and_fail_with_another_gain():
    table = identities.measure_identities(JOB)
    assert set(table["seed"]) == {0, 1}
    found = decide(resolve(CLAIMS["C1"], "quick"), table)
    assert [(row.verdict, row.control_verdict) for row in found[:1]] == [("reproduced", "contradicted")]
    assert len(found) == 1 + len(identities.IDENTITIES)


def test_the_family_is_drawn_as_it_is():
    table = identities.measure_family(JOB, curves=[[1, 0], [5, -0.25]], limit=2, points=5, gains=[1, 4], cells=3)
    own_ = table.query("metric == 'activation' and n == 1").set_index("x")["value"]
    assert own_[2.0] == pytest.approx(math.log1p(math.exp(2)))
    slopes = table.query("metric == 'largest_slope'").set_index(["n", "s"])["value"]
    assert slopes[(1.0, 0.0)] == 1
    assert slopes[(4.0, 1.0)] == pytest.approx(1)
