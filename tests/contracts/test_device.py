"""Models, Jacobians, instruments and optimisers on a device that is not the CPU (see `tests/support/pretended.py`)."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from compute import computing_nodes
from pretended import DEVICE, DeviceMixture, Pretended, Stream, jobs_on_device, pretended_device, same_there, values

from dynatlas.atlas import Atlas
from dynatlas.devices import moved
from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.registry import OPTIMISERS
from dynatlas.instruments.lyapunov import lyapunov_spectrum
from dynatlas.instruments.registry import INSTRUMENTS
from dynatlas.models.noise import StepNoise
from dynatlas.models.registry import MODELS, RATE, RECURRENT, STACKED
from dynatlas.models.weight_noise import WeightNoise
from dynatlas.steps import compute

MEMBERS, STEPS, TRIALS = 2, 7, 3


def streams(count=MEMBERS, kind=torch.Generator):
    return [kind().manual_seed(seed) for seed in range(count)]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Case:
    """A registered model with parameters, drawn on the CPU as everywhere, and inputs."""

    def __init__(self, entry):
        self.entry, self.model = entry, entry.make()
        self.params = self.model.initialise(streams(), dtype=torch.float64)
        self.x, self.state = normal(MEMBERS, STEPS, TRIALS, entry.n_in), normal(MEMBERS, TRIALS, entry.outputs, seed=1)


# ---------------------------------------------------------------- the device itself


def test_it_keeps_values_views_and_what_is_changed_in_place():
    def changed(x):
        x = x.clone()
        x[0, :2] += 5
        x[:, [0, 2]] = x[:, [2, 0]]
        x.T.mul_(2)
        return (
            x,
            x[:, 1:].sum(dim=1),
            torch.zeros_like(x),
            x.new_ones(2),
            x.new_tensor([3, 4]),
            torch.arange(3, device=x.device),
        )

    same_there(changed, normal(2, 3))


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: there @ here,
        lambda here, there: there + here[0, 0],
        lambda here, there: there[torch.tensor([0])],
        lambda here, there: torch.cat([here, there]),
        lambda here, there: torch.zeros_like(there).normal_(generator=torch.Generator()),
        lambda here, there: torch.zeros_like(here).normal_(generator=Stream()),
        lambda here, there: torch.randn(2, generator=torch.Generator(), device=there.device),
        lambda here, there: torch.rand(2, generator=Stream()),
    ],
)
def test_it_refuses_mixtures(mix):
    here = normal(3, 3)
    with pretended_device() as device:
        there = here.to(device)
        with pytest.raises(DeviceMixture):
            mix(here, there)


def test_it_moves_and_draws():
    with pretended_device() as device:
        there = torch.empty(4, device=device).normal_(generator=Stream().manual_seed(3))
        assert isinstance(there, Pretended)
        assert there.device == DEVICE
        assert there.cpu().device.type == "cpu"
        drawn, read = torch.randn(4, generator=Stream().manual_seed(3), device=device), there.tolist()
    expected = torch.empty(4).normal_(generator=torch.Generator().manual_seed(3))
    assert torch.equal(values(there), expected)
    assert torch.equal(values(drawn), expected)
    assert read == expected.tolist()


# ---------------------------------------------------------------- models


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_gradients_of_models(name):
    case = Case(MODELS[name])

    def outputs_and_gradients(params, x):
        leaves = {key: tensor.clone().requires_grad_() for key, tensor in params.items()}
        outputs = case.entry.run(case.model, leaves, x)
        loss = outputs.square().sum()
        return outputs, torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)

    same_there(outputs_and_gradients, case.params, case.x)


@pytest.mark.parametrize("name", RECURRENT)
def test_steps_and_jacobians_of_recurrent_models(name):
    case = Case(RECURRENT[name])

    def step_and_jacobian(params, x, state):
        wide = {key: tensor[:, None] for key, tensor in params.items()}
        return case.model.step(wide, x[:, 0], state), case.model.jacobian(wide, x[:, 0], state)

    same_there(step_and_jacobian, case.params, case.x, case.state)


@pytest.mark.parametrize("name", STACKED)
def test_carried_vectors_and_readouts_of_stacked_models(name):
    case = Case(STACKED[name])

    def carried(params, x, state, frame):
        factors = [case.model.factors] if hasattr(case.model, "factors") else []
        wide = {key: tensor[:, None] for key, tensor in params.items()}
        slopes = case.model.slopes(wide, x[:, 0], state)
        found = case.model.carry(params, slopes, frame), case.model.readout(params, state[:, None])
        return *found, *(of(wide, x[:, 0], state) for of in factors)

    same_there(carried, case.params, case.x, case.state, normal(MEMBERS, TRIALS, 2, case.entry.outputs))


@pytest.mark.parametrize("name", RECURRENT)
def test_lyapunov_spectra(name):
    case = Case(RECURRENT[name])

    def spectrum(params, x):
        return lyapunov_spectrum(case.model, params, x, burn_in=2).exponents

    same_there(spectrum, case.params, normal(STEPS, 1, case.entry.n_in))


@pytest.mark.parametrize("name", RATE)
def test_noise_is_drawn_where_it_is_used(name):
    case = Case(RATE[name])

    def noisy(params, x):
        kind = Stream if x.device == DEVICE else torch.Generator
        run = partial(case.model.rollout, params, x)
        shaken = WeightNoise(streams(kind=kind), 0.1).add(params)
        picked = case.model.states_at(params, x, steps=torch.arange(TRIALS, device=x.device))
        return run(noise=StepNoise(streams(kind=kind), 0.1)), shaken, picked

    same_there(noisy, case.params, case.x)
    with pretended_device() as device:
        there, x = moved(case.params, device), case.x.to(device)
        with pytest.raises(DeviceMixture):
            case.model.rollout(there, x, noise=StepNoise(streams(), 0.1))


@pytest.mark.parametrize("name", MODELS)
def test_parameters_left_behind_are_refused(name):
    case = Case(MODELS[name])
    with pretended_device() as device:
        x = case.x.to(device)
        with pytest.raises(DeviceMixture):
            case.entry.run(case.model, case.params, x)


# ---------------------------------------------------------------- instruments

ON_ARRAYS = {"heldout_readout", "cross_fitted_best"}
"""Take numpy arrays."""


@pytest.mark.parametrize("name", sorted(set(INSTRUMENTS) - ON_ARRAYS))
def test_instruments_whose_streams_are_the_cpus(name):
    entry = INSTRUMENTS[name]
    data = torch.stack([entry.draw(generator) for generator in streams()])
    same_there(entry.measure, data)


# ---------------------------------------------------------------- optimisers


@pytest.mark.parametrize("name", OPTIMISERS)
def test_learning(name):
    def fitted(params, curvature, rates):
        def bowl(given, step):
            return 0.5 * (curvature * given["w"] ** 2).sum(1)

        optimiser = OPTIMISERS[name](lr=rates, weight_decay=0.01)
        found = fit(lambda step: step, bowl, params, steps=5, optimiser=optimiser, clip_norm=0.5)
        return found.parameters

    same_there(fitted, {"w": normal(MEMBERS, 3)}, normal(3).abs(), torch.tensor([0.1, 0.02], dtype=torch.float64))


def test_jobs_of_the_pretended_device():
    """What `compute.py --pretended` computes with: noise is drawn there, all else on the CPU, with one job's bits."""
    atlas = Atlas(overrides={"scale": "smoke"})
    node = next(node for node in computing_nodes(atlas, atlas.studies) if not node.needs)
    here = compute.job_of(node)
    with jobs_on_device():
        there = compute.job_of(node)
        assert torch.device(there.device) == DEVICE
        moved_there, drawn_there = there.generator("data", 1), there.generator("noise", 1, device=there.device)
        drawn = torch.rand(3, generator=drawn_there, device=DEVICE)
    assert moved_there.device.type == "cpu"
    assert torch.equal(values(drawn), torch.rand(3, generator=here.generator("noise", 1)))
    assert compute.job_of(node).device == "cpu"
