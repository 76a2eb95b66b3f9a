"""Exponents that are known, populations that train as if alone, readouts by hand."""

from __future__ import annotations

import hashlib
import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from dynatlas.jobs import Job, Run
from dynatlas.members import Members
from dynatlas.models.from_torch import recurrent_to_torch
from dynatlas.studies.lyapunov import identities, measure, train, untrained
from dynatlas.studies.lyapunov.networks import CELLS, network, read_text, with_gain
from dynatlas.studies.lyapunov.settings import Gradients, Identities, Jacobians, Lengths, Shares, Starts
from dynatlas.tables import tidy

JOB = Job(study="lyapunov", seeds=[0, 1])
LAG = {"kind": "lag", "share": 0.85, "length": 2000, "symbols": 4, "lag": 5, "keep": 0.85}
TEXTS = {"primary": LAG}
RANGES = {"gain": (0.1, 3.5), "learning_rate": (0.001, 0.01), "dropout": (0.0, 0.3)}
SETTINGS = {
    "texts": TEXTS, "text": "primary", "cells": {"rnn": 8, "gru": 6, "lstm": 5}, "bias": True, "inputs": "unit",
    "configurations": 4, "ranges": RANGES, "window": 12, "batch": 3, "steps": 3, "decay": None,
    "snapshots": [0, 1, 3], "validation": 5,
}  # fmt: skip
SEQUENCES = {"sequences": 2, "steps": 15, "burn_in": 5}


def trained(cell: str = "rnn", job: Job = JOB, **changes) -> Run:
    settings = SETTINGS | {"cell": cell} | changes
    return Run(train.train_networks(job, **settings), seeds=job.seeds, settings=settings)


@pytest.mark.parametrize("cell", CELLS)
def test_a_gain_is_the_spread_of_recurrent_weights_times_the_root_of_their_number(cell):
    net = network(cell, units=60, symbols=4)
    start = net.initialise([JOB.generator("initialisation", 0)], 2, dtype=torch.float64)
    gain = torch.tensor([0.5, 2.0])
    unit, both = with_gain(start, gain), with_gain(start, gain, inputs="recurrent")
    spread = unit["w_rec_l0"].std(dim=(1, 2)) * 60**0.5
    np.testing.assert_allclose(spread, gain, rtol=0.04)
    p = gain.double() * (3 / 60) ** 0.5
    for weights in (both["w_rec_l0"], both["w_in_l0"]):
        largest = weights.abs().amax(dim=(1, 2))
        assert bool((largest <= p).all())
        assert bool((largest > 0.9 * p).all())
    assert 0.9 < unit["w_in_l0"].abs().max() <= 1
    with pytest.raises(ValueError, match="'unit' or 'recurrent'"):
        with_gain(start, gain, inputs="none")


def test_gains_and_rates_are_drawn_in_their_logarithm_and_dropout_is_not():
    found = train.draw_configurations(JOB, 400, RANGES)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(RANGES, (2, 400))
    assert abs(found["gain"].log().mean() - math.log(0.35) / 2) < 0.1
    assert abs(found["learning_rate"].log10().mean() + 2.5) < 0.03
    assert abs(found["dropout"].mean() - 0.15) < 0.02


@pytest.mark.parametrize("cell", CELLS)
def test_losses_are_those_of_torchs_own_modules(cell):
    net = network(cell, units=7, symbols=4)
    params = net.initialise(JOB.generators("initialisation"), 2, dtype=torch.float64)
    params["w_in_l0"] = params["w_in_l0"] * 0.5
    shown = read_text(JOB, **LAG).draw(3, steps=11, generators=JOB.generators("batches"))
    shown = type(shown)(shown.x.double(), shown.target, shown.y, shown.mask, shown.counted)
    found = train.prediction_loss(net, params, shown)
    module = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](4, 7).double()
    for member, seed in ((0, 0), (3, 1)):
        module.load_state_dict(recurrent_to_torch(params, member))
        outputs = module(shown.x[seed])[0] @ params["w_out"][member] + params["b_out"][member]
        wanted = torch.nn.functional.cross_entropy(outputs[5:].flatten(0, 1), shown.target[seed, 5:].flatten())
        torch.testing.assert_close(found[member], wanted, rtol=0, atol=1e-12)


