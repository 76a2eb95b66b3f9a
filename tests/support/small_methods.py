"""Two small training methods, written against `ensemble.methods.Method` as a study would, and problems for them.

`Differences` estimates gradients from losses alone (zeroth order); `DropAndGrow` trains a sparse network whose
connections change as it learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.methods import Backprop
from dynatlas.ensemble.optimisers import Adam
from dynatlas.ensemble.parameters import copies_of
from dynatlas.ensemble.schedules import Every
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


def job_of(seeds: int, **more) -> Job:
    return Job("methods", range(seeds), **more)


def trained(kind, job: Job, *, steps=STEPS, draw=None, **given):
    problem = kind(job)
    settings = {"optimiser": Adam(lr=0.05), "log_at": Every(1), "method": problem.method(), **given}
    return fit(draw or problem.draw, problem.loss, problem.start(), steps=steps, job=job, **settings)
