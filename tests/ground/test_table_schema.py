"""What a measure declares of its table: resolved at a scale, held against selections and against what was made."""

from math import inf
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dynatlas.columns import schema_of, schemas_of
from dynatlas.config import ConfigError
from dynatlas.declarations import MeasureSpec
from dynatlas.table_schema import TableSchema

NUMBERS = {
    "seeds": 2,
    "rates": [0.1, 0.3],
    "cells": {"rnn": 8, "gru": 6},
    "last": 3,
    "grids": {"a": {"n": [1, 5]}, "b": {"n": [5, 9]}},
}
SCHEMA = TableSchema({"error": (0.0, 1.0)}, {"rate": [0.1, 0.3], "arm": ["own", "other"], "unit": "int"})
FRAME = pd.DataFrame(
    {
        "seed": [0, 0, 1, 1], "metric": "error", "value": [0.1, 0.2, 1.0, 0.0],
        "rate": [0.1, 0.3, 0.1, 0.3], "arm": ["own", "other"] * 2, "unit": [1, 2, 3, 4],
    }
)  # fmt: skip


def resolved(columns, numbers=NUMBERS):
    content = {"call": "measure", "metrics": {"error": "real"}, "columns": columns}
    return schema_of(MeasureSpec.model_validate(content), numbers, "toy.yaml").columns


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("=rates", [0.1, 0.3]),
        ("=cells", ["rnn", "gru"]),
        ("=last", [3]),
        ("=grids.b.n", [5, 9]),
        ("=grids.*.n", [1, 5, 9]),
        ([0, "=rates", "=cells"], [0, 0.1, 0.3, "rnn", "gru"]),
        ([True, False], [True, False]),
        ({"from": 1, "to": "=last"}, [1, 2, 3]),
        ({"from": -1, "to": 0}, [-1, 0]),
        ({"values": "=cells", "without": ["rnn"]}, ["gru"]),
        ("int", "int"),
    ],
)
def test_columns_take_their_values_from_the_numbers_of_the_scale(declared, values):
    assert resolved({"x": declared}) == {"x": values}


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("=rate", "toy.yaml.columns.x: '=rate': there is no 'rate'; did you mean 'rates'"),
        ("=grids.a.m", "there is no 'm'"),
        ("=last.deeper", "there is no 'deeper'"),
        ({"from": 4, "to": "=last"}, "x.to: '=last': allowed is a whole number of at least 4"),
        ({"from": 1, "to": "=cells"}, "x.to: '=cells': allowed is a whole number"),
        ({"values": "=cells", "without": ["rn"]}, "x.without: 'rn': no such value; did you mean 'rnn'"),
        ({"values": "=cells", "without": ["rnn", "gru"]}, "no values are left"),
        ([], "no values are left"),
    ],
)
def test_columns_that_cannot_be_resolved_are_named(declared, message):
    with pytest.raises(ConfigError, match=message):
        resolved({"x": declared})


def test_a_table_that_is_made_elsewhere_has_no_schema_here():
    measures = {
        "both": MeasureSpec(call="a", metrics={"error": [0, 1]}),
        "late": MeasureSpec(call="a", metrics={"error": "nonnegative"}, scales=["paper"]),
    }
    spec = SimpleNamespace(study="toy", numbers_at=lambda scale: NUMBERS, measures=measures)
    assert schemas_of(spec, "quick") == {"both": TableSchema({"error": (0.0, 1.0)}, {})}


def test_a_table_as_declared_has_no_problems():
    assert not list(SCHEMA.problems(FRAME))
    assert not list(SCHEMA.problems(FRAME.assign(rate=FRAME["rate"].astype("float32"))))
    nearly = np.nextafter(np.float32(1), np.float32(2))
    assert not list(SCHEMA.problems(FRAME.assign(value=nearly)))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (FRAME.assign(metric="eror"), ["declares the metrics error but made eror"]),
        (FRAME.drop(columns="arm"), ["declares the columns rate, arm, unit but made rate, unit"]),
        (
            FRAME.assign(rate=[0.1, 0.2] * 2),
            ["rate: made 0.2, declared is no such value", "declared, but not made: 0.3"],
        ),
        (FRAME.assign(rate=0.1), ["rate: declared, but not made: 0.3"]),
        (FRAME.assign(rate=["0.1", "0.3"] * 2), ["rate: made '0.1'"]),
        (FRAME.assign(unit=[1.0, 2.5, 3.0, 4.0]), ["unit: declared are whole numbers, made are float64"]),
        (FRAME.assign(unit=True), ["unit: declared are whole numbers, made are bool"]),
        (FRAME.assign(value=[0, 0, 0, 1.01]), ["error: declared within [0, 1], but 1 of 4 values are not, first 1.01"]),
        (FRAME.assign(value=[-0.01, 0, -inf, 1]), ["2 of 4 values are not, first -0.01"]),
        (FRAME.assign(value=[inf, 0, 0, 1]), ["1 of 4 values are not, first inf"]),
    ],
)
def test_what_a_table_holds_beside_its_declaration_is_named(frame, words):
    found = "\n".join(SCHEMA.problems(frame))
    assert all(word in found for word in words), found


def test_a_part_of_a_table_need_not_have_every_value():
    part = TableSchema(SCHEMA.metrics, SCHEMA.columns, axes={"rate": 0.1})
    assert not list(part.problems(FRAME[FRAME["rate"] == 0.1]))
    assert list(SCHEMA.problems(FRAME[FRAME["rate"] == 0.1]))


@pytest.mark.parametrize("bounds", [(-inf, inf), (0.0, inf)])
def test_an_infinite_end_includes_infinity(bounds):
    schema = TableSchema({"error": bounds}, SCHEMA.columns)
    assert not list(schema.problems(FRAME.assign(value=[inf, 0, 0, 1])))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("rate", 0.1, ""),
        ("unit", 7, ""),
        ("experiment", "anything", ""),
        ("rat", 0.1, "no column 'rat'; did you mean 'rate'"),
        ("rate", 0.2, "rate: 0.2: no such value"),
        ("arm", "onw", "arm: 'onw': no such value; did you mean 'own'"),
        ("unit", 1.5, "unit: 1.5: this column holds whole numbers"),
        ("unit", True, "unit: True: this column holds whole numbers"),
        ("rate", True, "rate: True: no such value"),
    ],
)
def test_a_selection_that_finds_nothing_is_known_before_there_is_a_table(column, value, message):
    found = SCHEMA.unknown(column, value)
    assert message in found
    assert bool(found) == bool(message)
