"""Classifiers by plain gradient descent: one step written out, and what conditions of a seed share."""

from __future__ import annotations

import torch

from dynatlas.datasets.labelled import Labelled
from dynatlas.ensemble.classifiers import train_classifiers
from dynatlas.jobs import Job
from dynatlas.models.mlp import PopulationMLP

NUMBERS = torch.Generator().manual_seed(0)
TRAIN = Labelled(torch.randn(80, 9, generator=NUMBERS), torch.randint(4, (80,), generator=NUMBERS))
MODEL = PopulationMLP((9, 6, 5, 4), "relu")


def trained(seeds, *, batch=8, steps=5, learning_rates=(0.05,), **settings):
    job = Job(study="test", seeds=seeds)
    start = MODEL.initialise(job.generators("initialisation"), len(learning_rates), shared=True)
    given = {"batch": batch, "steps": steps, "learning_rates": learning_rates, **settings}
    return train_classifiers(job, TRAIN, MODEL.logits, start, name="fit", **given)


def test_conditions_of_a_seed_share_weights_and_batches_and_differ_by_their_noise():
    both = trained([3], learning_rates=[0.05, 0.05, 0.05], weight_noise=[0.0, 0.0, 0.3]).parameters
    assert torch.equal(both["w1"][0], both["w1"][1])
    assert not torch.equal(both["w1"][0], both["w1"][2])
    plain = trained([3]).parameters
    torch.testing.assert_close(plain["w1"][0], both["w1"][0])
    assert not torch.allclose(trained([3], stream="other batches").parameters["w1"], plain["w1"])


def test_one_step_is_a_step_of_gradient_descent_on_the_given_labels():
    job = Job(study="test", seeds=[0, 1])
    params = {name: w.requires_grad_() for name, w in MODEL.initialise(job.generators("initialisation")).items()}
    index = torch.stack([torch.randint(60, (8,), generator=g) for g in job.generators("batches")])
    labels = torch.randint(4, (2, 1, 60), generator=NUMBERS)
    wanted = torch.stack([own[0, places] for own, places in zip(labels, index, strict=True)])
    logits = MODEL.logits(params, TRAIN.x[index])
    for own, y in zip(logits, wanted, strict=True):
        torch.nn.functional.cross_entropy(own, y).backward(retain_graph=True)
    found = trained([0, 1], steps=1, learning_rates=[0.1], labels=labels).parameters
    for name, w in params.items():
        torch.testing.assert_close(found[name], (w - 0.1 * w.grad).detach())


def test_one_more_seed_leaves_the_others():
    few, more = (trained(seeds, learning_rates=[0.05, 0.02], weight_noise=[0.0, 0.1]) for seeds in ([1], [1, 2]))
    for name in few.parameters:
        torch.testing.assert_close(few.parameters[name], more.parameters[name][:2], rtol=1e-6, atol=1e-7)


def test_snapshots_are_the_parameters_of_shorter_training():
    log = trained([4], snapshots=[0, 2, 5]).logs["snapshots"].at([2, 5])
    for place, steps in enumerate((2, 5)):
        assert torch.equal(log["w2"][place], trained([4], steps=steps).parameters["w2"])
