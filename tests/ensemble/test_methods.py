"""Gradients by another method than backpropagation, and what happens between updates: known laws, bits, resuming."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from small_methods import CURVATURE, PROBLEMS, STEPS, Bowl, Layered, job_of, trained

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.methods import Backprop
from dynatlas.ensemble.optimisers import SGD
from dynatlas.ensemble.parameters import select_members
from dynatlas.jobs import Job


@pytest.fixture(params=PROBLEMS)
def kind(request):
    return PROBLEMS[request.param]


def same(one, other) -> None:
    for name in ("parameters", "optimiser", "method"):
        left, right = getattr(one, name), getattr(other, name)
        assert left.keys() == right.keys()
        for key, tensor in left.items():
            assert torch.equal(tensor, right[key]), (name, key)
    assert torch.equal(one.losses.values["loss"], other.losses.values["loss"])


def test_two_sided_differences_are_exact_on_a_quadratic():
    """u u' g for every direction u, at the parameters before the update, whatever mu is."""
    fitted = trained(Bowl, job_of(2), steps=1, optimiser=SGD(lr=1.0))
    problem = Bowl(job_of(2))
    g, u = CURVATURE * (problem.start()["w"] - problem.draw(0)), fitted.method["seen"]
    wanted = torch.einsum("mqi,mqj,mj->mi", u, u, g) / u.shape[1]
    torch.testing.assert_close(problem.start()["w"] - fitted.parameters["w"], wanted, rtol=0, atol=1e-9)


def test_what_does_not_learn_is_copied_with_the_members_that_do():
    """The batch as a tensor of each member's own: the losses of its copies are the same."""
    problem = Bowl(job_of(3))
    given = {"steps": 1, "optimiser": SGD(lr=1.0), "trainable": ["w"]}
    start, shift = problem.start(), problem.draw(0)

    def loss(params, batch):
        return 0.5 * (CURVATURE * (params["w"] - params["shift"]) ** 2).sum(1)

    fixed = fit(lambda step: None, loss, start | {"shift": shift}, method=problem.method(), **given)
    drawn = fit(lambda step: shift, problem.loss, start, method=Bowl(job_of(3)).method(), **given)
    assert torch.equal(fixed.parameters["w"], drawn.parameters["w"])


def test_differences_alone_reach_the_optimum():
    fitted = trained(Bowl, job_of(3), steps=400)
    assert float(fitted.losses.values["loss"][-20:].mean()) < 0.02 * float(fitted.losses.values["loss"][0].mean())


def by_hand(member: int, masks: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of one sparse network by torch's Adam, with the masks of each stretch of updates given."""
    problem = Layered(Job("methods", [member]))
    w, v = (torch.nn.Parameter(tensor[0].clone()) for tensor in problem.start().values())
    optimiser = torch.optim.Adam([w, v], lr=0.05)
    for step in range(STEPS):
        mask = masks[step // 3].to(torch.float64)
        if step and step % 3 == 0:
            grown = (masks[step // 3] & ~masks[step // 3 - 1]).nonzero().tolist()
            for i, j in grown:
                w.data[i, j] = 0.0
                for moment in ("exp_avg", "exp_avg_sq"):
                    optimiser.state[w][moment][i, j] = 0.0
            for moment in ("exp_avg", "exp_avg_sq"):
                optimiser.state[w][moment] *= mask
        optimiser.zero_grad()
        (x,) = problem.draw(step)
        ((torch.tanh(x @ (w * mask)) @ v - x[:, :1]) ** 2).mean().backward()
        optimiser.step()
    return w.detach(), v.detach()


def test_dropping_and_growing_is_what_torch_does_with_the_same_masks_one_network_at_a_time():
    masks = [trained(Layered, job_of(3), steps=steps).method["mask"] for steps in (1, 4, 7, 10)]
    fitted = trained(Layered, job_of(3))
    assert torch.equal(masks[-1], fitted.method["mask"])
    assert all((mask.sum((1, 2)) == 8).all() for mask in masks)
    assert all((one != other).sum((1, 2)).min() >= 2 for one, other in pairwise(masks))
    for member in range(3):
        w, v = by_hand(member, [mask[member] for mask in masks])
        torch.testing.assert_close(fitted.parameters["w"][member], w, rtol=0, atol=1e-12)
        torch.testing.assert_close(fitted.parameters["v"][member], v, rtol=0, atol=1e-12)


def test_moments_are_seen_as_trees_and_written_to():
    job = job_of(2)
    method = Layered(job).method()
    trained(Layered, job, method=method)
    assert len(method.seen) == 3
    assert all(((square == 0).sum((1, 2)) >= 10).all() for square in method.seen), "8 absent, 2 newly grown"
    with pytest.raises(KeyError, match="no moment 'velocity'; the optimiser remembers: mean, square"):
        trained(Layered, job, method=Asking())


class Asking:
    """A method that asks for a moment that Adam does not have."""

    def start(self, parameters):
        return {}

    def gradient(self, *given):
        return Backprop().gradient(*given)

    def between(self, parameters, moments, memory, *, step, active):
        moments["velocity"]


def test_more_members_leave_earlier_ones_bits(kind):
    many = trained(kind, job_of(6))
    for members in (1, 2, 3, 5):
        few = trained(kind, job_of(members))
        for name in ("parameters", "optimiser", "method"):
            own = select_members(getattr(many, name), slice(0, members))
            assert all(torch.equal(own[key], tensor) for key, tensor in getattr(few, name).items()), (members, name)


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", range(STEPS))
def test_resumed_after_a_kill_at_any_step_it_has_the_bits_of_an_undisturbed_run(kind, at, tmp_path):
    def scratched():
        return job_of(3, scratch=tmp_path, checkpoint_seconds=0)

    job, steps = scratched(), []
    problem = kind(job)

    def dying(step):
        batch = problem.draw(step)
        if step == at:
            raise Killed
        return batch

    with pytest.raises(Killed):
        trained(kind, job, draw=dying)
    job = scratched()
    problem = kind(job)
    resumed = trained(kind, job, draw=lambda step: (steps.append(step), problem.draw(step))[1])
    assert steps == list(range(at, STEPS))
    same(resumed, trained(kind, job_of(3)))


def test_members_that_stand_still_keep_all_that_is_theirs():
    """Whatever the method does to them: `DropAndGrow` does not ask which members are active."""
    for kind in PROBLEMS.values():
        together = trained(kind, job_of(3), steps=torch.tensor([5, 12, 8]))
        for member, steps in ((0, 5), (1, 12), (2, 8)):
            alone = trained(kind, job_of(member + 1), steps=steps)
            assert torch.equal(together.parameters["w"][member], alone.parameters["w"][member])
            assert all(torch.equal(t[member], alone.optimiser[key][member]) for key, t in together.optimiser.items())
        mask = together.method.get("mask")
        assert mask is None or torch.equal(mask[0], trained(kind, job_of(1), steps=5).method["mask"][0])


@pytest.mark.parametrize("at", [0, 3, 4, 9])
def test_a_budget_that_ended_before_a_kill_is_kept_after_it(kind, at, tmp_path):
    budget = torch.tensor([2, 12, 5])
    job = job_of(3, scratch=tmp_path, checkpoint_seconds=0)
    problem = kind(job)

    def dying(step):
        if step == at:
            raise Killed
        return problem.draw(step)

    with pytest.raises(Killed):
        trained(kind, job, steps=budget, draw=dying)
    again = job_of(3, scratch=tmp_path, checkpoint_seconds=0)
    same(trained(kind, again, steps=budget), trained(kind, job_of(3), steps=budget))