def test_validation_in_parts_is_the_whole(monkeypatch):
    net, corpus = network("rnn", units=5, symbols=4), read_text(JOB, **LAG)
    params = net.initialise(JOB.generators("initialisation"), 2)
    held_out = corpus.evenly(10, steps=12)
    whole = train.prediction_loss(net, params, held_out)
    monkeypatch.setattr(train, "CHUNK", 4)
    torch.testing.assert_close(train.validation_loss(net, params, held_out), whole)


@pytest.mark.parametrize("cell", CELLS)
def test_a_population_starts_as_drawn_and_a_seed_learns_as_if_it_were_alone(cell):
    run = trained(cell)
    net = network(cell, units=SETTINGS["cells"][cell], symbols=4)
    start = with_gain(net.initialise(JOB.generators("initialisation"), 4), run["drawn"].flat()["gain"])
    before, after = (run["networks"].at(step=step) for step in (0, 3))
    for name, w in before.flat().items():
        assert torch.equal(w, start[name])
        assert not torch.equal(before[name], after[name])
    assert run["course"].members.shape == (3, 2, 4)
    alone = trained(cell, Job(study="lyapunov", seeds=[1]))
    for group, name in (("networks", "w_rec_l0"), ("course", "loss")):
        assert torch.equal(alone[group].at(seed=1)[name], run[group].at(seed=1)[name])


def test_learning_lowers_the_loss_of_a_text_that_repeats_itself():
    text = LAG | {"lag": 1, "keep": 1.0}
    steady = RANGES | {"gain": (0.9, 1.1), "learning_rate": (0.02, 0.02), "dropout": (0.0, 0.0)}
    run = trained(texts={"primary": text}, ranges=steady, steps=60, snapshots=[0, 60], batch=8)
    loss = run["course"]["loss"]
    assert bool((loss[1] < 0.5 * loss[0]).all())


def test_snapshots_that_miss_an_end_are_refused():
    with pytest.raises(ValueError, match="rising steps from 0 to 3"):
        trained(snapshots=[0, 1])
    with pytest.raises(ValueError, match="rising steps"):
        trained(snapshots=[1, 0, 3])


def test_networks_that_diverge_are_counted_with_the_loss_of_a_guess():
    run = trained(ranges=RANGES | {"learning_rate": (1e38, 1e38)})
    assert run["drawn"]["diverged"].all()
    assert run["course"].at(step=3)["loss"].tolist() == [[pytest.approx(math.log(4))] * 4] * 2
    assert all(bool(w.isfinite().all()) for group in run.values() for w in group.values())
    table = measure.measure_spectra(JOB, trained=run, cell="rnn", text="primary", sequences=SEQUENCES, early=1)
    assert table.query("metric == 'diverged'")["value"].tolist() == [1] * 8
    assert trained()["drawn"]["diverged"].sum() == 0


def test_the_papers_settings_at_a_small_size(tmp_path):
    """A file of characters, no biases, all weights from U(-p, p), a rate that falls, dropout."""
    raw = ("Well, Prince, so Genoa and Lucca are now just family estates.\n" * 40).encode()
    path = tmp_path / "book.txt"
    path.write_bytes(raw)
    file = {"kind": "file", "share": 0.8, "path": str(path), "size": len(raw), "title": "A book", "source": "us"}
    texts = {"primary": file | {"sha256": hashlib.sha256(raw).hexdigest()}}
    decay = {"start": 2, "every": 1, "factor": 0.95}
    job = Job(study="lyapunov", seeds=[0])
    run = trained("lstm", job, texts=texts, bias=False, inputs="recurrent", decay=decay)
    assert not [name for name in run["networks"] if name.startswith(("b_in", "b_rec"))]
    assert run["networks"]["w_in_l0"].shape[3] == len(set(raw.decode()))
    table = measure.measure_spectra(job, trained=run, cell="lstm", text="primary", sequences=SEQUENCES, early=1)
    assert np.isfinite(table["value"]).all()
    assert table.query("metric == 'exponent'")["order"].max() == 10


SIZES = Identities(
    units=6, linear_steps=300, linear_burn_in=60, prefixes=[1, 5, 30], orbits=8, henon_steps=300, lorenz_steps=400,
    dt=0.01,
)  # fmt: skip


