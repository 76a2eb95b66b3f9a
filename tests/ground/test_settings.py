"""Numbers with types: what is refused, what comes through as it was, and from which tree types are read."""

import json
from math import inf, nan

import pytest
from pydantic import TypeAdapter, ValidationError

from dynatlas.config import ConfigError
from dynatlas.fingerprint import CodeIndex
from dynatlas.settings import (
    Ascending,
    Count,
    Index,
    Named,
    NonNegative,
    Positive,
    PositiveOrInfinite,
    Real,
    Several,
    Share,
    Span,
    Switch,
    Whole,
    Word,
)
from dynatlas.signatures import Signatures

TYPES = '''
from typing import Annotated, Literal

from pydantic import Field

from dynatlas.settings import Count, Named, PositiveOrInfinite, Real, Settings, Several

Kind = Literal["plain", "noisy"]
Rates = Several[Real]
Steps = Annotated[Count, Field(description="updates")]


class Ridge(Settings):
    """A readout."""

    penalty: PositiveOrInfinite
    folds: Count = 5


Readouts = Named[Ridge]
'''
TRAIN = """
def train(job, *, kind: Kind, rates: Rates, steps: Steps | None, readouts: Readouts, cells: dict[Kind, Steps]): ...
def bare(job, *, steps, rate: float, kind: Knid): ...
"""
CALL = "dynatlas.studies.toy.train:train"
GOOD = {
    "kind": "plain", "rates": [1, 0.5], "steps": None, "readouts": {"a": {"penalty": inf}}, "cells": {"noisy": 3},
}  # fmt: skip


@pytest.fixture
def signatures(tmp_path):
    folder = tmp_path / "src" / "dynatlas" / "studies" / "toy"
    folder.mkdir(parents=True)
    (folder / "settings.py").write_text(TYPES)
    (folder / "train.py").write_text(TRAIN)
    return Signatures(CodeIndex(tmp_path / "src"))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Real, [0, -1, 0.5], ["0.1", True, None, nan, inf, [1]]),
        (Positive, [1, 0.5], [0, -1, "1", True, inf]),
        (NonNegative, [0, 0.0], [-1, nan]),
        (PositiveOrInfinite, [inf, 1], [0, -inf, nan, "inf"]),
        (Share, [0, 1, 0.5], [-0.1, 1.1, True]),
        (Whole, [-1, 0], [1.0, True, "1"]),
        (Count, [1], [0, 1.0, True]),
        (Index, [0], [-1, 0.5, False]),
        (Switch, [True], [1, "true", None]),
        (Word, ["a"], ["", 1, None]),
        (Several[Real], [[1], [2, 1]], [[], [1, 1], 1, ["a"]]),
        (Ascending[Index], [[0, 1]], [[], [1, 0], [1, 1]]),
        (Span[Real], [[1, 2], [1, 1]], [[2, 1], [1], [1, 2, 3]]),
        (Named[Count], [{"a": 1}], [{}, {"a": 0}, {1: 1}]),
    ],
)
def test_numbers_are_strict_and_stay_as_they_were(kind, good, bad):
    adapter = TypeAdapter(kind)
    for value in good:
        found = adapter.validate_python(value)
        assert (found, repr(found)) == (value, repr(value))
    for value in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


def test_settings_are_plain_json_with_all_defaults(signatures):
    plain = signatures.plain(CALL, GOOD, "toy.yaml: lines")
    assert plain == GOOD | {"readouts": {"a": {"penalty": inf, "folds": 5}}}
    assert [type(rate) for rate in plain["rates"]] == [int, float]
    assert json.loads(json.dumps(plain)) == plain
    assert signatures.plain(CALL, plain, "again") == plain


def test_a_function_is_given_what_its_annotations_name(signatures):
    typed = signatures.typed(CALL, GOOD)
    ridge = typed["readouts"]["a"]
    assert (ridge.penalty, ridge["folds"], dict(**ridge)) == (inf, 5, {"penalty": inf, "folds": 5})
    with pytest.raises(KeyError):
        ridge["fold"]
    with pytest.raises(ValidationError):
        ridge.folds = 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "nosy"}, "lines.kind: 'nosy': allowed is 'plain' or 'noisy'; did you mean 'noisy'"),
        ({"steps": 0}, "lines.steps: 0: allowed is greater than 0"),
        ({"rates": [0.1, "x"]}, "lines.rates.1: 'x': allowed is a number"),
        ({"readouts": {"a": {"penalty": 1, "fold": 3}}}, "readouts.a: no number 'fold'; did you mean 'folds'"),
        ({"readouts": {"a": {}}}, "lines.readouts.a.penalty: this number is missing"),
        ({"cells": {"nosy": 3}}, "lines.cells.nosy: 'nosy': allowed is 'plain' or 'noisy'; did you mean 'noisy'"),
    ],
)
def test_what_a_type_refuses_is_named(signatures, change, message):
    with pytest.raises(ConfigError, match=message):
        signatures.plain(CALL, GOOD | change, "toy.yaml: lines")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("steps", "steps: no annotation; it names a type of the study's settings.py"),
        ("rate", "rate: float: float is no type of the study's settings.py"),
        ("kind", "Knid is no type of the study's settings.py; did you mean 'Kind'"),
    ],
)
def test_an_annotation_names_a_type_of_the_settings(signatures, argument, message):
    with pytest.raises(ConfigError, match=message):
        signatures.plain("dynatlas.studies.toy.train:bare", {argument: 1}, "toy.yaml: lines")


def test_types_are_those_of_the_tree_that_is_planned(signatures, tmp_path):
    path = tmp_path / "src" / "dynatlas" / "studies" / "toy" / "settings.py"
    path.write_text(TYPES.replace('"plain"', '"even"'))
    with pytest.raises(ConfigError, match="'even' or 'noisy'"):
        Signatures(CodeIndex(tmp_path / "src")).plain(CALL, GOOD, "toy.yaml: lines")
    path.write_text(TYPES.replace("Several[Real]", "Severl[Real]"))
    with pytest.raises(ConfigError, match=r"settings.py: NameError: name 'Severl'"):
        Signatures(CodeIndex(tmp_path / "src")).plain(CALL, GOOD, "toy.yaml: lines")
