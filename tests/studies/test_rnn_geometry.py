"""Identities of a network without bias, measures on cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynatlas.datasets import images
from dynatlas.datasets.labelled import Labelled
from dynatlas.jobs import Job, Run
from dynatlas.members import Members
from dynatlas.models.rnn import readout
from dynatlas.studies.rnn_geometry import measure, train
from dynatlas.studies.rnn_geometry.world import ROWS, Images, followed_by_blanks, labels_for, network, networks_of

JOB = Job(study="rnn-geometry", seeds=[0, 1])
IMAGES = {"source": "digits", "train": 200, "test": 30}
TIMES = [6, 16, 28, 33]
RNN = network(12)
PARAMS = RNN.initialise(JOB.generators("initialisation"), dtype=torch.float64)
ROWS_READ = Images(**IMAGES).read().test.x.double().transpose(0, 1)


def blanks(count: int) -> torch.Tensor:
    return ROWS_READ.new_zeros(count, *ROWS_READ.shape[1:])


def trained_run() -> Run:
    arrays = train.train_networks(
        JOB, labels={"trained": "own", "shuffled": "shuffled"}, blank=0, images=IMAGES, units=12, epochs=1, batch=50,
        learning_rate=1e-3,
    )  # fmt: skip
    return Run(arrays, seeds=JOB.seeds, settings={})


def untrained_run() -> Run:
    draws = {"untrained": "initialisation", "second untrained": "second initialisation"}
    return Run(train.draw_untrained(JOB, draws=draws, units=12), seeds=JOB.seeds, settings={})


TRAINED, UNTRAINED = trained_run(), untrained_run()


@pytest.mark.parametrize("count", [1, 7])
def test_blank_rows_before_an_image_change_nothing(count):
    late = RNN.rollout(PARAMS, torch.cat([blanks(count), ROWS_READ]))
    torch.testing.assert_close(late[:, count:], RNN.rollout(PARAMS, ROWS_READ), rtol=0, atol=1e-12)
    assert not late[:, :count].any()


@pytest.mark.parametrize("count", [1, 8])
def test_blank_rows_after_an_image_let_the_state_run_freely(count):
    appended = RNN.rollout(PARAMS, followed_by_blanks(ROWS_READ, count))
    state = RNN.rollout(PARAMS, ROWS_READ)[:, -1]
    for _ in range(count):
        state = torch.tanh(state @ PARAMS["w_rec"])
    torch.testing.assert_close(appended[:, -1], state, rtol=0, atol=1e-12)
    one = {name: w[:1] for name, w in PARAMS.items()}
    read = measure.states_of(one, ROWS_READ.transpose(0, 1), [ROWS, ROWS + count])
    torch.testing.assert_close(read[1], state[0], rtol=0, atol=1e-12)


def test_leading_blank_rows_can_be_left_out():
    first = int((ROWS_READ != 0).any(dim=2).any(dim=1).nonzero()[0])
    assert first == 4
    without = RNN.rollout(PARAMS, ROWS_READ[first:])
    torch.testing.assert_close(without, RNN.rollout(PARAMS, ROWS_READ)[:, first:], rtol=0, atol=1e-12)


def test_with_biases_the_first_identity_fails():
    biased = PARAMS | {"b": torch.full((2, 12), 0.3, dtype=torch.float64)}
    late = RNN.rollout(biased, torch.cat([blanks(3), ROWS_READ]))[:, -1]
    assert (late - RNN.rollout(biased, ROWS_READ)[:, -1]).abs().max() > 1e-3


def test_networks_of_a_seed_start_from_the_weights_of_the_untrained_one_and_move_apart():
    found = networks_of(TRAINED, UNTRAINED)
    assert found.members.axes["network"] == ["trained", "shuffled", "untrained", "second untrained"]
    start = RNN.initialise(JOB.generators("initialisation"))
    assert torch.equal(found.at(network="untrained")["w_rec"], start["w_rec"])
    steps = [found.at(network=name)["w_rec"] - start["w_rec"] for name in ("trained", "shuffled")]
    assert all(0 < step.abs().max() < 0.01 for step in steps)
    assert not torch.equal(*steps)
    assert not torch.equal(found.at(network="second untrained")["w_rec"], start["w_rec"])


def test_one_more_seed_leaves_the_others_as_they_were():
    alone = train.train_networks(
        Job(study="rnn-geometry", seeds=[0]), labels={"trained": "own"}, blank=0, images=IMAGES, units=12, epochs=1,
        batch=50, learning_rate=1e-3,
    )  # fmt: skip
    own, among_others = (run["networks"].at(network="trained", seed=0) for run in (alone, TRAINED))
    assert torch.equal(own["w_rec"], among_others["w_rec"])


def test_longer_sequences_are_the_same_images_with_blank_rows():
    """Reading out 8 blank rows later has another gradient; with no blank rows it has the same."""
    settings = {"images": IMAGES, "units": 12, "epochs": 1, "batch": 50, "learning_rate": 1e-3}
    same, longer = (train.train_networks(JOB, labels={"longer": "own"}, blank=k, **settings) for k in (0, 8))
    same, longer = (run["networks"].at(network="longer")["w_rec"] for run in (same, longer))
    assert torch.equal(same, TRAINED["networks"].at(network="trained")["w_rec"])
    assert not torch.equal(longer, same)


def test_shuffled_labels_keep_each_class_and_are_the_same_wherever_they_are_asked_for():
    y = torch.arange(50) % 10
    first, again = (labels_for(JOB, "shuffled", y, part="train") for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(first.sort(dim=1).values, y.sort().values.expand(2, -1))
    assert not torch.equal(first[0], first[1])
    with pytest.raises(ValueError, match="'own' or 'shuffled'"):
        labels_for(JOB, "none", y, part="train")


def test_unknown_images_are_refused():
    with pytest.raises(ValueError, match="known: digits, mnist"):
        Images(source="faces", train=3).read()


def test_the_papers_images_come_from_their_own_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"MNIST.*train-images"):
        Images(source="mnist", train=5, folder=str(tmp_path)).read()
    part = {"train": 9, "test": 4}
    monkeypatch.setattr(images, "published_images", lambda name, which, folder: Labelled(
        torch.rand(part[which], 28, 28), torch.arange(part[which])))  # fmt: skip
    read = Images(source="mnist", train=5, folder=str(tmp_path)).read()
    assert (len(read.train), len(read.test)) == (5, 4)
    one = {name: w[:1].float() for name, w in PARAMS.items()}
    assert measure.states_of(one, read.test.x, [1, 40]).shape == (2, 4, 12)


@pytest.mark.parametrize("start", [0, 11, 24])
def test_a_swap_to_the_own_weights_is_none_and_a_swap_of_nothing_skips_updates(start):
    one = {name: w[:1] for name, w in PARAMS.items()}
    images = ROWS_READ.transpose(0, 1)
    whole = RNN.rollout(one, ROWS_READ)[0, -1]
    torch.testing.assert_close(measure.swapped(one, one["w_rec"], images, start=start), whole, rtol=0, atol=1e-12)
    kept = torch.cat([ROWS_READ[:start], ROWS_READ[start + 4 :]])
    skipped = RNN.rollout(one, kept)[0, -1]
    torch.testing.assert_close(measure.swapped(one, None, images, start=start), skipped, rtol=0, atol=1e-12)
    eye = torch.eye(12, dtype=torch.float64)[None]
    if start == 24:  # the last rows are blank: the identity is tanh, four times
        state = RNN.rollout(one, ROWS_READ[:24])[0, -1]
        for _ in range(4):
            state = state.tanh()
        torch.testing.assert_close(measure.swapped(one, eye, images, start=start), state, rtol=0, atol=1e-12)


def test_swaps_before_any_ink_change_nothing():
    table = measure.measure_swaps(JOB, trained=TRAINED, untrained=UNTRAINED, images=IMAGES)
    first = table[table["window"] == "first"].pivot(index="seed", columns="dynamics", values="value")
    assert (first.nunique(axis=1) == 1).all()


def test_the_readout_of_the_accuracy_table_is_the_networks_own():
    table = measure.measure_accuracy(
        JOB, trained=TRAINED, untrained=UNTRAINED, images=IMAGES, probed=150, alpha=0.01, neighbours=10,
        times=dict.fromkeys(["trained", "untrained", "second untrained", "shuffled"], TIMES),
        labels={"shuffled": "shuffled"},
    )  # fmt: skip
    test, params = Images(**IMAGES).read().test, networks_of(TRAINED).at(network="trained")
    outputs = readout(params, RNN.rollout(params, test.x.transpose(0, 1)))[:, 15]
    wanted = (outputs.argmax(dim=-1) == test.y).double().mean(dim=1)
    own = table.query("network == 'trained' and reader == 'readout' and time == 16").sort_values("seed")
    assert own["value"].tolist() == wanted.tolist()
    assert set(table.query("metric == 'accuracy'")["reader"]) == {"readout", "linear probe", "10-NN"}
    counted = table.query("metric == 'diverged'").groupby("network")["value"].agg(list)
    assert counted.to_dict() == {"trained": [0, 0], "shuffled": [0, 0]}


def test_networks_that_diverge_keep_their_last_finite_weights():
    wild = train.train_networks(
        JOB, labels={"trained": "own"}, blank=0, images=IMAGES, units=12, epochs=1, batch=50, learning_rate=1e38
    )
    assert wild["outcome"]["diverged"].all()
    assert bool(wild["networks"]["w_rec"].isfinite().all())


def test_peaks_are_counted_from_every_length():
    own = TRAINED["networks"].at(network="trained").flat()
    renamed = {"networks": Members(seed=JOB.seeds, network=["longer"]).group(own)}
    longer = Run(renamed, seeds=JOB.seeds, settings={})
    table = measure.measure_readouts(
        JOB, trained=TRAINED, longer=longer, images=IMAGES, lengths={"trained": 28, "longer": 36}, last=40
    )
    assert set(table["network"]) == {"trained", "longer"}
    accuracy = table.query("metric == 'accuracy' and network == 'trained' and seed == 1").set_index("time")["value"]
    peaks = table.query("metric == 'peak_minus_length' and network == 'trained' and seed == 1").set_index("time")[
        "value"
    ]
    assert peaks.to_dict() == {28: accuracy.idxmax() - 28, 36: accuracy.idxmax() - 36}
    permuted = table.query("metric == 'permuted_accuracy' and network == 'trained' and seed == 1").set_index("time")[
        "value"
    ]
    assert (permuted >= accuracy).all()


def test_geometry_of_two_balls_on_the_readouts_axis():
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 2
    x = 0.1 * torch.randn(1, 400, 6, generator=draw, dtype=torch.float64)
    x[..., 0] += 20.0 * y
    w_out = torch.eye(6, dtype=torch.float64)[:, :1]
    found = {name: value.item() for name, value in measure.lie_of(x, Labelled(x[0], y), w_out).items()}
    assert found["participation_ratio"] == pytest.approx(1, abs=0.01)
    assert found["within_participation_ratio"] == pytest.approx(6, abs=0.3)
    assert found["twonn"] == pytest.approx(6, abs=1.2)
    assert found["alignment"] == pytest.approx(1, abs=1e-4)
    assert found["angle"] == pytest.approx(0, abs=0.5)
    assert found["scatter_ratio"] == pytest.approx(100 / (6 * 0.01), rel=0.2)


def test_a_rotation_without_saturation_has_its_radius_and_exponents():
    """At small amplitude tanh is linear: W = .9 x rotation shrinks by log .9 a step, and its radius is .9."""
    turn = torch.tensor([[0.6, 0.8], [-0.8, 0.6]]).repeat(2, 1, 1) * 0.9
    arrays = {
        "w_in": torch.full((2, 28, 2), 1e-3),
        "w_rec": turn,
        "w_out": torch.zeros(2, 2, 10),
        "b_out": torch.zeros(2, 10),
    }
    groups = {name: Members(seed=[0, 1], network=[name]).group(arrays) for name in ("trained", "untrained")}
    runs = {name: Run({"networks": group}, seeds=[0, 1], settings={}) for name, group in groups.items()}
    table = measure.measure_dynamics(
        JOB, **runs, images=IMAGES, networks=["trained"], trials=5, settle=10, steps=40, exponents=2, sequences=2
    )
    assert set(table["network"]) == {"trained"}
    value = table.groupby("metric")["value"]
    np.testing.assert_allclose(value.get_group("spectral_radius"), 0.9, rtol=1e-6)
    np.testing.assert_allclose(value.get_group("lyapunov"), np.log(0.9), rtol=1e-4)
    assert (value.get_group("trajectory_participation_ratio") <= 2 + 1e-9).all()


def test_examples_belong_to_the_first_seed_and_their_eigenvalues_to_its_weights():
    table = measure.measure_examples(
        JOB, trained=TRAINED, untrained=UNTRAINED, images=IMAGES, networks=["trained"], times=[16], points=20,
        settle=3, steps=30,
    )  # fmt: skip
    assert set(table["seed"]) == {0}
    values = table.query("shown == 'eigenvalues'").pivot(index="item", columns="metric", values="value")
    product_of_all = np.prod(values["real"] + 1j * values["imaginary"])
    own = TRAINED["networks"].at(network="trained", seed=0)
    determinant = np.linalg.det(own["w_rec"].double().numpy())
    np.testing.assert_allclose(product_of_all, determinant, rtol=1e-6)
    ink = table.query("metric == 'ink'").set_index("time")["value"]
    assert ink[ink > 0].index.tolist() == list(range(5, 25))
