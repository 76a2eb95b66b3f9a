"""Gradients by another method than backpropagation, and what happens between updates: two small methods, held to laws.

`Differences` estimates gradients from losses alone (zeroth order); `DropAndGrow` trains a sparse network whose
connections change as it learns. Both are written against `ensemble.methods.Method` as a study would write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import torch

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.methods import Backprop
from dynatlas.ensemble.optimisers import SGD, Adam
from dynatlas.ensemble.parameters import copies_of, select_members
from dynatlas.ensemble.schedules import Every
from dynatlas.ensemble.watch import RunningMean, Watch
from dynatlas.jobs import Job

STEPS = 12
CURVATURE = torch.tensor([1.0, 3.0, 9.0, 0.5], dtype=torch.float64)


def double(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True)
class Differences:
    """Mean of u (l(w + mu u) - l(w - mu u)) / 2 mu over `queries` directions u ~ N(0, 1) of a member's stream."""

    streams: Sequence[torch.Generator]
    queries: int = 3
    mu: float = 1e-3

    def start(self, parameters):
        return {}

    def gradient(self, loss, parameters, batch, memory, step):
        w = parameters["w"]
        u = torch.stack([torch.randn(self.queries, *w.shape[1:], generator=g, dtype=w.dtype) for g in self.streams])
        both = torch.stack([u, -u], dim=2).flatten(0, 2)
        moved = copies_of(parameters, 2 * self.queries)
        moved["w"] = moved["w"] + self.mu * both
        found = loss(moved, batch).unflatten(0, (len(w), self.queries, 2))
        slopes = (found[..., 0] - found[..., 1]) / (2 * self.mu)
        seen = [memory["seen"]] if "seen" in memory else []
        memory["seen"] = torch.cat([*seen, u], dim=1)  # grows from step to step
        terms = slopes[..., None] * u
        return loss(parameters, batch), {"w": sum(terms.unbind(1)) / self.queries}

    def between(self, parameters, moments, memory, *, step, active):
        pass


@dataclass(frozen=True)
class DropAndGrow:
    """Every `every` updates the `count` smallest weights are dropped, and as many others grow from 0, at random."""

    streams: Sequence[torch.Generator]
    density: float = 0.5
    every: int = 3
    count: int = 2
    seen: list[torch.Tensor] = field(default_factory=list)
    """What stood in the moments after a change, for tests."""

    def start(self, parameters):
        size = parameters["w"][0].numel()
        mask = torch.arange(size) < round(self.density * size)
        return {"mask": mask.expand(len(parameters["w"]), size).view_as(parameters["w"]).clone()}

    def gradient(self, loss, parameters, batch, memory, step):
        used = parameters | {"w": parameters["w"] * memory["mask"]}
        losses, dense = Backprop().gradient(loss, used, batch, memory, step)
        return losses, dense | {"w": dense["w"] * memory["mask"]}

    def between(self, parameters, moments, memory, *, step, active):
        if step % self.every:
            return
        w, mask = (tensor.flatten(1) for tensor in (parameters["w"], memory["mask"]))
        chance = torch.stack([torch.rand(w.shape[1], generator=g, dtype=w.dtype) for g in self.streams])
        dropped = w.abs().masked_fill(~mask, torch.inf).topk(self.count, dim=1, largest=False).indices
        grown = chance.masked_fill(mask, -1).topk(self.count, dim=1).indices
        fresh = torch.zeros_like(mask).scatter(1, grown, True).view_as(memory["mask"])
        memory["mask"] = mask.scatter(1, dropped, False).scatter(1, grown, True).view_as(memory["mask"])
        parameters["w"].masked_fill_(fresh, 0.0)
        for moment in moments.values():
            moment["w"].masked_fill_(fresh | ~memory["mask"], 0.0)
        self.seen.append(moments["square"]["w"].clone())


