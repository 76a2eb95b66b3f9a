"""Claims held against the columns and values that tables declare at each scale."""

import pytest

from dynatlas.claims.checks import check_claims, parse_claims
from dynatlas.config import ConfigError
from dynatlas.table_schema import TableSchema

SOUND = {
    "id": "C1", "says": "a is above b", "table": "t", "metric": "m", "rests_on": "experiment", "decided_by": "quick",
    "scales": ["quick", "paper"], "where": {"rate": 0.1}, "reduce": {"task": "mean"}, "test": "greater", "margin": 0,
    "compare": {"treatment": {"arm": "a"}, "reference": {"arm": ["b", "c"]}},
    "controls": [{"says": "b for a", "replace": [{"from": {"arm": "a"}, "to": {"arm": "b"}}]}],
    "gate": [{"metric": "m", "where": {"arm": "a"}, "reduce": {"task": "mean"}, "at_least": 0.5}],
}  # fmt: skip
COLUMNS = {"arm": ["a", "b", "c"], "rate": [0.1, 0.3], "task": "str", "step": "int"}
QUICK = TableSchema({"m": (0.0, 1.0)}, COLUMNS)
PAPER = TableSchema({"m": (0.0, 1.0)}, COLUMNS | {"rate": [0.1]})
STATISTIC = {"statistic": {"slope": {"along": "step"}}, "compare": {"treatment": {"arm": "a"}}}


def check(claim):
    check_claims(parse_claims([claim]), {"t": ["m"]}, tables={"quick": {"t": QUICK}, "paper": {"t": PAPER}})


@pytest.mark.parametrize("change", [{}, STATISTIC, {"where": {"rate": [0.1], "step": 3}}])
def test_what_tables_declare_is_let_through(change):
    check(SOUND | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"where": {"rat": 0.1}}, "claim C1: no column 'rat'; did you mean 'rate'.* in table t at scale quick"),
        ({"where": {"rate": 0.2}}, "rate: 0.2: no such value"),
        ({"where": {"rate": 0.3}}, r"rate: 0.3: no such value.*in table t at scale paper$"),
        ({"where": {"step": 0.5}}, "step: 0.5: this column holds whole numbers"),
        ({"compare": {"treatment": {"arm": "a"}, "reference": {"arm": ["b", "d"]}}}, "arm: 'd': no such value"),
        ({"reduce": {"taks": "mean"}}, "reduce: no column 'taks'; did you mean 'task'"),
        ({"reduce": {"value": "mean"}}, "reduce: 'value' is no condition"),
        ({"controls": [{"says": "x", "where": {"arm": "aa"}}]}, "arm: 'aa': no such value"),
        ({"gate": [SOUND["gate"][0] | {"where": {"arm": "x"}}]}, "arm: 'x': no such value"),
        (STATISTIC | {"statistic": {"slope": {"along": "stpe"}}}, "statistic: no column 'stpe'; did you mean 'step'"),
    ],
)
def test_a_column_or_value_that_no_table_has_is_named_before_any_job(change, message):
    with pytest.raises(ConfigError, match=message):
        check(SOUND | change)


def test_a_table_that_a_tested_scale_does_not_make_is_named():
    with pytest.raises(ConfigError, match="table: 't': not made at scale paper"):
        check_claims(parse_claims([SOUND]), {"t": ["m"]}, tables={"quick": {"t": QUICK}, "paper": {}})
