"""Identities of the gain-saturation family; claims on planted tables, which come out where they hold."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dynatlas.claims.checks import parse_claims
from dynatlas.claims.decide import decide
from dynatlas.claims.resolve import resolve
from dynatlas.config import read_yaml
from dynatlas.jobs import Job
from dynatlas.studies.adaptive_activation import identities, measure

JOB = Job(study="adaptive-activation", seeds=[0, 1])
CLAIMS = {c.id: c for c in parse_claims(read_yaml(Path(measure.__file__).with_name("claims.yaml")))}
SEEDS = range(100, 108)
TESTED = ("C2", "C3-digits", "C3-copy", "C4", "C5-copy", "C5-digits", "C6")
SHIFTS = ["ramp", "half-sine", "offset +.3", "offset -.3", "gain .5", "gain 2", "noise .2"]


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


def planted(sign: float = 1.0) -> dict[str, pd.DataFrame]:
    """Tables of eight seeds in which every claim holds, or with -1 fails."""
    rng = np.random.default_rng(4)
    tables: dict[str, list[dict]] = {}

    def add(table: str, metric: str, level: float, spread: float = 0.003, **where: object) -> None:
        values = level + spread * rng.normal(size=len(SEEDS))
        rows = [{"seed": s, **where, "metric": metric, "value": v} for s, v in zip(SEEDS, values, strict=True)]
        tables.setdefault(table, []).extend(rows)

    add("performance", "final", 0.9, task="digits", mode="static", n=5.0, s=0.0)
    add("performance", "final", 0.9, task="copy", mode="static", n=20.0, s=0.0)
    for n, s in product((1.0, 5.0, 20.0), (0.0, 0.25, 0.5, 1.0)):
        add("dynamics", "area", 0.5 - sign * s / 3, network="untrained", n=n, s=s)
        add("dynamics", "closeness", -s, 0.05, network="untrained", n=n, s=s)
    for task, mode, score in product(("digits", "copy"), ("heterogeneous", "frozen"), ("final", "area", "loss_area")):
        learns = float(mode != "frozen")
        add("gains", "gain", sign * 0.02 * learns, 0.003 * learns, task=task, mode=mode, score=score)
    for labels, level in (("own", 0.5 + sign * 0.3), ("exchanged", 0.48)):
        add("decoding", "accuracy", level, 0.05, labels=labels)
    for task, cells, corner in product(("digits", "copy"), ("own", "permuted"), measure.CORNERS):
        level = sign * 0.05 if cells == "own" else -0.1
        add("best", "gain", level, task=task, cells=cells, score="final", corner=corner)
    add("adaptation", "accuracy", 0.9, change="none", parameters="nothing")
    for change, parameters in product(SHIFTS, ("shapes", "shapes, shuffled labels")):
        add("adaptation", "gain", sign * 0.1 if parameters == "shapes" else -0.3, change=change, parameters=parameters)
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


@pytest.mark.parametrize("claim", TESTED)
def test_a_claim_comes_out_where_it_holds_and_not_where_it_fails(claim):
    found = decide(resolve(CLAIMS[claim], "quick"), planted())[0]
    assert (found.verdict, found.control_verdict != "reproduced") == ("reproduced", True), found.reason
    assert decide(resolve(CLAIMS[claim], "quick"), planted(-1.0))[0].verdict == "contradicted"


@pytest.mark.parametrize("claim", [one for one in TESTED if one != "C4"])
def test_networks_that_learned_nothing_decide_nothing(claim):
    tables = planted()
    failed = {name: tables[name].assign(value=0.1) for name in ("performance",)}
    accuracy = tables["adaptation"]["metric"] == "accuracy"
    failed["adaptation"] = tables["adaptation"].assign(value=tables["adaptation"]["value"].mask(accuracy, 0.1))
    assert decide(resolve(CLAIMS[claim], "quick"), tables | failed)[0].verdict == "inconclusive"


def test_one_metric_that_falls_takes_a_task_away_and_leaves_the_other():
    tables = planted()
    harmed = (tables["gains"]["task"] == "copy") & (tables["gains"]["score"] == "final")
    harmed &= tables["gains"]["mode"] == "heterogeneous"
    tables["gains"] = tables["gains"].assign(value=tables["gains"]["value"] - 0.04 * harmed)
    verdicts = [decide(resolve(CLAIMS[claim], "quick"), tables)[0].verdict for claim in ("C3-digits", "C3-copy")]
    assert verdicts == ["reproduced", "contradicted"]
