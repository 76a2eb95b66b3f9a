"""The tests' own tools: order and costs of tests, and results that are handed over only where they are of this code."""

from __future__ import annotations

import json

import builds
import compute
import numpy as np
import pandas as pd
import pytest
import same_values
import schedule

from dynatlas.artefacts import write_run
from dynatlas.atlas import Atlas

FIGURE = "tests/contracts/test_figures.py::TestEveryFigure::test_{check}[{case}]"


def test_units_stay_together_the_dearest_first_and_those_that_wait_last():
    cost = {"a.py::one": 1.0, "b.py::one": 1.0, "a.py::two": 0.5, "c.py::x": 9.0, "b.py::two": 2.0}
    ordered = schedule.in_order(list(cost), cost, late=["c.py::x"])
    assert ordered == ["b.py::one", "b.py::two", "a.py::one", "a.py::two", "c.py::x"]


def test_tests_that_mostly_wait_begin_before_dearer_ones_of_their_kind():
    cost = {"tests/workflow/a.py::x": 9.0, "tests/slurm/b.py::one": 1.0, "tests/slurm/b.py::two": 1.0, "c.py::x": 0.1}
    ordered = schedule.in_order(list(cost), cost, late=[test for test in cost if test != "c.py::x"])
    assert ordered == ["c.py::x", "tests/slurm/b.py::one", "tests/slurm/b.py::two", "tests/workflow/a.py::x"]


def test_checks_of_one_figure_are_one_unit_and_tests_of_the_engine_each_their_own():
    checks = [FIGURE.format(check=check, case=case) for check in ("a", "b") for case in ("x-y", "x-z")]
    assert len({schedule.unit_of(test) for test in checks}) == 2
    assert schedule.unit_of(checks[0]) == schedule.unit_of(checks[2])
    assert schedule.unit_of("tests/workflow/test_a.py::b[c]") == "tests/workflow/test_a.py::b[c]"
    assert schedule.unit_of("tests/site/test_a.py::b[c]") == "tests/site/test_a.py"


def test_costs_of_several_runs_are_kept_and_cheap_tests_are_not_written_down(tmp_path):
    assert schedule.read_costs(tmp_path) == {}
    schedule.keep_costs(tmp_path, {"a": 2.0, "b": 3.0, "c": 0.001})
    schedule.keep_costs(tmp_path, {"b": 1.0})
    assert schedule.read_costs(tmp_path) == {"a": 2.0, "b": 1.0}
    assert json.loads(schedule.costs_path(tmp_path).read_text())


def test_results_are_taken_only_if_whole_and_of_this_plan(tmp_path):
    atlas = Atlas(overrides={"scale": "smoke"})
    node = next(one for one in compute.computing_nodes(atlas, list(atlas.studies)) if one.step == "train")
    path = tmp_path / node.outputs[0]
    assert not compute.is_made(node, tmp_path)
    write_run(path, {**node.provenance, "key": "0" * 64}, {"x": np.arange(3)})
    assert not compute.is_made(node, tmp_path), "made by other code"
    write_run(path, node.provenance, {"x": np.arange(3)})
    assert compute.is_made(node, tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert not compute.is_made(node, tmp_path), "damaged"


def test_a_stale_folder_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"DYNATLAS_SMOKE=.*results/smoke/\S+ is missing, damaged or not of this code"):
        builds.check_tables(tmp_path)


def _results(folder, rows):
    (folder / "tables").mkdir(parents=True)
    for part, some in rows.items():
        pd.DataFrame(some).to_parquet(folder / "tables" / f"{part}.parquet")
    return folder


def test_results_are_compared_by_value_whatever_the_order_parts_and_kind_of_number(tmp_path):
    row = {"seed": 100, "metric": "loss", "rate": 1, "value": 0.1}
    before = _results(tmp_path / "a", {"losses": [row, row | {"rate": 2, "value": 0.2}]})
    parts = {"losses@rate=2": [row | {"rate": 2.0, "value": 0.2}], "losses@rate=1": [row | {"rate": 1.0}]}
    assert not any(wrong for _, _, wrong in same_values.compare(before, _results(tmp_path / "b", parts), {}))
    came = {"losses": [row, row | {"rate": 2, "value": 0.2}, row | {"rate": 3}]}
    _, lines, wrong = next(same_values.compare(before, _results(tmp_path / "c", came), {}))
    assert lines[0] == "1 came"
    assert not wrong
    moved = {"losses": [row | {"value": 0.1 + 2**-56}, row | {"rate": 2, "value": 0.2}]}
    assert next(same_values.compare(before, _results(tmp_path / "d", moved), {}))[2], "the last bit moved"
    assert next(same_values.compare(before, _results(tmp_path / "e", {"losses": [row]}), {}))[2], "a row went"


def test_verdicts_are_compared_number_by_number(tmp_path):
    before, after = (_results(tmp_path / name, {"losses": [{"seed": 1, "metric": "m", "value": 0.0}]}) for name in "ab")
    row = {"id": "C1", "verdict": "reproduced", "effect": 0.5, "claim_hash": "x"}
    for folder, over in ((before, {}), (after, {"claim_hash": "y"})):
        (folder / "claims.json").write_text(json.dumps({"rows": [row | over]}))
    assert [wrong for _, _, wrong in same_values.compare(before, after, {})] == [False, False]
    (after / "claims.json").write_text(json.dumps({"rows": [row | {"effect": 0.5000001}]}))
    assert [wrong for _, _, wrong in same_values.compare(before, after, {})] == [False, True]