class Bowl:
    """Noisy quadratics; a batch is a shift (member, 4), drawn by each member's own stream."""

    def __init__(self, job: Job):
        self.job, self.streams = job, job.generators("batches")

    def start(self):
        return {"w": 1 + torch.arange(4, dtype=torch.float64).repeat(len(self.job.seeds), 1)}

    def draw(self, step):
        return 0.1 * torch.stack([torch.randn(4, generator=g, dtype=torch.float64) for g in self.streams])

    def loss(self, params, shift):
        return 0.5 * (CURVATURE * (params["w"] - shift.repeat_interleave(len(params["w"]) // len(shift), 0)) ** 2).sum(
            1
        )

    def method(self):
        return Differences(self.job.generators("directions"))


class Layered:
    """A network of one hidden layer on a fresh batch at each step; its first weights are sparse."""

    def __init__(self, job: Job):
        self.job, self.streams = job, job.generators("batches")

    def start(self):
        drawn = [double(20, seed=seed).split((16, 4)) for seed in self.job.seeds]
        return {"w": torch.stack([a.view(4, 4) for a, _ in drawn]), "v": torch.stack([b.view(4, 1) for _, b in drawn])}

    def draw(self, step):
        return torch.stack([torch.randn(8, 4, generator=g, dtype=torch.float64) for g in self.streams])

    def loss(self, params, x):
        return ((torch.tanh(x @ params["w"]) @ params["v"] - x[..., :1]) ** 2).mean((1, 2))

    def method(self):
        return DropAndGrow(self.job.generators("growth"))


PROBLEMS = {"differences": Bowl, "drop and grow": Layered}


@pytest.fixture(params=PROBLEMS)
def kind(request):
    return PROBLEMS[request.param]


def job_of(seeds: int, **more) -> Job:
    return Job("methods", range(seeds), **more)


def trained(kind, job: Job, *, steps=STEPS, draw=None, **given):
    problem = kind(job)
    settings = {"optimiser": Adam(lr=0.05), "log_at": Every(1), "method": problem.method(), **given}
    return fit(draw or problem.draw, problem.loss, problem.start(), steps=steps, job=job, **settings)


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


def watched(limit: float) -> Watch:
    return Watch(
        lambda params, step: {"size": params["w"].flatten(1).abs().sum(1)},
        at=Every(1),
        remember=RunningMean("size", decay=0.5),
        reached=lambda seen: seen["mean size"] < limit,
        stop=True,
    )


def test_a_watch_stops_on_its_running_mean_and_resumes_with_it(tmp_path):
    job = job_of(3, scratch=tmp_path, checkpoint_seconds=0)
    problem, given = Bowl(job), {"optimiser": SGD(lr=0.05), "method": None, "steps": 60}

    def dying(step):
        if step == 9:
            raise Killed
        return problem.draw(step)

    with pytest.raises(Killed):
        trained(Bowl, job, draw=dying, watches={"size": watched(4.0)}, **given)
    job = job_of(3, scratch=tmp_path, checkpoint_seconds=0)
    resumed = trained(Bowl, job, watches={"size": watched(4.0)}, **given)
    whole = trained(Bowl, job_of(3), watches={"size": watched(4.0)}, **given)
    for key, tensor in whole.watched["size"].items():
        assert torch.equal(tensor, resumed.watched["size"][key])
    assert torch.equal(whole.stopped_at, resumed.stopped_at)
    size = whole.logs["size"].values["size"]
    weights = 0.5 ** torch.arange(len(size), dtype=torch.float64)
    for at in range(len(size)):
        past = size[: at + 1].flip(0) * weights[: at + 1, None]
        wanted = past.sum(0) / weights[: at + 1].sum()
        torch.testing.assert_close(whole.logs["size"].values["mean size"][at], wanted, rtol=1e-12, atol=0)
    first = (whole.logs["size"].values["mean size"] < 4.0).to(torch.int64).argmax(dim=0)
    assert torch.equal(whole.stopped_at, first)
    assert (first > (size < 4.0).to(torch.int64).argmax(dim=0)).all(), "the mean is later than what it is a mean of"


@dataclass(frozen=True)
class Wrong:
    """A method that gives or remembers something else than it should."""

    losses: object = None
    gradient_of: object = None
    remembers: object = None

    def start(self, parameters):
        return {}

    def gradient(self, loss, parameters, batch, memory, step):
        losses, gradient = Backprop().gradient(loss, parameters, batch, memory, step)
        if self.remembers is not None:
            memory["extra"] = self.remembers
        return (losses if self.losses is None else self.losses), self.gradient_of or gradient

    def between(self, parameters, moments, memory, *, step, active):
        pass


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Wrong(losses=torch.ones(4)), r"losses \(4,\); wanted is one number a member, \(3,\)"),
        (Wrong(losses=1.0), "losses float"),
        (Wrong(gradient_of={"v": torch.ones(3, 4)}), "unknown gradient 'w'"),
        (Wrong(gradient_of={"w": torch.ones(4)}), r"the gradient of 'w' is \(4,\); wanted is \(3, 4\)"),
        (Wrong(remembers=torch.tensor(1.0)), r"the method remembers 'extra' as \(\); wanted are tensors"),
        (Wrong(remembers=torch.ones(2, 3)), "leading axis member, 3"),
        (Wrong(remembers=2), "'extra' as int"),
    ],
)
def test_what_a_method_may_not_give_is_named(method, message):
    with pytest.raises((ValueError, KeyError), match=message):
        trained(Bowl, job_of(3), method=method)


def test_a_loss_of_copies_that_gives_one_number_a_member_is_named():
    job = job_of(3)
    problem = Bowl(job)
    with pytest.raises(ValueError, match=r"loss must give \(18,\), one number a member, not \(3,\)"):
        fit(
            problem.draw,
            lambda params, shift: problem.loss(params, shift)[:3],
            problem.start(),
            steps=2,
            optimiser=SGD(lr=0.1),
            method=problem.method(),
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_a_method_sees_its_own_type_and_writes_to_float32(dtype):
    seen = []

    @dataclass(frozen=True)
    class Clipping:
        def start(self, parameters):
            return {"start": parameters["w"]}

        def gradient(self, loss, parameters, batch, memory, step):
            seen.append(parameters["w"].dtype)
            return Backprop().gradient(loss, parameters, batch, memory, step)

        def between(self, parameters, moments, memory, *, step, active):
            seen.append(parameters["w"].dtype)
            parameters["w"].clamp_(max=2.5)

    tree = {"w": torch.full((2, 3), 4.0, dtype=dtype)}
    fitted = fit(
        lambda step: None,
        lambda p, _: p["w"].sum(1),
        tree,
        steps=2,
        optimiser=SGD(lr=0.25),
        method=Clipping(),
    )
    assert seen == [dtype, torch.float32, dtype]
    assert fitted.parameters["w"].dtype == fitted.method["start"].dtype == dtype
    assert torch.equal(fitted.parameters["w"].float(), torch.full((2, 3), 2.25))