def test_identities_hold_and_their_wrong_indices_miss():
    table = identities.measure_identities(JOB, sizes=SIZES)
    largest = table.query("metric == 'deviation'").groupby(["part", "arm"])["value"].max().unstack()
    loose = {"linear": 0.05, "henon": 0.06, "lorenz": 1.0, "lorenz sum": 1e-3, "henon sum": 1e-12}
    for part, row in largest.iterrows():
        assert row["right"] < loose.get(part, 1e-12), part
        assert "sum" in part.removeprefix("sum rule") or row["wrong"] > 2 * row["right"] + 1e-3, part
    numbers = table.query("part == 'henon' and arm == 'right'").pivot_table(
        index=["seed", "order"], columns="metric", values="value"
    )
    np.testing.assert_allclose(numbers["expected"].dropna().unique(), [0.41922, -1.62319])
    alone = identities.measure_identities(Job(study="lyapunov", seeds=[1]), sizes=SIZES)
    both = table.query("seed == 1").reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, both, check_exact=True)


def test_a_jacobian_without_its_reset_gate_misses():
    table = identities.measure_jacobians(JOB, sizes=Jacobians(units=4, steps=12, layers=[1, 2]))
    largest = table.groupby("jacobian")["value"].max()
    assert largest["analytic"] < 1e-9 < 1e-3 < largest["without reset"]
    arms = table.query("jacobian == 'analytic'").groupby(["cell", "layers", "bias"]).size()
    assert len(arms) == 12
    assert (arms == 2).all()


def test_gradients_grow_at_the_leading_exponent_and_not_at_the_second():
    sizes = Gradients(units=12, gains=[0.6, 1.2, 2.4], steps=250, skip=30)
    table = untrained.measure_gradients(JOB, texts=TEXTS, sizes=sizes)
    error = table.query("metric == 'error'").groupby("against")["value"].mean()
    assert error["lambda_1"] < 0.03 < error["lambda_2"]
    assert table.query("metric == 'correlation'")["value"].min() > 0.99


def test_longer_sequences_spread_less_and_the_last_running_estimate_is_the_whole():
    sizes = Lengths(gains=[1.0, 2.0], lengths=[10, 160], sequences=8, burn_in=20, shown=[1, 3])
    table = untrained.measure_lengths(JOB, texts=TEXTS, cells={"rnn": 8, "lstm": 5}, sizes=sizes)
    spread = table.query("metric == 'spread'").groupby(["cell", "steps"])["value"].mean().unstack()
    assert (spread[160] < 0.7 * spread[10]).all()
    running = table.query("metric == 'running' and cell == 'rnn' and seed == 0 and order == 1")
    assert running["steps"].max() == 160
    shares = Shares(gains=[1.0, 2.0], sequences=8, steps=160, burn_in=20)
    again = untrained.measure_shares(JOB, texts=TEXTS, cells={"rnn": 8}, sizes=shares)
    assert len(again) == 2 * 2 * 2 * 8


def test_small_weights_leave_gates_half_open():
    sizes = Starts(spreads=[1e-4, 1.0], steps=20, burn_in=20)
    table = untrained.measure_starts(JOB, cells={"rnn": 6, "gru": 6, "lstm": 6}, sizes=sizes)
    small = table.query("spread < .01").groupby(["cell", "metric"])["value"]
    for cell, metric in product(("gru", "lstm"), ("largest", "smallest")):
        np.testing.assert_allclose(small.get_group((cell, metric)), -math.log(2), atol=1e-3)
    assert small.get_group(("rnn", "largest")).max() < -7
    assert small.get_group(("lstm", "next")).max() < -15


def spectra_table() -> pd.DataFrame:
    """Three seeds, four networks, two exponents: the early leading exponent is -loss."""
    number = np.arange(4.0)
    loss = 0.5 + number + 0.1 * np.arange(3.0)[:, None]
    first = np.stack([np.full_like(loss, -0.1), -loss, np.full_like(loss, -0.3)], axis=-1)
    second = np.broadcast_to(-3.0 - number[:, None], first.shape)
    losses = np.stack([np.full_like(loss, 9.0), loss, loss], axis=-1)
    drawn = {"gain": np.broadcast_to(1.0 + number, loss.shape), "learning_rate": 0.003, "dropout": 0.0}
    networks, where = Members(seed=range(3), configuration=range(4)), {"cell": "rnn", "text": "primary"}
    along = networks.times(step=[0, 5, 9])
    exponents = tidy({"exponent": np.stack([first, second], axis=-1)}, along.times(order=[1, 2]), **where)
    course, start = tidy({"loss": losses}, along, order=0, **where), tidy(drawn, networks, step=0, order=0, **where)
    return pd.concat([exponents, course, start], ignore_index=True)


