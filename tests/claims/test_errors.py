"""Every mistake in a claim or a table is an error that names itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dynatlas.claims.checks import check_claims, parse_claims
from dynatlas.claims.decide import decide
from dynatlas.claims.tables import ClaimError
from dynatlas.config import ConfigError

SEEDS = range(100, 108)


def table(**changes: object) -> pd.DataFrame:
    """Two arms, two tasks, two metrics, eight seeds."""
    rng = np.random.default_rng(5)
    rows = [
        {"seed": seed, "metric": metric, "arm": arm, "task": task, "value": rng.normal(1.0 + (arm == "new"), 0.1)}
        for seed in SEEDS
        for metric in ("accuracy", "loss")
        for arm in ("new", "old")
        for task in ("copy", "recall")
    ]
    return pd.DataFrame(rows)


def claim(**changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "id": "C1",
        "says": "the new one is better",
        "table": "scores",
        "metric": "accuracy",
        "where": {"task": "copy"},
        "compare": {"treatment": {"arm": "new"}, "reference": {"arm": "old"}},
        "test": "greater",
        "margin": 0.1,
    }
    return {key: value for key, value in (base | changes).items() if value is not None}


DECLARATIONS = {
    "unknown key": (claim(metrc="x"), "C1: metrc: unknown key; did you mean 'metric'?"),
    "unknown test": (claim(test="greatr"), r"test: 'greatr'.*did you mean 'greater'"),
    "statistic as test": (claim(test="monotone"), r"statistic: \{spearman: \{along"),
    "no test": (claim(test=None), "C1: test: this key is missing"),
    "no margin": (claim(margin=None), "C1: margin: this key is missing"),
    "margin of an identity": (
        claim(test="identity", tolerance=0),
        "margin: the test 'identity' reads target, tolerance",
    ),
    "no tolerance": (claim(test="identity", margin=None), "tolerance: this key is missing"),
    "negative tolerance": (claim(test="identity", margin=None, tolerance=-1), "tolerance.*greater than or equal to 0"),
    "equivalence without room": (claim(test="equivalent", margin=0), "needs a margin above 0"),
    "margin on the wrong side": (
        claim(test="less", margin=1),
        "margin: 1.0: .* write a negative one .* or test at_most",
    ),
    "margin in words": (
        claim(margin="much"),
        "margin: 'much': allowed is a finite number, or a mapping of every scale",
    ),
    "margin of a misspelt scale": (claim(margin={"quik": 1}), "margin: 'quik': no such scale; did you mean 'quick'"),
    "nothing selected": (claim(where={"task": None}), "where: task: None: allowed is a word, a number"),
    "margin lacks a scale": (claim(margin={"quick": 0.1}), "margin: none for scale paper, smoke, standard"),
    "unknown scale": (claim(scales=["quik"]), "scales.*quick"),
    "decided where it is not tested": (claim(scales=["paper"], decided_by="quick"), "decided_by: 'quick' is not among"),
    "two forms of compare": (claim(compare={"treatment": {}, "contrast": [{"weight": 1, "select": {}}]}), "allowed is"),
    "two statistics": (
        claim(statistic={"slope": {"along": "a"}, "icc": {"between": "a"}}),
        r"allowed is one of \{spearman: ...\}, \{slope",
    ),
    "spearman without a pair": (claim(statistic={"spearman": {}}), "along: column"),
    "compound without parts": (claim(test="all_of", margin=None), "parts: this key is missing"),
    "compound of one part": (claim(test="all_of", parts=[{}]), "parts: list should have at least 2 items"),
    "parts of no compound": (claim(parts=[{"id": "a"}]), "parts: belongs to all_of"),
    "key of a part": (
        claim(test="any_of", parts=[{"metrc": "a"}, {}]),
        r"parts.0.metrc: unknown key; did you mean 'metric'",
    ),
    "key of a part of a part": (
        claim(test="any_of", parts=[{"test": "all_of", "parts": [{}, {"wher": "less"}]}, {}]),
        r"parts.0.parts.1.wher: unknown key; did you mean 'where'",
    ),
    "all_of of all_of": (
        claim(test="all_of", parts=[{"test": "all_of", "parts": [{}, {}]}, {}]),
        "parts.0: test: all_of: compounds nest one deep: a part of any_of or count_of may be an all_of",
    ),
    "number that a part's test does not read": (
        claim(test="all_of", part_test="greater", parts=[{"tolerance": 1}, {}]),
        "part 1: tolerance: the test 'greater' reads margin",
    ),
    "gate by name in a claim by itself": (claim(gate=["learned"]), "gate: 'learned': the file has no such one"),
    "compounds nest": (
        claim(test="all_of", parts=[{"id": "a", "test": "any_of"}, {"id": "b", "test": "greater"}]),
        "parts.0: test: any_of: compounds nest one deep",
    ),
    "part without test": (claim(test="any_of", parts=[{"id": "a"}, {"id": "b"}]), "part a: test: this key is missing"),
    "same part twice": (
        claim(test="all_of", part_test="greater", parts=[{"id": "a"}, {"id": "a"}]),
        "id 'a' is there twice",
    ),
    "count without wins": (claim(test="count_of", part_test="greater", parts=[{}, {}]), "wins: this key is missing"),
    "more wins than parts": (claim(test="count_of", part_test="greater", wins=3, parts=[{}, {}]), "wins: 3 of 2 parts"),
    "wins of all_of": (claim(test="all_of", part_test="greater", wins=1, parts=[{}, {}]), "wins: count_of"),
    "empty control": (claim(controls=[{}]), "a control must change something"),
    "control is the claim": (claim(controls=[{"metric": "accuracy"}]), "control: it is the claim itself"),
    "replacement meets nothing": (
        claim(controls=[{"metric": "loss", "replace": [{"from": {"arm": "nwe"}, "to": {"arm": "old"}}]}]),
        "no selection contains it",
    ),
    "permutes nothing": (claim(controls=[{"permute": "arm"}]), "permute: 'arm': allowed is what a statistic pairs"),
    "gate without bound": (claim(gate=[{"metric": "loss"}]), "one of `at_least` and `at_most`"),
    "gate lacks a scale": (
        claim(gate=[{"metric": "loss", "at_most": {"quick": 1}}]),
        "gate: none for scale paper, smoke, standard",
    ),
    "censored value lacks a scale": (claim(censored={"value": {"quick": 1}}), "censored.value: none for scale paper"),
    "censored by nothing": (claim(censored={}), "one of `value`, `metric` and `undecided`"),
}


@pytest.mark.parametrize("name", DECLARATIONS)
def test_wrong_declaration(name: str) -> None:
    wrong, message = DECLARATIONS[name]
    with pytest.raises(ConfigError, match=message) as caught:
        parse_claims([wrong], where="claims.yaml")
    assert str(caught.value).startswith("claims.yaml: claim C1: ")
    assert str(caught.value).count("claim C1") == 1


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_claims([claim(metrc=1), claim(id="C2", margin=None), claim(id="C3"), claim(id="C3")])
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["claim C1", "claim C2", "claim C3"]
    assert "C3: this id is there twice" in lines[2]


@pytest.mark.parametrize("content", [None, [], {}, {"claims": []}, "C1", {"claims": {"id": "C1"}}])
def test_no_claims(content: object) -> None:
    with pytest.raises(ConfigError, match="a list of at least one claim"):
        parse_claims(content)


def test_part_may_not_hide_from_a_control() -> None:
    parts = [{"id": "a", "metric": "loss"}, {"id": "b"}]
    wrong = claim(test="all_of", part_test="greater", parts=parts, controls=[{"metric": "error"}])
    with pytest.raises(ConfigError, match="control: metric: part a has its own; use `replace`"):
        parse_claims([wrong])


PLANS = {
    "unknown table": (claim(table="score"), "table: 'score': no measure of this name; did you mean 'scores'"),
    "no table": (claim(table=None), "table: this key is missing"),
    "unknown metric": (claim(metric="acuracy"), "metric: 'acuracy'.*did you mean 'accuracy'"),
    "no metric": (claim(metric=None), "metric: this key is missing"),
    "metric of an arm": (
        claim(compare={"treatment": {"arm": "new"}, "reference": {"metric": "los"}}),
        "metric: 'los'.*did you mean 'loss'",
    ),
    "metric of a control": (claim(controls=[{"metric": "los"}]), "metric: 'los'"),
    "metric of a gate": (claim(gate=[{"metric": "los", "at_most": 1}]), "metric: 'los'"),
    "metric of a correlation": (claim(statistic={"spearman": {"with": "los"}}), "metric: 'los'"),
    "metric of a censoring": (claim(censored={"metric": "los"}), "metric: 'los'"),
    "no control": (claim(), "controls: this key is missing"),
    "undecided": (claim(), "decided_by: this key is missing"),
}


@pytest.mark.parametrize("name", PLANS)
def test_claim_against_plan(name: str) -> None:
    wrong, message = PLANS[name]
    with pytest.raises(ConfigError, match=message):
        check_claims(parse_claims([wrong]), {"scores": ["accuracy", "loss"], "other": ["rank"]})


def test_sound_claim_passes_the_plan() -> None:
    sound = claim(controls=[{"where": {"task": "recall"}}], decided_by="quick", rests_on="experiment")
    assert check_claims(parse_claims([sound]), {"scores": ["accuracy", "loss"]}) is None


def without(frame: pd.DataFrame, **conditions: object) -> pd.DataFrame:
    mask = np.logical_and.reduce([frame[name] == value for name, value in conditions.items()])
    return frame[~mask]


def with_value(frame: pd.DataFrame, value: float, **conditions: object) -> pd.DataFrame:
    mask = np.logical_and.reduce([frame[name] == one for name, one in conditions.items()])
    return frame.assign(value=frame["value"].where(~mask, value))


CELL = {"seed": 103, "metric": "accuracy", "arm": "old", "task": "copy"}
NEW_ONLY = {"treatment": {"arm": "new"}}
RATIO = {"spearman": {"along": "task"}}
TABLES = {
    "groups of no condition": (
        claim(where={}, compare={"treatment": {}}, statistic={"icc": {"between": "tsk"}}),
        table(),
        "between: no condition column 'tsk'; did you mean 'task'",
    ),
    "groups without variance": (
        claim(where={}, compare={"treatment": {}}, statistic={"icc": {"between": "task"}}),
        table().assign(value=1.0),
        "task or the metric is constant.*no group has two rows",
    ),
    "NaN": (claim(), with_value(table(), np.nan, **CELL), "NaN: seed 103 of {arm: old, task: copy}"),
    "condition without a name": (
        claim(),
        table().assign(task=table()["task"].mask(table().index == 3)),
        "metric accuracy: task is NaN in 1 of 32 rows",
    ),
    "row without a metric": (
        claim(),
        table().assign(metric=table()["metric"].mask(table().index < 2)),
        "2 rows name no metric",
    ),
    "seeds as text": (claim(), table().assign(seed=table()["seed"].astype(str)), "seed '100': allowed are whole"),
    "seeds as fractions": (claim(), table().assign(seed=table()["seed"] / 100), r"seed 1\.01: allowed are whole"),
    "no seed": (claim(), table().assign(seed=table()["seed"].where(table().index > 0)), "seed nan: allowed are whole"),
    "half precision": (claim(), table().assign(size=np.float16(0.5)), "column size is of float16"),
    "values as text": (claim(), table().assign(value="much"), "value: .* holds what is no real number"),
    "missing seed": (claim(), without(table(), **CELL), "no row for seed 103"),
    "missing condition": (
        claim(where={}, reduce={"task": "mean"}),
        without(table(), **CELL),
        "no row for seed 103 of {arm: old, task: copy}",
    ),
    "repeated row": (claim(), pd.concat([table(), table().iloc[:1]]), "more than one row for seed 100"),
    "several rows a seed": (claim(where={}), table(), "task is free; fix it in `where` or `compare`, or `reduce` it"),
    "unknown metric": (claim(metric="acuracy"), table(), "'acuracy' is not in the table; did you mean 'accuracy'"),
    "unknown column": (claim(where={"tasks": "copy"}), table(), "no condition column 'tasks'; did you mean 'task'"),
    "unknown value": (claim(where={"task": "cpoy"}), table(), "task: 'cpoy' does not occur; did you mean 'copy'"),
    "empty selection": (
        claim(where={"task": "copy"}),
        without(table(), arm="new", task="copy"),
        "is empty: each value occurs, but never together",
    ),
    "infinite value": (claim(), with_value(table(), np.inf, **CELL), "a non-finite value .*: seed 103"),
    "no logarithm": (claim(transform="log"), with_value(table(), -1, **CELL), "log: -1.0 is not positive: seed 103"),
    "reduces an unknown column": (claim(reduce={"tsk": "mean"}), table(), "reduce: no condition column 'tsk'"),
    "not numeric": (claim(where={}, compare=NEW_ONLY, statistic=RATIO), table(), "2 conditions; a relation needs"),
    "one seed": (claim(), table().query("seed == 100"), "one seed only"),
    "differs though exact": (claim(exact=True), table(), "exact: the seeds differ"),
    "no column": (claim(), table().drop(columns="metric"), "has no column 'metric'"),
    "no single metric": (claim(metric=None), table(), "a selection reads one metric"),
    "bad gate": (claim(gate=[{"metric": "los", "at_least": 0}]), table(), "gate: .*metric 'los' is not in"),
    "bad control": (
        claim(controls=[{"where": {"task": "x"}}]),
        table(),
        "controls: where task: x: .*'x' does not occur",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_table_cannot_answer(name: str) -> None:
    asked, frame, message = TABLES[name]
    with pytest.raises(ClaimError, match=message) as caught:
        decide(asked, frame, study="mine")
    assert str(caught.value).startswith("mine: claim C1: ") or name == "no column"


def test_unpaired_seeds() -> None:
    frame = table()
    deterministic = claim(exact=True, compare={"treatment": {"arm": "new"}, "reference": {"arm": "old"}})
    with pytest.raises(ClaimError, match="unpaired: one side has seeds"):
        decide(deterministic, without(frame, **CELL))


def test_unpaired_conditions_of_an_identity() -> None:
    same = claim(where={}, test="identity", margin=None, tolerance=1.0)
    with pytest.raises(ClaimError, match=r"unpaired rows: \{'task': 'recall'} is on one side only"):
        decide(same, without(table(), arm="old", task="recall"))


def test_expected_seeds_are_held() -> None:
    with pytest.raises(ClaimError, match="no row for seed 108"):
        decide(claim(), table(), seeds=[*SEEDS, 108])
    with pytest.raises(ClaimError, match="rows for seed 107, which is not among"):
        decide(claim(), table(), seeds=list(SEEDS)[:-1])
    for wrong in ("100", 1.5, np.nan, True):
        with pytest.raises(ClaimError, match=r"seeds: seed .*: allowed are whole numbers"):
            decide(claim(), table(), seeds=[wrong])


def test_unknown_table_is_named() -> None:
    with pytest.raises(ClaimError, match="table 'scores' is not there; did you mean 'score'"):
        decide(claim(), {"score": table(), "else": table()})


def test_part_at_fault_is_named() -> None:
    parts = [{"id": "fine"}, {"id": "odd", "metric": "rank"}]
    with pytest.raises(ClaimError, match=r"claim C1: part odd: .*metric 'rank' is not in"):
        decide(claim(test="all_of", part_test="greater", parts=parts), table())


def test_constant_metric_has_no_rank_order() -> None:
    frame = pd.DataFrame(
        [
            {"seed": s, "metric": "acc", "noise": x, "value": 1.0 if s == 2 else x}
            for s in range(3)
            for x in (0.1, 0.2, 0.3)
        ]
    )
    rising = {"id": "C", "says": "rises", "metric": "acc", "test": "at_least", "margin": 0.5}
    with pytest.raises(ClaimError, match="seed 2: noise or the metric is constant"):
        decide(rising | {"statistic": {"spearman": {"along": "noise"}}}, frame)
