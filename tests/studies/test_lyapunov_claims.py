"""The claims of lyapunov on planted tables: they come out where they hold, and not where arms are exchanged."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dynatlas.claims.checks import parse_claims
from dynatlas.claims.decide import decide
from dynatlas.claims.resolve import resolve
from dynatlas.config import read_yaml
from dynatlas.studies import lyapunov

CLAIMS = {c.id: c for c in parse_claims(read_yaml(Path(lyapunov.__file__).with_name("claims.yaml")))}
SEEDS = range(100, 108)
TOLERANCES = {part.id: part.tolerance for part in CLAIMS["C1"].parts}


class Planted:
    """Tables of eight seeds, filled row by row."""

    def __init__(self):
        self.rng = np.random.default_rng(6)
        self.rows: dict[str, list[dict]] = {}

    def add(self, table, metric, level, noise=0.01, /, **where):
        values = level + noise * self.rng.normal(size=len(SEEDS))
        new = [{"seed": s, **where, "metric": metric, "value": v} for s, v in zip(SEEDS, values, strict=True)]
        self.rows.setdefault(table, []).extend(new)

    def tables(self):
        return {name: pd.DataFrame(rows) for name, rows in self.rows.items()}


def before_training(planted):
    for part, arm in product(CLAIMS["C1"].parts, ("right", "wrong")):
        level = TOLERANCES[part.id] * (0.5 if arm == "right" else 20)
        planted.add("identities", "deviation", level, 0, part=part.where["part"], arm=arm, order=0)
    for cell, jacobian in (("gru", "analytic"), ("lstm", "analytic"), ("gru", "without reset")):
        planted.add("jacobians", "deviation", 1e-12 if jacobian == "analytic" else 0.1, 0, cell=cell, jacobian=jacobian)
    for gain in (0.5, 1.5, 2.5):
        for against, level in (("lambda_1", 0.004), ("lambda_2", 0.04)):
            planted.add("gradients", "error", level, 1e-3, gain=gain, against=against)
        for steps in (25, 50, 100, 200):
            planted.add("lengths", "spread", 0.2 * steps**-0.4, 1e-4, cell="rnn", gain=gain, steps=steps)
        for sequence, metric in product(range(4), ("lambda_1", "mean")):
            planted.add("shares", metric, gain, 0.01, cell="rnn", gain=gain, sequence=sequence)
    planted.add("gradients", "correlation", 0.999, 1e-4, gain=0.0, against="none")
    for cell, metric in product(("rnn", "gru", "lstm"), ("largest", "smallest")):
        planted.add("starts", metric, -5.7 if cell == "rnn" else np.log(0.5), 1e-4, cell=cell, spread=0.001)


def after_training(planted):
    for cell, text, losses in product(("rnn", "gru", "lstm"), ("primary", "longer"), ("own", "permuted")):
        where = {"cell": cell, "text": text, "losses": losses}
        readers = {"early loss": 0.8, "spectrum at the start": 0.8, "spectrum at the end": 0.8, "hyperparameters": 0.5}
        for reader, level in {"early spectrum": 0.8, **readers}.items():
            for metric in ("r2", "spearman"):
                level = level if losses == "own" else -0.2
                planted.add("readouts", metric, level, reader=reader, quarter="all", **where)
        for quarter, level in (("best", 0.1), ("worst", 1.0)):
            level = level if losses == "own" else 0.5
            planted.add("readouts", "distance", level, 0.05, reader="all", quarter=quarter, **where)
            planted.add("readouts", "in_band", 1 - level, 0.05, reader="all", quarter=quarter, **where)
    for cell, text, number in product(("rnn", "gru", "lstm"), ("primary", "longer"), range(8)):
        where = {"cell": cell, "text": text, "configuration": number}
        for metric in ("early_mean", "end_mean", "early_abs_lambda_1"):
            planted.add("networks", metric, -number, 0.3, **where)
        planted.add("networks", "final_loss", 0.5 + 0.1 * number, 0.01, **where)


def planted() -> dict[str, pd.DataFrame]:
    found = Planted()
    before_training(found)
    after_training(found)
    return found.tables()


TABLES = planted()
EXCHANGED = {
    "C1": ("arm", {"right": "wrong"}),
    "C2": ("against", {"lambda_1": "lambda_2"}),
    "C3": ("jacobian", {"analytic": "without reset"}),
    "C4c": ("cell", {"gru": "rnn"}),
    "C5": ("losses", {"own": "permuted"}),
    "C5g": ("losses", {"own": "permuted"}),
    "C5h": ("reader", {"early spectrum": "hyperparameters"}),
    "C5m": ("losses", {"own": "permuted"}),
    "C7": ("quarter", {"best": "worst"}),
}
REVERSED = {"C4a": ("lengths", "steps"), "C4b": ("shares", "gain"), "C6": ("networks", "early_mean")}
TESTED = [*EXCHANGED, *REVERSED]


def verdict(claim, tables):
    scale = "standard" if claim == "C5m" else "quick"
    return decide(resolve(CLAIMS[claim], scale), tables)[0]


def exchanged(column, pairs):
    both = pairs | {b: a for a, b in pairs.items()}
    return {n: t.assign(**{column: t[column].replace(both)}) if column in t else t for n, t in TABLES.items()}


def undone(claim):
    """Tables in which what a statistic pairs runs the other way, or belongs to no group."""
    name, _ = REVERSED[claim]
    table = TABLES[name]
    if claim == "C4a":
        return TABLES | {name: table.assign(steps=5000 / table["steps"])}
    if claim == "C4b":
        return TABLES | {name: table.assign(value=table["value"] - table["gain"] + 2 * table["sequence"])}
    turned = table["value"].where(table["metric"] != "early_mean", -table["value"])
    return TABLES | {name: table.assign(value=turned)}


def test_every_claim_that_is_decided_is_planted():
    assert sorted(TESTED) == sorted(name for name, claim in CLAIMS.items() if not claim.exploratory)


@pytest.mark.parametrize("claim", TESTED)
def test_a_claim_comes_out_where_it_holds(claim):
    found = verdict(claim, TABLES)
    assert (found.verdict, found.control_verdict != "reproduced") == ("reproduced", True), found.reason


@pytest.mark.parametrize("claim", TESTED)
def test_a_claim_is_contradicted_where_the_opposite_holds(claim):
    tables = exchanged(*EXCHANGED[claim]) if claim in EXCHANGED else undone(claim)
    assert verdict(claim, tables).verdict == "contradicted"


@pytest.mark.parametrize("claim", ["C5", "C5g", "C5h", "C5m", "C6", "C7"])
def test_populations_that_learned_nothing_decide_nothing(claim):
    networks = TABLES["networks"]
    ignorant = networks["value"].mask(networks["metric"] == "final_loss", networks["value"] + 0.9)
    assert verdict(claim, TABLES | {"networks": networks.assign(value=ignorant)}).verdict == "inconclusive"


@pytest.mark.parametrize("claim", ["C2r", "C5b", "C5r", "C6g", "C7b"])
def test_what_is_only_reported_has_no_verdict(claim):
    assert {row.verdict for row in decide(resolve(CLAIMS[claim], "quick"), TABLES)} == {"reported"}


def test_no_sign_of_a_rank_correlation_is_claimed():
    assert all(CLAIMS[name].exploratory for name in ("C5r", "C5b"))
    assert CLAIMS["T3"].scales == ["paper"]
    assert CLAIMS["T3"].exploratory
