"""What only this study invents: the penalty of noise on a linear network, its bound, profiles, lost networks."""

from __future__ import annotations

import math

import pytest
import torch

from dynatlas.instruments.curvature import increase_under_noise
from dynatlas.instruments.dimension import participation_ratio
from dynatlas.jobs import Job, Run
from dynatlas.models.convnet import convolutional_network
from dynatlas.problems.linear_regression import FullBatch, linear_teacher, squared_error
from dynatlas.problems.vectors import vector_problem
from dynatlas.studies.dimensionality.linear_network import noise_excess, noise_penalty, penalty_bound
from dynatlas.studies.dimensionality.measure import measure_image_layers, measure_noisy
from dynatlas.studies.dimensionality.profiles import summary
from dynatlas.studies.dimensionality.train import train_images, train_noise

JOB = Job(study="test", seeds=[0, 1])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear_problem():
    x, y = linear_teacher(JOB.generators("data"), inputs=5, outputs=2, examples=40)
    x, y = x.double(), y.double()
    weights = {"w1": normal(2, 5, 7), "w2": normal(2, 7, 2, seed=1)}
    return x, y, weights, x.mT @ x / x.shape[1]


def test_twice_the_penalty_is_the_trace_of_the_hessian():
    x, y, weights, c = linear_problem()
    shapes = [w[0].shape for w in weights.values()]

    def loss(flat):
        w1, w2 = (part.view(s) for part, s in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True))
        return squared_error(x[0] @ w1 @ w2, y[0])

    flat = torch.cat([w[0].flatten() for w in weights.values()])
    trace = torch.autograd.functional.hessian(loss, flat).trace()
    torch.testing.assert_close(noise_penalty(weights["w1"][0], weights["w2"][0], c[0]), trace)


def test_what_noise_adds_is_exact_for_a_scalar_network():
    # E (x (a + s u)(b + s v) - y)^2 / 2 - (x a b - y)^2 / 2 = x^2 (s^2 (a^2 + b^2) + s^4) / 2
    a, b, x, s = 1.5, -0.4, 2.0, 0.3
    one = torch.ones(1, 1, dtype=torch.float64)
    wanted = x**2 * (s**2 * (a**2 + b**2) + s**4) / 2
    assert float(noise_excess(a * one, b * one, x**2 * one, s)) == pytest.approx(wanted, rel=1e-12)
    second = noise_excess(a * one, b * one, x**2 * one, s, fourth_order=False)
    assert float(second) == pytest.approx(wanted - x**2 * s**4 / 2, rel=1e-12)


def test_drawn_and_predicted_agree_within_their_standard_error():
    x, y, weights, c = linear_problem()
    full = FullBatch.of(x, y)
    streams = JOB.generators("draws")
    drawn = increase_under_noise(lambda p: full(p["w1"] @ p["w2"]), weights, 0.2, generators=streams, pairs=3000)
    predicted = noise_excess(weights["w1"], weights["w2"], c, 0.2)
    assert (drawn.standard_error < 0.03 * predicted).all()
    assert ((drawn.mean - predicted).abs() < 4 * drawn.standard_error).all()
    assert ((drawn.mean - noise_excess(weights["w1"], weights["w2"], c, 0.6)).abs() > 4 * drawn.standard_error).all()


def test_no_network_is_below_the_bound_and_the_balanced_one_is_on_it():
    _, _, weights, c = linear_problem()
    w1, w2 = weights["w1"], weights["w2"]
    for seed in range(20):
        mix = normal(2, 7, 7, seed=seed)
        here = (w1 @ mix, torch.linalg.solve(mix, w2), c)
        torch.testing.assert_close(penalty_bound(*here), penalty_bound(w1, w2, c))
        assert (noise_penalty(*here) >= penalty_bound(*here) * (1 - 1e-12)).all()
    values, vectors = torch.linalg.eigh(c)
    root = vectors * values.sqrt()[:, None] @ vectors.mT
    u, s, vh = torch.linalg.svd(root @ w1 @ w2, full_matrices=False)
    # equal sizes of both terms: tr C |W2|^2 = outputs |C^(1/2) W1|^2
    share = (c.diagonal(dim1=-2, dim2=-1).sum(-1) / 2)[:, None, None] ** 0.25
    left = torch.linalg.solve(root, u * s.sqrt()[:, None]) * share
    right = s.sqrt()[..., None] * vh / share
    torch.testing.assert_close(left @ right, w1 @ w2)
    torch.testing.assert_close(noise_penalty(left, right, c), penalty_bound(w1, w2, c))


def test_summaries_of_a_profile():
    profile = [torch.tensor([float(v)]) for v in (5, 7, 6, 4, 2)]
    found = {name: float(value) for name, value in summary("mle", profile).items()}
    assert found == {"last_mle": 4, "expansion_mle": 2, "compression_mle": 3}


IMAGES = {"data": "digits", "network": "plain", "sizes": {"plain": {"channels": [3, 4]}}, "batch": 6}


