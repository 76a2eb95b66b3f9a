"""A small network learns a noisy curve, step by slow step, and saves itself at nearly every one."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from dynatlas.ensemble.fit import fit
from dynatlas.ensemble.optimisers import Adam
from dynatlas.jobs import Job

if TYPE_CHECKING:
    from dynatlas.studies.slow.settings import Rate, Steps

HIDDEN, BATCH, PAUSE = 16, 32, 0.02


def train_fits(job: Job, *, rate: Rate, steps: Steps) -> dict[str, torch.Tensor]:
    """Parameters and losses of one hidden layer for each seed."""
    job = replace(job, checkpoint_seconds=0.05)
    starts, batches = job.generators("initialisation"), job.generators("task")
    first = torch.stack([torch.randn(2, HIDDEN, generator=stream) for stream in starts])
    last = torch.stack([torch.randn(HIDDEN, 1, generator=stream) / HIDDEN for stream in starts])

    def draw(step: int) -> torch.Tensor:
        time.sleep(PAUSE)
        return torch.stack([torch.randn(BATCH, 2, generator=stream) for stream in batches])

    def loss(parameters: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        made = torch.tanh(x @ parameters["first"]) @ parameters["last"]
        return (made - torch.sin(x.sum(-1, keepdim=True))).square().mean((1, 2))

    fitted = fit(draw, loss, {"first": first, "last": last}, steps=steps, optimiser=Adam(lr=rate), job=job)
    return {**fitted.parameters, "losses": fitted.losses.values["loss"]}
