"""Small mistakes in the declarations of the studies are refused before any job; here a sample, `make mutants` all."""

import pytest
from mutants import Study, mutants

from dynatlas.atlas import ROOT, Atlas

SAMPLE = 25
"""So many mutants of each study's yaml, and of its claims."""


@pytest.fixture(scope="module")
def atlas():
    return Atlas(ROOT)


@pytest.mark.parametrize(
    "name", ["adaptive-activation", "dimensionality", "lyapunov", "rnn-geometry", "task-primitives"]
)
def test_a_small_mistake_is_refused_or_harmless(atlas, name):
    study = Study(atlas, name)
    for file, content in (("yaml", study.yaml), ("claims", study.claims)):
        listed = list(mutants(content))
        assert len(listed) > 500
        sample = listed[:: len(listed) // SAMPLE]
        assert [f"{one.where}: {one.kind}" for one in sample if study.escapes(one, file)] == []


def test_a_change_that_nothing_refuses_would_be_found(atlas):
    study = Study(atlas, "rnn-geometry")
    other = study.yaml | {"numbers": study.yaml["numbers"] | {"trials": 51}}
    assert study.escapes(next(mutants(study.yaml)).__class__("numbers.trials", "neighbour", other), "yaml")