def test_summaries_by_hand():
    ((where, found),) = measure.populations(spectra_table(), 5)
    assert where == {"cell": "rnn", "text": "primary"}
    np.testing.assert_allclose(found["early_lambda_1"][1], [-0.6, -1.6, -2.6, -3.6])
    np.testing.assert_allclose(found["early_abs_lambda_1"][1], [0.6, 1.6, 2.6, 3.6])
    np.testing.assert_allclose(found["early_mean"][0], [-1.75, -2.75, -3.75, -4.75])
    np.testing.assert_allclose(found["end_lambda_1"], -0.3)
    np.testing.assert_allclose(found["final_loss"][2], [0.7, 1.7, 2.7, 3.7])
    np.testing.assert_allclose(found["early_loss"], found["final_loss"])
    np.testing.assert_allclose(found["gain"][0], [1, 2, 3, 4])
    drawn = measure.features(found, "hyperparameters")[0]
    np.testing.assert_allclose(drawn, np.stack([np.log([1, 2, 3, 4]), np.full(4, np.log(0.003)), np.zeros(4)], axis=-1))


def test_readouts_foresee_what_the_exponents_hold_and_nothing_of_permuted_losses():
    rng = np.random.default_rng(0)
    table = pd.concat(
        [one.assign(configuration=one["configuration"] + 4 * k) for k in range(5) for one in [spectra_table()]]
    )
    noise = pd.Series(rng.normal(0, 1e-3, len(table)), index=table.index)
    table = table.assign(value=table["value"] + noise.where(table["metric"] == "exponent", 0.0))
    job = Job(study="lyapunov", seeds=range(3))
    found = measure.measure_readouts(job, spectra=table, early=5)
    r2 = found.query("metric == 'r2'").groupby(["losses", "reader"])["value"].mean()
    assert r2["own", "early spectrum"] > 0.95
    assert r2["own", "early loss"] > 0.95
    assert r2["own", "hyperparameters"] > 0.95, "rate and dropout are constant here, and count for nothing"
    assert r2["permuted", "early spectrum"] < 0.3
    assert r2["permuted", "hyperparameters"] < 0.3
    networks = measure.measure_networks(job, spectra=table, early=5)
    wide = networks.pivot_table(index=["seed", "configuration"], columns="metric", values="value")
    own = wide.loc[1]
    total = ((own["final_loss"] - own["final_loss"].mean()) ** 2).sum()
    by_hand = 1 - ((own["foreseen_by_spectrum"] - own["final_loss"]) ** 2).sum() / total
    reported = found.query("metric == 'r2' and losses == 'own' and reader == 'early spectrum' and seed == 1")["value"]
    assert reported.item() == pytest.approx(by_hand, abs=1e-12)


def test_edges_by_hand():
    """The best network of seed 0 has lambda_1 = -.2, those of the others -.3 and -.1: its reference is -.2."""
    first = np.array([[-0.2, -1.0, 0.5, -2.0], [-0.3, -1.0, 0.5, -3.0], [-0.1, 0.7, -1.0, 0.6]])
    losses = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4], [1, 4, 2, 3]])
    found = measure.edges(first, losses)
    np.testing.assert_allclose(found["distance", "best"], [0.0, 0.15, 0.15])
    np.testing.assert_allclose(found["distance", "worst"], [1.8, 2.85, 0.95])
    assert found["in_band", "best"].tolist() == [1, 1, 1]
    assert found["in_band", "worst"].tolist() == [0, 0, 0]


def test_spectra_of_trained_networks_are_kept_for_all_seeds_at_three_steps():
    run = trained("gru")
    table = measure.measure_spectra(JOB, trained=run, cell="gru", text="primary", sequences=SEQUENCES, early=1)
    exponents = table.query("metric == 'exponent'")
    assert exponents.groupby(["seed", "step"]).size().to_dict() == {(s, t): 24 for s in (0, 1) for t in (0, 1, 3)}
    assert table.query("metric == 'loss'").groupby("seed").size().tolist() == [12, 12]
    with pytest.raises(ValueError, match="early: 2: allowed is one of the snapshots"):
        measure.measure_spectra(JOB, trained=run, cell="gru", text="primary", sequences=SEQUENCES, early=2)