def test_the_ensemble_of_convolutional_networks_learns_as_one_network_does():
    sizes = {"residual": {"widths": [3], "blocks": 1}}
    found = train_images(JOB, **IMAGES | {"network": "residual", "sizes": sizes}, steps=1, learning_rate=0.1)
    problem = vector_problem("digits")
    for seed, generator in zip(JOB.seeds, JOB.generators("batches"), strict=True):
        model = convolutional_network(1, 10, **sizes["residual"])
        model.load_state_dict(dict(found["networks"].at(arm="untrained", seed=seed)))
        index = torch.randint(1000, (6,), generator=generator)
        logits = model(problem.as_images(problem.data.train.x[index]))
        torch.nn.functional.cross_entropy(logits, problem.data.train.y[index]).backward()
        learned = found["networks"].at(arm="trained", seed=seed)
        for name, tensor in model.named_parameters():
            torch.testing.assert_close(learned[name], (tensor - 0.1 * tensor.grad).detach())


def test_profiles_of_images_are_those_of_each_network_and_lost_ones_have_none():
    arrays = train_images(JOB, **IMAGES, steps=1, learning_rate=0.1)
    arrays["outcome"]["diverged"][0, 1] = True
    table = measure_image_layers(JOB, images=[Run(arrays, seeds=JOB.seeds, settings=IMAGES)])
    problem = vector_problem("digits")
    model = convolutional_network(1, 10, channels=[3, 4])
    model.load_state_dict(dict(arrays["networks"].at(arm="trained", seed=1)))
    with torch.no_grad():
        hidden = model.layers(problem.as_images(problem.data.test.x))[1].flatten(1)
    found = table.set_index(["arm", "seed", "layer", "metric"])["value"]
    assert found["trained", 1, 2, "participation_ratio"] == pytest.approx(float(participation_ratio(hidden)))
    assert found["trained", 1, -1, "last_participation_ratio"] == found["trained", 1, 2, "participation_ratio"]
    assert set(table.layer) == {-1, 0, 1, 2, 3}
    assert [found["trained", seed, -1, "lost"] for seed in JOB.seeds] == [1, 0]
    assert found["trained", 0, -1, "last_mle"] == math.inf
    assert all(math.isfinite(found[*one, -1, "last_mle"]) for one in (("trained", 1), ("untrained", 0)))


def test_weight_noise_goes_with_the_largest_batch_and_the_first_rate():
    sizes = {"width": 4, "depth": 1, "batches": [2, 6], "steps": 1}
    settings = sizes | {"learning_rates": [0.1, 0.01], "weight_noise": [0.2]}
    found = train_noise(JOB, data="digits", **settings)
    conditions = [tuple(condition.values()) for condition in found["networks"].members.axes["condition"]]
    assert conditions == [
        *(("first", 2, 0.1, 0.0), ("first", 2, 0.01, 0.0)),
        *(("first", 6, 0.1, 0.0), ("first", 6, 0.01, 0.0), ("first", 6, 0.1, 0.2)),
        ("second", 6, 0.1, 0.0),
    ]
    assert found["networks"]["w1"].shape == (2, 6, 64, 4)


DIVERGING = {"width": 5, "depth": 2, "batches": [8], "steps": 30, "learning_rates": [0.05, 1e9], "weight_noise": []}


@pytest.mark.parametrize("data", ["digits", "manifold"])
def test_networks_that_diverge_are_counted_at_chance_and_have_no_dimension(data):
    settings = DIVERGING | {"data": data}
    run = Run(train_noise(JOB, **settings), seeds=JOB.seeds, settings=settings)
    first = run["networks"].at(stream="first", seed=0)  # of the other seed, units may have died instead
    assert first["diverged"].tolist() == [False, True]
    table = measure_noisy(JOB, noise=[run])
    lost = table[table.metric == "lost"].groupby("learning_rate")["value"].agg(list).to_dict()
    assert lost == {0.05: [0, 0, 0, 0], 1e9: [1, 1]}
    wild = table[table.learning_rate == 1e9]
    assert set(wild[wild.metric == "test_accuracy"].value) == {1 / vector_problem(data).classes}
    assert set(wild[~wild.metric.isin(["lost", "train_accuracy", "test_accuracy"])].value) == {math.inf}
    tame = table[(table.learning_rate == 0.05) & (table.stream == "first")]
    assert len(wild) == len(tame), "a lost network keeps its rows"


def test_one_lost_network_leaves_the_numbers_of_the_others():
    settings = DIVERGING | {"data": "manifold", "learning_rates": [0.05]}
    arrays = train_noise(JOB, **settings)
    whole = measure_noisy(JOB, noise=[Run(arrays, seeds=JOB.seeds, settings=settings)])
    arrays["networks"]["w2"][0] = 0  # a hidden layer that answers every input alike
    arrays["networks"]["b2"][0] = 1
    dead = measure_noisy(JOB, noise=[Run(arrays, seeds=JOB.seeds, settings=settings)])
    first = dead[(dead.stream == "first") & (dead.seed == 0)].groupby("metric")["value"].agg(set).to_dict()
    assert [first.pop(name) for name in ("lost", "train_accuracy", "test_accuracy")] == [{1.0}, {0.25}, {0.25}]
    assert set.union(*first.values()) == {math.inf}
    left = dead.merge(whole, on=["seed", "stream", "layer", "metric"])
    assert len(left) == len(whole) == len(dead)
    assert left[left.seed == 1].value_x.tolist() == pytest.approx(left[left.seed == 1].value_y.tolist())
