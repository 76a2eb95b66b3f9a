"""Rows from arrays with named axes: every number beside its labels, once; what has no place or no value is named."""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch

from dynatlas.artefacts import ArtefactError, check_table
from dynatlas.members import Members
from dynatlas.tables import gathered, tidy

SEEDS, TASKS = [100, 101, 102], ["Go", "Anti"]
DIMS = {"seed": SEEDS, "task": TASKS}
X = np.arange(6.0).reshape(3, 2) / 7


def by_hand(x):
    return {
        (seed, task): float(x[i][j]) for (i, seed), (j, task) in itertools.product(enumerate(SEEDS), enumerate(TASKS))
    }


@pytest.mark.parametrize("members", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "uint8", "bool"])
def test_every_number_stands_beside_its_labels(members, dtype):
    x = (7 * X[:members]).astype(dtype)
    turned = np.array(x, order="F")
    turned.flags.writeable = False
    given = {"a": x, "b": torch.from_numpy(x), "c": turned, "d": x.tolist(), "e": torch.from_numpy(x.T.copy()).T}
    table = tidy(given, {"seed": SEEDS[:members], "task": TASKS}, strategy="MP", magnitude=0.5)
    check_table(table)
    assert len(table) == 2 * members * len(given)
    assert (table["value"].dtype, table["seed"].dtype) == (np.float64, np.int64)
    assert set(table["strategy"]) == {"MP"}
    assert set(table["magnitude"]) == {0.5}
    for row in table.itertuples():
        assert row.value == float(x[SEEDS.index(row.seed), TASKS.index(row.task)])


def test_seeds_may_be_an_axis_or_a_condition_and_one_number_is_that_of_all_rows():
    assert tidy({"a": [1.0, 2.0]}, {"order": [1, 2]}, seed=7)["seed"].tolist() == [7, 7]
    assert tidy({"a": 3.0}, {}, seed=7)["value"].tolist() == [3.0]
    assert tidy({"a": 3, "b": torch.tensor(True)}, DIMS)["value"].tolist() == [3.0] * 6 + [1.0] * 6
    with pytest.raises(ValueError, match="rows have no seed"):
        tidy({"a": [1.0]}, {"order": [1]})


def test_members_give_a_column_for_each_field_of_their_records():
    members = Members(seed=SEEDS, cell=[{"mode": "late", "n": 1.0}, {"mode": "static", "n": 5.0}])
    table = tidy({"a": X}, members, task="copy")
    assert list(table.columns) == ["seed", "mode", "n", "task", "metric", "value"]
    assert {(row.seed, row.mode): row.value for row in table.itertuples()} == {
        (seed, {"Go": "late", "Anti": "static"}[task]): value for (seed, task), value in by_hand(X).items()
    }
    assert table.loc[table["mode"] == "static", "n"].unique().tolist() == [5.0]


def test_a_lost_network_keeps_its_rows():
    x, lost = X.copy(), np.array([False, True, False])
    x[1] = np.nan
    for mask in (lost, torch.from_numpy(lost), np.stack([lost, lost], axis=1)):
        table = tidy({"a": x}, DIMS, lost=mask)
        assert len(table) == 6
        assert table.loc[np.isinf(table["value"]), "seed"].tolist() == [101, 101]
        assert table.loc[table["seed"] == 100, "value"].tolist() == X[0].tolist()
    assert tidy({"a": [np.nan]}, {"seed": [1]}, lost=[True])["value"].tolist() == [np.inf]
    with pytest.raises(ValueError, match=r"metric 'a' is NaN at \{'seed': 101, 'task': 'Go', 'arm': 'own'\}.*`lost`"):
        tidy({"a": x}, DIMS, arm="own")
    with pytest.raises(ValueError, match=r"lost is \(2,\); its axes should be \(seed 3, task 2\)"):
        tidy({"a": x}, DIMS, lost=lost[:2])
    with pytest.raises(ValueError, match="lost holds float64; wanted are booleans"):
        tidy({"a": x}, DIMS, lost=lost.astype(float))


@pytest.mark.parametrize(
    ("values", "dims", "conditions", "message"),
    [
        ({"a": X.T}, DIMS, {}, r"metric 'a' is \(2, 3\); its axes should be \(seed 3, task 2\)"),
        ({"a": [["x"] * 2] * 3}, DIMS, {}, "metric 'a' holds <U1; wanted are real numbers"),
        ({"a": X.astype(complex)}, DIMS, {}, "metric 'a' holds complex128; wanted are real numbers"),
        (
            {"a": torch.ones(3, 2, dtype=torch.complex64)},
            DIMS,
            {},
            "metric 'a' holds complex64; wanted are real numbers",
        ),
        ({"a": X}, DIMS, {"arm": ["own", "other"]}, "condition 'arm' is list, wanted is one word or number"),
        ({"a": X}, DIMS, {"task": "Go"}, "'task' is both an axis and a condition"),
        ({"a": X}, DIMS, {"experiment": "x"}, "'experiment' is a column of every table"),
        ({"a": X}, {"seed": SEEDS, "value": TASKS}, {}, "'value' is a column of every table"),
        ({"a": X}, {"seed": SEEDS, "task": ["Go", "Go"]}, {}, "axis 'task' has the label Go twice"),
    ],
)
def test_what_has_no_place_in_a_table_is_named(values, dims, conditions, message):
    with pytest.raises(ValueError, match=message):
        tidy(values, dims, **conditions)


@gathered
def measure_parts(*, tasks: list[str]) -> Iterator[pd.DataFrame]:
    """Parts."""
    for place, task in enumerate(tasks):
        yield tidy({"a": X[:, place]}, {"seed": SEEDS}, task=task)


def test_parts_of_a_measure_become_one_table():
    whole = measure_parts(tasks=TASKS)
    assert {(row.seed, row.task): row.value for row in whole.itertuples()} == by_hand(X)
    assert (measure_parts.__name__, measure_parts.__doc__) == ("measure_parts", "Parts.")
    check_table(whole)
    with pytest.raises(ArtefactError, match=r"3 rows are not unique in \(seed, task, metric\)"):
        check_table(measure_parts(tasks=["Go", "Go"]))
